/* How does one section look? A region with a heading that opens and closes it. */

import { caretDownIcon, caretLeftIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import type { IPart } from '../view';
import { usePanel } from './context';
import { Instant, Text } from './text';

interface ISectionProps {
  name: string;
  title: string;
  /** how many there are, where that is worth saying */
  count?: string;
  children: React.ReactNode;
}

/** A section; it stays as its reader left it while the page is open. */
export function Section(props: ISectionProps): JSX.Element {
  const [open, setOpen] = React.useState(true);
  const id = `jp-sandbox-${props.name}`;
  const Caret = open ? caretDownIcon : caretLeftIcon;
  return (
    <section className="jp-sandbox-section" role="region" aria-labelledby={id} data-section={props.name}>
      <h3 className="jp-sandbox-heading">
        <button
          type="button"
          id={id}
          aria-expanded={open}
          aria-controls={`${id}-body`}
          onClick={() => setOpen(!open)}
        >
          {props.title}
          {props.count && (
            <>
              {' '}
              <span className="jp-sandbox-count">{props.count}</span>
            </>
          )}
          <Caret.react tag="span" className="jp-sandbox-caret" />
        </button>
      </h3>
      <div id={`${id}-body`} className="jp-sandbox-body" hidden={!open}>
        {props.children}
      </div>
    </section>
  );
}

/** How many, as a heading has it; none are not counted. */
export function counted(count: number): string {
  return count ? String(count) : '';
}

/** What stands where there is nothing. */
export function Nothing(props: { children: React.ReactNode }): JSX.Element {
  return <p className="jp-sandbox-quiet">{props.children}</p>;
}

/** A program that this section's facts come from does not answer: says so, and since when. */
export function PartAway(props: { part: IPart }): JSX.Element | null {
  const { trans } = usePanel();
  const { part } = props;
  if (part.ok || !part.message) {
    return null;
  }
  return (
    <p className="jp-sandbox-note" data-kind="warn">
      <Text value={part.message} most={300} /> {part.remedy && <Text value={part.remedy} most={300} />}{' '}
      {part.since && (
        <>
          {trans.__('Last known:')} <Instant at={part.since} />
        </>
      )}
    </p>
  );
}

/** The first of a long list, and how many there are besides. */
export function few<T>(items: readonly T[], most: number): { shown: readonly T[]; more: number } {
  return { shown: items.slice(0, most), more: Math.max(0, items.length - most) };
}

/** Says that a list goes on. */
export function More(props: { more: number }): JSX.Element | null {
  const { trans } = usePanel();
  return props.more ? <Nothing>{trans._n('and %1 more', 'and %1 more', props.more)}</Nothing> : null;
}
