/* When is the server asked? By a clock that the tests turn. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { INTERVAL, MOST, Pace, pause } from '../lib/pace.js';

/** A browser whose time passes when it is told to. */
class Browser {
  time = 1_000_000;
  seen = true;
  timers = new Map();
  next = 1;
  now = () => this.time;
  visible = () => this.seen;
  random = () => 0;
  later = (act, after) => {
    this.timers.set(this.next, { act, at: this.time + after });
    return this.next++;
  };
  forget = timer => this.timers.delete(timer);

  async pass(ms) {
    const end = this.time + ms;
    for (;;) {
      const due = [...this.timers].filter(([, { at }]) => at <= end).sort((a, b) => a[1].at - b[1].at)[0];
      if (!due) {
        break;
      }
      this.timers.delete(due[0]);
      this.time = Math.max(this.time, due[1].at);
      due[1].act();
      await settled();
    }
    this.time = end;
  }
}

const settled = () => new Promise(resolve => setImmediate(resolve));

async function started(answers = () => true) {
  const browser = new Browser();
  const asked = [];
  const pace = new Pace(browser, async () => {
    asked.push(browser.time);
    return answers();
  });
  await pace.start();
  return { browser, pace, asked };
}

test('A page that is seen asks at once and then every 30 s.', async () => {
  const { browser, asked } = await started();
  await browser.pass(10 * 60_000);
  assert.equal(asked.length, 21);
  assert.ok(asked.slice(1).every((at, i) => at - asked[i] >= INTERVAL));
});

test('A page that is hidden asks never, and has no timer.', async () => {
  const { browser, pace, asked } = await started();
  browser.seen = false;
  pace.wake();
  await browser.pass(60 * 60_000);
  assert.equal(asked.length, 1);
  assert.equal(browser.timers.size, 0);
});

test('A page that is seen again asks at once.', async () => {
  const { browser, pace, asked } = await started();
  browser.seen = false;
  await browser.pass(10 * 60_000);
  browser.seen = true;
  pace.wake();
  await settled();
  assert.equal(asked.length, 2);
  assert.equal(asked[1], browser.time);
});

test('However often it is hidden and shown, 30 s lie between two questions.', async () => {
  const { browser, pace, asked } = await started();
  for (let i = 0; i < 600; i++) {
    await browser.pass(500);
    browser.seen = !browser.seen;
    pace.wake();
    await settled();
  }
  assert.ok(asked.length >= 5);
  assert.ok(asked.slice(1).every((at, i) => at - asked[i] >= INTERVAL));
});

test('A warning is followed by a question at once, but not twice in 5 s.', async () => {
  const { browser, pace, asked } = await started();
  await browser.pass(10_000);
  pace.urge();
  pace.urge();
  await browser.pass(4_000);
  pace.urge();
  await browser.pass(0);
  assert.equal(asked.length, 2);
  await browser.pass(1_000);
  assert.equal(asked.length, 3);
});

test('Stopped, and then resumed by an answer, it asks on.', async () => {
  const { browser, pace, asked } = await started();
  pace.stop();
  pace.resume();
  await pace.askNow();
  await browser.pass(60_000);
  assert.equal(asked.length, 4);
});

test('A laptop that slept asks at its first step, though its timers stood still.', async () => {
  const { browser, asked } = await started();
  browser.time += 8 * 3_600_000; // no timer ran
  const [, { act }] = [...browser.timers][0];
  act();
  await settled();
  assert.equal(asked.length, 2);
});

test('A clock that was set back does not keep it from asking.', async () => {
  const { browser, asked } = await started();
  browser.time -= 3_600_000;
  await [...browser.timers.values()][0].act();
  await settled();
  assert.equal(asked.length, 2);
});

test('Where nothing answers it asks ever less, to every 5 minutes, and again every 30 s after an answer.', async () => {
  let answers = false;
  const { browser, asked } = await started(() => answers);
  await browser.pass(60 * 60_000);
  const waits = asked.slice(1).map((at, i) => at - asked[i]);
  assert.deepEqual(waits.slice(0, 4), [30_000, 60_000, 120_000, 240_000]);
  assert.ok(waits.slice(4).every(wait => wait > 240_000 && wait <= MOST));
  answers = true;
  await browser.pass(MOST);
  const before = asked.length;
  await browser.pass(5 * 60_000);
  assert.ok(asked.length - before >= 9);
});

test('Chance adds a tenth at most, and never asks earlier.', () => {
  for (let failures = 0; failures < 20; failures++) {
    assert.ok(pause(failures, 0) >= INTERVAL);
    assert.ok(pause(failures, 1) <= MOST);
    assert.ok(pause(failures, 1) > pause(failures, 0));
  }
});

test('Who asks while a question is out gets an answer to a question of after.', async () => {
  const browser = new Browser();
  const answers = [];
  const pace = new Pace(browser, () => new Promise(resolve => answers.push(() => resolve(true))));
  const first = pace.askNow();
  let done = false;
  const second = pace.askNow().then(() => (done = true));
  assert.equal(answers.length, 1);
  answers[0]();
  await first;
  await settled();
  assert.equal(answers.length, 2);
  assert.equal(done, false);
  answers[1]();
  await second;
  assert.equal(done, true);
});

test('Stopped, it asks only when it is told to.', async () => {
  const { browser, pace, asked } = await started();
  pace.stop();
  pace.wake();
  await browser.pass(60 * 60_000);
  assert.equal(asked.length, 1);
  await pace.askNow();
  assert.equal(asked.length, 2);
});
