/* Which host does she need, and why? A dialog that stays until the request is made or given up. */

import { Dialog, showDialog } from '@jupyterlab/apputils';
import { TranslationBundle } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';
import { refusal } from './toast-words';

export interface IAsked {
  host: string;
  port: number;
  why: string;
}

const MOST_WHY = 500;

/** Asks until `send` took it; true: it was sent. */
export async function askForAccess(
  start: Partial<IAsked>,
  send: (asked: IAsked) => Promise<void>,
  trans: TranslationBundle
): Promise<boolean> {
  let asked: Partial<IAsked> = start;
  let problem = '';
  for (;;) {
    const result = await showDialog<IAsked>({
      title: trans.__('Ask for access to a host'),
      body: new AskBody(asked, problem, trans),
      buttons: [Dialog.cancelButton(), Dialog.okButton({ label: trans.__('Ask') })],
      focusNodeSelector: asked.host && !problem ? 'textarea' : 'input'
    });
    if (!result.button.accept || !result.value) {
      return false;
    }
    asked = result.value;
    problem = problemOf(result.value, trans);
    if (problem) {
      continue;
    }
    try {
      await send(result.value);
      return true;
    } catch (error) {
      problem = refusal(error as Error);
    }
  }
}

function problemOf(asked: IAsked, trans: TranslationBundle): string {
  if (!asked.host) {
    return trans.__('Name the host, such as api.example.org.');
  }
  if (!Number.isInteger(asked.port) || asked.port < 1 || asked.port > 65535) {
    return trans.__('The port is a number from 1 to 65535, mostly 443.');
  }
  return asked.why ? '' : trans.__('Say what you need it for: an administrator decides by that.');
}

class AskBody extends Widget implements Dialog.IBodyWidget<IAsked> {
  constructor(asked: Partial<IAsked>, problem: string, trans: TranslationBundle) {
    super();
    this.addClass('jp-sandbox-ask');
    if (problem) {
      const alert = document.createElement('p');
      alert.setAttribute('role', 'alert');
      alert.className = 'jp-sandbox-ask-problem';
      alert.textContent = problem;
      this.node.append(alert);
    }
    this.host = this.field(trans.__('Host'), document.createElement('input'), asked.host ?? '');
    this.port = this.field(trans.__('Port'), document.createElement('input'), String(asked.port || 443));
    this.why = this.field(trans.__('What do you need it for?'), document.createElement('textarea'), asked.why ?? '');
    this.host.maxLength = 253;
    this.host.placeholder = 'api.example.org';
    this.port.inputMode = 'numeric';
    this.port.maxLength = 5;
    this.why.maxLength = MOST_WHY;
    this.why.rows = 3;
  }

  getValue(): IAsked {
    const port = this.port.value.trim();
    return {
      host: this.host.value.trim(),
      port: /^\d+$/.test(port) ? Number(port) : 0,
      why: this.why.value.trim()
    };
  }

  private field<T extends HTMLInputElement | HTMLTextAreaElement>(text: string, input: T, value: string): T {
    const label = document.createElement('label');
    const words = document.createElement('span');
    words.textContent = text;
    input.value = value;
    input.classList.add('jp-mod-styled');
    label.append(words, input);
    this.node.append(label);
    return input;
  }

  private readonly host: HTMLInputElement;
  private readonly port: HTMLInputElement;
  private readonly why: HTMLTextAreaElement;
}
