/* Can everybody use it? axe in both themes, the keyboard alone, narrow panels and pages, no motion. */

import AxeBuilder from '@axe-core/playwright';
import { expect } from '@playwright/test';
import { test } from './lab';
import { AWAY, section, tab } from './sandbox';

for (const theme of ['dark', 'light'] as const) {
  test(`axe finds nothing in the open panel in ${theme}`, async ({ lab }) => {
    const { server } = lab;
    await lab.begin();
    const { panel } = lab;
    await lab.refresh();
    await lab.theme(theme);
    await section(panel, 'Network').getByRole('button', { name: /Ask for access to files/ }).click();
    await section(panel, 'Network').getByRole('button', { name: 'Ask', exact: true }).click();
    server.say = view => {
      view.control = { ...AWAY, since: view.now };
      view.broker = { ...AWAY, since: view.now };
      view.sandbox.extension = { possible: false, until: null, code: '', message: 'All is used up.', left: 0, cap: null };
    };
    for (const state of ['fine', 'away']) {
      if (state === 'away') {
        await panel.getByRole('button', { name: 'Refresh' }).click();
        await expect(panel.locator('.jp-sandbox-trouble')).toBeVisible();
      }
      const { violations } = await new AxeBuilder({ page: lab.page }).include('#jp-sandbox-panel').analyze();
      const found = violations.map(({ id, nodes }) => `${state} ${id}: ${nodes.map(node => node.html).join('\n  ')}`);
      expect(found).toEqual([]);
    }
  });
}

test('everything is reached and done by the keyboard, with a visible focus', async ({ lab }) => {
  const { panel, server } = lab;
  await lab.begin();
  await panel.locator('.jp-sandbox-scroll').focus();
  const buttons = await panel.locator('button, a[href], select, input:checked').count();
  const reached = new Set<string>();
  for (let presses = 0; presses < buttons; presses += 1) {
    await lab.page.keyboard.press('Tab');
    const focus = await lab.page.evaluate(() => {
      const node = document.activeElement as HTMLElement;
      const style = getComputedStyle(node);
      const name = node.getAttribute('aria-label') ?? (node.textContent || node.getAttribute('name'));
      const all = [...document.querySelectorAll('#jp-sandbox-panel *')];
      return { at: all.indexOf(node), name, width: style.outlineWidth, line: style.outlineStyle };
    });
    expect(focus.at, `after ${presses} presses`).toBeGreaterThanOrEqual(0);
    expect([focus.name, focus.line, focus.width]).toEqual([focus.name, 'solid', '2px']);
    reached.add(String(focus.at));
  }
  expect(reached.size).toBe(buttons);
});

test('by keys alone: a section closes, a host is asked for, Escape brings the focus back', async ({ lab }) => {
  const { panel, server } = lab;
  await lab.begin();
  const heading = section(panel, 'Quotas').getByRole('button', { name: /Quotas/ });
  await heading.focus();
  await lab.page.keyboard.press('Enter');
  await expect(heading).toHaveAttribute('aria-expanded', 'false');
  await expect(section(panel, 'Quotas').getByRole('meter')).toHaveCount(0);
  const network = section(panel, 'Network');
  const ask = network.getByRole('button', { name: /Ask for access to files/ });
  await ask.focus();
  await lab.page.keyboard.press('Space');
  await lab.page.keyboard.press('Escape');
  await expect(ask).toBeFocused();
  await lab.page.keyboard.press('Enter');
  await lab.page.keyboard.type('For the course');
  await lab.page.keyboard.press('Tab');
  await lab.page.keyboard.press('Enter');
  await expect.poll(() => server.count('egress/ask')).toBe(1);
  await expect(network.getByRole('status')).toContainText('Asked.');
});

test('only the answers of actions are read aloud, not the ticking time', async ({ lab }) => {
  const { panel } = lab;
  await lab.begin();
  const live = await panel.locator('[aria-live], [role=status], [role=alert], [role=log]').evaluateAll(nodes =>
    nodes.map(node => `${node.getAttribute('role')} ${node.textContent}`.trim())
  );
  expect(new Set(live)).toEqual(new Set(['status']));
  await expect(panel.getByRole('timer')).not.toHaveAttribute('aria-live', /.*/);
});

test('nothing is cut off at 250 pixels, nor on a page of 400', async ({ lab }) => {
  await lab.page.setViewportSize({ width: 400, height: 800 });
  const { panel } = lab;
  await lab.begin();
  await section(panel, 'Network').getByRole('button', { name: /Ask for access to files/ }).click();
  const box = (await panel.boundingBox())!;
  expect(box.x + box.width).toBeLessThanOrEqual(400);
  expect(box.width).toBeLessThanOrEqual(260);
  const cut = await panel.evaluate(node => {
    const edge = node.getBoundingClientRect().right + 0.5;
    const over = (item: Element) =>
      item.getBoundingClientRect().right > edge && !item.closest('.jp-sr-only') && item.getClientRects().length > 0;
    return [...node.querySelectorAll('*')].filter(over).map(item => item.outerHTML.slice(0, 200));
  });
  expect(cut).toEqual([]);
  await tab(lab.page).click();
  await expect(panel).toBeHidden();
});

test('whoever wants no motion gets none', async ({ lab }) => {
  await lab.page.emulateMedia({ reducedMotion: 'reduce' });
  const { panel } = lab;
  await lab.begin();
  const moving = await panel.evaluate(node =>
    [...node.querySelectorAll('.jp-sandbox-meter-bar > div')].map(item => getComputedStyle(item).transitionDuration)
  );
  expect(new Set(moving)).toEqual(new Set(['0s']));
});
