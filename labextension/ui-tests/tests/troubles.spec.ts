/* What does the panel say when something is wrong, and does it recover by itself? */

import { expect } from '@playwright/test';
import { load, test } from './lab';
import { AWAY, section, show, tab } from './sandbox';

const HOUR = 3_600_000;

for (const sign of [-1, 1]) {
  test(`a browser whose clock is an hour ${sign > 0 ? 'behind' : 'ahead'} shows the right time`, async ({ lab }) => {
    const { server } = lab;
    await lab.begin();
    server.skew = sign * HOUR;
    const { panel } = lab;
    await lab.refresh();
    await expect(section(panel, 'Time').getByRole('timer')).toHaveText(/^4[01] min$/);
    await expect(panel).toContainText('Updated just now');
  });
}

test('control away: the last known with since when, and well again by itself', async ({ lab }) => {
  const { server } = lab;
  await lab.begin();
  const since = new Date(Date.now() - 3.5 * 60_000).toISOString();
  server.say = view => {
    view.control = { ...AWAY, since };
  };
  const { panel } = lab;
  await lab.refresh();
  const banner = panel.locator('.jp-sandbox-trouble');
  await expect(banner).toContainText('The sandbox service does not answer');
  await expect(banner).toContainText('What you see is last known, since');
  await expect(banner).toContainText('3 min ago');
  await expect(section(panel, 'Time')).toContainText('last known: stops');
  server.say = () => undefined;
  await lab.page.clock.fastForward(10 * 60_000);
  await expect(banner).toHaveCount(0);
});

test('the server does not answer: what was known stays, and one may try at once', async ({ lab }) => {
  const { panel, server } = lab;
  await lab.begin();
  server.view = null;
  await panel.getByRole('button', { name: 'Refresh' }).click();
  const banner = panel.locator('.jp-sandbox-trouble');
  await expect(banner).toContainText('This server does not answer');
  await expect(section(panel, 'Secrets')).toContainText('WAREHOUSE_PASSWORD');
  server.view = undefined;
  await banner.getByRole('button', { name: 'Try now' }).click();
  await expect(banner).toHaveCount(0);
});

test('an ended login offers to log in in a new tab, and goes on by itself', async ({ lab }) => {
  const { panel, server } = lab;
  await lab.begin();
  server.view = { status: 403, body: { code: 'lab.login', message: 'Log in again.' } };
  await panel.getByRole('button', { name: 'Refresh' }).click();
  const banner = panel.locator('.jp-sandbox-trouble');
  await expect(banner).toContainText('Your login has ended');
  const link = banner.getByRole('link', { name: /Log in/ });
  await expect(link).toHaveAttribute('target', '_blank');
  await expect(link).toHaveAttribute('rel', /noopener/);
  server.view = undefined;
  await lab.page.clock.fastForward(10 * 60_000);
  await expect(banner).toHaveCount(0);
});

/** What a hub answers for a server that has ended: a redirect, to another origin where it has subdomains. */
const ENDED = {
  'a redirect to its own page': { status: 302, headers: { location: '/hub/user/ada/sandbox/view' } },
  'a redirect to another origin': { status: 302, headers: { location: 'https://hub.example/hub/user/ada/sandbox/view' } },
  'a refusal': { status: 424, body: { message: 'ada is not running' } }
};

for (const [name, answer] of Object.entries(ENDED)) {
  test(`a server that has ended says why and where it starts again, and goes on by itself: ${name}`, async ({ lab }) => {
    const { panel, server } = lab;
    await lab.begin();
    server.say = view => {
      view.sandbox.stop = { code: 'stop.by_admin', why: 'The disks are moved.', actor: 'root', decided_at: view.now };
    };
    await lab.refresh();
    server.view = answer;
    await panel.getByRole('button', { name: 'Refresh' }).click();
    const banner = panel.locator('.jp-sandbox-trouble');
    await expect(banner).toContainText('This server has ended');
    await expect(banner).toContainText('The disks are moved.');
    await expect(banner).not.toContainText('not running');
    await expect(section(panel, 'Time').getByRole('timer')).toHaveText('ended');
    await expect(section(panel, 'Time').getByRole('button', { name: /Extend|Stop/ })).toHaveCount(0);
    const link = banner.getByRole('link', { name: /Start again/ });
    await expect(link).toHaveAttribute('href', 'https://hub.example/hub/user/ada/lab');
    server.reset();
    await lab.page.clock.fastForward(10 * 60_000);
    await expect(banner).toHaveCount(0);
  });
}

test('only what the broker knows is away when the broker is', async ({ lab }) => {
  const { server } = lab;
  await lab.begin();
  server.say = view => {
    view.broker = { ...AWAY, message: 'The broker does not answer.', since: view.now };
    view.experiments.part = { ...AWAY, message: 'MLflow does not answer.', since: null };
  };
  const { panel } = lab;
  await lab.refresh();
  await expect(section(panel, 'Secrets')).toContainText('The broker does not answer.');
  await expect(section(panel, 'Secrets')).toContainText('Last known:');
  await expect(section(panel, 'Experiments')).toContainText('MLflow does not answer.');
  await expect(panel.locator('.jp-sandbox-trouble')).toHaveCount(0);
});

test('a sandbox of which nothing was ever heard says just that', async ({ lab }) => {
  const { server } = lab;
  await lab.begin();
  server.say = view => {
    view.sandbox = null;
    view.control = AWAY;
  };
  const { panel } = lab;
  await lab.refresh();
  await expect(panel).toContainText('Nothing is known of this sandbox yet.');
  await expect(panel).toContainText('The sandbox service does not answer');
});

test('a page that nobody sees asks nothing, and asks at once when it is seen', async ({ lab }) => {
  const { panel, server } = lab;
  await lab.begin();
  await expect(section(panel, 'Time')).toBeVisible();
  await show(lab.page, false);
  const before = server.count('view');
  await lab.page.clock.fastForward(30 * 60_000);
  await lab.page.clock.runFor(5 * 60_000);
  expect(server.count('view')).toBe(before);
  server.say = view => {
    view.sandbox.profile = 'after the sleep';
  };
  await show(lab.page, true);
  await expect(section(panel, 'Time')).toContainText('after the sleep');
  expect(server.count('view')).toBe(before + 1);
});

test('a page that is seen asks once in 30 seconds', async ({ lab }) => {
  const { panel, server } = lab;
  await lab.begin();
  await expect(section(panel, 'Time')).toBeVisible();
  const before = server.count('view');
  for (let times = 0; times < 10; times += 1) {
    await lab.page.clock.runFor(30_000);
  }
  const asked = server.count('view') - before;
  expect(asked).toBeGreaterThanOrEqual(7); // the positive control: it does ask
  expect(asked).toBeLessThanOrEqual(10);
});

test('two tabs agree: what one does, the other shows when it is looked at', async ({ lab, baseURL }) => {
  const { panel, server } = lab;
  await lab.begin();
  const other = await lab.page.context().newPage();
  await server.attach(other);
  await load(other, baseURL!, 'second');
  await tab(other).click();
  const there = other.locator('#jp-sandbox-panel');
  await expect(section(there, 'Time').getByRole('timer')).toHaveText(/^4[01] min$/);
  const later = new Date(server.started + 100.5 * 60_000).toISOString();
  server.answers.extend = () => {
    server.say = view => {
      view.sandbox.ending.at = later;
      view.sandbox.extension = { possible: false, until: null, code: '', message: 'None is left.', left: 0, cap: null };
    };
    return { status: 200, body: { deadline: later, left: 0, cap: null } };
  };
  await section(panel, 'Time').getByRole('button', { name: /^Extend/ }).click();
  await expect(section(panel, 'Time').getByRole('timer')).toHaveText(/^1 h/);
  await show(other, false);
  await lab.page.clock.fastForward(31_000); // it does not ask more often
  await show(other, true);
  await expect(section(there, 'Time').getByRole('timer')).toHaveText(/^1 h/);
  await expect(section(there, 'Time')).toContainText('None is left.');
  await other.close();
});
