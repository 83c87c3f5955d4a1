/* Who counts the seconds? One timer, and none while the page is hidden. */

import { ISignal, Signal } from '@lumino/signaling';

export class Ticker {
  constructor() {
    document.addEventListener('visibilitychange', () => this.look());
    this.look();
  }

  /** Each second while the page is seen, and at once when it is seen again. */
  get ticked(): ISignal<this, void> {
    return this._ticked;
  }

  private look(): void {
    window.clearInterval(this.timer);
    if (document.visibilityState !== 'hidden') {
      this._ticked.emit(undefined);
      this.timer = window.setInterval(() => this._ticked.emit(undefined), 1000);
    }
  }

  private timer = 0;
  private _ticked = new Signal<this, void>(this);
}
