// Which GPU has whom, and who waits for one?

import { dropTicket } from './actions.js';
import { get } from './api.js';
import { cut, h, put, said } from './dom.js';
import { Section, chip, doing, instant, left, serverLink, since } from './parts.js';
import { Table } from './table.js';
import { bytes } from './time.js';

const TONES = { free: 'good', 'in use': 'busy', reserved: 'warn', split: '', vanished: 'bad' };

/** The board and the queue. */
export class GpusView {
  constructor(context) {
    this._context = context;
    this._counts = h('p', {});
    this._board = h('ul', { class: 'board' });
    this._notes = h('ul', {});
    this._queue = new Table({
      caption: 'Who waits for GPUs',
      columns: this._columns(),
      key: (item) => String(item.ticket),
      sorted: () => {},
      empty: 'Nobody waits.',
    });
    this._devices = new Section('GPUs', this._counts, this._board, this._notes);
    this.element = h(
      'div',
      {},
      this._devices.element,
      h('section', {}, h('h2', {}, 'Queue'), this._queue.element),
    );
  }

  _columns() {
    return [
      { label: 'Place', number: true, text: (item) => String(item.position) },
      { label: 'User', head: true, text: (item) => item.user, show: (item) => said(item.user) },
      {
        label: 'Server',
        text: (item) => item.server || 'default',
        show: (item) => said(item.server || 'default', 30),
      },
      { label: 'Profile', text: (item) => item.profile, show: (item) => said(item.profile, 40) },
      {
        label: 'Wants',
        text: (item) => `${item.count} × ${item.kind}`,
        show: (item) => said(`${item.count} × ${item.kind}`, 40),
      },
      { label: 'Waits', text: (item) => since(item.since).textContent, show: (item) => since(item.since) },
      { label: 'Turn', wide: true, text: (item) => turn(item).textContent, show: turn },
      {
        label: '',
        text: () => String(this._context.canWrite),
        show: (item) =>
          doing(
            this._context,
            'Take out',
            `ticket of ${item.user}`,
            () => dropTicket(item, () => this._context.refresh()),
            'danger',
          ),
      },
    ];
  }

  show() {}

  /** Ask and draw. */
  async load() {
    await this._devices.load(async () => {
      const told = await get('api/gpu');
      const drawn = JSON.stringify([told.devices, told.notes]);
      this._queue.update(told.queue);
      if (drawn !== this._drawn) {
        this._drawn = drawn;
        this._draw(told);
      }
    });
  }

  _draw(told) {
    const count = (state) => told.devices.filter((device) => device.state === state).length;
    const parts = Object.keys(TONES)
      .filter(count)
      .map((state) => `${count(state)} ${state}`);
    this._counts.textContent = told.devices.length
      ? `${told.devices.length} GPUs: ${parts.join(', ')}.`
      : 'The launcher found no GPU.';
    put(this._board, ...told.devices.map(tile));
    put(this._notes, ...(told.notes ?? []).map((note) => h('li', { class: 'faint' }, said(note, 300))));
  }
}

function turn(item) {
  if (item.kept_until) {
    return h('span', {}, 'kept for them until ', instant(item.kept_until));
  }
  return item.eta ? h('span', {}, 'about ', left(item.eta)) : h('span', { class: 'faint' }, 'not known');
}

function tile(device) {
  const room = [cut(device.kind, 40), bytes(device.memory)].filter(Boolean).join(', ');
  return h(
    'li',
    { class: `tile ${TONES[device.state] ?? ''}` },
    h(
      'div',
      { class: 'tile-head' },
      h('code', { title: device.id }, cut(device.id, 18)),
      chip(device.state, TONES[device.state]),
    ),
    h('div', { class: 'faint' }, said(room, 60)),
    device.user
      ? h('div', {}, serverLink({ ...device, view: 'sandboxes' }), ' · ', said(device.profile, 30))
      : null,
    device.user
      ? h(
          'div',
          { class: 'faint' },
          'since ',
          instant(device.since),
          device.until ? [', until ', instant(device.until)] : '',
        )
      : null,
  );
}
