/* How does it look? Pictures for the docs, and for those who change it; the tests here have no other verdict. */

import { test } from '@jupyterlab/galata';
import * as path from 'path';
import { AWAY, openPanel, section, Server } from './sandbox';

const PLACE = process.env.SANDBOX_PICTURES;

test.use({ autoGoto: false });
test.skip(!PLACE, 'SANDBOX_PICTURES names no directory');

for (const theme of ['light', 'dark']) {
  test(`the panel in ${theme}`, async ({ page }) => {
    const panel = await openPanel(page, new Server());
    await page.setViewportSize({ width: 1280, height: 1500 });
    if (theme === 'dark') {
      await page.theme.setDarkTheme();
    }
    await page.screenshot({ path: path.join(PLACE!, `lab-panel-${theme}-page.png`) });
    await panel.screenshot({ path: path.join(PLACE!, `lab-panel-${theme}.png`) });
    const network = section(panel, 'Network');
    await network.getByRole('button', { name: /files.example.com/ }).click();
    await network.getByLabel('Why').fill('Weights for the course of this week');
    await panel.screenshot({ path: path.join(PLACE!, `lab-panel-ask-${theme}.png`) });
  });
}

test('the panel on a narrow page', async ({ page }) => {
  await page.setViewportSize({ width: 400, height: 900 });
  await openPanel(page, new Server());
  await page.screenshot({ path: path.join(PLACE!, 'lab-panel-narrow.png') });
});

test('the panel while control is away', async ({ page }) => {
  const server = new Server();
  server.say = view => {
    view.control = { ...AWAY, since: view.now };
  };
  const panel = await openPanel(page, server);
  await panel.screenshot({ path: path.join(PLACE!, 'lab-panel-away.png') });
});
