// Is every part well, and what helps where one is not?

import { get } from './api.js';
import { command } from './command.js';
import { copyable, h, put, said } from './dom.js';
import { Section, chip } from './parts.js';

/** What doctor finds, and what control knows of its neighbours. */
export class HealthView {
  constructor() {
    this._summary = h('p', {});
    this._list = h('ul', { class: 'findings' });
    const line = copyable(command(['health']), 'the command');
    this._section = new Section(
      'Health',
      this._summary,
      this._list,
      h('p', { class: 'faint' }, 'The same at a terminal of the host:'),
      line,
    );
    this.element = h('div', {}, this._section.element);
  }

  show() {}

  /** Ask and draw, what is not well first. */
  async load() {
    await this._section.load(async () => {
      const told = await get('api/health');
      const parts = [...(told.parts ?? [])].sort((one, other) => Number(one.fine) - Number(other.fine));
      const bad = parts.filter((part) => !part.fine && part.needed !== false).length;
      const weak = parts.filter((part) => !part.fine && part.needed === false).length;
      const weaker = weak ? ` ${weak} could be stronger.` : '';
      const summary = bad
        ? `${bad} of ${parts.length} parts are not well.`
        : 'All parts that are needed are well.';
      this._summary.textContent = summary + weaker;
      const drawn = JSON.stringify(parts);
      if (drawn !== this._drawn) {
        this._drawn = drawn;
        put(this._list, ...parts.map(finding));
      }
    });
  }
}

function finding(part) {
  return h(
    'li',
    { class: part.fine || part.needed === false ? 'card' : 'card bad' },
    h(
      'h3',
      {},
      part.fine
        ? chip('well', 'good')
        : part.needed === false
          ? chip('weaker', 'warn')
          : chip('not well', 'bad'),
      ' ',
      said(part.name, 80),
    ),
    part.seen ? h('p', {}, said(part.seen, 600)) : null,
    !part.fine && part.remedy ? h('p', {}, h('strong', {}, 'What helps: '), said(part.remedy, 600)) : null,
  );
}
