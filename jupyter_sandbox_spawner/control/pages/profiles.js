// Which profiles are there, and what would one person get and why not?

import { get } from './api.js';
import { command } from './command.js';
import { copyable, cut, h, put, said } from './dom.js';
import { Filters, Section, chip, instant } from './parts.js';
import { state } from './state.js';
import { bytes, duration } from './time.js';

/** The file's state, the profiles, and what they give to whom. */
export class ProfilesView {
  constructor(context) {
    this._context = context;
    this._file = h('div', {});
    this._cards = h('ul', { class: 'cards' });
    this._filters = new Filters(
      [
        { name: 'user', label: 'User', kind: 'search', hint: 'a name' },
        { name: 'groups', label: 'Groups', hint: 'as last seen; or a,b' },
      ],
      'Explain for a user',
    );
    this._answer = h('div', {});
    this._list = new Section('Profiles', this._file, this._cards);
    this._explain = new Section('Explain for a user', this._filters.element, this._answer);
    this.element = h('div', {}, this._explain.element, this._list.element);
  }

  show() {
    this._filters.show();
  }

  /** Ask for both and draw what changed. */
  async load() {
    const { user, groups } = state();
    await Promise.all([
      this._list.load(async () => {
        const { now: _, ...told } = await get('api/profiles');
        this._once('list', told, () => this._draw(told));
      }),
      this._explain.load(async () => {
        if (!user) {
          this._once('answer', null, () =>
            put(
              this._answer,
              h(
                'p',
                { class: 'faint' },
                'Write a name to see what each profile would give them, and why not.',
              ),
            ),
          );
          return;
        }
        const { now: _, ...told } = await get('api/profiles/explain', { user, groups });
        this._once('answer', told, () => this._draw_answer(told, user, groups));
      }),
    ]);
  }

  _once(what, told, draw) {
    const drawn = JSON.stringify(told);
    if (this[`_drawn_${what}`] !== drawn) {
      this[`_drawn_${what}`] = drawn;
      draw();
    }
  }

  _draw(told) {
    const file = told.file
      ? h(
          'p',
          {},
          'From ',
          h('code', {}, said(told.file, 120)),
          ', in force since ',
          instant(told.loaded_at),
          '.',
        )
      : h('p', {}, 'This site has no profiles file; the hub’s configuration gives them.');
    const problem = told.problem
      ? h(
          'div',
          { class: 'note bad', role: 'note' },
          h('p', {}, h('strong', {}, 'The file as it is now is refused; the one before stays in force.')),
          h('pre', { tabindex: '0', 'aria-label': 'What is wrong in the file' }, told.problem),
        )
      : null;
    put(this._file, file, problem);
    put(this._cards, ...(told.profiles ?? []).map((profile) => card(profile, told.currency)));
  }

  _draw_answer(told, user, groups) {
    const members = told.groups ?? [];
    const names = members.length ? members.flatMap((name) => [said(name, 40), ' ']) : ['no group'];
    put(
      this._answer,
      h('p', {}, 'As for ', said(user), ' in: ', ...names),
      h('ul', { class: 'cards' }, ...(told.profiles ?? []).map(verdict)),
      h('p', { class: 'faint' }, 'The same at a terminal of the host:'),
      copyable(command(['profiles', 'explain'], { user, groups }), 'the command'),
    );
  }
}

function limits(item) {
  const gpu = item.gpu ? `${item.gpu.count} × ${item.gpu.kind}` : null;
  const network = Array.isArray(item.egress)
    ? item.egress.map((rule) => (typeof rule === 'string' ? rule : (rule.text ?? rule.pattern)))
    : null;
  return [
    ['CPU', item.cpu && String(item.cpu)],
    ['Memory', bytes(item.memory)],
    ['Disk', bytes(item.disk)],
    ['GPU', gpu],
    ['Ends after', item.ttl && duration(item.ttl * 1000)],
    ['Ends idle after', item.idle_timeout && duration(item.idle_timeout * 1000)],
    ['Network', network && (network.join(', ') || 'none')],
    ['Data', item.datasets?.length ? item.datasets.join(', ') : null],
    ['Runtime', item.runtime],
    ['Time', item.time],
  ].filter(([, value]) => value);
}

function list(pairs) {
  return h(
    'dl',
    {},
    ...pairs.flatMap(([label, value]) => [h('dt', {}, label), h('dd', {}, said(value, 200))]),
  );
}

function who(profile) {
  const groups = profile.allowed_groups ?? profile.who?.groups ?? profile.who;
  if (groups === null || groups === undefined) {
    return 'everybody';
  }
  if (!Array.isArray(groups)) {
    return String(groups);
  }
  return groups.length ? `members of ${groups.join(', ')}` : 'nobody';
}

function card(profile, currency) {
  const price = profile.price_per_hour;
  const pairs = [['Who', who(profile)], ...limits(profile)];
  if (price !== null && price !== undefined) {
    pairs.push([
      'Price an hour',
      `${price.toLocaleString(undefined, { maximumFractionDigits: 4 })} ${currency ?? ''}`.trim(),
    ]);
  }
  return h(
    'li',
    { class: 'card' },
    h(
      'h3',
      {},
      said(profile.display_name ?? profile.slug, 60),
      ' ',
      h('code', {}, cut(profile.slug, 40)),
      profile.default ? [' ', chip('default')] : '',
    ),
    profile.description ? h('p', { class: 'faint' }, said(profile.description, 300)) : null,
    profile.unavailable ? h('p', {}, chip('not now', 'warn'), ' ', said(profile.unavailable, 300)) : null,
    list(pairs),
  );
}

function verdict(item) {
  const choices = (item.choices ?? []).map((one) =>
    h(
      'li',
      {},
      said(`${one.option} = ${one.choice}`, 80),
      one.default ? ' (default)' : '',
      one.why ? [': no. ', said(one.why, 200)] : ': yes',
    ),
  );
  return h(
    'li',
    { class: 'card' },
    h(
      'h3',
      {},
      said(item.display_name ?? item.slug, 60),
      ' ',
      item.why ? chip('no', 'bad') : chip('yes', 'good'),
    ),
    item.why ? h('p', {}, said(item.why, 300)) : null,
    item.gives ? list(limits({ ...item.gives, time: item.time })) : null,
    choices.length ? h('ul', {}, ...choices) : null,
    item.secrets?.length ? h('p', {}, 'Secrets: ', said(item.secrets.join(', '), 200)) : null,
    ...(item.withheld ?? []).map((line) => h('p', { class: 'faint' }, 'Not the secret ', said(line, 200))),
  );
}
