/* What does a server say in these tests, and how is its panel opened? A stub of the routes below /sandbox. */

import { BrowserContext, Locator, Page, Request, Route } from '@playwright/test';

const MINUTE = 60_000;
const FINE = { ok: true, code: '', message: '', remedy: '', since: null };

export const AWAY = {
  ok: false,
  code: 'control.away',
  message: 'The sandbox service of this hub does not answer.',
  remedy: 'Nothing has to be done.'
};

/** An instant as the document writes it. */
export function at(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}

/** The document of a server that has 41 minutes left and something in every section. */
export function document(now: number): any {
  return {
    now: at(now),
    control: FINE,
    broker: FINE,
    sandbox: {
      id: 'sb-7w3b2h5vyxkq4nmdpzae',
      user: 'ada',
      server: '',
      profile: 'GPU small',
      status: 'running',
      ready_at: at(now - 200 * MINUTE),
      runtime: 'runc',
      zone: '',
      ending: {
        at: at(now + 41.5 * MINUTE),
        kind: 'ttl',
        code: 'warning.ttl',
        why: 'Its sandbox TTL of 4 h is up then.',
        rule: 'weekdays'
      },
      idle_timeout: 3600,
      keep_until: null,
      extension: {
        possible: true,
        until: at(now + 60 * MINUTE),
        code: '',
        message: '',
        left: 2,
        cap: at(now + 260 * MINUTE)
      },
      stop: null,
      warnings: [],
      meters: [
        { name: 'cpu', used: 1.2, limit: 2, unit: 'cores', soft: false, label: '' },
        { name: 'memory', used: 1.75 * 2 ** 30, limit: 2 ** 31, unit: 'bytes', soft: false, label: '' },
        { name: 'disk', used: 3.1 * 2 ** 30, limit: 10 * 2 ** 30, unit: 'bytes', soft: true, label: 'home' },
        { name: 'gpu', used: 0.97, limit: 1, unit: 'share', soft: false, label: 'NVIDIA A100 1g.10gb' }
      ],
      soft_limits: ['disk'],
      datasets: [
        {
          name: 'mnist',
          tags: ['images', 'v3'],
          path: '/data/mnist',
          read_only: true,
          purpose: 'teaching'
        }
      ],
      left_out: [{ name: 'patients', code: 'dataset.purpose', why: 'Its purpose is "care"; you work for "teaching".' }],
      last: { why: 'It was not used for 1 h.', at: at(now - 450 * MINUTE) }
    },
    egress: {
      allowed: ['*.example.org:443', 'mirror.example.net:443'],
      denied: [
        {
          host: 'files.example.com',
          port: 443,
          code: 'egress.not_allowed',
          rule: '',
          count: 12,
          first_at: at(now - 30 * MINUTE),
          last_at: at(now - 3 * MINUTE)
        },
        {
          host: 'git.example.com',
          port: 22,
          code: 'egress.port_not_allowed',
          rule: 'git.example.com:443',
          count: 1,
          first_at: at(now - 20 * MINUTE),
          last_at: at(now - 20 * MINUTE)
        }
      ],
      requests: [
        wish({ id: 8, host: 'git.example.com', port: 22, why: 'Push to our repository', asked_at: at(now - 9 * MINUTE) }),
        wish({
          id: 7,
          host: 'models.example.com',
          port: 443,
          why: 'Weights of the paper',
          status: 'approved',
          asked_at: at(now - 100 * MINUTE),
          answer: 'For this week.',
          scope: 'user',
          until: at(now + 120 * MINUTE)
        })
      ]
    },
    secrets: [
      {
        name: 'WAREHOUSE_PASSWORD',
        kind: 'database',
        source: 'vault',
        expires_at: at(now + 55 * MINUTE),
        line: 'os.environ["WAREHOUSE_PASSWORD"]',
        reason: ''
      },
      { name: 'OLD_KEY', kind: 'static', source: 'vault', expires_at: null, line: '', reason: 'Vault does not know this path.' }
    ],
    experiments: {
      part: FINE,
      here: true,
      url: '/services/tracking/',
      experiment: 'ada/default',
      runs: [
        { name: 'resnet-18', status: 'RUNNING', started_at: at(now - 12 * MINUTE), url: '/services/tracking/#/runs/1' },
        { name: 'baseline', status: 'FINISHED', started_at: at(now - 95 * MINUTE), url: null }
      ]
    }
  };
}

/** A request for a host, as control tells of it. */
export function wish(fields: object): any {
  return { status: 'waiting', decided_at: null, answer: '', scope: null, until: null, ...fields };
}

export interface IAnswer {
  status: number;
  body?: any;
  headers?: Record<string, string>;
}

/** What the routes answer; tests change `say` and `answers` while the page is open. */
export class Server {
  /** how far this server's clock is from the browser's */
  skew = 0;
  /** changes the document before it is sent */
  say: (view: any) => void = () => undefined;
  /** the answer to `view` instead of the document; null: the connection breaks */
  view: IAnswer | null | undefined = undefined;
  /** by path below sandbox/; null: the connection breaks */
  answers: Record<string, (body: any) => IAnswer | null> = {};
  asked: { path: string; body: any }[] = [];
  started = Date.now();

  /** As it was at first, by now. */
  reset(): void {
    this.skew = 0;
    this.say = () => undefined;
    this.view = undefined;
    this.answers = {};
    this.asked = [];
    this.started = Date.now();
  }

  async attach(to: Page | BrowserContext): Promise<void> {
    await to.route(/\/sandbox\/(view|extend|keep|stop|egress\/\w+)(\?|$)/, (route, request) => this.answer(route, request));
  }

  count(path: string): number {
    return this.asked.filter(question => question.path === path).length;
  }

  private async answer(route: Route, request: Request): Promise<void> {
    const path = /\/sandbox\/([^?]*)/.exec(request.url())![1];
    const body = request.method() === 'POST' ? request.postDataJSON() : null;
    this.asked.push({ path, body });
    if (path === 'view') {
      return this.answerView(route);
    }
    const said = this.answers[path] ? this.answers[path](body) : { status: 200, body: {} };
    if (said === null) {
      return route.abort('connectionrefused');
    }
    const { status, body: answer } = said;
    await route.fulfill({ status, json: answer ?? {} });
  }

  private async answerView(route: Route): Promise<void> {
    if (this.view === null) {
      return route.abort('connectionrefused');
    }
    if (this.view?.headers) {
      return route.fulfill(this.view);
    }
    if (this.view !== undefined) {
      return route.fulfill({ status: this.view.status, json: this.view.body ?? {} });
    }
    const now = Date.now() + this.skew;
    const view = document(this.started + this.skew);
    view.now = at(now);
    this.say(view);
    await route.fulfill({ json: view });
  }
}

/** The tab of the panel in the left bar. */
export function tab(page: Page): Locator {
  return page.locator('.jp-SideBar.jp-mod-left [data-id=jp-sandbox-panel]');
}

/** A section of the panel by its heading. */
export function section(panel: Locator, name: string): Locator {
  return panel.getByRole('region', { name: new RegExp(`^${name}`) });
}

/** The page is asleep, or seen again. */
export async function show(page: Page, seen: boolean): Promise<void> {
  await page.evaluate(isSeen => {
    const value = isSeen ? 'visible' : 'hidden';
    Object.defineProperty(window.document, 'visibilityState', { configurable: true, get: () => value });
    Object.defineProperty(window.document, 'hidden', { configurable: true, get: () => !isSeen });
    window.document.dispatchEvent(new Event('visibilitychange'));
  }, seen);
}
