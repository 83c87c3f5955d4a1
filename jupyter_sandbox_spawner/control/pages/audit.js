// Who did what to whom, and with which outcome? The newest first, older ones page by page.

import { get } from './api.js';
import { command } from './command.js';
import { copyable, cut, h, put, said } from './dom.js';
import { Filters, Older, Section, chip, instant } from './parts.js';
import { state } from './state.js';
import { Table } from './table.js';

const SIZE = 50;
const TONES = {
  done: 'good',
  allowed: 'good',
  granted: 'good',
  refused: 'bad',
  denied: 'bad',
  failed: 'bad',
};
const NAMES = ['text', 'user', 'actor', 'action', 'outcome', 'code', 'sandbox'];

/** Lines of the audit. */
export class AuditView {
  constructor() {
    this._filters = new Filters(
      [
        { name: 'text', label: 'Search', kind: 'search', hint: 'anywhere in a line' },
        { name: 'user', label: 'User', hint: 'any' },
        { name: 'actor', label: 'Who did it', hint: 'any' },
        { name: 'action', label: 'Action', hint: 'any' },
        {
          name: 'outcome',
          label: 'Outcome',
          kind: 'select',
          options: [
            ['', 'any'],
            ['done', 'done'],
            ['allowed', 'allowed'],
            ['denied', 'denied'],
            ['failed', 'failed'],
            ['decided', 'decided'],
          ],
        },
        { name: 'code', label: 'Code', hint: 'any' },
        { name: 'sandbox', label: 'Sandbox', hint: 'an id' },
        { name: 'since', label: 'From', kind: 'date' },
        { name: 'until', label: 'Until', kind: 'date' },
      ],
      'Find lines of the audit',
    );
    this._table = new Table({
      caption: 'Audit',
      columns: columns(),
      key: (item) => String(item.seq),
      sorted: () => {},
      empty: 'No line is like that.',
    });
    this._older = new Older('Pages of the audit');
    this._line = h('div', {});
    this._section = new Section('Audit', this._table.element, this._older.element, this._line);
    this.element = h('div', {}, this._filters.element, this._section.element);
  }

  show() {
    this._filters.show();
  }

  /** Ask for a page and draw it. */
  async load() {
    await this._section.load(async () => {
      const wanted = state();
      const asked = Object.fromEntries(
        [...NAMES, 'since', 'until', 'before'].map((name) => [name, wanted[name]]),
      );
      const told = await get('api/audit', { ...asked, limit: SIZE });
      this._table.update(told.items);
      this._page(told, wanted);
    });
  }

  _page(told, wanted) {
    // Control reads back so many lines at a time: there may be older ones that fit, and none here.
    const part = told.next !== null && told.next !== undefined && told.items.length < SIZE;
    const found = told.items.length ? `Only ${told.items.length} such` : 'No such line';
    this._older.update(told.next, part ? `${found} in the newest lines; look further back by “Older”.` : '');
    this._table.emptyText(part ? 'None of these lines is like that.' : 'No line is like that.');
    const given = Object.fromEntries([...NAMES, 'since', 'until'].map((name) => [name, wanted[name]]));
    const line = command(['audit', 'show'], { ...given, limit: SIZE });
    if (line !== this._said) {
      this._said = line;
      put(
        this._line,
        h('p', { class: 'faint' }, 'The same at a terminal of the host:'),
        copyable(line, 'the command'),
      );
    }
  }
}

function columns() {
  return [
    {
      label: 'When',
      head: true,
      text: (item) => item.at ?? item.time,
      show: (item) => instant(item.at ?? item.time),
    },
    { label: 'Who', text: (item) => item.actor, show: (item) => said(item.actor, 40) },
    { label: 'Action', text: (item) => item.action, show: (item) => h('code', {}, said(item.action, 40)) },
    { label: 'To', text: (item) => JSON.stringify(item.subject), show: subject },
    {
      label: 'Outcome',
      text: (item) => `${item.outcome}|${item.code}`,
      show: (item) =>
        h(
          'div',
          {},
          chip(item.outcome, TONES[item.outcome] ?? ''),
          ' ',
          h('code', { class: 'faint' }, cut(item.code, 50)),
        ),
    },
    { label: 'Detail', wide: true, text: (item) => JSON.stringify(item.detail), show: detail },
  ];
}

function subject(item) {
  const { user = '', server = '' } = item.subject ?? {};
  return said(server ? `${user}/${server}` : user, 50);
}

function detail(item) {
  const pairs = Object.entries(item.detail ?? {});
  const text = pairs.map(([name, value]) => `${name}: ${shown(value)}`).join(', ');
  if (pairs.length === 0) {
    return '';
  }
  const full = JSON.stringify(item, null, 1).slice(0, 20_000);
  return h(
    'details',
    {},
    h('summary', {}, said(text, 70)),
    h('pre', { tabindex: '0', 'aria-label': `Line ${item.seq}` }, full),
  );
}

function shown(value) {
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
