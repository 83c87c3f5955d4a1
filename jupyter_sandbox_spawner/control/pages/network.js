// What was refused, who asks for a host, and what is open by an admin's word?

import { approve, deny, propose, revoke } from './actions.js';
import { get } from './api.js';
import { h, said } from './dom.js';
import { Filters, Older, Section, chip, doing, instant, left, serverLink, since } from './parts.js';
import { go, state } from './state.js';
import { Pager, Table } from './table.js';
import { ago, until } from './time.js';

const TONES = {
  waiting: 'warn',
  approved: 'good',
  denied: 'bad',
  revoked: 'bad',
  expired: '',
  withdrawn: '',
};
const SIZE = 25;
const REQUESTS = 100;

/** Three parts; each may fail alone. */
export class NetworkView {
  constructor(context) {
    this._context = context;
    this._filters = new Filters(
      [
        {
          name: 'asked',
          label: 'Requests',
          kind: 'select',
          options: [
            ['waiting', 'waiting'],
            ['all', 'all'],
            ['approved', 'approved'],
            ['denied', 'denied'],
            ['expired', 'expired'],
            ['revoked', 'revoked'],
          ],
          fallback: 'waiting',
        },
        { name: 'user', label: 'User', kind: 'search', hint: 'any' },
        { name: 'host', label: 'Refused host', kind: 'search', hint: 'any' },
        { name: 'code', label: 'Code', hint: 'any' },
        { name: 'ended', label: 'Also ended grants', kind: 'check' },
      ],
      'Find requests, grants and refusals',
    );
    this._requests = this._table('Requests for hosts', this._asked(), 'Nobody waits for an answer.');
    this._grants = this._table(
      'Hosts that are open by an admin’s word',
      this._given(),
      'No host is open by an admin’s word.',
    );
    this._denials = this._table(
      'Connections that were refused',
      this._refused(),
      'Nothing was refused.',
      (item) => [item.sandbox, item.host, item.port, item.code].join('|'),
    );
    this._pager = new Pager('Pages of refusals', (page) => go({ page: page > 1 ? page : '' }));
    this._older = new Older('Pages of requests');
    this._parts = [
      new Section('Requests', this._requests.element, this._older.element),
      new Section('Grants', this._grants.element),
      new Section('Refused', this._denials.element, this._pager.element),
    ];
    this.element = h('div', {}, this._filters.element, ...this._parts.map((part) => part.element));
  }

  _table(caption, columns, empty, key = (item) => String(item.id)) {
    return new Table({ caption, columns, key, sorted: () => {}, empty });
  }

  _again() {
    return () => this._context.refresh();
  }

  _asked() {
    return [
      who(),
      {
        label: 'Host',
        text: (item) => `${item.host}:${item.port}`,
        show: (item) => said(`${item.host}:${item.port}`, 60),
      },
      { label: 'Because', wide: true, text: (item) => item.why, show: (item) => said(item.why, 160) },
      { label: 'Asked', text: (item) => ago(item.asked_at), show: (item) => since(item.asked_at) },
      { label: 'Status', text: (item) => `${item.status}|${item.answer}|${item.until}`, show: answered },
      {
        label: '',
        text: (item) => `${item.status}|${this._context.canWrite}`,
        show: (item) => this._decide(item),
      },
    ];
  }

  _decide(item) {
    if (item.status !== 'waiting') {
      return '';
    }
    const about = `${item.host} for ${item.user}`;
    return h(
      'div',
      { class: 'row-buttons' },
      doing(this._context, 'Approve', about, () => approve(item, this._again()), 'primary'),
      doing(this._context, 'Refuse', about, () => deny(item, this._again()), 'danger'),
    );
  }

  _given() {
    return [
      {
        label: 'Host',
        head: true,
        text: (item) => `${item.pattern}:${item.port}`,
        show: (item) => said(`${item.pattern}:${item.port}`, 60),
      },
      {
        label: 'For',
        text: (item) => `${item.scope} ${item.name ?? ''}`,
        show: (item) => said(`${item.scope} ${item.name ?? ''}`, 60),
      },
      { label: 'Since', text: (item) => ago(item.since), show: (item) => since(item.since) },
      { label: 'Until', text: (item) => until(item.until), show: (item) => left(item.until) },
      { label: 'By', text: (item) => item.by, show: (item) => said(item.by, 40) },
      { label: 'Why', wide: true, text: (item) => item.why ?? '', show: (item) => said(item.why, 100) },
      {
        label: '',
        text: (item) => `${item.active}|${this._context.canWrite}|${until(item.until) === 'now'}`,
        show: (item) => this._close(item),
      },
    ];
  }

  _close(item) {
    const over = item.active === false || item.revoked_at || until(item.until) === 'now';
    return over
      ? ''
      : doing(this._context, 'Close', item.pattern, () => revoke(item, this._again()), 'danger');
  }

  _refused() {
    return [
      who(),
      {
        label: 'Host',
        text: (item) => `${item.host}:${item.port}`,
        show: (item) => said(`${item.host}:${item.port}`, 60),
      },
      { label: 'Code', text: (item) => item.code, show: (item) => h('code', {}, said(item.code, 40)) },
      { label: 'Rule', text: (item) => item.rule ?? '', show: (item) => said(item.rule ?? '', 60) },
      { label: 'Times', number: true, text: (item) => Number(item.count).toLocaleString() },
      { label: 'First', text: (item) => ago(item.first_at), show: (item) => since(item.first_at) },
      { label: 'Last', text: (item) => ago(item.last_at), show: (item) => since(item.last_at) },
      {
        label: '',
        text: () => '',
        show: (item) =>
          h(
            'button',
            { type: 'button', onclick: () => propose(item) },
            'Rule …',
            h('span', { class: 'unseen' }, ` for ${item.host}`.slice(0, 80)),
          ),
      },
    ];
  }

  show() {
    this._filters.show();
  }

  /** Ask for the three and draw them. */
  async load() {
    const { asked, user, host, code, page, ended, before } = state();
    const [requests, grants, denials] = this._parts;
    const status = asked ?? 'waiting';
    await Promise.all([
      requests.load(async () => {
        const told = await get('api/egress/requests', {
          status: status === 'all' ? '' : status,
          user,
          before,
          limit: REQUESTS,
        });
        this._requests.update(told.items);
        const more = told.next !== null && told.next !== undefined;
        this._older.update(told.next, more ? `These are ${REQUESTS}; there are older ones.` : '');
      }),
      grants.load(async () =>
        this._grants.update((await get('api/egress/grants', { active: ended ? '' : 1 })).items),
      ),
      denials.load(async () => {
        const told = await get('api/denials', { user, host, code, page: page ?? 1, size: SIZE });
        this._denials.update(told.items);
        this._pager.update({ size: SIZE, ...told });
      }),
    ]);
  }
}

function who() {
  return {
    label: 'User',
    head: true,
    text: (item) => `${item.user}|${item.server}`,
    show: (item) => serverLink(item),
  };
}

function answered(item) {
  const more =
    item.status === 'approved'
      ? ['until ', instant(item.until)]
      : item.answer
        ? [said(item.answer, 120)]
        : [];
  const by = item.decided_by ? [' by ', said(item.decided_by, 40)] : [];
  return h(
    'div',
    {},
    chip(item.status, TONES[item.status] ?? ''),
    h('div', { class: 'faint' }, ...more, ...by),
  );
}
