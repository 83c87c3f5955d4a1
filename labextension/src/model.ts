/* What is known of this sandbox, and since when? Polls while the page is seen; views only draw it. */

import { ServiceManager } from '@jupyterlab/services';
import { ISignal, Signal } from '@lumino/signaling';
import { request, RequestError } from './request';
import { IKnown, ISandboxModel, ITrouble } from './tokens';
import { IView } from './view';

export class SandboxModel implements ISandboxModel {
  constructor(private readonly services: ServiceManager.IManager) {}

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

  now(): number {
    return Date.now() + (this._known?.skew ?? 0);
  }

  async refresh(): Promise<void> {
    try {
      const view = await request<IView>('view', undefined, this.services.serverSettings);
      const heard = Date.now();
      this._known = { view, heard, skew: Date.parse(view.now) - heard };
      this._trouble = null;
    } catch (error) {
      const message = error instanceof RequestError ? error.message : String(error);
      this._trouble = { kind: 'away', message, since: this._trouble?.since ?? Date.now() };
    }
    this._changed.emit(undefined);
  }

  extend(by?: number): Promise<{ deadline: string | null; left: number | null; cap: string | null }> {
    return this.ask('extend', by === undefined ? {} : { by });
  }

  keep(by: number): Promise<{ keep_until: string | null }> {
    return this.ask('keep', { by });
  }

  async stop(): Promise<void> {
    await this.ask('stop', {});
  }

  async askForAccess(host: string, port: number, why: string): Promise<void> {
    await this.ask('egress/ask', { host, port, why });
  }

  async withdraw(id: number): Promise<void> {
    await this.ask('egress/withdraw', { id });
  }

  private async ask<T>(path: string, body: unknown): Promise<T> {
    const answer = await request<T>(path, body, this.services.serverSettings);
    await this.refresh();
    return answer;
  }

  private _known: IKnown | null = null;
  private _trouble: ITrouble | null = null;
  private _changed = new Signal<this, void>(this);
}
