/* Which requests for a host were decided since they were last seen? Pure. */

import type { IEgressRequest, IView } from './view';

/** The requests of a document; null where nothing is known of them, which is no news of any. */
export function requestsOf(view: IView | undefined): IEgressRequest[] | null {
  return view?.egress.requests ?? null;
}

/** Those that waited before and are approved, denied or revoked now. */
export function decided(before: IEgressRequest[] | null, now: IEgressRequest[] | null): IEgressRequest[] {
  const was = new Map((before ?? []).map(({ id, status }) => [id, status]));
  return (now ?? []).filter(({ id, status }) => {
    const earlier = was.get(id);
    const answered = earlier === 'waiting' && (status === 'approved' || status === 'denied');
    return answered || (earlier === 'approved' && status === 'revoked');
  });
}
