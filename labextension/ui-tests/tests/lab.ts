/* How do the tests share one JupyterLab? It is loaded once in a worker; before each test its panel is made anew.
 *
 * Its clock can be wound on, and is never set back: the browser's and the server's then differ, which they may.
 */

import { test as galata } from '@jupyterlab/galata';
import { Browser, Locator, Page } from '@playwright/test';
import { Server, show, tab } from './sandbox';

/** A loaded JupyterLab, what its server says, and the open panel. */
export class Lab {
  constructor(
    readonly page: Page,
    readonly server: Server
  ) {}

  get panel(): Locator {
    return this.page.locator('#jp-sandbox-panel');
  }

  static async load(browser: Browser, baseURL: string): Promise<Lab> {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
    const page = await context.newPage();
    await page.clock.install();
    const server = new Server();
    await server.attach(page);
    await load(page, baseURL);
    return new Lab(page, server);
  }

  /** The panel as on the first day: the server is no sandbox for a moment, and then is one again. */
  async begin(): Promise<void> {
    await show(this.page, true);
    this.server.reset();
    this.server.view = { status: 404, body: { code: 'sandbox.outside', message: 'This server is no sandbox.' } };
    await this.refresh();
    await this.panel.waitFor({ state: 'detached' });
    this.server.reset();
    await this.refresh();
    await tab(this.page).click();
    await this.panel.waitFor();
  }

  /** Ask the server now, whatever the pace is. */
  async refresh(): Promise<void> {
    await this.command('sandbox:refresh');
    await this.page.locator('.Toastify__close-button').evaluateAll(nodes => nodes.forEach(node => (node as HTMLElement).click()));
  }

  async command(id: string, args: object = {}): Promise<void> {
    await this.page.evaluate(([name, values]) => (window as any).jupyterapp.commands.execute(name, values), [
      id,
      args
    ] as const);
  }

  async theme(name: 'light' | 'dark'): Promise<void> {
    const title = name === 'dark' ? 'JupyterLab Dark' : 'JupyterLab Light';
    await this.command('apputils:change-theme', { theme: title });
    await this.page.locator(`body[data-jp-theme-name="${title}"]`).waitFor({ state: 'attached' });
    await this.page.locator('#jupyterlab-splash').waitFor({ state: 'detached' }); // it stands while a theme loads
  }
}

/** JupyterLab in this page, ready. */
export async function load(page: Page, baseURL: string, workspace = 'auto-x'): Promise<void> {
  await page.goto(`${baseURL}/lab/workspaces/${workspace}`);
  await page.waitForFunction(() => (window as any).jupyterapp?.commands, null, { timeout: 180_000 });
  await page.evaluate(() => (window as any).jupyterapp.restored);
  await page.locator('#jupyterlab-splash').waitFor({ state: 'detached' });
}

export const test = galata.extend<object, { lab: Lab }>({
  lab: [
    async ({ browser }, use, worker) => {
      const lab = await Lab.load(browser, worker.project.use.baseURL!);
      await use(lab);
      await lab.page.context().close();
    },
    { scope: 'worker', timeout: 300_000 }
  ]
});
