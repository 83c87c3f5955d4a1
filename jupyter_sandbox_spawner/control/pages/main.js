// How do the views come together? Tabs, the address, one clock that asks again, and what holds for all.

import { get } from './api.js';
import { Banners } from './banners.js';
import { announce, cut, h, put, said } from './dom.js';
import { Live } from './live.js';
import { trouble } from './parts.js';
import { SandboxesView } from './sandboxes.js';
import { follow, listen, state } from './state.js';
import { useTheme } from './theme.js';

// The first view comes with the page, the others behind its first rows, so that nobody waits for them.
const VIEWS = {
  sandboxes: ['Sandboxes', () => SandboxesView],
  gpus: ['GPUs', async () => (await import('./gpus.js')).GpusView],
  network: ['Network', async () => (await import('./network.js')).NetworkView],
  usage: ['Usage', async () => (await import('./usage.js')).UsageView],
  profiles: ['Profiles', async () => (await import('./profiles.js')).ProfilesView],
  audit: ['Audit', async () => (await import('./audit.js')).AuditView],
  health: ['Health', async () => (await import('./health.js')).HealthView],
};
const COUNTS_EVERY = 30_000;

const place = (id) => document.getElementById(id);
const views = new Map();
const tabs = new Map();
const context = { canWrite: undefined, me: {}, refresh: () => live.ask() };
const banners = new Banners(place('banners'), place('freshness'), place('skew'), () => live.ask());
const live = new Live(load, told);
let current = null;
let countedAt = 0;
let fetched = false;

function drawTabs() {
  for (const [name, [label]] of Object.entries(VIEWS)) {
    const count = h('span', { class: 'count' });
    const link = follow(h('a', {}, label, count), { view: name }, { fresh: true });
    tabs.set(name, { link, count });
    place('tabs').append(h('li', {}, link));
  }
}

async function viewOf(name) {
  const View = await VIEWS[name][1]();
  if (!views.has(name)) {
    views.set(name, new View(context));
  }
  return views.get(name);
}

function wanted() {
  const name = state().view ?? 'sandboxes';
  return name in VIEWS ? name : 'sandboxes';
}

async function route() {
  const name = wanted();
  const view = await viewOf(name);
  if (name !== wanted()) {
    return; // another view was chosen meanwhile
  }
  if (view !== current) {
    const first = current === null;
    current = view;
    put(place('view'), view.element);
    for (const [key, { link }] of tabs) {
      link.toggleAttribute('aria-current', false);
      if (key === name) {
        link.setAttribute('aria-current', 'page');
        link.scrollIntoView({ block: 'nearest', inline: 'nearest' });
      }
    }
    document.title = `${VIEWS[name][0]} · Sandboxes`;
    if (!first) {
      announce(VIEWS[name][0]);
    }
  }
  view.show();
  live.ask();
}

async function load() {
  const view = current;
  if (view === null) {
    return; // its file is on the way; it asks when it is there
  }
  const known = context.canWrite === undefined ? learnMe() : null;
  await Promise.all([view.load(), known]);
  place('trouble')?.remove();
  fetchOthers();
  if (Date.now() - countedAt > COUNTS_EVERY) {
    countedAt = Date.now();
    count().catch(() => put(place('counts'), 'Counts are not known now.'));
  }
}

/** A view that is opened while control is away must be there already, to say since when. */
function fetchOthers() {
  if (fetched) {
    return;
  }
  fetched = true;
  for (const [, find] of Object.values(VIEWS)) {
    Promise.resolve(find()).catch(() => {
      fetched = false;
    });
  }
}

async function learnMe() {
  const me = await get('api/me');
  context.me = me;
  context.canWrite = me.can_write === true;
  put(place('who'), said(me.name, 40));
  const hub = new URL(`${String(me.hub ?? '../../hub').replace(/\/$/, '')}/home`, location.href);
  if (hub.protocol === 'http:' || hub.protocol === 'https:') {
    place('hub').href = hub.href;
  }
  if (!context.canWrite) {
    banners.readOnly(me.why_not ?? 'This page may not change anything here.');
  }
  // The buttons of what is drawn already hang on it.
  queueMicrotask(() => live.ask());
}

async function count() {
  const told = await get('api/health');
  const { open, waiting_requests: asked, queue } = told.counts ?? {};
  const bad = (told.parts ?? []).filter((part) => !part.fine && part.needed !== false).length;
  const number = (value) => (Number.isInteger(value) ? value.toLocaleString() : '?');
  put(
    place('counts'),
    `${number(open)} open · ${number(asked)} request${asked === 1 ? '' : 's'} · `,
    `${number(queue)} waiting for GPUs · `,
    bad ? h('strong', {}, `${bad} part${bad === 1 ? '' : 's'} not well`) : 'all parts well',
  );
  badge('network', asked, 'waiting');
  badge('gpus', queue, 'in the queue');
  badge('health', bad, 'not well');
}

function badge(name, value, words) {
  put(tabs.get(name).count, ...(value ? [String(value), h('span', { class: 'unseen' }, ` ${words}`)] : []));
}

function told(step) {
  banners.told(step);
  place('view').setAttribute('aria-busy', String(Boolean(step.busy)));
  if (step.busy) {
    return;
  }
  place('trouble')?.remove();
  if (step.error?.kind === 'refused') {
    place('view').prepend(h('div', { id: 'trouble' }, trouble(step.error)));
  }
}

addEventListener('unhandledrejection', (event) => {
  const text = cut(event.reason?.message ?? 'unknown', 200);
  put(place('counts'), `Something in this page broke: ${text}. Reload it.`);
});

drawTabs();
useTheme(place('theme'));
listen(route);
route();
