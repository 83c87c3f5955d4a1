/* How is the time left drawn in the status bar? As a button that opens the panel. */

import { ITranslator, TranslationBundle } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';
import { localeName } from './format';
import { sandboxIcon } from './icon';
import { DEFAULTS } from './preferences';
import { Ticker } from './ticker';
import { IPreferences, ISandboxModel } from './tokens';
import { statusOf } from './words';

export class StatusItem extends Widget {
  constructor(private readonly options: StatusItem.IOptions) {
    super();
    this.addClass('jp-sandbox-status');
    // No live region: it would speak each second. Toasts tell of thresholds.
    this.node.setAttribute('role', 'timer');
    this.node.setAttribute('aria-label', options.trans.__('Time left of this sandbox'));
    this.button = document.createElement('button');
    this.button.type = 'button';
    this.button.addEventListener('click', () => options.open());
    sandboxIcon.element({ container: this.button.appendChild(document.createElement('span')), tag: 'span' });
    this.text = this.button.appendChild(document.createElement('span'));
    this.node.append(this.button);
    options.model.changed.connect(() => this.draw());
    options.preferences?.changed.connect(() => this.draw());
    new Ticker().ticked.connect(() => this.draw());
    this.draw();
  }

  private draw(): void {
    const { model, preferences, trans, language } = this.options;
    if (!model.known) {
      return;
    }
    const thresholds = preferences?.thresholds ?? DEFAULTS.thresholds;
    const place = { locale: localeName(language.languageCode) };
    const status = statusOf(model.known, model.trouble, Date.now(), thresholds, trans, place);
    const title = [trans.__('Sandbox'), ...status.tooltip].join('\n');
    const state = `${status.level} ${status.stale} ${status.text} ${title}`;
    if (state === this.drawn) {
      return;
    }
    this.drawn = state;
    this.text.textContent = status.text;
    this.button.title = title;
    this.node.dataset.level = status.level;
    this.node.dataset.stale = String(status.stale);
  }

  private drawn = '';
  private readonly button: HTMLButtonElement;
  private readonly text: HTMLElement;
}

export namespace StatusItem {
  export interface IOptions {
    model: ISandboxModel;
    preferences: IPreferences | null;
    trans: TranslationBundle;
    language: ITranslator;
    open: () => void;
  }
}
