// What time is it at the server, and how is a time written? The browser's own clock may be an hour off.

let skew = 0;

/** Learn from a document's `now`. */
export function learn(now) {
  const there = Date.parse(now);
  if (!Number.isNaN(there)) {
    skew = there - Date.now();
  }
}

/** Milliseconds now, by the server's clock. */
export function serverNow() {
  return Date.now() + skew;
}

/** By how much the server is ahead of this browser, in milliseconds. */
export function skewed() {
  return skew;
}

/** 75 s, 12 min, 2 h 5 min, 3 d 4 h. */
export function duration(milliseconds) {
  const seconds = Math.max(Math.round(milliseconds / 1000), 0);
  if (seconds < 90) {
    return `${seconds} s`;
  }
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) {
    return `${minutes} min`;
  }
  const hours = Math.floor(minutes / 60);
  if (hours < 48) {
    return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  }
  const days = Math.floor(hours / 24);
  return hours % 24 ? `${days} d ${hours % 24} h` : `${days} d`;
}

const _sameDay = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const _otherDay = new Intl.DateTimeFormat(undefined, {
  month: 'short',
  day: 'numeric',
  hour: '2-digit',
  minute: '2-digit',
  hourCycle: 'h23',
});
const _whole = new Intl.DateTimeFormat(undefined, {
  dateStyle: 'medium',
  timeStyle: 'medium',
  hourCycle: 'h23',
});

/** An instant as people here read it; without the day where it is today. */
export function clock(instant) {
  if (!instant) {
    return '';
  }
  const at = new Date(instant);
  const today = new Date(serverNow());
  return (at.toDateString() === today.toDateString() ? _sameDay : _otherDay).format(at);
}

/** "12 min ago". */
export function ago(instant) {
  return instant ? `${duration(serverNow() - Date.parse(instant))} ago` : '';
}

/** "in 12 min", or "now" once it is past. */
export function until(instant) {
  if (!instant) {
    return '';
  }
  const left = Date.parse(instant) - serverNow();
  return left <= 0 ? 'now' : `in ${duration(left)}`;
}

/** An instant in full, for titles. */
export function whole(instant) {
  return instant ? `${_whole.format(new Date(instant))} (${instant})` : '';
}

/** Bytes as people read them. */
export function bytes(count) {
  if (!count) {
    return '';
  }
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  let size = count;
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${size >= 10 ? Math.round(size) : Math.round(size * 10) / 10} ${units[unit]}`;
}
