/* Why did nobody answer? Pure: the status of the answer, 0 where there was none, and the code in its document. */

/** `none`: there is nothing to ask, this server is no sandbox. */
export type TroubleKind = 'away' | 'gone' | 'login' | 'none';

/** With this code the server extension says that it runs in no sandbox. */
const OUTSIDE = 'sandbox.outside';

export function troubleKind(status: number, code: string, wasKnown: boolean): TroubleKind {
  if (code === OUTSIDE || (status === 404 && !wasKnown)) {
    return 'none';
  }
  if (status === 401 || status === 403) {
    return 'login';
  }
  // The hub answers for a server that has ended: 424; 404 where the named server was removed too.
  return status === 424 || status === 404 ? 'gone' : 'away';
}
