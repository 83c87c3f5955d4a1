// When is the view asked again? Every ten seconds while somebody looks; less often while nobody answers.

const EVERY = 10_000;
const FIRST_WAIT = 1_000;
const LONGEST_WAIT = 60_000;

/** `load` asks and draws; `told` hears {busy, error, at, next} after each step. One question at a time. */
export class Live {
  constructor(load, told) {
    this._load = load;
    this._told = told;
    this._timer = 0;
    this._running = false;
    this._again = false;
    this._failures = 0;
    this.at = 0;
    document.addEventListener('visibilitychange', () => this._seen());
    addEventListener('online', () => this.ask());
  }

  /** Ask now; while one is asked already, once more after it, so that the last wish is what is shown. */
  async ask() {
    if (this._running) {
      this._again = true;
      return;
    }
    this._running = true;
    clearTimeout(this._timer);
    this._told({ busy: true });
    let error = null;
    do {
      this._again = false;
      error = await this._once();
    } while (this._again);
    this._running = false;
    this._wait(error);
  }

  async _once() {
    try {
      await this._load();
      this._failures = 0;
      this.at = Date.now();
      return null;
    } catch (error) {
      if (error.kind === undefined) {
        throw error;
      }
      this._failures += 1;
      return error;
    }
  }

  _wait(error) {
    const trouble = error !== null && error.kind !== 'refused';
    const wait = trouble ? Math.min(FIRST_WAIT * 2 ** (this._failures - 1), LONGEST_WAIT) : EVERY;
    this._told({ busy: false, error, at: this.at, next: Date.now() + wait });
    clearTimeout(this._timer);
    if (document.visibilityState === 'visible') {
      this._timer = setTimeout(() => this.ask(), wait);
    }
  }

  _seen() {
    clearTimeout(this._timer);
    if (document.visibilityState === 'visible') {
      this.ask();
    }
  }
}
