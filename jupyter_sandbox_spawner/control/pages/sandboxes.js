// Who runs what, since when, until when and why? Searched, ordered and cut into pages by control.

import { extend, stop } from './actions.js';
import { get } from './api.js';
import { Drawer } from './drawer.js';
import { h, said } from './dom.js';
import { Filters, doing, instant, left, serverLink, since, status } from './parts.js';
import { go, state } from './state.js';
import { Pager, Table } from './table.js';
import { ago, bytes, clock, until } from './time.js';

const SIZE = 50;
const ORDERS = [
  ['started|desc', 'Started, newest first'],
  ['started|asc', 'Started, oldest first'],
  ['user|asc', 'User'],
  ['profile|asc', 'Profile'],
  ['ends|asc', 'Deadline soonest'],
  ['used|asc', 'Longest idle'],
  ['gpus|desc', 'Most GPUs'],
];

/** The first view. */
export class SandboxesView {
  constructor(context) {
    this._context = context;
    this._filters = new Filters(
      [
        { name: 'search', label: 'Search', kind: 'search', hint: 'user, server or id' },
        {
          name: 'status',
          label: 'Show',
          kind: 'select',
          options: [
            ['open', 'open'],
            ['ended', 'ended'],
            ['all', 'all'],
          ],
          fallback: 'open',
        },
        { name: 'profile', label: 'Profile', kind: 'select', options: [['', 'any']] },
        { name: 'group', label: 'Group', hint: 'any' },
        {
          name: 'ordered',
          label: 'Order',
          kind: 'select',
          options: [['', 'as clicked'], ...ORDERS],
          narrow: true,
          also: ordered,
        },
      ],
      'Find sandboxes',
    );
    this._table = new Table({
      caption: 'Sandboxes',
      columns: this._columns(),
      key: (item) => item.id,
      sorted: (sort, order) => go({ sort, order, ordered: '', page: '' }),
      empty: 'No sandbox is like that.',
    });
    this._pager = new Pager('Pages of sandboxes', (page) => go({ page: page > 1 ? page : '' }));
    this._drawer = new Drawer(context, (item, act) => this._do(item, act));
    this.element = h(
      'div',
      { class: 'with-drawer' },
      h(
        'div',
        { class: 'main-part' },
        h('h2', { class: 'unseen' }, 'Sandboxes'),
        this._filters.element,
        this._table.element,
        this._pager.element,
      ),
      this._drawer.element,
    );
  }

  _columns() {
    return [
      {
        name: 'user',
        label: 'User',
        sort: 'user',
        head: true,
        text: (item) => `${item.user}|${item.server}`,
        show: (item) => serverLink(item),
      },
      {
        name: 'server',
        label: 'Server',
        sort: 'server',
        text: (item) => item.server || 'default',
        show: (item) => (item.server ? said(item.server, 30) : h('span', { class: 'faint' }, 'default')),
      },
      {
        name: 'profile',
        label: 'Profile',
        sort: 'profile',
        text: (item) => item.profile,
        show: (item) => said(item.profile, 40),
      },
      {
        name: 'status',
        label: 'Status',
        text: (item) => item.status,
        show: (item) => status(item),
      },
      {
        name: 'gpus',
        label: 'GPUs',
        sort: 'gpus',
        first: 'desc',
        number: true,
        text: (item) => (item.gpus ?? []).join(' '),
        show: gpus,
      },
      {
        name: 'room',
        label: 'CPU, memory',
        text: (item) => [item.cpu && `${item.cpu} cpu`, bytes(item.memory)].filter(Boolean).join(', '),
      },
      {
        name: 'started',
        label: 'Started',
        sort: 'started',
        first: 'desc',
        text: (item) => clock(item.admitted_at),
        show: (item) => instant(item.admitted_at),
      },
      {
        name: 'used',
        label: 'Last used',
        sort: 'used',
        text: (item) => ago(item.used_at),
        show: (item) => since(item.used_at),
      },
      {
        name: 'ends',
        label: 'Ends',
        sort: 'ends',
        wide: true,
        text: (item) => `${end(item)}|${deadline(item)?.textContent}|${why(item)}`,
        show: ends,
      },
      {
        name: 'do',
        label: '',
        text: (item) => `${item.status}|${this._context.canWrite}`,
        show: (item) => this._buttons(item),
      },
    ];
  }

  _buttons(item) {
    if (!isOpen(item)) {
      return '';
    }
    const name = item.server ? `${item.user}/${item.server}` : item.user;
    return h(
      'div',
      { class: 'row-buttons' },
      doing(this._context, 'Extend', name, () => this._do(item, extend)),
      doing(this._context, 'Stop', name, () => this._do(item, stop), 'danger'),
    );
  }

  _do(item, act) {
    act(item, () => this._context.refresh());
  }

  async _learnProfiles() {
    try {
      const told = await get('api/profiles');
      this._filters.choices(
        'profile',
        (told.profiles ?? []).map((profile) => profile.slug),
      );
      this._profilesKnown = true;
    } catch (error) {
      // The list is whole without them; they are asked for again with its next reading.
      if (error.kind === undefined) {
        throw error;
      }
    }
  }

  /** Follow the address at once; the rows come by `load`. */
  show() {
    const wanted = state();
    this._filters.show();
    this._table.order(wanted.sort ?? 'started', wanted.order ?? 'desc');
    this._drawer.show(wanted.open ?? '', wanted.of ?? '');
  }

  /** Ask for the page and draw it. */
  async load() {
    const profiles = this._profilesKnown ? null : this._learnProfiles();
    // Together: where control is away each of them fails, and none may go unheard.
    await Promise.all([this._drawer.load(), this._rows(), profiles]);
  }

  async _rows() {
    const { search, status: shown, profile, group, sort, order, page } = state();
    const told = await get('api/table', {
      search,
      status: shown ?? 'open',
      profile,
      group,
      sort: sort ?? 'started',
      order: order ?? 'desc',
      page: page ?? 1,
      size: SIZE,
    });
    this._table.update(told.items);
    this._pager.update(told);
  }
}

function ordered(value) {
  const [sort, order] = value.split('|');
  return sort ? { sort, order } : {};
}

/** Does it run, or begin to? */
export function isOpen(item) {
  return item.released_at === null || item.released_at === undefined;
}

function gpus(item) {
  const found = item.gpus ?? [];
  return found.length
    ? h('span', { title: found.join('\n') }, String(found.length))
    : h('span', { class: 'faint' }, '–');
}

function why(item) {
  return (item.stop ? item.stop.why : item.ends_why) ?? '';
}

function end(item) {
  return isOpen(item) ? until(item.ends_at) : clock(item.released_at);
}

/** By it the list is ordered, where it is by its end: idleness may end a server before. */
function deadline(item) {
  if (state().sort !== 'ends' || !isOpen(item)) {
    return null;
  }
  return h('div', {}, item.deadline ? ['deadline ', left(item.deadline)] : 'no deadline');
}

function ends(item) {
  const at = isOpen(item) ? left(item.ends_at) : instant(item.released_at);
  return h('div', {}, deadline(item), at, why(item) ? h('div', { class: 'faint why' }, said(why(item), 70)) : '');
}
