// What stands above every view? That control is away, the login has ended, or nothing can be changed here.

import { h, put, said } from './dom.js';
import { duration, skewed } from './time.js';

const NOTABLE_SKEW = 60_000;

/** Shows each once, and takes it away by itself. */
export class Banners {
  constructor(place, freshness, skew, retry) {
    this._freshness = freshness;
    this._skew = skew;
    this._retry = retry;
    this._fixed = h('div', {});
    this._changing = h('div', {});
    this._wait = h('span', {});
    place.append(this._fixed, this._changing);
    setInterval(() => this._tick(), 1000);
  }

  /** Why nothing can be changed; said once, where each button is off. */
  readOnly(why) {
    const told = h(
      'p',
      {},
      h('strong', {}, 'Read only. '),
      said(why, 600),
      ' What is shown at “terminal of the host” works there.',
    );
    put(this._fixed, h('div', { class: 'note', id: 'read-only', role: 'note' }, told));
  }

  /** Hear what Live says. */
  told({ busy, error, at, next }) {
    document.documentElement.toggleAttribute('data-busy', Boolean(busy));
    if (busy) {
      return;
    }
    this._at = at;
    this._next = next;
    const kind = error?.kind === 'refused' ? undefined : error?.kind;
    document.documentElement.toggleAttribute('data-stale', Boolean(kind && at));
    if (kind !== this._kind) {
      this._kind = kind;
      put(this._changing, kind === 'away' ? this._away(error) : kind === 'session' ? session(error) : null);
    }
    this._tick();
  }

  _away(error) {
    const at = this._at ? `What you see is from ${new Date(this._at).toLocaleTimeString()}. ` : '';
    const button = h('button', { type: 'button', onclick: this._retry }, 'Try now');
    return h(
      'div',
      { class: 'note bad', role: 'alert' },
      h('p', {}, h('strong', {}, error.message), ` ${at}It is tried again by itself. `),
      h('p', {}, error.remedy),
      h('p', { 'aria-live': 'off' }, this._wait, ' ', button),
    );
  }

  _tick() {
    if (this._kind === 'away') {
      this._wait.textContent = `Next try in ${duration(Math.max(this._next - Date.now(), 0))}.`;
    }
    this._freshness.textContent = this._at
      ? `Read ${duration(Date.now() - this._at)} ago; every 10 s while you look.`
      : '';
    const skew = skewed();
    this._skew.hidden = Math.abs(skew) < NOTABLE_SKEW;
    const way = skew > 0 ? 'behind' : 'ahead of';
    const far = duration(Math.abs(skew));
    const why = 'times here go by the server’s';
    this._skew.textContent = `This computer’s clock is ${far} ${way} the server’s; ${why}.`;
  }
}

function session(error) {
  const link = h('a', { href: location.href }, 'Log in again');
  link.addEventListener('click', () => {
    // The address may have changed since the banner came.
    link.href = location.href;
  });
  return h(
    'div',
    { class: 'note bad', role: 'alert' },
    h('p', {}, h('strong', {}, `${error.message} `), link, '; you come back to this view.'),
  );
}
