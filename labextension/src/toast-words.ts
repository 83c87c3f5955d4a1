/* In which words do toasts tell? Pure; a toast shows 140 characters, so what matters comes first. */

import { instantText, IPlace, IWords, spokenText } from './format.js';
import { instant } from './time.js';
import type { INotice } from './tokens';
import type { IEgressRequest, IEnding, IExtension } from './view';
import { wordsOf } from './trouble.js';
import { visible } from './views/hostile.js';

const MOST = 100;

/** `saved`: what was saved for it, in place of the advice. */
export function warning(
  ending: Pick<IEnding, 'why'>,
  at: number,
  now: number,
  trans: IWords,
  place: IPlace,
  saved = ''
): string {
  const when = instantText(at, now, place);
  const left = at - now;
  const ends =
    left > 0
      ? trans.__('This sandbox stops in %1, at %2.', spokenText(left, trans), when)
      : trans.__('This sandbox stops now.');
  return lines(ends, saved || trans.__('What is only in memory is lost.'), shown(ending.why));
}

export function stopping(notice: INotice, trans: IWords): string {
  return lines(trans.__('This sandbox is being stopped.'), shown(notice.why));
}

export function extended(
  notice: INotice,
  extension: IExtension | undefined,
  now: number,
  trans: IWords,
  place: IPlace
): string {
  const at = instant(notice.at);
  const cap = instant(extension?.cap);
  const left = extension?.left ?? null;
  return lines(
    at === null
      ? trans.__('The end of this sandbox was moved.')
      : trans.__('This sandbox stops at %1 now.', instantText(at, now, place)),
    left === null ? '' : trans._n('%1 extension is left.', '%1 extensions are left.', left),
    cap === null ? '' : trans.__('Never later than %1.', instantText(cap, now, place))
  );
}

export function saved(done: { saved: string[]; failed: string[] }, trans: IWords): string {
  if (done.failed.length) {
    return trans.__('Not saved: %1', shown(done.failed.join(', ')));
  }
  const count = done.saved.length;
  return count
    ? trans._n('%1 document was saved.', '%1 documents were saved.', count)
    : trans.__('No document of this tab has changes.');
}

export function decision(request: IEgressRequest, now: number, trans: IWords, place: IPlace): string {
  const host = `${shown(request.host)}:${request.port}`;
  const until = instant(request.until);
  switch (request.status) {
    case 'approved':
      if (request.here === false) {
        const missed = trans.__('Your request for %1 was approved, but this sandbox does not have it.', host);
        return lines(missed, shown(request.answer));
      }
      return lines(
        until === null
          ? trans.__('You may reach %1 now.', host)
          : trans.__('You may reach %1 until %2.', host, instantText(until, now, place)),
        shown(request.answer)
      );
    case 'revoked':
      return lines(trans.__('You may reach %1 no longer.', host), shown(request.answer));
    default:
      return lines(trans.__('Your request for %1 was denied.', host), shown(request.answer));
  }
}

export function refusal(error: Parameters<typeof wordsOf>[0], trans: IWords): string {
  const { message, remedy } = wordsOf(error, trans);
  return lines(shown(message), shown(remedy));
}

function shown(text: string): string {
  return visible(text, MOST).text;
}

function lines(...parts: string[]): string {
  return parts.filter(Boolean).join('\n');
}
