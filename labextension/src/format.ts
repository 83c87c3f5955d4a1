/* In which words does a person read times and sizes? Pure; the words come from the catalogue that is passed. */

import { DAY, Level, MINUTE, SECOND } from './time.js';

/** What of a TranslationBundle is needed here. */
export interface IWords {
  __(text: string, ...values: any[]): string;
  _n(one: string, many: string, count: number, ...values: any[]): string;
}

/** `2 d 4 h`, `2 h 5 min`, `41 min`, and by the second where it is red: `4:59`. */
export function leftText(left: number, level: Level, trans: IWords): string {
  if (level === 'over') {
    return trans.__('ending');
  }
  if (level === 'red') {
    const seconds = Math.ceil(left / SECOND);
    return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
  }
  return spanText(left, trans);
}

/** A span by its two largest units, rounded down, never less than a minute. */
export function spanText(span: number, trans: IWords): string {
  const minutes = Math.max(1, Math.floor(span / MINUTE));
  if (minutes >= 2 * (DAY / MINUTE)) {
    const hours = Math.floor(minutes / 60);
    return hours % 24
      ? trans.__('%1 d %2 h', Math.floor(hours / 24), hours % 24)
      : trans.__('%1 d', hours / 24);
  }
  if (minutes >= 60) {
    return minutes % 60
      ? trans.__('%1 h %2 min', Math.floor(minutes / 60), minutes % 60)
      : trans.__('%1 h', minutes / 60);
  }
  return trans.__('%1 min', minutes);
}

/** The same for those who listen: `2 hours, 5 minutes`, `30 seconds`. */
export function spokenText(span: number, trans: IWords): string {
  const seconds = Math.max(0, Math.ceil(span / SECOND));
  if (seconds < 60) {
    return trans._n('%1 second', '%1 seconds', seconds);
  }
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  const parts = [];
  if (hours >= 48) {
    parts.push(trans._n('%1 day', '%1 days', Math.floor(hours / 24)));
  }
  const rest = hours >= 48 ? hours % 24 : hours;
  if (rest) {
    parts.push(trans._n('%1 hour', '%1 hours', rest));
  }
  if (hours < 48 && minutes % 60) {
    parts.push(trans._n('%1 minute', '%1 minutes', minutes % 60));
  }
  return parts.join(', ');
}

/** How long ago: `just now`, `3 min ago`. */
export function agoText(span: number, trans: IWords): string {
  return span < MINUTE ? trans.__('just now') : trans.__('%1 ago', spanText(span, trans));
}

/** How instants are written: BCP 47 name and IANA zone; undefined: the browser's. */
export interface IPlace {
  locale?: string;
  zone?: string;
}

/** `16:42`; with the weekday where that is another day, with the date from a week on. */
export function instantText(at: number, now: number, place: IPlace = {}): string {
  const options: Intl.DateTimeFormatOptions = { hour: '2-digit', minute: '2-digit' };
  if (Math.abs(at - now) >= 6 * DAY) {
    Object.assign(options, { day: 'numeric', month: 'short' });
  } else if (dayOf(at, place) !== dayOf(now, place)) {
    options.weekday = 'short';
  }
  return formatter(place, options).format(at);
}

/** Date and time in full, for tooltips. */
export function fullText(at: number, place: IPlace = {}): string {
  return formatter(place, { dateStyle: 'full', timeStyle: 'long' }).format(at);
}

function dayOf(at: number, place: IPlace): string {
  return formatter(place, { day: 'numeric', month: 'numeric', year: 'numeric' }).format(at);
}

function formatter(place: IPlace, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  return new Intl.DateTimeFormat(place.locale || undefined, { ...options, timeZone: place.zone });
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** `1.5 GiB`: bytes by the largest unit that is at least one. */
export function bytesText(bytes: number, locale?: string): string {
  const power = Math.min(UNITS.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(1, bytes)) / 10)));
  const digits = power === 0 ? 0 : 1;
  return `${numberText(bytes / 1024 ** power, digits, locale)} ${UNITS[power]}`;
}

/** A number with at most so many digits behind the point. */
export function numberText(value: number, digits: number, locale?: string): string {
  return new Intl.NumberFormat(locale || undefined, { maximumFractionDigits: digits }).format(value);
}

/**
 * The catalogue's `de_DE` as Intl wants it: `de-DE`; undefined where it is no name of a language.
 *
 * The browser's own is taken where it is of the same language, since it knows the country: 16:42 or 4:42 PM.
 */
export function localeName(
  code: string | undefined,
  browser: string | undefined = globalThis.navigator?.language
): string | undefined {
  try {
    const name = code ? Intl.getCanonicalLocales(code.replace(/_/g, '-'))[0] : undefined;
    return browser && name && languageOf(browser) === languageOf(name) ? browser : name;
  } catch {
    return undefined;
  }
}

function languageOf(name: string): string {
  return new Intl.Locale(name).language;
}
