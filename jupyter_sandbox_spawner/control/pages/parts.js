// Which pieces do views have in common? Filters, sections that may fail alone, instants, chips.

import { cut, h, put, said } from './dom.js';
import { follow, go, state } from './state.js';
import { ago, clock, until, whole } from './time.js';

const LONGEST_SEARCH = 200;

/** A view's filters: each is {name, label, kind: text|search|date|select|check, options, fallback, list}. */
export class Filters {
  constructor(fields, label) {
    this._fields = fields;
    this._inputs = fields.map((field) => this._input(field));
    this.element = h('form', { class: 'filters', role: 'search', 'aria-label': label });
    this.element.addEventListener('submit', (event) => event.preventDefault());
    fields.forEach((field, place) => {
      const input = this._inputs[place];
      const classes = field.narrow ? 'narrow' : undefined;
      this.element.append(h('label', { class: classes }, h('span', {}, field.label), input));
    });
  }

  _input(field) {
    if (field.kind === 'select') {
      const options = field.options.map(([value, text]) => h('option', { value }, text));
      return h('select', { name: field.name, onchange: () => this._changed(field, false) }, ...options);
    }
    if (field.kind === 'check') {
      return h('input', { type: 'checkbox', name: field.name, onchange: () => this._changed(field, false) });
    }
    return h('input', {
      type: field.kind ?? 'text',
      name: field.name,
      maxlength: '200',
      autocomplete: 'off',
      placeholder: field.hint,
      oninput: () => this._changed(field, true),
    });
  }

  _changed(field, quiet) {
    const value = this.values()[field.name];
    go(
      {
        ...field.also?.(value),
        [field.name]: value === (field.fallback ?? '') ? '' : value,
        page: '',
        before: '',
      },
      { quiet },
    );
  }

  /** What stands in them. */
  values() {
    return Object.fromEntries(
      this._fields.map((field, place) => {
        const input = this._inputs[place];
        return [field.name, field.kind === 'check' ? (input.checked ? '1' : '') : input.value];
      }),
    );
  }

  /** Bring them to what the address says; what is being typed stays. */
  show() {
    const wanted = state();
    this._fields.forEach((field, place) => {
      const input = this._inputs[place];
      const value = wanted[field.name] ?? field.fallback ?? '';
      if (field.kind === 'check') {
        input.checked = value === '1';
      } else if (input.value !== value) {
        this._offer(input, value);
        input.value = value;
      }
    });
  }

  _offer(input, value) {
    if (input.tagName === 'SELECT' && ![...input.options].some((option) => option.value === value)) {
      input.append(h('option', { value }, cut(value, 40)));
    }
  }

  /** What a field shows while the address says nothing of it. */
  usually(name, value) {
    const place = this._fields.findIndex((field) => field.name === name);
    this._fields[place].fallback = value;
    if (!state()[name] && this._inputs[place] !== document.activeElement) {
      this._inputs[place].value = value;
    }
  }

  /** Give a select of this name other choices, besides the first. */
  choices(name, values) {
    const input = this._inputs[this._fields.findIndex((field) => field.name === name)];
    const known = new Set([...input.options].map((option) => option.value));
    for (const value of values.filter((item) => !known.has(item))) {
      input.append(h('option', { value }, cut(value, 40)));
    }
  }
}

/** A part of a view that may fail while the rest is shown. */
export class Section {
  constructor(title, ...content) {
    this._trouble = h('div', {});
    this._content = h('div', {}, ...content);
    this.heading = h('h2', {}, title);
    this.element = h('section', {}, this.heading, this._trouble, this._content);
  }

  /** Load and draw it; a refusal is shown here, other failures are the view's. */
  async load(work) {
    try {
      await work();
      put(this._trouble);
    } catch (error) {
      if (error.kind !== 'refused') {
        throw error;
      }
      put(this._trouble, trouble(error));
    }
  }
}

/** What went wrong: what, the way out, and the code to look up. */
export function trouble(error) {
  return h(
    'div',
    { class: 'note bad', role: 'alert' },
    h('p', {}, said(error.message, 600)),
    error.remedy ? h('p', {}, said(error.remedy, 600)) : null,
    h('p', { class: 'faint' }, 'Code: ', h('code', {}, cut(error.code, 80))),
  );
}

/** An instant with all of it in its title. */
export function instant(at, text = clock(at)) {
  return at ? h('time', { datetime: at, title: whole(at) }, text) : h('span', { class: 'faint' }, '–');
}

/** An instant in the past, as its distance. */
export function since(at) {
  return instant(at, ago(at));
}

/** An instant to come, as its distance and the clock's time. */
export function left(at) {
  return instant(at, at && until(at) !== 'now' ? `${until(at)} (${clock(at)})` : until(at));
}

const STATUSES = {
  ready: ['running', 'good'],
  admitted: ['starting', 'busy'],
  stopping: ['stopping', 'busy'],
  released: ['ended', ''],
};

/** A sandbox's status in the words of its users. */
export function status(item) {
  const [word, tone] = STATUSES[item.status] ?? [item.status, 'bad'];
  return chip(word, tone);
}

/** A word in a coloured box; the word says it, the colour repeats it. */
export function chip(word, tone = '') {
  return h('span', { class: `chip ${tone}` }, cut(word, 40));
}

/** A link to a server's details, in any view. */
export function serverLink(item, label = item.user) {
  const name = item.server ? `${item.user}/${item.server}` : item.user;
  const link = h('a', {}, said(label));
  const change = { open: name, of: item.sandbox ?? item.id };
  if (inSandboxes()) {
    return follow(link, change);
  }
  // From elsewhere it may have ended since: its row is to be there too.
  const search = name.length <= LONGEST_SEARCH ? name : '';
  return follow(link, { view: 'sandboxes', status: 'all', search, ...change }, { fresh: true });
}

function inSandboxes() {
  return (state().view ?? 'sandboxes') === 'sandboxes';
}

/** The way to older lines of a list that is read backwards from a number, and back to the newest. */
export class Older {
  constructor(label) {
    this._newest = h('a', {}, 'Newest');
    this._older = h('a', {}, 'Older');
    this._note = h('p', { class: 'faint', role: 'status' });
    const pager = h('nav', { class: 'pager', 'aria-label': label }, this._newest, ' ', this._older);
    this.element = h('div', {}, this._note, pager);
  }

  /** `next`: the number to continue under, or null; `note` says what there is to know of it. */
  update(next, note = '') {
    const { before } = state();
    this._newest = this._link(this._newest, '', !before);
    this._older = this._link(this._older, next, next === null || next === undefined);
    if (this._note.textContent !== note) {
      this._note.textContent = note;
    }
  }

  _link(old, before, hidden) {
    const focused = document.activeElement === old;
    const link = follow(h('a', { hidden }, old.textContent), { before });
    old.replaceWith(link);
    if (focused) {
      link.focus({ preventScroll: true });
    }
    return link;
  }
}

/** A button for something that changes the world; off, and described by why, where that is not allowed. */
export function doing(context, label, about, act, tone = '') {
  const off = context.canWrite !== true;
  return h(
    'button',
    {
      type: 'button',
      class: tone || undefined,
      disabled: off,
      'aria-describedby': off ? 'read-only' : undefined,
      onclick: act,
    },
    label,
    h('span', { class: 'unseen' }, ` ${cut(about, 80)}`),
  );
}
