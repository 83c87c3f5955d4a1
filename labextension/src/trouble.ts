/* Why did nobody answer, and why did the server end? Pure: by the answer's status and code, and what was heard before. */

import type { IWords } from './format.js';
import { instant, MINUTE } from './time.js';
import type { ISandbox } from './view';

/** `none`: there is nothing to ask, this server is no sandbox. */
export type TroubleKind = 'away' | 'gone' | 'login' | 'none';

/** With this code the server extension says that it runs in no sandbox. */
const OUTSIDE = 'sandbox.outside';

/** The code of requests that the hub redirected: the server has ended. */
export const GONE = 'server.gone';

export function troubleKind(status: number, code: string, wasKnown: boolean): TroubleKind {
  if (code === OUTSIDE || (status === 404 && !wasKnown)) {
    return 'none';
  }
  if (status === 401 || status === 403) {
    return 'login';
  }
  // The hub redirects or answers 424 for a server that has ended; 404 where the named server was removed too.
  return status === 424 || status === 404 ? 'gone' : 'away';
}

/** Why it ended, by the last that was heard of it; empty where nothing foretold the end. `now` by its clock. */
export function endOf(sandbox: Pick<ISandbox, 'stop' | 'ending'> | null, now: number): string {
  if (sandbox?.stop) {
    return sandbox.stop.why;
  }
  const at = instant(sandbox?.ending.at);
  return sandbox && at !== null && at <= now + MINUTE ? sandbox.ending.why : '';
}

/** A failure in words: the server's own, and ours where none came. */
export function wordsOf(
  error: { message: string; remedy?: string; status?: number; code?: string },
  trans: IWords
): { message: string; remedy: string } {
  if (error.status === 0) {
    const remedy = trans.__('It may have been done all the same: look before you try again.');
    return { message: trans.__('The server does not answer.'), remedy };
  }
  if (error.code === GONE) {
    return { message: trans.__('This server has ended'), remedy: '' };
  }
  return { message: error.message, remedy: error.remedy ?? '' };
}
