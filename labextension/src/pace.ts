/* When is the server asked next? Every 30 s while the page is seen, never while it is hidden, ever less where
 * nothing answers. Pure but for the clock, which is passed.
 *
 * Law: between two questions that nobody clicked for lie 30 s at least, and 5 s where control has just warned.
 */

export const INTERVAL = 30_000;
export const MOST = 300_000;
const STEP = 5_000;

/** What the pace needs of a browser; tests pass one of their own. */
export interface IClock {
  now(): number;
  visible(): boolean;
  random(): number;
  later(act: () => void, after: number): unknown;
  forget(timer: unknown): void;
}

/** How long to wait after so many failures in a row: 30 s, 60 s, ... to 5 minutes, with a tenth more by chance. */
export function pause(failures: number, chance: number): number {
  const base = Math.min(MOST / 1.1, INTERVAL * 2 ** Math.min(failures, 10));
  return Math.round(base * (1 + 0.1 * chance));
}

/** Asks at its pace; `ask` never rejects, and resolves with whether there was an answer. */
export class Pace {
  constructor(
    private readonly clock: IClock,
    private readonly ask: () => Promise<boolean>
  ) {}

  /** Ask now, and from now on at the pace. */
  start(): Promise<void> {
    this.stopped = false;
    return this.askNow();
  }

  /** Ask no more. */
  stop(): void {
    this.stopped = true;
    this.rest();
  }

  /** After a stop, ask at the pace again from the next question on. */
  resume(): void {
    this.stopped = false;
  }

  /** Look again: the page is seen again, the network is back, or something has happened. Asks once 30 s have passed. */
  wake(): void {
    if (this.stopped) {
      return;
    }
    this.due = Math.min(this.due, this.asked + INTERVAL);
    this.look();
  }

  /** Control has just told of an end: ask at once, where nobody did in the last 5 s. */
  urge(): void {
    if (this.stopped) {
      return;
    }
    this.due = Math.min(this.due, this.asked + STEP);
    this.look();
  }

  /** Ask whatever the pace is; those who come while one is asked wait for a question that begins after they came. */
  async askNow(): Promise<void> {
    if (this.asking) {
      this.again ??= this.asking.then(() => {
        this.again = null;
        return this.askNow();
      });
      return this.again;
    }
    this.asking = this.once();
    return this.asking;
  }

  private async once(): Promise<void> {
    this.rest();
    this.asked = this.clock.now();
    this.due = this.asked + INTERVAL;
    const answered = await this.ask();
    this.failures = answered ? 0 : this.failures + 1;
    this.due = this.asked + pause(Math.max(0, this.failures - 1), this.clock.random());
    this.asking = null;
    this.look();
  }

  /* Short steps and not one long timer: a laptop that slept finds its timers late, but its clock right. */
  private look(): void {
    this.rest();
    if (this.stopped || this.asking || !this.clock.visible()) {
      return;
    }
    const now = this.clock.now();
    if (now < this.asked || now >= this.due) {
      void this.askNow();
      return;
    }
    this.timer = this.clock.later(() => this.look(), Math.min(STEP, this.due - now));
  }

  private rest(): void {
    if (this.timer !== null) {
      this.clock.forget(this.timer);
      this.timer = null;
    }
  }

  private stopped = true;
  private timer: unknown = null;
  private asked = -Infinity;
  private due = -Infinity;
  private failures = 0;
  private asking: Promise<void> | null = null;
  private again: Promise<void> | null = null;
}
