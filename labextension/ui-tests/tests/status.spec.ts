/* Does the status bar say how long it is, and is there one toast an end? */

import AxeBuilder from '@axe-core/playwright';
import { expect } from '@playwright/test';
import { Lab, test } from './lab';

const MINUTE = 60_000;

/** The end is so many minutes from now. */
async function ends(lab: Lab, minutes: number): Promise<void> {
  lab.server.say = view => {
    view.sandbox.ending.at = new Date(Date.parse(view.now) + minutes * MINUTE).toISOString();
  };
  await lab.command('sandbox:refresh');
}

const item = (lab: Lab) => lab.page.locator('.jp-sandbox-status');
const warnings = (lab: Lab) => lab.page.locator('.Toastify__toast', { hasText: 'This sandbox stops' });

for (const theme of ['light', 'dark'] as const) {
  test(`the time left is plain, amber and red, and axe finds nothing in ${theme}`, async ({ lab }) => {
    await lab.begin();
    await lab.theme(theme);
    for (const [minutes, level] of [[41.5, 'plain'], [12.5, 'amber'], [4.5, 'red']] as const) {
      await ends(lab, minutes);
      await expect(item(lab)).toHaveAttribute('data-level', level);
      const found = await new AxeBuilder({ page: lab.page }).include('.jp-sandbox-status').analyze();
      expect(found.violations).toEqual([]);
    }
    await expect(item(lab)).toHaveText(/^\d:\d\d$/);
    await expect(item(lab).locator('[aria-live]')).toHaveCount(0);
  });
}

test('a toast offers to extend from when that is possible', async ({ lab }) => {
  await lab.begin();
  let possible = false;
  lab.server.say = view => {
    view.sandbox.ending.at = new Date(lab.server.started + 4 * MINUTE).toISOString();
    view.sandbox.extension.possible = possible;
  };
  await lab.command('sandbox:refresh');
  await expect(warnings(lab)).toHaveCount(1);
  await expect(warnings(lab).getByRole('button', { name: 'Extend' })).toHaveCount(0);
  possible = true;
  await lab.command('sandbox:refresh');
  await expect(warnings(lab).getByRole('button', { name: 'Extend' })).toBeVisible();
  await expect(warnings(lab)).toHaveCount(1);
});

test('two thresholds that are crossed at once are one toast, and an end that moves takes it away', async ({ lab }) => {
  await lab.begin();
  await ends(lab, 41);
  await expect(warnings(lab)).toHaveCount(0);
  await ends(lab, 4);
  await expect(warnings(lab)).toHaveCount(1);
  await expect(warnings(lab).getByRole('button', { name: 'Save all' })).toBeVisible();
  await expect(warnings(lab).getByRole('button', { name: 'Extend' })).toBeVisible();
  await ends(lab, 90);
  await expect(warnings(lab)).toHaveCount(0);
});
