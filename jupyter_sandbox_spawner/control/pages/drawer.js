// What is known about one server? Its limits, why it still runs or ended, what happened; beside the table.

import { extend, stop } from './actions.js';
import { get, path } from './api.js';
import { command } from './command.js';
import { copyable, cut, h, put, said } from './dom.js';
import { doing, instant, left, since, status, trouble } from './parts.js';
import { go } from './state.js';
import { bytes } from './time.js';

const WITNESSES = {
  doors: 'Pages and API',
  egress: 'Network',
  cpu: 'CPU',
  gpu: 'GPU',
  kernels: 'Kernels',
  server: 'The server itself says',
  keep_alive: 'Its user asked to keep it',
};

/** `doer(item, action)` opens an action's dialog. */
export class Drawer {
  constructor(context, doer) {
    this._context = context;
    this._doer = doer;
    this._name = '';
    this._title = h('h2', { tabindex: '-1', id: 'drawer-title' });
    this._content = h('div', {});
    const close = h(
      'button',
      { type: 'button', class: 'quiet', onclick: () => this._close() },
      'Close details',
    );
    this.element = h(
      'aside',
      { class: 'drawer', hidden: true, 'aria-labelledby': 'drawer-title' },
      h('div', { class: 'drawer-head' }, this._title, close),
      this._content,
    );
    document.addEventListener('keydown', (event) => {
      if (event.key === 'Escape' && this._name && !document.querySelector('dialog[open]')) {
        this._close();
      }
    });
  }

  _close() {
    go({ open: '', of: '' });
  }

  /** Open it for `user` or `user/server`, which the id `of` may tell apart; "" closes it. */
  show(name, of) {
    if (name === this._name && of === this._of) {
      return;
    }
    if (!this._name) {
      this._opener = document.activeElement;
    }
    this._name = name;
    this._of = of;
    this._drawn = '';
    this.element.hidden = !name;
    if (!name) {
      this._opener?.isConnected && this._opener.focus({ preventScroll: true });
      return;
    }
    put(this._title, said(name, 80));
    put(this._content, h('p', { class: 'faint' }, 'Reading …'));
    this._title.focus({ preventScroll: true });
  }

  /** Ask and draw, where it is open. */
  async load() {
    const [name, of] = [this._name, this._of];
    if (!name) {
      return;
    }
    const slash = name.indexOf('/');
    const [user, server] = slash < 0 ? [name, ''] : [name.slice(0, slash), name.slice(slash + 1)];
    try {
      const told = await get(`api/why/${path(user)}/${path(server)}`);
      if (this._shows(name, of)) {
        this._draw(told);
      }
    } catch (error) {
      if (error.kind !== 'refused') {
        throw error;
      }
      if (this._shows(name, of)) {
        this._drawn = '';
        put(this._content, trouble(error));
      }
    }
  }

  _shows(name, of) {
    return name === this._name && of === this._of;
  }

  _draw(item) {
    // What only ages is not worth a new drawing, which would take the selection away.
    const drawn = JSON.stringify([{ ...item, now: 0, time_left: 0 }, this._context.canWrite]);
    if (drawn === this._drawn) {
      return;
    }
    this._drawn = drawn;
    const focused = this._content.contains(document.activeElement) ? document.activeElement.textContent : '';
    put(
      this._content,
      this._newer(item),
      this._buttons(item),
      facts(item),
      running(item),
      events(item),
      twin(item),
    );
    if (focused) {
      const again = [...this._content.querySelectorAll('button, summary, [tabindex]')];
      (again.find((element) => element.textContent === focused) ?? this._title).focus({
        preventScroll: true,
      });
    }
  }

  _newer(item) {
    return this._of && this._of !== item.id
      ? h('p', { class: 'note' }, 'This server was started again since; below is the newest.')
      : null;
  }

  _buttons(item) {
    if (item.released_at) {
      return null;
    }
    const seen = { ...item, used_at: item.lifetime?.idle_since, ends_at: item.lifetime?.ends_at };
    return h(
      'div',
      { class: 'row-buttons' },
      doing(this._context, 'Extend', item.user, () => this._doer(seen, extend)),
      doing(this._context, 'Stop', item.user, () => this._doer(seen, stop), 'danger'),
    );
  }
}

function facts(item) {
  const groups = (item.groups ?? []).flatMap((name) => [said(name, 40), ' ']);
  const known = [
    ['Status', status(item)],
    ['Profile', said(item.profile)],
    ['Groups', groups.length ? h('span', {}, ...groups) : null],
    ['CPU', item.cpu ? String(item.cpu) : null],
    ['Memory', item.memory ? bytes(item.memory) : null],
    ['Started', instant(item.admitted_at)],
    ['Ends', item.released_at ? null : left(item.lifetime?.ends_at ?? item.deadline)],
    ['Ended', item.released_at ? instant(item.released_at) : null],
    ['Why', item.stop ? h('span', {}, said(item.stop.why, 500), ' ', h('code', {}, item.stop.code)) : null],
    ['By', item.stop?.actor ? said(item.stop.actor) : null],
    ['Id', h('code', {}, cut(item.id, 120))],
  ];
  const rows = known.filter(([, value]) => value !== null && value !== undefined);
  return h('dl', {}, ...rows.flatMap(([label, value]) => [h('dt', {}, label), h('dd', {}, value)]));
}

function running(item) {
  const life = item.lifetime;
  if (!life) {
    return null;
  }
  const rows = (life.witnesses ?? []).map((one) =>
    h(
      'tr',
      {},
      h('th', { scope: 'row' }, WITNESSES[one.name] ?? cut(one.name)),
      h('td', {}, one.at ? since(one.at) : h('span', { class: 'faint' }, 'nothing yet')),
      h('td', {}, value(one.value)),
    ),
  );
  const head = ['Witness', 'Last saw use', 'Says'].map((text) => h('th', { scope: 'col' }, text));
  return [
    h('h3', {}, 'Why it still runs'),
    h('p', {}, said(life.why, 500), ' ', h('code', {}, cut(life.code))),
    h(
      'table',
      { class: 'small' },
      h('caption', { class: 'unseen' }, 'What each witness says'),
      h('thead', {}, h('tr', {}, ...head)),
      h('tbody', {}, ...rows),
    ),
  ];
}

function value(told) {
  if (told === null || told === undefined) {
    return '';
  }
  if (typeof told === 'boolean') {
    return told ? 'yes' : 'no';
  }
  return typeof told === 'object'
    ? said(
        Object.entries(told)
          .map(([key, count]) => `${key} ${count}`)
          .join(', '),
        80,
      )
    : said(told, 60);
}

function events(item) {
  const found = [...(item.events ?? [])].reverse();
  const rows = found.map((one) =>
    h(
      'li',
      {},
      instant(one.at),
      ' ',
      h('strong', {}, cut(String(one.kind).replaceAll('_', ' '))),
      ' ',
      said(detail(one.detail), 300),
    ),
  );
  return [
    h('h3', {}, 'What happened'),
    rows.length
      ? h('ol', { class: 'events', reversed: true }, ...rows)
      : h('p', { class: 'faint' }, 'Nothing is recorded.'),
  ];
}

function detail(known) {
  const plain = known?.why ?? known?.message ?? known?.text;
  if (plain) {
    return plain;
  }
  const pairs = Object.entries(known ?? {}).filter(([, one]) => one !== null && one !== '');
  return pairs
    .map(([name, one]) => `${name}: ${typeof one === 'object' ? JSON.stringify(one) : one}`)
    .join(', ');
}

function twin(item) {
  const name = item.server ? `${item.user}/${item.server}` : item.user;
  return [
    h('p', { class: 'faint' }, 'The same at a terminal of the host:'),
    copyable(command(['why', name]), 'the command'),
  ];
}
