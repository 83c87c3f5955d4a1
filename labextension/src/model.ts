/* What is known of this sandbox, and since when? Polls while the page is seen; views only draw it. */

import { ServiceManager } from '@jupyterlab/services';
import { UUID } from '@lumino/coreutils';
import { IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';
import { applied, Heard, isWarning, noticeOf } from './notices';
import { IClock, Pace } from './pace';
import { request, RequestError } from './request';
import { instant, ISkew, skewOf } from './time';
import { IKnown, INotice, ISandboxModel, ITrouble } from './tokens';
import { troubleKind } from './trouble';
import { IView } from './view';

type IExtended = { deadline: string | null; left: number | null; cap: string | null };

/** The browser's clock and page. */
const BROWSER: IClock = {
  now: () => Date.now(),
  visible: () => document.visibilityState !== 'hidden',
  random: () => Math.random(),
  later: (act, after) => window.setTimeout(act, after),
  forget: timer => window.clearTimeout(timer as number)
};

export class SandboxModel implements ISandboxModel, IDisposable {
  constructor(private readonly services: ServiceManager.IManager) {
    document.addEventListener('visibilitychange', this.wake);
    for (const event of ['online', 'pageshow', 'focus']) {
      window.addEventListener(event, this.wake);
    }
    services.events?.stream.connect(this.onEvent, this);
  }

  get known(): IKnown | null {
    return this._known;
  }

  get trouble(): ITrouble | null {
    return this._trouble;
  }

  get isActive(): boolean {
    return this._known !== null;
  }

  get changed(): ISignal<ISandboxModel, void> {
    return this._changed;
  }

  get noticed(): ISignal<ISandboxModel, INotice> {
    return this._noticed;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    this.pace.stop();
    document.removeEventListener('visibilitychange', this.wake);
    for (const event of ['online', 'pageshow', 'focus']) {
      window.removeEventListener(event, this.wake);
    }
    Signal.clearData(this);
  }

  now(): number {
    return Date.now() + (this._known?.skew ?? 0);
  }

  /** Ask now, and from now on at the pace; elsewhere than in a sandbox, once. */
  start(): Promise<void> {
    this.isStarted = true;
    return this._polls ? this.pace.start() : this.pace.askNow();
  }

  /** Poll by the setting: without it, events and clicks alone bring news. */
  set polls(polls: boolean) {
    const isNew = polls !== this._polls;
    this._polls = polls;
    if (isNew && this.isStarted) {
      void (polls ? this.pace.start() : this.pace.stop());
    }
  }

  refresh(): Promise<void> {
    this.anew = true;
    return this.pace.askNow();
  }

  async extend(by?: number): Promise<IExtended> {
    const wish = { key: UUID.uuid4(), ...(by === undefined ? {} : { by }) };
    const answer = await this.act<IExtended>('extend', wish).catch(error => {
      if (error instanceof RequestError && error.status === 0) {
        return this.act<IExtended>('extend', wish); // the answer may be what was lost: the key makes it one wish
      }
      throw error;
    });
    const notice = { id: 0, kind: 'extended', code: '', why: '', at: answer.deadline };
    if (this.heard.notice(notice)) {
      this._noticed.emit(notice); // the bus tells it later, to other tabs too
    }
    return answer;
  }

  keep(by: number): Promise<{ keep_until: string | null }> {
    return this.act('keep', { by });
  }

  async stop(): Promise<void> {
    await this.act('stop', {});
  }

  async askForAccess(host: string, port: number, why: string): Promise<void> {
    await this.act('egress/ask', { host, port, why });
  }

  async withdraw(id: number): Promise<void> {
    await this.act('egress/withdraw', { id });
  }

  private async act<T>(path: string, body: unknown): Promise<T> {
    const answer = await request<T>(path, body, this.services.serverSettings);
    await this.pace.askNow();
    return answer;
  }

  private async ask(): Promise<boolean> {
    const sent = Date.now();
    const path = this.anew ? 'view?anew=1' : 'view';
    this.anew = false;
    try {
      const view = await request<IView>(path, undefined, this.services.serverSettings);
      this.learn(view, sent);
    } catch (error) {
      this.fail(error, sent);
    }
    if (!this._isDisposed) {
      this._changed.emit(undefined);
    }
    return this._trouble === null;
  }

  private learn(view: IView, sent: number): void {
    const heard = Date.now();
    if (this.isStarted && this._polls) {
      this.pace.resume(); // it is a sandbox, whatever was thought before
    }
    this.clock = skewOf(sent, heard, instant(view.now), this.clock);
    this._known = { view, heard, skew: this.clock.skew };
    this._trouble = null;
    this.heard.warnings(view).forEach(notice => this._noticed.emit(notice));
  }

  private fail(error: unknown, sent: number): void {
    const { status, code } = error instanceof RequestError ? error : { status: 0, code: '' };
    const kind = troubleKind(status, code, this._known !== null);
    if (kind === 'none') {
      this.pace.stop(); // this server has no such routes: it is no sandbox of ours
      this._known = this._trouble = null;
      return;
    }
    const message = error instanceof RequestError && status !== 0 ? error.message : '';
    this._trouble = { kind, status, code, message, since: this._trouble?.since ?? sent };
  }

  private onEvent(_: unknown, event: { schema_id: string; [name: string]: any }): void {
    const notice = noticeOf(event);
    if (notice === null || !this.heard.notice(notice)) {
      return;
    }
    if (this._known) {
      this._known = { ...this._known, view: applied(this._known.view, notice) };
      this._changed.emit(undefined);
    }
    this._noticed.emit(notice);
    if (isWarning(notice)) {
      this.pace.urge();
    } else {
      this.pace.wake();
    }
  }

  private readonly wake = () => this.pace.wake();
  private readonly pace = new Pace(BROWSER, () => this.ask());
  private readonly heard = new Heard();
  private clock: ISkew | null = null;
  private _known: IKnown | null = null;
  private _trouble: ITrouble | null = null;
  private isStarted = false;
  private anew = false; // a person asks: what is believed for minutes is asked again too
  private _polls = true;
  private _isDisposed = false;
  private _changed = new Signal<this, void>(this);
  private _noticed = new Signal<this, INotice>(this);
}
