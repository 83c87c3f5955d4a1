// What can an admin do here, and what is said before it is done?

import { call, path } from './api.js';
import { command, server } from './command.js';
import { ask } from './dialog.js';
import { cut, h, said } from './dom.js';
import { instant, since } from './parts.js';
import { clock, duration } from './time.js';

const HOUR = 3600;
const TIMES = [
  [HOUR, '1 hour'],
  [4 * HOUR, '4 hours'],
  [8 * HOUR, '8 hours'],
  [24 * HOUR, '1 day'],
  [7 * 24 * HOUR, '7 days'],
  [30 * 24 * HOUR, '30 days'],
].map(([seconds, text]) => [String(seconds), text]);

/** `3600` as the command writes it: 1h, 7d. */
export function short(seconds) {
  const hours = Number(seconds) / HOUR;
  return hours % 24 === 0 ? `${hours / 24}d` : `${hours}h`;
}

function aboutServer(item) {
  const name = item.server ? [said(item.user), ' / ', said(item.server)] : said(item.user);
  return [
    ['Server of', h('span', {}, ...[name].flat())],
    ['Profile', said(item.profile)],
    ['Started', h('span', {}, instant(item.admitted_at), ' (', since(item.admitted_at), ')')],
    ['Last used', since(item.used_at)],
  ];
}

function quote(item, why) {
  return h('span', {}, said(item.user), ' reads: “', said(why || '…', 200), '”');
}

/** Stop a server, with a sentence that its user reads. */
export function stop(item, done) {
  ask({
    title: 'Stop this server?',
    facts: aboutServer(item),
    fields: [
      {
        name: 'why',
        label: 'Reason',
        kind: 'long',
        required: 'its user reads it.',
        hint: 'A sentence for its user; at most 500 characters.',
      },
    ],
    will: ({ why }) => [
      'The server ends now, with its kernels and what is only in memory; files stay. ',
      quote(item, why),
    ],
    confirm: 'Stop the server',
    danger: true,
    command: ({ why }) => command(['stop', server(item)], { why: why || '…' }),
    send: async ({ why }) => {
      const answer = await call('POST', `api/sandboxes/${path(item.id)}/stop`, { why });
      return answer.stopped
        ? h('p', {}, 'The server of ', said(item.user), ' is stopped.')
        : h('p', {}, 'The hub is stopping the server of ', said(item.user), '; it is over in a moment.');
    },
    done,
  });
}

/** Move a server's end, past the profile's caps. */
export function extend(item, done) {
  ask({
    title: 'Give this server more time?',
    facts: [...aboutServer(item), ['Ends', instant(item.ends_at)]],
    fields: [
      { name: 'by', label: 'Ends, from now, in', kind: 'select', options: TIMES, value: String(4 * HOUR) },
      { name: 'why', label: 'Reason', kind: 'long', hint: 'Its user reads it; may be empty.' },
    ],
    will: ({ by, why }) => [
      `Its end moves to ${duration(Number(by) * 1000)} from now, past the profile’s limits; `,
      'a policy, opening hours and a right to data still count. ',
      quote(item, why || 'An admin gave it more time.'),
    ],
    confirm: 'Give more time',
    command: ({ by, why }) => command(['extend', server(item)], { by: short(by), why }),
    send: async ({ by, why }) => {
      const body = { by: Number(by), why, key: crypto.randomUUID?.() ?? String(Date.now()) };
      const answer = await call('POST', `api/sandboxes/${path(item.id)}/extend`, body);
      return h('p', {}, 'The server of ', said(item.user), ` ends at ${clock(answer.deadline)} now.`);
    },
    done,
  });
}

/** Take somebody out of the queue for GPUs. */
export function dropTicket(item, done) {
  ask({
    title: 'Take this ticket out of the queue?',
    facts: [
      ['Waits', said(item.user)],
      ['For', `${item.count} × ${cut(item.kind, 40)}`],
      ['Since', h('span', {}, instant(item.since), ' (', since(item.since), ')')],
    ],
    will: () => 'They lose their place; those behind move up. They may ask again and are then last.',
    confirm: 'Take it out',
    danger: true,
    command: () => command(['gpu', 'cancel', item.ticket]),
    send: async () => {
      await call('DELETE', `api/gpu/tickets/${path(item.ticket)}`);
      return h('p', {}, 'The ticket of ', said(item.user), ' is out of the queue.');
    },
    done,
  });
}

function aboutRequest(item) {
  return [
    ['Asked by', h('span', {}, said(item.user), item.server ? [' / ', said(item.server)] : '')],
    ['Sandbox', h('span', {}, said(item.sandbox, 40), item.sandbox_open === false ? ', which has ended' : '')],
    [
      'Host',
      h('span', {}, said(`${item.host}:${item.port}`, 120), item.internal ? ', an internal service of the site' : ''),
    ],
    ['Because', said(item.why, 500)],
    ['Asked', h('span', {}, instant(item.asked_at), ' (', since(item.asked_at), ')')],
  ];
}

function scopes(item) {
  const groups = (item.groups ?? []).map((name) => [`group:${name}`, `everybody in ${name}`]);
  return [['sandbox', 'this server only'], ['user', `every server of ${item.user}`], ...groups];
}

function scopeOf(value) {
  return value.startsWith('group:') ? { scope: 'group', name: value.slice(6) } : { scope: value };
}

/** Let a host be reached, for a time and for somebody. */
export function approve(item, done) {
  const options = scopes(item);
  const text = Object.fromEntries(options);
  ask({
    title: 'Let them reach this host?',
    facts: aboutRequest(item),
    fields: [
      { name: 'for', label: 'For', kind: 'select', options: TIMES, value: String(8 * HOUR) },
      { name: 'scope', label: 'Who', kind: 'select', options, value: 'sandbox' },
      { name: 'why', label: 'Answer', kind: 'long', hint: 'They read it; may be empty.' },
    ],
    will: (values) =>
      h(
        'span',
        {},
        'At once and for ',
        duration(Number(values.for) * 1000),
        ', ',
        said(text[values.scope], 80),
        ' may reach ',
        said(`${item.host}:${item.port}`, 120),
        '; then it ends by itself, also what is open. ',
        item.internal
          ? 'It is an internal service of the site, in its own network.'
          : 'Addresses that are not public stay closed.',
      ),
    confirm: 'Approve',
    command: (values) => {
      const { scope, name } = scopeOf(values.scope);
      return command(['egress', 'approve', item.id], {
        for: short(values.for),
        scope,
        group: name,
        sandbox: item.sandbox,
        why: values.why,
      });
    },
    send: async (values) => {
      const body = {
        for: Number(values.for),
        ...scopeOf(values.scope),
        sandbox: item.sandbox,
        ...(values.why ? { why: values.why } : {}),
      };
      return approved(item, await call('POST', `api/egress/requests/${path(item.id)}/approve`, body));
    },
    done,
  });
}

function approved(item, answer) {
  const missed = answer.not_applied ?? [];
  return h(
    'div',
    {},
    h(
      'p',
      {},
      said(`${item.host}:${item.port}`, 120),
      ` is open until ${clock(answer.grant?.until)}; `,
      `in force in ${answer.applied} running server${answer.applied === 1 ? '' : 's'}.`,
    ),
    missed.length > 0
      ? h(
          'ul',
          {},
          ...missed.map((one) => h('li', {}, 'Not in ', said(one.sandbox), ': ', said(one.message, 300))),
        )
      : null,
  );
}

/** Refuse a request, with a sentence that its user reads. */
export function deny(item, done) {
  ask({
    title: 'Refuse this request?',
    facts: aboutRequest(item),
    fields: [
      {
        name: 'why',
        label: 'Reason',
        kind: 'long',
        required: 'its user reads it.',
        hint: 'A sentence for its user.',
      },
    ],
    will: ({ why }) => ['The host stays closed. ', quote(item, why)],
    confirm: 'Refuse',
    danger: true,
    command: ({ why }) => command(['egress', 'deny', item.id], { why: why || '…' }),
    send: async ({ why }) => {
      await call('POST', `api/egress/requests/${path(item.id)}/deny`, { why });
      return h('p', {}, 'Refused; ', said(item.user), ' reads why.');
    },
    done,
  });
}

/** End a grant before its time. */
export function revoke(item, done) {
  ask({
    title: 'Close this host again?',
    facts: [
      ['Host', said(`${item.pattern}:${item.port}`, 120)],
      ['For', said(`${item.scope} ${item.name ?? ''}`)],
      ['Open since', h('span', {}, instant(item.since), ' by ', said(item.by))],
      ['Until', instant(item.until)],
    ],
    fields: [
      { name: 'why', label: 'Reason', kind: 'long', hint: 'For its user and the audit; may be empty.' },
    ],
    will: () => 'Every server it holds for loses the host at once; its open connections end within seconds.',
    confirm: 'Close it',
    danger: true,
    command: ({ why }) => command(['egress', 'revoke', item.id], { why }),
    send: async ({ why }) => {
      await call('POST', `api/egress/grants/${path(item.id)}/revoke`, why ? { why } : {});
      return h('p', {}, said(`${item.pattern}:${item.port}`, 120), ' is closed.');
    },
    done,
  });
}

/** Text for the YAML file that would allow what was refused; nothing is changed. */
export function propose(item) {
  const rule = JSON.stringify(`${item.host}:${item.port}`);
  const lines = ['sandbox:', '  egress:', `  - ${rule}`].join('\n');
  ask({
    title: 'Allow it for good?',
    facts: [
      ['Refused', said(`${item.host}:${item.port}`, 120)],
      ['For', said(item.user)],
    ],
    will: () => [
      'Put this into the profile in profiles.yaml. ',
      'It holds for everybody with that profile, from their next start. ',
      h('pre', { tabindex: '0', 'aria-label': 'Lines for profiles.yaml' }, lines),
      'Check it with the command below. Nothing is changed here.',
    ],
    command: () => 'jupyter-sandbox-admin profiles check profiles.yaml',
  });
}
