/* What is news, when is it shown, and in which words? */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decided } from '../lib/decided.js';
import { applied, Heard, noticeOf } from '../lib/notices.js';
import { preferencesOf } from '../lib/preferences.js';
import { level, MINUTE } from '../lib/time.js';
import * as words from '../lib/toast-words.js';
import { endOf, troubleKind, wordsOf } from '../lib/trouble.js';
import { Warned } from '../lib/warned.js';
import { statusOf } from '../lib/words.js';
import { trans } from './words.mjs';

const T = Date.parse('2026-11-30T16:00:00Z');
const at = ms => new Date(T + ms).toISOString();
const UTC = { locale: 'en-GB', zone: 'UTC' };
const SCHEMA = 'https://events.jupyter-sandbox.example/notice/v1';
const event = more => ({ schema_id: SCHEMA, id: 7, kind: 'warning', code: 'warning.ttl', why: 'x', at: '', ...more });

function view(end, more = {}) {
  const ending = { at: end === null ? null : at(end), kind: 'ttl', code: 'warning.ttl', why: 'It ends.', rule: 'profile small' };
  const control = { ok: true, code: '', message: '', remedy: '', since: null };
  const sandbox = { ending, idle_timeout: null, warnings: [], stop: null, ...more };
  return { now: at(0), control, sandbox, egress: { allowed: [], denied: [], requests: [] } };
}

const known = (end, more) => ({ view: view(end, more), heard: T, skew: 0 });
const status = (what, trouble = null, now = T) => statusOf(what, trouble, now, { amber: 15, red: 5 }, trans, UTC);

test("An event of the bus is a notice where it has our schema, and nobody else's.", () => {
  assert.equal(noticeOf(event({ at: at(MINUTE) })).at, at(MINUTE));
  assert.equal(noticeOf(event({})).at, null);
  assert.equal(noticeOf(event({ schema_id: 'https://events.jupyter.org/notice/v1' })), null);
  assert.equal(noticeOf(event({ kind: 5 })), null);
  assert.equal(noticeOf({ schema_id: SCHEMA }), null);
});

test('What the bus told is no news in the document, and each is told once.', () => {
  const heard = new Heard();
  const warning = { id: 7, kind: 'ttl', code: 'warning.ttl', why: 'x', at: at(MINUTE), told_at: at(0) };
  assert.equal(heard.notice(noticeOf(event({}))), true);
  assert.equal(heard.notice(noticeOf(event({}))), false);
  const found = heard.warnings(view(MINUTE, { warnings: [warning, { ...warning, id: 8 }] }));
  assert.deepEqual(found.map(({ id, kind }) => [id, kind]), [[8, 'warning']]);
  assert.deepEqual(heard.warnings(view(MINUTE, { warnings: [warning] })), []);
});

test('An extension that was clicked here is not told again by the bus, however it writes the instant.', () => {
  const heard = new Heard();
  assert.equal(heard.notice({ id: 0, kind: 'extended', code: '', why: '', at: '2026-11-30T17:00:00Z' }), true);
  assert.equal(heard.notice({ id: 9, kind: 'extended', code: '', why: '', at: '2026-11-30T17:00:00+00:00' }), false);
});

test('A notice moves the end that is known, so that no question is needed.', () => {
  const moved = applied(view(MINUTE), noticeOf(event({ kind: 'extended', at: at(60 * MINUTE) })));
  assert.equal(moved.sandbox.ending.at, at(60 * MINUTE));
  const before = view(MINUTE);
  assert.equal(applied(before, noticeOf(event({ kind: 'egress_request', at: at(0) }))), before);
});

test('A warning of another kind of end brings its kind and reason, and is among the warnings.', () => {
  const notice = noticeOf(event({ code: 'warning.gpu_idle', why: 'Its GPU is unused.', at: at(MINUTE) }));
  const { ending, warnings } = applied(view(60 * MINUTE), notice).sandbox;
  assert.deepEqual(ending, { at: at(MINUTE), kind: 'gpu_idle', code: 'warning.gpu_idle', why: 'Its GPU is unused.', rule: '' });
  assert.deepEqual(warnings.map(({ id, kind }) => [id, kind]), [[7, 'gpu_idle']]);
});

test('A server that said that it is being stopped is known to be, also without an instant.', () => {
  const { stop } = applied(view(MINUTE), noticeOf(event({ kind: 'stopping', code: 'stop.by_admin', why: 'Disks.' }))).sandbox;
  assert.deepEqual([stop.code, stop.why], ['stop.by_admin', 'Disks.']);
});

test('Why a server ended is what it said before: its stop, or the end that was near.', () => {
  const stop = { code: 'x', why: 'Disks.', actor: null, decided_at: null };
  assert.equal(endOf(view(60 * MINUTE, { stop }).sandbox, T), 'Disks.');
  assert.equal(endOf(view(30_000).sandbox, T), 'It ends.');
  assert.equal(endOf(view(60 * MINUTE).sandbox, T), '');
  assert.equal(endOf(null, T), '');
  assert.equal(status(known(30_000), { kind: 'gone', message: '', since: T }).tooltip[0], 'It ends.');
});

test('Where no answer came, a person is told so in her words, and that it may be done.', () => {
  const lost = { message: 'TypeError: Failed to fetch', status: 0, code: 'server.away' };
  assert.match(wordsOf(lost, trans).message, /^The server does not answer/);
  assert.match(wordsOf(lost, trans).remedy, /may have been done/);
  assert.deepEqual(wordsOf({ message: 'No.', remedy: 'Ask.', status: 409 }, trans), { message: 'No.', remedy: 'Ask.' });
});

const situation = (minutes, more = {}) => ({
  now: T - minutes * MINUTE,
  at: T,
  level: level(minutes * MINUTE),
  moves: false,
  told: false,
  ...more
});

test('A threshold is told once, and the next one again.', () => {
  const warned = new Warned();
  const acts = [20, 15, 14, 10, 5, 4.9, 1, 0].map(minutes => warned.next(situation(minutes)));
  assert.deepEqual(acts, [null, 'show', null, null, 'show', null, null, null]);
});

test('Two thresholds that are crossed at once are one toast.', () => {
  const warned = new Warned();
  assert.deepEqual([20, 4, 4].map(minutes => warned.next(situation(minutes))), [null, 'show', null]);
});

test("Control's warning beside a threshold changes the toast that stands, and puts up no other.", () => {
  const warned = new Warned();
  warned.next(situation(15));
  assert.equal(warned.next(situation(14.9, { told: true })), 'update');
  assert.equal(warned.next(situation(12, { told: true })), 'show');
});

test('A warning goes when the end moves, and where it moves near it is told anew.', () => {
  const warned = new Warned();
  warned.next(situation(5));
  assert.equal(warned.next({ ...situation(4), at: T + 60 * MINUTE, level: 'plain' }), 'dismiss');
  assert.equal(warned.next({ ...situation(-56), at: T + 60 * MINUTE, level: 'red' }), 'show');
});

test('An end that moves with each use is told by control alone.', () => {
  const warned = new Warned();
  assert.equal(warned.next(situation(4, { moves: true })), null);
  assert.equal(warned.next(situation(4, { moves: true, told: true })), 'show');
});

test('A request that was answered since is news; what was answered before the page came is not.', () => {
  const asked = (id, state) => ({ id, status: state });
  const before = [asked(1, 'waiting'), asked(2, 'waiting'), asked(3, 'approved'), asked(4, 'waiting')];
  const now = [asked(1, 'approved'), asked(2, 'denied'), asked(3, 'revoked'), asked(4, 'withdrawn'), asked(5, 'denied')];
  assert.deepEqual(decided(before, now).map(({ id }) => id), [1, 2, 3]);
  assert.deepEqual(decided(null, now), []);
});

test('The status shows what is left, and says when, why and by which rule.', () => {
  const found = status(known(41 * MINUTE));
  assert.equal(found.text, '41 min');
  assert.match(found.tooltip[0], /16:41/);
  assert.deepEqual(found.tooltip.slice(1), ['It ends.', 'Rule: profile small']);
  assert.equal(found.level, 'plain');
});

test('Time left is right by a clock that is an hour off.', () => {
  const off = { ...known(41 * MINUTE), skew: -60 * MINUTE };
  assert.equal(status(off, null, T + 60 * MINUTE).text, '41 min');
});

test('While the server is away, time left counts on as last known, and says since when.', () => {
  const found = status(known(41 * MINUTE), { kind: 'away', message: '', since: T }, T + 3 * MINUTE);
  assert.equal(found.text, '38 min');
  assert.equal(found.stale, true);
  assert.ok(found.tooltip.includes('Last known: 3 min ago'));
});

test('While control is away, the status says so though the server answers.', () => {
  const what = known(41 * MINUTE);
  what.view.control = { ok: false, code: 'x', message: 'Control does not answer.', remedy: '', since: at(-2 * MINUTE) };
  const found = status(what);
  assert.deepEqual([found.stale, found.tooltip.at(-2), found.tooltip.at(-1)],
    [true, 'Control does not answer.', 'Last known: 2 min ago']);
});

test('A server that ended, and a login that did, are told instead of a time.', () => {
  assert.equal(status(known(MINUTE), { kind: 'gone', message: '', since: T }).text, 'Server ended');
  assert.equal(status(known(MINUTE), { kind: 'login', message: '', since: T }).text, 'Log in again');
});

test('Without an end, or before anything is known, no time is made up.', () => {
  assert.equal(status(known(null)).text, 'Sandbox');
  const nothing = known(null);
  nothing.view.sandbox = null;
  assert.equal(status(nothing).tooltip[0], 'Nothing is known of this sandbox yet.');
});

test('Why nobody answered is told by the status; where nothing is ours, nothing is shown.', () => {
  const kinds = [[0, false], [502, true], [503, true], [401, true], [403, false], [424, true], [404, true], [404, false]];
  assert.deepEqual(kinds.map(([code, was]) => troubleKind(code, '', was)),
    ['away', 'away', 'away', 'login', 'login', 'gone', 'gone', 'none']);
  assert.equal(troubleKind(404, 'sandbox.outside', true), 'none');
});

test('A toast says when, by the clock of who reads it, before why.', () => {
  const text = words.warning(view(5 * MINUTE).sandbox.ending, T + 5 * MINUTE, T, trans, UTC);
  assert.equal(text, 'This sandbox stops in 5 minutes, at 16:05.\nWhat is only in memory is lost.\nIt ends.');
});

test('An extension says how many are left and the cap.', () => {
  const extension = { possible: true, left: 1, cap: at(120 * MINUTE) };
  const notice = { id: 0, kind: 'extended', code: '', why: '', at: at(60 * MINUTE) };
  assert.equal(words.extended(notice, extension, T, trans, UTC),
    'This sandbox stops at 17:00 now.\n1 extension is left.\nNever later than 18:00.');
});

test('A decision names host and port, until when, and what was answered.', () => {
  const request = { id: 1, host: 'a.example', port: 443, status: 'approved', until: at(MINUTE), answer: 'Have fun.' };
  assert.equal(words.decision(request, T, trans, UTC), 'You may reach a.example:443 until 16:01.\nHave fun.');
  assert.match(words.decision({ ...request, status: 'denied' }, T, trans, UTC), /was denied/);
  assert.match(words.decision({ ...request, here: false }, T, trans, UTC), /approved, but this sandbox does not/);
});

test('Hostile words lose their control characters, and a megabyte is cut.', () => {
  const why = '\u001b[31m\u202e<img src=x>' + 'x'.repeat(1_000_000);
  const text = words.warning({ why }, T + MINUTE, T, trans, UTC);
  assert.ok(text.length < 250);
  assert.ok(!/[\u001b\u202e]/.test(text));
  const found = status(known(MINUTE, { ending: { at: at(MINUTE), kind: 'ttl', why, rule: why } }));
  assert.ok(found.tooltip.every(line => line.length < 400 && !/[\u001b\u202e]/.test(line)));
});

test('Settings that are no settings are as if never set, and red is never earlier than amber.', () => {
  assert.deepEqual(preferencesOf({}), { thresholds: { amber: 15, red: 5 }, poll: true, toasts: true });
  assert.deepEqual(preferencesOf({ amber: 3, red: 'x', poll: false, toasts: 0 }),
    { thresholds: { amber: 3, red: 3 }, poll: false, toasts: true });
});
