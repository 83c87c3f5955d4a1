/* How does it look? Pictures for the docs, and for those who change it; run where SANDBOX_PICTURES is a directory. */

import * as path from 'path';
import { test } from './lab';
import { AWAY, section } from './sandbox';

const PLACE = process.env.SANDBOX_PICTURES ?? '';

const picture = (name: string) => ({ path: path.join(PLACE, `lab-panel-${name}.png`) });

for (const theme of ['dark', 'light'] as const) {
  test(`the panel in ${theme}`, async ({ lab }) => {
    const { page, panel } = lab;
    await page.setViewportSize({ width: 1280, height: 800 });
    await lab.begin();
    await lab.theme(theme);
    await page.screenshot(picture(`page-${theme}`));
    await page.setViewportSize({ width: 1280, height: 1900 });
    await panel.screenshot(picture(`all-${theme}`));
    await page.setViewportSize({ width: 1280, height: 900 });
    const network = section(panel, 'Network');
    await network.getByRole('button', { name: /Ask for access to files.example.com/ }).click();
    await network.getByLabel('Why').fill('Weights for the course of this week');
    await network.getByRole('heading', { name: /Network/ }).evaluate(node => node.closest('section')!.scrollIntoView());
    await panel.screenshot(picture(`ask-${theme}`));
  });
}

test('the panel on a narrow page', async ({ lab }) => {
  await lab.begin();
  await lab.page.setViewportSize({ width: 400, height: 800 });
  await lab.page.screenshot(picture('narrow'));
  await lab.page.setViewportSize({ width: 1280, height: 900 });
});

for (const [name, change] of [
  ['away', (view: any) => (view.control = { ...AWAY, since: view.now })],
  ['red', (view: any) => (view.sandbox.ending.at = new Date(Date.parse(view.now) + 200_000).toISOString())]
] as const) {
  test(`the panel: ${name}`, async ({ lab }) => {
    await lab.begin();
    lab.server.say = change;
    await lab.refresh();
    await lab.panel.screenshot(picture(name));
  });
}
