/* What has control told that this page has not shown yet? Pure: events of the bus, and what the document still says. */

import { instant, SECOND } from './time.js';
import type { INotice } from './tokens';
import type { ISandbox, IView } from './view';

/** The schema of notices on jupyter_server's event bus: any version, since a field more does not hurt. */
const SCHEMA = /^https:\/\/events\.jupyter-sandbox\.example\/notice\/v\d+$/;

/** The notice in an event of the bus; null where it is none. */
export function noticeOf(event: { schema_id?: unknown; [name: string]: unknown }): INotice | null {
  if (typeof event.schema_id !== 'string' || !SCHEMA.test(event.schema_id)) {
    return null;
  }
  const { id, kind, code, why, at } = event;
  if (typeof id !== 'number' || typeof kind !== 'string') {
    return null;
  }
  return { id, kind, code: word(code), why: word(why), at: word(at) || null };
}

/** Which notices are news? Remembers what it was given: one may come twice, by the bus and by the document. */
export class Heard {
  /** Is this notice of the bus news? */
  notice(notice: INotice): boolean {
    const at = notice.kind === 'extended' ? instant(notice.at) : null;
    if (at === null) {
      return this.first(`number ${notice.id}`);
    }
    const isNew = Math.abs(at - this.extended) > 2 * SECOND;
    this.extended = at;
    return isNew;
  }

  /** The document's warnings that are news, oldest first. */
  warnings(view: IView): INotice[] {
    const warnings = view.sandbox?.warnings ?? [];
    return warnings
      .filter(({ id, code, at, told_at }) => this.first(id ? `number ${id}` : `${code} ${at} ${told_at}`))
      .map(({ id, code, why, at }) => ({ id: id ?? 0, kind: 'warning', code, why, at }));
  }

  private first(key: string): boolean {
    const isNew = !this.keys.has(key);
    this.keys.add(key);
    return isNew;
  }

  private extended = -Infinity;
  private readonly keys = new Set<string>();
}

/** The document as the notice changes it, until the next question says more. */
export function applied(view: IView, notice: INotice): IView {
  const { sandbox } = view;
  if (!sandbox) {
    return view;
  }
  const { kind, code, why, at } = notice;
  if (kind === 'stopping') {
    const stop = sandbox.stop ?? { code, why, actor: null, decided_at: null };
    return { ...view, sandbox: { ...sandbox, stop } };
  }
  if (at && kind === 'extended') {
    return { ...view, sandbox: { ...sandbox, ending: { ...sandbox.ending, at }, warnings: [] } };
  }
  return at && isWarning(notice) ? { ...view, sandbox: warned(sandbox, notice, at) } : view;
}

/** Does it tell of an end that is near? */
export function isWarning({ kind }: INotice): boolean {
  return kind === 'warning' || kind === 'save';
}

/** The end is the one that it warns of, which may be another than the one that was known to be next. */
function warned(sandbox: ISandbox, notice: INotice, at: string): ISandbox {
  const { id, code, why } = notice;
  const kind = /^warning\.(\w+)$/.exec(code)?.[1] ?? sandbox.ending.kind;
  const same = kind === sandbox.ending.kind;
  const ending = { at, kind, code, why: why || sandbox.ending.why, rule: same ? sandbox.ending.rule : '' };
  const warnings = sandbox.warnings.filter(warning => warning.id !== id);
  return { ...sandbox, ending, warnings: [...warnings, { id, kind, code, why, at, told_at: '' }] };
}

function word(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
