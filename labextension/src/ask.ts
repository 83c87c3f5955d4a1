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

type Field = HTMLInputElement | HTMLTextAreaElement;

/** Asks until `send` took it; true: it was sent. */
export async function askForAccess(
  start: Partial<IAsked>,
  send: (asked: IAsked) => Promise<void>,
  trans: TranslationBundle
): Promise<boolean> {
  let asked: Partial<IAsked> = start;
  let problem: IProblem | null = null;
  for (;;) {
    const result = await showDialog<IAsked>({
      title: trans.__('Ask for access to a host'),
      body: new AskBody(asked, problem, trans),
      buttons: [Dialog.cancelButton(), Dialog.okButton({ label: trans.__('Ask') })],
      focusNodeSelector: `[name=${problem?.field ?? (asked.host ? 'why' : 'host')}]`
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
      problem = { field: 'host', text: refusal(error as Error, trans) };
    }
  }
}

interface IProblem {
  field: keyof IAsked;
  text: string;
}

function problemOf(asked: IAsked, trans: TranslationBundle): IProblem | null {
  if (!asked.host) {
    return { field: 'host', text: trans.__('Name the host, such as api.example.org.') };
  }
  if (!Number.isInteger(asked.port) || asked.port < 1 || asked.port > 65535) {
    return { field: 'port', text: trans.__('The port is a number from 1 to 65535, mostly 443.') };
  }
  const why = trans.__('Say what you need it for: an administrator decides by that.');
  return asked.why ? null : { field: 'why', text: why };
}

class AskBody extends Widget implements Dialog.IBodyWidget<IAsked> {
  constructor(asked: Partial<IAsked>, problem: IProblem | null, trans: TranslationBundle) {
    super();
    this.addClass('jp-sandbox-ask');
    const alert = this.alert(problem);
    this.host = this.field('host', trans.__('Host'), document.createElement('input'), asked.host ?? '');
    this.port = this.field('port', trans.__('Port'), document.createElement('input'), String(asked.port || 443));
    const what = trans.__('What do you need it for?');
    this.why = this.field('why', what, document.createElement('textarea'), asked.why ?? '');
    this.host.maxLength = 253;
    this.host.placeholder = 'api.example.org';
    this.port.inputMode = 'numeric';
    this.port.maxLength = 5;
    this.why.maxLength = MOST_WHY;
    this.why.rows = 3;
    if (problem && alert) {
      this[problem.field].setAttribute('aria-invalid', 'true');
      this[problem.field].setAttribute('aria-describedby', alert.id);
    }
  }

  getValue(): IAsked {
    const port = this.port.value.trim();
    return {
      host: this.host.value.trim(),
      port: /^\d+$/.test(port) ? Number(port) : 0,
      why: this.why.value.trim()
    };
  }

  private alert(problem: IProblem | null): HTMLElement | null {
    if (!problem) {
      return null;
    }
    const alert = document.createElement('p');
    alert.id = 'jp-sandbox-ask-problem';
    alert.setAttribute('role', 'alert');
    alert.className = 'jp-sandbox-ask-problem';
    alert.textContent = problem.text;
    this.node.append(alert);
    return alert;
  }

  private field<T extends Field>(name: keyof IAsked, text: string, input: T, value: string): T {
    const label = document.createElement('label');
    const words = document.createElement('span');
    words.textContent = text;
    input.name = name;
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
