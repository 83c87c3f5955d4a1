/* Is what somebody hostile wrote shown as text, cut, and where it belongs? (attack H06) */

import { expect } from '@playwright/test';
import { test } from './lab';
import { section } from './sandbox';

const HTML = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>';
const ANSI = '\u001b[31mred\u001b]0;title\u0007\u009b0m';
const TURNED = '\u202egnp.exe\u202c\u05d0\u05d1\u05d2';
const LONG = 'A'.repeat(1_000_000);
const HOSTILE = `${HTML}${ANSI}${TURNED}`;

function poison(view: any): void {
  const sandbox = view.sandbox;
  sandbox.profile = HOSTILE;
  sandbox.ending.why = HOSTILE + LONG;
  sandbox.ending.rule = LONG;
  sandbox.last.why = HOSTILE;
  sandbox.meters[3].label = HOSTILE + LONG;
  sandbox.datasets[0] = { name: HOSTILE, tags: [HOSTILE, LONG], path: LONG, read_only: true, purpose: HOSTILE };
  sandbox.left_out[0] = { name: HOSTILE, code: HOSTILE, why: HOSTILE + LONG };
  Object.assign(view.secrets[0], { name: HOSTILE, kind: HOSTILE, source: LONG, line: HOSTILE + LONG });
  Object.assign(view.egress.denied[0], { host: HOSTILE + LONG, rule: LONG, code: HOSTILE });
  Object.assign(view.egress.requests[0], { host: HOSTILE + LONG, why: HOSTILE, answer: HOSTILE, status: HOSTILE });
  view.egress.allowed = [HOSTILE, LONG];
  view.experiments.url = 'javascript:window.pwned=1';
  view.experiments.experiment = HOSTILE;
  view.experiments.runs = [
    { name: HOSTILE, status: HOSTILE, started_at: HOSTILE, url: 'javascript:window.pwned=1' },
    { name: 'data', status: 'RUNNING', started_at: null, url: 'data:text/html,<script>window.pwned=1</script>' }
  ];
  view.control.message = HOSTILE;
}

test('markup, escapes and long names are drawn as cut text, and addresses that run code are no links', async ({ lab }) => {
  const { server } = lab;
  await lab.begin();
  server.say = poison;
  const { panel } = lab;
  await lab.refresh();
  await expect(section(panel, 'Experiments')).toContainText('Open MLflow');
  const found = await panel.evaluate(node => ({
    made: node.querySelectorAll('img, script, iframe').length,
    links: [...node.querySelectorAll('a')].map(link => link.href),
    size: node.outerHTML.length,
    wide: [...node.querySelectorAll('.jp-sandbox-scroll')].some(item => item.scrollWidth > item.clientWidth + 1),
    controls: /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/.test(node.outerHTML),
    isolated: [...node.querySelectorAll('.jp-sandbox-text')].every(item => item.tagName === 'BDI'),
    pwned: (window as any).pwned
  }));
  expect(found.pwned).toBeUndefined();
  expect(found.made).toBe(0);
  expect(found.links).toEqual([]);
  expect(found.size).toBeLessThan(200_000);
  expect(found.controls).toBe(false);
  expect(found.isolated).toBe(true);
  expect(found.wide).toBe(false);
  await expect(section(panel, 'Time')).toContainText('<img src=x onerror=');
  await expect(section(panel, 'Datasets').getByTitle(/^A{1000}…$/).first()).toBeVisible();
});

test('a refusal in markup is text too', async ({ lab }) => {
  const { server } = lab;
  await lab.begin();
  server.answers.extend = () => ({ status: 409, body: { code: HOSTILE, message: HOSTILE + LONG, remedy: HOSTILE } });
  const { panel } = lab;
  await lab.refresh();
  await section(panel, 'Time').getByRole('button', { name: /^Extend/ }).click();
  const status = section(panel, 'Time').getByRole('status');
  await expect(status).toContainText('<img src=x onerror=');
  expect(await status.evaluate(node => node.querySelectorAll('img, script').length)).toBe(0);
  expect(await lab.page.evaluate(() => (window as any).pwned)).toBeUndefined();
});
