/* What of a text may be drawn, and which address may be a link? Pure. */

const BIDI = '\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069';
const CONTROL = new RegExp(`[\\u0000-\\u001f\\u007f-\\u009f${BIDI}\\u2028\\u2029\\ufeff]`, 'g');
const IN_TITLE = 1000;

/** The first `most` characters with what is invisible made visible; `title` only where that is not all. */
export function visible(value: string, most: number): { text: string; title?: string } {
  const whole = String(value);
  const cut = first(whole, most);
  if (cut.length === whole.length) {
    return { text: signs(cut) };
  }
  const long = first(whole, IN_TITLE);
  return {
    text: `${signs(cut)}…`,
    title: long.length === whole.length ? signs(long) : `${signs(long)}…`
  };
}

/** The address, if a browser may be sent there by a click: http or https only. */
export function safeUrl(url: string | null, base: string): string | null {
  if (!url) {
    return null;
  }
  try {
    const parsed = new URL(url, base);
    return parsed.protocol === 'https:' || parsed.protocol === 'http:' ? parsed.href : null;
  } catch {
    return null; // not an address
  }
}

function first(text: string, most: number): string {
  return Array.from(text.slice(0, 2 * most)).slice(0, most).join('');
}

/** ANSI's escape as `␛`, line ends as spaces, what turns the direction of writing as `�`. */
function signs(text: string): string {
  return text.replace(CONTROL, character => {
    const code = character.charCodeAt(0);
    if (code === 9 || code === 10 || code === 13) {
      return ' ';
    }
    if (code < 32) {
      return String.fromCharCode(0x2400 + code);
    }
    return code === 127 ? '\u2421' : '\ufffd';
  });
}
