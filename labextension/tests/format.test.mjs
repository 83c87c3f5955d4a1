/* In which words are times and sizes read? */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as format from '../lib/format.js';
import { DAY, HOUR, level, MINUTE, SECOND } from '../lib/time.js';
import { trans } from './words.mjs';

const T = Date.parse('2026-11-30T16:42:00Z');
const UTC = { locale: 'en-GB', zone: 'UTC' };
const left = ms => format.leftText(ms, level(ms), trans);

test('Time left is told by its two largest units, and by the second where it is red.', () => {
  assert.equal(left(41 * MINUTE + 59 * SECOND), '41 min');
  assert.equal(left(2 * HOUR + 5 * MINUTE), '2 h 5 min');
  assert.equal(left(2 * HOUR), '2 h');
  assert.equal(left(47 * HOUR), '47 h');
  assert.equal(left(52 * HOUR), '2 d 4 h');
  assert.equal(left(3 * DAY), '3 d');
  assert.equal(left(5 * MINUTE), '5:00');
  assert.equal(left(4 * MINUTE + 8.2 * SECOND), '4:09');
  assert.equal(left(1), '0:01');
  assert.equal(left(0), 'ending');
});

test('Who listens hears words.', () => {
  assert.equal(format.spokenText(5 * MINUTE, trans), '5 minutes');
  assert.equal(format.spokenText(HOUR + MINUTE, trans), '1 hour, 1 minute');
  assert.equal(format.spokenText(30.2 * SECOND, trans), '31 seconds');
  assert.equal(format.spokenText(49 * HOUR + MINUTE, trans), '2 days, 1 hour');
  assert.equal(format.spokenText(-HOUR, trans), '0 seconds');
});

test('An age is told from a minute on.', () => {
  assert.equal(format.agoText(59 * SECOND, trans), 'just now');
  assert.equal(format.agoText(3 * MINUTE + 5, trans), '3 min ago');
});

test('An instant has its weekday on another day, and its date from a week on.', () => {
  assert.equal(format.instantText(T, T - HOUR, UTC), '16:42');
  assert.match(format.instantText(T, T - DAY, UTC), /^Mon.* 16:42$/);
  assert.match(format.instantText(T, T - 9 * DAY, UTC), /^30 Nov.* 16:42$/);
});

test('An instant is told in the zone of who reads it.', () => {
  assert.equal(format.instantText(T, T, { locale: 'en-GB', zone: 'Asia/Tokyo' }), '01:42');
  assert.match(format.fullText(T, { locale: 'de-DE', zone: 'Europe/Berlin' }), /Montag, 30\. November 2026.*17:42/);
});

test('Bytes are told by the largest unit that is at least one.', () => {
  const texts = [0, 1023, 1536, 8 * 2 ** 30].map(bytes => format.bytesText(bytes, 'en'));
  assert.deepEqual(texts, ['0 B', '1,023 B', '1.5 KiB', '8 GiB']);
});

test("JupyterLab's names of languages are made those of Intl, and no name is none.", () => {
  assert.equal(format.localeName('de_DE', 'en-GB'), 'de-DE');
  assert.equal(format.localeName('zh_Hans_CN'), 'zh-Hans-CN');
  assert.equal(format.localeName('no name at all'), undefined);
  assert.equal(format.localeName(''), undefined);
});

test('The country is that of the browser, where its language is the one that was chosen.', () => {
  assert.equal(format.localeName('en', 'en-GB'), 'en-GB');
  assert.equal(format.localeName('de_DE', 'de-AT'), 'de-AT');
  assert.equal(format.localeName('en', 'no name at all'), undefined);
});
