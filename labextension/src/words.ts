/* What does the status item say? Pure: from what is known and what is wrong to a text and what explains it. */

import { agoText, fullText, IPlace, IWords, leftText } from './format.js';
import { instant, IThresholds, Level, level, staleSince, thresholdsOf } from './time.js';
import type { IKnown, ITrouble } from './tokens';
import { endOf } from './trouble.js';
import { visible } from './views/hostile.js';

export interface IStatus {
  text: string;
  /** a line each */
  tooltip: string[];
  level: Level;
  /** it is the last known, and not by now */
  stale: boolean;
}

/** The status at `now`, by the browser's clock. */
export function statusOf(
  known: IKnown,
  trouble: ITrouble | null,
  now: number,
  wished: IThresholds,
  trans: IWords,
  place: IPlace = {}
): IStatus {
  const since = staleSince(known, trouble);
  const stale = since !== null;
  const tooltip = stale ? [whyStale(known, trouble, now, trans), asOf(now - since, trans)] : [];
  if (trouble?.kind === 'gone') {
    return { text: trans.__('Server ended'), tooltip, level: 'over', stale };
  }
  if (trouble?.kind === 'login') {
    return { text: trans.__('Log in again'), tooltip, level: 'plain', stale };
  }
  const { sandbox } = known.view;
  const at = instant(sandbox?.ending.at);
  if (!sandbox || at === null) {
    const none = sandbox ? trans.__('It has no end.') : trans.__('Nothing is known of this sandbox yet.');
    return { text: trans.__('Sandbox'), tooltip: [none, ...tooltip], level: 'plain', stale };
  }
  const left = at - now - known.skew;
  const { why, rule } = sandbox.ending;
  const loud = level(left, thresholdsOf(sandbox, wished));
  const ends = trans.__('Stops %1', fullText(at, place));
  const by = rule ? trans.__('Rule: %1', shown(rule)) : '';
  return {
    text: leftText(left, loud, trans),
    tooltip: [ends, shown(why), by, ...tooltip].filter(Boolean),
    level: loud,
    stale
  };
}

function whyStale(known: IKnown, trouble: ITrouble | null, now: number, trans: IWords): string {
  switch (trouble?.kind) {
    case 'gone':
      return shown(endOf(known.view.sandbox, now + known.skew)) || trans.__('The server has ended; its page says why.');
    case 'login':
      return trans.__('Your login has ended: reload the page to log in.');
    case 'away':
      return trans.__('The server does not answer.');
    default:
      return shown(known.view.control.message) || trans.__('The hub does not answer.');
  }
}

function asOf(age: number, trans: IWords): string {
  return trans.__('Last known: %1', agoText(age, trans));
}

function shown(text: string): string {
  return visible(text, 300).text;
}
