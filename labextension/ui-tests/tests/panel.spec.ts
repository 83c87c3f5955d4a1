/* Does the panel say what the server said, and do what its buttons say? */

import { expect } from '@playwright/test';
import { load, test } from './lab';
import { document, section, tab, wish } from './sandbox';

test('every section shows what the server said', async ({ lab }) => {
  const { panel } = lab;
  await lab.begin();
  const time = section(panel, 'Time');
  await expect(time.getByRole('timer')).toHaveText(/^4[01] min$/);
  await expect(time).toContainText('GPU small');
  await expect(time).toContainText('Its sandbox TTL of 4 h is up then. Rule: weekdays');
  await expect(time).toContainText('2 left, at most until');
  await expect(time).toContainText('It was not used for 1 h.');
  const quotas = section(panel, 'Quotas');
  await expect(quotas.getByRole('meter', { name: 'CPU' })).toHaveAttribute('aria-valuetext', '1.2 of 2 cores');
  await expect(quotas.getByRole('meter', { name: 'Memory' })).toHaveAttribute('aria-valuenow', '88');
  await expect(quotas.getByRole('meter', { name: 'GPU NVIDIA A100' })).toHaveAttribute('aria-valuetext', '97 % busy');
  await expect(quotas.getByText('soft limit')).toHaveCount(1);
  const secrets = section(panel, 'Secrets');
  await expect(secrets).toContainText('os.environ["WAREHOUSE_PASSWORD"]');
  await expect(secrets).toContainText('Vault does not know this path.');
  const network = section(panel, 'Network');
  await expect(network).toContainText('No rule of your profile allows this host.');
  await expect(network).toContainText('12 times, last');
  await expect(network.locator('[data-list=requests]')).toContainText('For this week.');
  await expect(section(panel, 'Datasets')).toContainText('you work for "teaching"');
  const link = section(panel, 'Experiments').getByRole('link', { name: /Open MLflow/ });
  await expect(link).toHaveAttribute('target', '_blank');
  await expect(link).toHaveAttribute('rel', /noopener/);
});

test('elsewhere than in a sandbox nothing is shown, and nothing more is asked', async ({ lab }) => {
  await lab.begin();
  lab.server.view = { status: 404, body: { code: 'sandbox.outside', message: 'This server is no sandbox.' } };
  await lab.refresh();
  await expect(tab(lab.page)).toHaveCount(0);
  await expect(lab.panel).toHaveCount(0);
  const asked = lab.server.count('view');
  await lab.page.clock.fastForward(10 * 60_000);
  expect(lab.server.count('view')).toBe(asked);
});

test('an open panel is open again after a reload', async ({ lab, baseURL }) => {
  const saved = lab.page.waitForRequest(request => request.method() === 'PUT' && /workspaces/.test(request.url()));
  await lab.begin();
  await lab.page.clock.runFor(5000);
  await saved;
  lab.server.view = null;
  await load(lab.page, baseURL!);
  await expect(lab.panel).toContainText('This server does not answer'); // a first failure takes nothing away
  lab.server.view = undefined;
  await lab.refresh();
  await expect(lab.panel).toBeVisible();
  await expect(section(lab.panel, 'Time')).toBeVisible();
});

test('extending shows the new end, and a refusal the reason of the server', async ({ lab }) => {
  const { server } = lab;
  await lab.begin();
  const later = new Date(server.started + 100.5 * 60_000).toISOString();
  server.answers.extend = () => {
    server.say = view => {
      view.sandbox.ending.at = later;
    };
    return { status: 200, body: { deadline: later, left: 1, cap: null } };
  };
  const { panel } = lab;
  await lab.refresh();
  const time = section(panel, 'Time');
  await time.getByRole('button', { name: /^Extend to/ }).click();
  await expect(time.getByRole('timer')).toHaveText(/^1 h (39|40) min$/);
  await expect(time.getByRole('status')).toContainText('Extended: it may run until');
  server.answers.extend = () => ({
    status: 409,
    body: { code: 'extend.used_up', message: 'The profile allows no further extension.', remedy: 'Ask your admin.' }
  });
  await time.getByRole('button', { name: /^Extend to/ }).click();
  await expect(time.getByRole('status')).toContainText('The profile allows no further extension. Ask your admin.');
});

test('an extension whose answer is lost is asked for again as the same one', async ({ lab }) => {
  const { panel, server } = lab;
  await lab.begin();
  let answers = 0;
  server.answers.extend = () => (answers++ ? { status: 200, body: { deadline: null, left: 1, cap: null } } : null);
  const time = section(panel, 'Time');
  await time.getByRole('button', { name: /^Extend to/ }).click();
  await expect(time.getByRole('status')).toContainText('Extended.');
  const keys = server.asked.filter(({ path }) => path === 'extend').map(({ body }) => body.key);
  expect(keys).toHaveLength(2);
  expect(keys[0]).toMatch(/^[\w.-]{1,58}$/);
  expect(keys[1]).toBe(keys[0]);
  server.answers.extend = () => null;
  await time.getByRole('button', { name: /^Extend to/ }).click();
  await expect(time.getByRole('status')).toContainText('The server does not answer. It may have been done');
  expect(server.asked[server.asked.length - 1].body.key).not.toBe(keys[0]);
});

test('runs are shown where MLflow has no address, and nothing is tracked only where the server says so', async ({ lab }) => {
  const { panel, server } = lab;
  await lab.begin();
  const experiments = section(panel, 'Experiments');
  server.say = view => {
    view.experiments.url = null;
  };
  await lab.refresh();
  await expect(experiments).toContainText('resnet-18');
  await expect(experiments).not.toContainText('This site tracks no experiments.');
  server.say = view => {
    view.experiments = { ...view.experiments, here: false, url: null, runs: [] };
  };
  await lab.refresh();
  await expect(experiments).toContainText('This site tracks no experiments.');
});

test('only what an approval can open is offered to be asked for', async ({ lab }) => {
  const { panel, server } = lab;
  await lab.begin();
  const denied = section(panel, 'Network').locator('[data-list=denied]');
  await expect(denied.getByRole('button', { name: /Ask for access to files/ })).toHaveCount(1);
  server.say = view => {
    const [first] = view.egress.denied;
    view.egress.denied = [
      { ...first, code: 'egress.resolved_private' },
      { ...first, host: '' },
      { ...first, port: 0 }
    ];
  };
  await lab.refresh();
  await expect(denied.locator('li')).toHaveCount(3);
  await expect(denied.getByRole('button', { name: /Ask for access/ })).toHaveCount(0);
});

test('where no extension is possible the button says why and does nothing', async ({ lab }) => {
  const { server } = lab;
  await lab.begin();
  server.say = view => {
    view.sandbox.extension = { possible: false, until: null, code: 'extend.at_cap', message: 'All 8 h are used up.', left: 0, cap: null };
  };
  const { panel } = lab;
  await lab.refresh();
  const button = section(panel, 'Time').getByRole('button', { name: 'Extend' });
  await expect(button).toHaveAttribute('aria-disabled', 'true');
  await expect(button).toHaveAccessibleDescription('All 8 h are used up.');
  await button.click({ force: true });
  expect(server.count('extend')).toBe(0);
});

test('keeping and stopping ask the server, stopping only after a confirmation', async ({ lab }) => {
  const { server } = lab;
  await lab.begin();
  server.answers.keep = body => ({
    status: 200,
    body: { keep_until: new Date(server.started + body.by * 1000).toISOString() }
  });
  const { panel } = lab;
  await lab.refresh();
  const time = section(panel, 'Time');
  await time.getByRole('combobox').selectOption({ label: '4 h' });
  await time.getByRole('button', { name: 'Keep for' }).click();
  await expect(time.getByRole('status')).toContainText('Kept until');
  expect(server.asked.find(question => question.path === 'keep')!.body).toEqual({ by: 4 * 3600 });
  await time.getByRole('button', { name: 'Stop now' }).click();
  await lab.page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
  expect(server.count('stop')).toBe(0);
  await time.getByRole('button', { name: 'Stop now' }).click();
  server.say = view => {
    view.sandbox.stop = { code: 'stop', why: 'You stopped it.', actor: 'ada', decided_at: view.now };
  };
  await lab.page.getByRole('dialog').getByRole('button', { name: 'Stop', exact: true }).click();
  await expect(time).toContainText('It is being stopped: You stopped it. By ada.');
  expect(server.count('stop')).toBe(1);
});

test('a denied host is asked for in the panel, waits, is withdrawn', async ({ lab }) => {
  const { server } = lab;
  await lab.begin();
  const asked = wish({ id: 9, host: 'files.example.com', port: 443, why: 'Weights', asked_at: new Date().toISOString() });
  server.answers['egress/ask'] = () => {
    server.say = view => {
      view.egress.requests.unshift(asked);
    };
    return { status: 200, body: asked };
  };
  server.answers['egress/withdraw'] = () => {
    server.say = view => {
      view.egress.requests.unshift({ ...asked, status: 'withdrawn' });
    };
    return { status: 200, body: {} };
  };
  const { panel } = lab;
  await lab.refresh();
  const network = section(panel, 'Network');
  await network.getByRole('button', { name: 'Ask for access to files.example.com:443' }).click();
  const form = network.getByRole('form');
  await expect(form.getByLabel('Why')).toBeFocused();
  await form.getByRole('button', { name: 'Ask' }).click();
  await expect(form.getByLabel('Why')).toHaveAccessibleDescription('Say what it is for.');
  expect(server.count('egress/ask')).toBe(0);
  await form.getByLabel('Why').fill('Weights');
  await form.getByRole('button', { name: 'Ask' }).click();
  await expect(network.locator('[data-list=denied] li').first()).toContainText('You asked: … waiting');
  expect(server.asked.find(question => question.path === 'egress/ask')!.body).toEqual({
    host: 'files.example.com',
    port: 443,
    why: 'Weights'
  });
  await network.getByRole('button', { name: 'Withdraw the request for files.example.com:443' }).click();
  await expect(network.locator('[data-list=requests] li').first()).toContainText('withdrawn');
  expect(server.asked.find(question => question.path === 'egress/withdraw')!.body).toEqual({ id: 9 });
});

test('a refused request keeps the form and says why', async ({ lab }) => {
  const { server } = lab;
  await lab.begin();
  server.answers['egress/ask'] = () => ({
    status: 409,
    body: { code: 'egress.data', message: 'Data of this sandbox must not leave it.', remedy: '' }
  });
  const { panel } = lab;
  await lab.refresh();
  const network = section(panel, 'Network');
  await network.getByRole('button', { name: 'Ask for another host' }).click();
  await network.getByLabel('Host').fill('example.com');
  await network.getByLabel('Why').fill('Data');
  await network.getByRole('button', { name: 'Ask', exact: true }).click();
  await expect(network.getByRole('status')).toContainText('Data of this sandbox must not leave it.');
  await expect(network.getByLabel('Why')).toHaveValue('Data');
});

test('only what was denied is shown if one wants', async ({ lab }) => {
  const { panel } = lab;
  await lab.begin();
  const network = section(panel, 'Network');
  await expect(network.locator('[data-list=allowed] li')).toHaveCount(document(0).egress.allowed.length);
  await network.getByLabel('Denied only').check();
  await expect(network.locator('[data-list=allowed]')).toHaveCount(0);
  await expect(network.locator('[data-list=denied] li')).toHaveCount(2);
});
