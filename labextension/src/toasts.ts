/* What do toasts say, and which of them stand? One for the end; others for answers. */

import { JupyterFrontEnd } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { ITranslator, TranslationBundle } from '@jupyterlab/translation';
import { decided, requestsOf } from './decided';
import { IPlace, localeName } from './format';
import { OneToast } from './one-toast';
import { DEFAULTS } from './preferences';
import { ISaved, saveChanged } from './saving';
import { Ticker } from './ticker';
import { instant, level, thresholdsOf } from './time';
import { CommandIDs, INotice, IPreferences, ISandboxModel } from './tokens';
import { Warned } from './warned';
import * as words from './toast-words';

const SHORT = 10_000;
const SLIDES = ['idle', 'gpu_idle'];

export class Toasts {
  constructor(private readonly options: Toasts.IOptions) {
    const { model } = options;
    this.place = { locale: localeName(options.language.languageCode) };
    model.noticed.connect((_, notice) => this.hear(notice));
    model.changed.connect(() => this.look());
    new Ticker().ticked.connect(() => this.look());
  }

  private hear(notice: INotice): void {
    switch (notice.kind) {
      case 'save':
        void this.save();
        return this.warn(true);
      case 'warning':
        return this.warn(true);
      case 'extended':
        return this.tellExtended(notice);
      case 'stopping':
        return this.tellStopping(notice);
    }
  }

  private look(): void {
    this.warn(false);
    const requests = requestsOf(this.options.model.known?.view);
    if (requests !== this.requests) {
      for (const request of this.isWanted ? decided(this.requests, requests) : []) {
        const kind = request.status === 'approved' ? 'success' : 'warning';
        const message = words.decision(request, this.options.model.now(), this.options.trans, this.place);
        Notification.emit(message, kind, { autoClose: false });
      }
      this.requests = requests;
    }
  }

  /** Shows, changes or takes away the one warning, as the end that is known now wants it. */
  private warn(told: boolean): void {
    const { model, preferences, trans } = this.options;
    const sandbox = model.known?.view.sandbox;
    if (!sandbox || sandbox.stop) {
      return;
    }
    const at = instant(sandbox.ending.at);
    const now = model.now();
    const wished = preferences?.thresholds ?? DEFAULTS.thresholds;
    const { kind } = sandbox.ending;
    const loud = at === null ? 'plain' : level(at - now, thresholdsOf(sandbox, wished));
    const act = this.warned.next({ now, at, level: loud, moves: SLIDES.includes(kind), told });
    if (act === 'dismiss') {
      this.ending.dismiss();
    }
    // An extension may be possible only now, since it counts from now; the toast that stands offers it then.
    const offered = `${kind} ${sandbox.extension.possible}`;
    const changes = this.ending.stands && (act === 'update' || offered !== this.offered);
    if (at === null || !this.isWanted || (act !== 'show' && !changes)) {
      return;
    }
    this.offered = offered;
    this.put = (saved = '') => {
      const message = words.warning(sandbox.ending, at, model.now(), trans, this.place, saved);
      const actions = this.actions(SLIDES.includes(kind));
      this.ending.put(message, loud === 'red' ? 'error' : 'warning', { actions, autoClose: false });
    };
    this.put();
  }

  private actions(slides: boolean): Notification.IAction[] {
    const { app, documents, model, trans } = this.options;
    const actions: Notification.IAction[] = [];
    if (documents) {
      actions.push({
        label: trans.__('Save all'),
        caption: trans.__('Save every document of this tab that has changes'),
        callback: event => {
          event.preventDefault(); // it stays, and says what was saved
          void this.save();
        }
      });
    }
    const possible = model.known?.view.sandbox?.extension.possible;
    if (slides || possible) {
      actions.push({
        label: slides ? trans.__('Keep for an hour') : trans.__('Extend'),
        callback: event => {
          event.preventDefault();
          void app.commands.execute(slides ? CommandIDs.keep : CommandIDs.extend);
        },
        displayType: 'accent'
      });
    }
    return actions;
  }

  /** What is asked of us is done, whether toasts are wanted or not. */
  private async save(): Promise<void> {
    const { app, documents, trans } = this.options;
    const done: ISaved = documents ? await saveChanged(app.shell, documents) : { saved: [], failed: [] };
    const message = words.saved(done, trans);
    if (this.ending.stands) {
      this.put(message);
    } else if (this.isWanted || done.failed.length) {
      Notification.emit(message, done.failed.length ? 'error' : 'success', { autoClose: SHORT });
    }
  }

  private tellExtended(notice: INotice): void {
    const { model, trans } = this.options;
    this.ending.dismiss();
    if (this.isWanted || notice.id === 0) {
      const extension = model.known?.view.sandbox?.extension;
      const message = words.extended(notice, extension, model.now(), trans, this.place);
      this.moved.put(message, 'success', { autoClose: SHORT });
    }
  }

  private tellStopping(notice: INotice): void {
    if (this.isWanted) {
      const message = words.stopping(notice, this.options.trans);
      this.put = () => this.ending.put(message, 'error', { actions: [], autoClose: false });
      this.put();
    }
  }

  private get isWanted(): boolean {
    return this.options.preferences?.toasts ?? DEFAULTS.toasts;
  }

  private put: (saved?: string) => void = () => undefined;
  private offered = '';
  private requests = requestsOf(undefined);
  private readonly place: IPlace;
  private readonly warned = new Warned();
  private readonly ending = new OneToast();
  private readonly moved = new OneToast();
}

export namespace Toasts {
  export interface IOptions {
    app: JupyterFrontEnd;
    model: ISandboxModel;
    preferences: IPreferences | null;
    documents: IDocumentManager | null;
    trans: TranslationBundle;
    language: ITranslator;
  }
}
