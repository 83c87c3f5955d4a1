/* How much time is left, and how sure is that? Pure: instants are milliseconds since 1970 and come as arguments.
 *
 * Law: an end is compared with the server's clock. The browser's may be an hour off, so only differences count.
 */

export const SECOND = 1000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

export type Level = 'plain' | 'amber' | 'red' | 'over';

/** From how many minutes on it is amber, and red. */
export interface IThresholds {
  amber: number;
  red: number;
}

export const THRESHOLDS: IThresholds = { amber: 15, red: 5 };

/** A server's clock less the browser's; `error`: how far off that may be, both in milliseconds. */
export interface ISkew {
  skew: number;
  error: number;
}

/** An instant of the document, or null where there is none or it is not one. */
export function instant(text: string | null | undefined): number | null {
  const at = Date.parse(text ?? '');
  return Number.isNaN(at) ? null : at;
}

/**
 * The skew by an answer that said `now` to a question that went from `sent` to `heard`, by the browser's clock.
 *
 * The server read its clock somewhere between: the middle is off by half the way at most. What was known
 * stays where the new does not gainsay it, so that a countdown does not jump with each answer.
 */
export function skewOf(sent: number, heard: number, now: number | null, before: ISkew | null): ISkew {
  const error = Math.max(0, heard - sent) / 2;
  if (now === null) {
    return before ?? { skew: 0, error: Infinity };
  }
  const skew = now - (sent + heard) / 2;
  const agrees = before !== null && Math.abs(skew - before.skew) <= error + before.error + SECOND;
  return agrees && before.error <= error ? before : { skew, error };
}

/** How loud the time that is left is. */
export function level(left: number, thresholds: IThresholds = THRESHOLDS): Level {
  if (left <= 0) {
    return 'over';
  }
  if (left <= thresholds.red * MINUTE) {
    return 'red';
  }
  return left <= thresholds.amber * MINUTE ? 'amber' : 'plain';
}

/** What of a sandbox says how loud its end is (ISandbox fits); `idle_timeout` in seconds. */
export interface IEnds {
  ending: { kind: string };
  idle_timeout: number | null;
  warnings: { kind: string }[];
}

/**
 * The thresholds for its end. An end by idleness moves with each use, and is never further off than the idle
 * timeout: it is loud only where half of it, and a sixth, is left. How far off an idle GPU's end can be is not
 * known here: it is loud once control has warned of it.
 */
export function thresholdsOf(sandbox: IEnds, wished: IThresholds): IThresholds {
  const { ending, idle_timeout: timeout, warnings } = sandbox;
  if (ending.kind === 'gpu_idle') {
    return warnings.some(({ kind }) => kind === 'gpu_idle') ? wished : { amber: 0, red: 0 };
  }
  if (ending.kind !== 'idle' || !timeout) {
    return wished;
  }
  const minutes = timeout / 60;
  return { amber: Math.min(wished.amber, minutes / 2), red: Math.min(wished.red, minutes / 6) };
}

/** What of an answer says how old it is (IKnown fits). */
export interface IHeard {
  heard: number;
  skew: number;
  view: { control: { ok: boolean; since: string | null } };
}

/**
 * Since when nothing newer is known, by the browser's clock; null: it is as new as can be.
 *
 * Control may be away while the server answers: then what it says is as old as control's last word.
 */
export function staleSince(known: IHeard, trouble: unknown): number | null {
  const { control } = known.view;
  const said = instant(control.since);
  if (!control.ok) {
    return said === null ? known.heard : Math.min(said - known.skew, known.heard);
  }
  return trouble === null ? null : known.heard;
}
