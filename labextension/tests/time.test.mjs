/* How much time is left, how loud is that, and how sure? */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HOUR, instant, level, MINUTE, skewOf, staleSince, thresholdsOf, THRESHOLDS } from '../lib/time.js';

const T = Date.parse('2026-11-30T12:00:00Z');

const ends = (kind, idle_timeout, ...warned) => ({
  ending: { kind },
  idle_timeout,
  warnings: warned.map(name => ({ kind: name }))
});

test('Time left turns amber at 15 minutes, red at 5, and is over at none.', () => {
  const at = [15 * MINUTE + 1, 15 * MINUTE, 5 * MINUTE + 1, 5 * MINUTE, 1, 0, -HOUR];
  assert.deepEqual(at.map(left => level(left)), ['plain', 'amber', 'amber', 'red', 'red', 'over', 'over']);
});

test('Thresholds that were set hold.', () => {
  assert.equal(level(29 * MINUTE, { amber: 30, red: 10 }), 'amber');
  assert.equal(level(29 * MINUTE, { amber: 0, red: 0 }), 'plain');
});

test('An end by idleness is loud only where half of the idle timeout, and a sixth, is left.', () => {
  assert.deepEqual(thresholdsOf(ends('idle', 600), THRESHOLDS), { amber: 5, red: 10 / 6 });
  assert.deepEqual(thresholdsOf(ends('idle', 7200), THRESHOLDS), THRESHOLDS);
  assert.deepEqual(thresholdsOf(ends('ttl', 600), THRESHOLDS), THRESHOLDS);
});

test('An end by an idle GPU is plain until control has warned of it.', () => {
  assert.deepEqual(thresholdsOf(ends('gpu_idle', 600), THRESHOLDS), { amber: 0, red: 0 });
  assert.deepEqual(thresholdsOf(ends('gpu_idle', 600, 'ttl'), THRESHOLDS), { amber: 0, red: 0 });
  assert.deepEqual(thresholdsOf(ends('gpu_idle', 600, 'gpu_idle'), THRESHOLDS), THRESHOLDS);
});

test("A browser's clock that is an hour off is corrected, and the way of the question with it.", () => {
  const found = skewOf(T, T + 4000, T + HOUR + 2000, null);
  assert.deepEqual(found, { skew: HOUR, error: 2000 });
});

test('A slower answer that does not gainsay what is known changes nothing, so a countdown does not jump.', () => {
  const before = { skew: HOUR, error: 10 };
  assert.equal(skewOf(T, T + 3000, T + HOUR + 100, before), before);
});

test('A quicker answer is believed more than the one before.', () => {
  const found = skewOf(T, T + 20, T + HOUR + 500, { skew: HOUR, error: 900 });
  assert.deepEqual(found, { skew: HOUR + 490, error: 10 });
});

test('A clock that was set anew is believed at once, however slow the answer.', () => {
  const found = skewOf(T, T + 3000, T + 1500, { skew: HOUR, error: 10 });
  assert.deepEqual(found, { skew: 0, error: 1500 });
});

test('A laptop that slept while it asked keeps the skew of before.', () => {
  const before = { skew: 0, error: 10 };
  assert.equal(skewOf(T, T + 8 * HOUR, T + 50, before), before);
});

test('A document without a time changes no clock.', () => {
  assert.deepEqual(skewOf(T, T, instant('soon'), null), { skew: 0, error: Infinity });
  assert.equal(instant(null), null);
});

const known = (ok, since) => ({ heard: T, skew: HOUR, view: { control: { ok, since } } });

test('What was heard from server and control is not stale.', () => {
  assert.equal(staleSince(known(true, null), null), null);
});

test('Where the server does not answer, it is as old as its last answer.', () => {
  assert.equal(staleSince(known(true, null), { kind: 'away' }), T);
});

test("Where control does not answer, it is as old as control's last word, by the browser's clock.", () => {
  assert.equal(staleSince(known(false, '2026-11-30T12:57:00Z'), null), T - 3 * MINUTE);
  assert.equal(staleSince(known(false, null), null), T);
});
