/* How does it look? Pictures for the docs, and for those who change it; run where SANDBOX_PICTURES is a directory. */

import * as path from 'path';
import { Lab, test } from './lab';
import { AWAY, section } from './sandbox';

/** In both themes and at both widths; the one for the docs is the wide light one. */
async function picture(lab: Lab, name: string): Promise<void> {
  for (const theme of ['dark', 'light'] as const) {
    await lab.theme(theme);
    for (const width of [400, 1280]) {
      await lab.page.setViewportSize({ width, height: 900 });
      const suffix = width === 1280 && theme === 'light' ? '' : `-${width}-${theme}`;
      await lab.page.screenshot({ path: path.join(process.env.SANDBOX_PICTURES ?? '', `${name}${suffix}.png`) });
    }
  }
}

test('the panel', async ({ lab }) => {
  await lab.begin();
  await picture(lab, 'lab-panel-page');
  await section(lab.panel, 'Experiments').evaluate(node => node.scrollIntoView({ block: 'end' }));
  await picture(lab, 'lab-panel-end');
});

test('the form below a denied host', async ({ lab }) => {
  await lab.begin();
  const network = section(lab.panel, 'Network');
  await network.getByRole('button', { name: /Ask for access to files.example.com/ }).click();
  await network.getByLabel('Why').fill('Weights for the course of this week');
  await network.evaluate(node => node.scrollIntoView());
  await picture(lab, 'lab-panel-ask');
});

test('the panel while the sandbox service is away', async ({ lab }) => {
  await lab.begin();
  lab.server.say = view => {
    view.control = { ...AWAY, since: view.now };
  };
  await lab.refresh();
  await picture(lab, 'lab-panel-away');
});

test('the panel of a server that has ended', async ({ lab }) => {
  await lab.begin();
  lab.server.say = view => {
    view.sandbox.stop = { code: 'stop.by_admin', why: 'The disks are moved.', actor: 'root', decided_at: view.now };
  };
  await lab.refresh();
  lab.server.view = { status: 302, headers: { location: 'https://hub.example/' } };
  await lab.panel.getByRole('button', { name: 'Refresh' }).click();
  await lab.panel.locator('.jp-sandbox-trouble').waitFor();
  await picture(lab, 'lab-panel-ended');
});

test('a warning', async ({ lab }) => {
  await lab.begin();
  lab.server.say = view => {
    view.sandbox.ending.at = new Date(Date.parse(view.now) + 200_000).toISOString();
  };
  await lab.command('sandbox:refresh');
  await lab.page.locator('.Toastify__toast').first().waitFor();
  await lab.page.clock.runFor(2000); // it slides in
  await picture(lab, 'lab-warning');
});
