// Who used how much, over which days, and what did it cost?

import { get } from './api.js';
import { command } from './command.js';
import { copyable, h, put, said } from './dom.js';
import { Filters, Section } from './parts.js';
import { plot, stacked, twin } from './plot.js';
import { go, state } from './state.js';
import { Table } from './table.js';
import { serverNow } from './time.js';

const MEASURES = [
  ['server_hours', 'Server hours'],
  ['cpu_hours', 'CPU hours'],
  ['memory_gb_hours', 'Memory, GB hours'],
  ['gpu_hours', 'GPU hours'],
];
const SHOWN = 200;
const MOST_DAYS = 366;
const DAY = 86_400_000;

/** A table of sums and a picture over time. */
export class UsageView {
  constructor(context) {
    this._context = context;
    this._filters = new Filters(
      [
        {
          name: 'by',
          label: 'By',
          kind: 'select',
          options: [
            ['user', 'user'],
            ['group', 'group'],
            ['profile', 'profile'],
            ['day', 'day'],
          ],
          fallback: 'user',
        },
        { name: 'since', label: 'From', kind: 'date' },
        { name: 'until', label: 'Until', kind: 'date' },
        { name: 'user', label: 'User', kind: 'search', hint: 'all' },
        {
          name: 'measure',
          label: 'Picture',
          kind: 'select',
          options: [...MEASURES, ['cost', 'Cost']],
          fallback: 'server_hours',
        },
      ],
      'Which use',
    );
    this._currency = '';
    this._table = new Table({
      caption: 'Use by name',
      columns: this._columns(),
      key: (item) => `n${item.name}`,
      sorted: (sort, order) => go({ sort, order }),
      empty: 'Nothing was used in this time.',
    });
    this._total = h('p', {});
    this._picture = h('div', {});
    this._more = h('p', { class: 'faint' });
    this._line = h('div', {});
    this._section = new Section(
      'Use',
      this._total,
      this._picture,
      this._table.element,
      this._more,
      this._line,
    );
    this.element = h('div', {}, this._filters.element, this._section.element);
  }

  _columns() {
    const hours = ([name, label]) => ({
      label,
      sort: name,
      first: 'desc',
      number: true,
      text: (item) => amount(item[name]),
    });
    return [
      {
        label: 'Name',
        sort: 'name',
        head: true,
        text: (item) => item.name,
        show: (item) => (item.name === '' ? h('span', { class: 'faint' }, 'none') : said(item.name, 60)),
      },
      ...MEASURES.map(hours),
      {
        label: 'Cost',
        sort: 'cost',
        first: 'desc',
        number: true,
        text: (item) =>
          item.cost === null || item.cost === undefined ? '–' : `${amount(item.cost)} ${this._currency}`,
      },
    ];
  }

  show() {
    const { sort, order } = state();
    this._filters.show();
    this._table.order(sort ?? 'server_hours', order ?? 'desc');
  }

  /** Ask for the sums and draw them. */
  async load() {
    await this._section.load(async () => {
      const { by = 'user', since, until, user } = state();
      // Of days control sums up the days anyway, and more than a year it does not draw.
      const over = by !== 'day' && days(since, until) <= MOST_DAYS ? 'day' : '';
      const told = await get('api/usage', { by, since, until, user, over });
      this._currency = told.currency ?? '';
      this._filters.usually('since', told.since);
      this._filters.usually('until', told.until);
      this._draw(told);
    });
  }

  _draw(told) {
    const wanted = state();
    const measure = wanted.measure ?? 'server_hours';
    const sorted = [...told.items].sort(by(wanted.sort ?? 'server_hours', wanted.order ?? 'desc'));
    this._table.update(sorted.slice(0, SHOWN));
    const more = sorted.length - SHOWN;
    this._more.textContent = more > 0 ? `${more.toLocaleString()} more; the command below prints all.` : '';
    const cost =
      told.total.cost === null || told.total.cost === undefined
        ? 'no prices are set'
        : `${amount(told.total.cost)} ${this._currency}`;
    const { server_hours: servers, gpu_hours: gpus } = told.total;
    const hours = `${amount(servers)} server hours, ${amount(gpus)} GPU hours`;
    this._total.textContent = `${told.since} to ${told.until} (UTC): ${hours}, ${cost}.`;
    const drawn = JSON.stringify([told.series ?? told.items, measure]);
    if (drawn !== this._drawn) {
      this._drawn = drawn;
      this._paint(told, measure);
    }
    const words = { by: wanted.by ?? 'user', since: told.since, until: told.until, user: wanted.user };
    const line = command(['usage'], words);
    if (line !== this._said) {
      this._said = line;
      put(
        this._line,
        h('p', { class: 'faint' }, 'The same at a terminal of the host:'),
        copyable(line, 'the command'),
      );
    }
  }

  _paint(told, measure) {
    const label =
      measure === 'cost'
        ? `Cost in ${this._currency || 'no currency'}`
        : MEASURES.find(([name]) => name === measure)?.[1];
    const title = `${label ?? measure} a day`;
    if (measure === 'cost' && !this._currency) {
      put(this._picture, h('p', { class: 'empty' }, 'No prices are set: see prices in profiles.yaml.'));
      return;
    }
    if (days(told.since, told.until) > MOST_DAYS) {
      const words = `A picture is drawn of ${MOST_DAYS} days at most: choose a later first day.`;
      put(this._picture, h('p', { class: 'empty' }, words));
      return;
    }
    const data = stacked(told.series ?? [oneOf(told)], measure);
    put(
      this._picture,
      h('h3', {}, title),
      plot(data, title, amount),
      data.rows.length ? twin(data, title, amount) : null,
    );
  }
}

/** How many days are asked for, both ends included; without a first one it is the last one's month. */
function days(since, until) {
  const last = until ? Date.parse(until) : serverNow();
  return since ? Math.floor((last - Date.parse(since)) / DAY) + 1 : 1;
}

/** The sums of days as one row over all of them. */
function oneOf({ since, until, items }) {
  const known = new Map(items.map((item) => [item.name, item]));
  const all = Array.from({ length: Math.max(days(since, until), 0) }, (_, place) =>
    new Date(Date.parse(since) + place * DAY).toISOString().slice(0, 10),
  );
  return { name: 'all together', days: all.map((day) => ({ ...known.get(day), day })) };
}

function by(name, order) {
  const way = order === 'asc' ? 1 : -1;
  return (one, other) => {
    const [a, b] = [one[name] ?? 0, other[name] ?? 0];
    return way * (typeof a === 'string' ? a.localeCompare(b) : a - b);
  };
}

function amount(value) {
  const number = Number(value ?? 0);
  const digits = number !== 0 && Math.abs(number) < 10 ? 2 : number < 100 ? 1 : 0;
  return number.toLocaleString(undefined, { maximumFractionDigits: digits });
}
