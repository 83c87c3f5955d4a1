/* Is a warning shown, changed or taken away now? Pure: one warning an end, however many thresholds it crosses. */

import { Level, MINUTE } from './time.js';

export interface ISituation {
  now: number;
  /** the next end, null where none is known */
  at: number | null;
  level: Level;
  /** it moves with each use, so only control says when it is near */
  moves: boolean;
  /** control has just told of it */
  told: boolean;
}

/** `show`: again, where it was closed; `update`: only where it still stands. */
export type Act = 'show' | 'update' | 'dismiss' | null;

const LOUDNESS: Level[] = ['plain', 'amber', 'red', 'over'];

export class Warned {
  next(situation: ISituation): Act {
    const { now, at, level, moves, told } = situation;
    const last = this.last;
    const isOther = last !== null && (at === null || Math.abs(at - last.at) > MINUTE);
    const before = isOther ? null : last;
    const louder = !moves && LOUDNESS.indexOf(level) > LOUDNESS.indexOf(before?.level ?? 'plain');
    if (at === null || (!told && !louder) || (level === 'over' && !told)) {
      this.last = before;
      return isOther ? 'dismiss' : null;
    }
    this.last = { at, level, when: now };
    const isRepeated = before !== null && !louder && now - before.when < MINUTE;
    return isRepeated ? 'update' : 'show';
  }

  private last: { at: number; level: Level; when: number } | null = null;
}
