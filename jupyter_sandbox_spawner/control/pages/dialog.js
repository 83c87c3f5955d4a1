// What happens before something is done? A dialog says what will happen, to whom, and the same at a terminal.

import { announce, copyable, cut, h, put } from './dom.js';
import { trouble } from './parts.js';

let serial = 0;

/**
 * Open it. `spec`: {title, facts: [[label, node]], fields, will(values), confirm, danger, command(values),
 * send(values) -> what is shown after it, done()}. A field: {name, label, kind, options, value, hint, most,
 * required}. Without `send` it only shows.
 */
export function ask(spec) {
  const dialog = new Dialog(spec);
  dialog.open();
  return dialog;
}

class Dialog {
  constructor(spec) {
    this._spec = spec;
    this._opener = document.activeElement;
    serial += 1;
    this._title = h('h2', { id: `dialog-${serial}`, tabindex: '-1' }, spec.title);
    this._inputs = new Map((spec.fields ?? []).map((field) => [field.name, input(field, serial)]));
    this._will = h('p', { class: 'will' });
    this._twin = h('div', {});
    this._result = h('div', {});
    this._heard = h('div', { class: 'unseen heard', role: 'status' });
    this._cancel = h('button', { type: 'button', onclick: () => this._element.close() }, 'Cancel');
    this._form = h('form', { method: 'dialog', novalidate: true }, ...this._parts());
    this._element = h('dialog', { 'aria-labelledby': `dialog-${serial}` }, this._form);
    this._form.addEventListener('submit', (event) => this._submitted(event));
    this._form.addEventListener('input', () => this._describe());
    this._form.addEventListener('keydown', (event) => this._pressed(event));
    this._element.addEventListener('close', () => this._closed());
  }

  _parts() {
    const { facts = [], fields = [], confirm, danger, send } = this._spec;
    const about = facts.map(([label, value]) => [h('dt', {}, label), h('dd', {}, value)]);
    const asked = fields.map((field) => labelled(field, this._inputs.get(field.name)));
    this._confirm = h('button', { type: 'submit', class: danger ? 'danger' : 'primary' }, confirm ?? 'Close');
    this._cancel.hidden = !send;
    this._body = h('div', { class: 'dialog-body' }, h('dl', {}, ...about), ...asked, this._will);
    const buttons = h('div', { class: 'buttons' }, this._cancel, this._confirm);
    return [this._title, this._body, this._twin, this._result, buttons, this._heard];
  }

  open() {
    this._describe();
    this._show();
    (this._inputs.values().next().value ?? this._confirm).focus();
  }

  _show() {
    document.body.append(this._element);
    this._element.showModal();
  }

  _pressed(event) {
    // Browsers send a form by Enter from fields of one line only; in those of several it begins the next one.
    const sends = event.ctrlKey || event.metaKey || isClosedList(event.target);
    if (event.key === 'Enter' && sends && !event.isComposing) {
      event.preventDefault();
      this._form.requestSubmit();
    }
  }

  _values() {
    return Object.fromEntries([...this._inputs].map(([name, element]) => [name, element.value.trim()]));
  }

  _describe() {
    const values = this._values();
    put(this._will, this._spec.will?.(values) ?? '');
    const line = this._spec.command?.(values);
    put(
      this._twin,
      ...(line
        ? [h('p', { class: 'faint' }, 'The same at a terminal of the host:'), copyable(line, 'the command')]
        : []),
    );
  }

  async _submitted(event) {
    event.preventDefault();
    if (this._asking) {
      return;
    }
    if (!this._spec.send || this._done) {
      this._element.close();
      return;
    }
    const wrong = (this._spec.fields ?? []).filter((field) => this._refuses(field));
    if (wrong.length > 0) {
      this._inputs.get(wrong[0].name).focus();
      return;
    }
    await this._send();
  }

  _refuses(field) {
    const element = this._inputs.get(field.name);
    const bad = Boolean(field.required) && element.value.trim() === '';
    element.setAttribute('aria-invalid', String(bad));
    const told = this._form.querySelector(`[data-for="${field.name}"]`);
    told.textContent = bad ? `${field.label} is missing: ${field.required}` : '';
    return bad;
  }

  async _send() {
    this._busy(true);
    put(this._result, h('p', {}, 'Asking control …'));
    announce('Asking control …');
    try {
      const result = await this._spec.send(this._values());
      this._succeeded(result);
    } catch (error) {
      if (error.kind === undefined) {
        throw error;
      }
      this._refused(error);
    } finally {
      this._busy(false);
    }
  }

  _busy(asking) {
    // Not `disabled`, which would take the focus away.
    this._asking = asking;
    this._confirm.setAttribute('aria-disabled', String(asking));
    this._confirm.setAttribute('aria-busy', String(asking));
    this._cancel.textContent = asking ? 'Hide' : 'Cancel';
  }

  _refused(error) {
    announce('');
    if (!this._element.isConnected) {
      // It was hidden while control was asked: nothing was done, which must not go unseen.
      this._opener = document.activeElement;
      this._show();
      this._confirm.focus();
    }
    put(this._result, trouble(error));
  }

  _succeeded(result) {
    this._done = true;
    const text = typeof result === 'string' ? result : result.textContent;
    put(this._result, h('div', { class: 'note good' }, result));
    announce(text);
    this._body.hidden = true;
    this._twin.hidden = true;
    this._cancel.hidden = true;
    this._confirm.textContent = 'Close';
    this._confirm.className = 'primary';
    this._confirm.focus();
    this._spec.done?.();
  }

  _closed() {
    this._element.remove();
    if (this._opener?.isConnected) {
      this._opener.focus();
    } else {
      document.getElementById('view').focus();
    }
  }
}

function isClosedList(element) {
  // In an open one Enter chooses.
  const open = CSS.supports('selector(:open)') && element.matches(':open');
  return element.tagName === 'SELECT' && !open;
}

function input(field, number) {
  const shared = {
    name: field.name,
    id: `field-${number}-${field.name}`,
    'aria-describedby': `hint-${number}-${field.name}`,
    'aria-required': field.required ? 'true' : undefined,
  };
  if (field.kind === 'select') {
    const options = field.options.map(([value, text]) => h('option', { value }, cut(text, 60)));
    return h('select', shared, ...options);
  }
  const made = h(field.kind === 'long' ? 'textarea' : 'input', {
    ...shared,
    maxlength: String(field.most ?? 500),
    rows: field.kind === 'long' ? '2' : undefined,
    autocomplete: 'off',
  });
  made.value = field.value ?? '';
  return made;
}

function labelled(field, element) {
  if (field.kind === 'select' && field.value !== undefined) {
    element.value = field.value;
  }
  return h(
    'div',
    { class: 'field' },
    h('label', { for: element.id }, field.label),
    element,
    h('small', { id: element.getAttribute('aria-describedby'), class: 'faint' }, field.hint ?? ''),
    h('small', { class: 'wrong', role: 'alert', 'data-for': field.name }),
  );
}
