/* How is a text shown that somebody else wrote? As text: isolated, cut, its control characters visible.
 *
 * Law: nothing of the document reaches the page but through `Text`, `Code`, `Instant` or `safeUrl`.
 */

import { Clipboard } from '@jupyterlab/apputils';
import { checkIcon, copyIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { fullText, instantText } from '../format';
import { instant } from '../time';
import { usePanel } from './context';
import { safeUrl, visible } from './hostile';

/** A name or a sentence: the first `most` characters, all others up to a thousand in its title. */
export function Text(props: { value: string; most?: number }): JSX.Element {
  const { text, title } = visible(props.value, props.most ?? 200);
  return (
    <bdi className="jp-sandbox-text" title={title}>
      {text}
    </bdi>
  );
}

/** The same in the font of code. */
export function Code(props: { value: string; most?: number }): JSX.Element {
  const { text, title } = visible(props.value, props.most ?? 120);
  return (
    <code className="jp-sandbox-code" title={title}>
      <bdi>{text}</bdi>
    </code>
  );
}

/** `16:42`, in full in its title; nothing where it is no instant. */
export function Instant(props: { at: string | null }): JSX.Element | null {
  const { model, place } = usePanel();
  const at = instant(props.at);
  if (at === null) {
    return null;
  }
  return (
    <time dateTime={new Date(at).toISOString()} title={fullText(at, place)}>
      {instantText(at, model.now(), place)}
    </time>
  );
}

/** A word on a coloured ground, with a sign before it: never by its colour alone. */
export function Badge(props: { kind: string; sign: string; children: React.ReactNode }): JSX.Element {
  return (
    <span className="jp-sandbox-badge" data-kind={props.kind}>
      <span aria-hidden="true">{props.sign}</span> {props.children}
    </span>
  );
}

/** A coloured sign; its word is for those who listen, where a heading says it to those who see. */
export function Sign(props: { kind: string; sign: string; children: React.ReactNode }): JSX.Element {
  return (
    <span className="jp-sandbox-sign" data-kind={props.kind}>
      <span aria-hidden="true">{props.sign}</span>
      <span className="jp-sr-only">{props.children}</span>
    </span>
  );
}

/** A button that copies; it says so for two seconds. `what` is what those who listen hear. */
export function Copy(props: { value: string; what: string }): JSX.Element {
  const { trans } = usePanel();
  const [copied, setCopied] = React.useState(false);
  React.useEffect(() => {
    const timer = copied ? window.setTimeout(() => setCopied(false), 2000) : 0;
    return () => window.clearTimeout(timer);
  }, [copied]);
  const copy = () => {
    Clipboard.copyToSystem(props.value);
    setCopied(true);
  };
  const Icon = copied ? checkIcon : copyIcon;
  return (
    <span className="jp-sandbox-copy">
      <button
        type="button"
        className="jp-sandbox-icon"
        title={props.what}
        aria-label={props.what}
        onClick={copy}
      >
        <Icon.react tag="span" width="14px" height="14px" />
      </button>
      <span role="status" className="jp-sr-only">
        {copied ? trans.__('Copied.') : ''}
      </span>
    </span>
  );
}

/** A link that opens a new tab and tells it nothing of this one; plain text where its address is none. */
export function Away(props: { url: string; className?: string; children: React.ReactNode }): JSX.Element {
  const { trans } = usePanel();
  const url = safeUrl(props.url, window.location.href);
  if (url === null) {
    return <span>{props.children}</span>;
  }
  return (
    <a className={props.className ?? 'jp-sandbox-link'} href={url} target="_blank" rel="noopener noreferrer">
      {props.children}
      <span aria-hidden="true"> ↗</span>
      <span className="jp-sr-only"> {trans.__('(opens a new tab)')}</span>
    </a>
  );
}
