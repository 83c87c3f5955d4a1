/* How is something done from the panel? One button, one answer beside it, which is read aloud. */

import * as React from 'react';
import { wordsOf } from '../trouble';
import { usePanel } from './context';
import { Text } from './text';

export interface IResult {
  fine: boolean;
  message: string;
  remedy: string;
}

export interface IAction {
  busy: boolean;
  result: IResult | null;
  place: React.RefObject<HTMLDivElement>;
  /** Does it, unless it is being done; `work` gives the sentence that tells of its success. */
  run: (work: () => Promise<string>) => Promise<boolean>;
}

/** One thing at a time; what came of it stays until the next. */
export function useAction(): IAction {
  const { trans } = usePanel();
  const [busy, setBusy] = React.useState(false);
  const [result, setResult] = React.useState<IResult | null>(null);
  const place = React.useRef<HTMLDivElement>(null);
  const run = async (work: () => Promise<string>): Promise<boolean> => {
    if (busy) {
      return false;
    }
    setBusy(true);
    setResult(null);
    let fine = true;
    try {
      setResult({ fine, message: await work(), remedy: '' });
    } catch (error) {
      fine = false;
      setResult({ fine, ...wordsOf(error instanceof Error ? error : { message: String(error) }, trans) });
    }
    setBusy(false);
    window.setTimeout(() => keepFocus(place.current), 0);
    return fine;
  };
  return { busy, result, place, run };
}

/** Where the answer appears; there from the start, so that screen readers watch it. */
export function Result(props: { of: IAction }): JSX.Element {
  const { result, place } = props.of;
  return (
    <div ref={place} className="jp-sandbox-result" role="status" tabIndex={-1} data-fine={result?.fine}>
      {result && (
        <>
          <span aria-hidden="true">{result.fine ? '✓ ' : '✗ '}</span>
          <Text value={result.message} most={400} />{' '}
          {result.remedy && <Text value={result.remedy} most={400} />}
        </>
      )}
    </div>
  );
}

interface IButtonProps {
  children: React.ReactNode;
  onClick?: () => void;
  submit?: boolean;
  kind?: 'accept' | 'warn' | 'plain';
  /** It can be reached, and does nothing: `reason` is the id of the text that says why. */
  off?: boolean;
  reason?: string;
  label?: string;
  expanded?: boolean;
  focus?: React.RefObject<HTMLButtonElement>;
}

/** A real button. */
export function Button(props: IButtonProps): JSX.Element {
  return (
    <button
      ref={props.focus}
      type={props.submit ? 'submit' : 'button'}
      className="jp-sandbox-button"
      data-kind={props.kind ?? 'plain'}
      aria-disabled={props.off || undefined}
      aria-describedby={props.reason}
      aria-label={props.label}
      aria-expanded={props.expanded}
      onClick={props.off ? event => event.preventDefault() : props.onClick}
    >
      {props.children}
    </button>
  );
}

/** A button that vanished with its row takes the focus along; the answer is the next best place. */
function keepFocus(place: HTMLElement | null): void {
  if (document.activeElement === document.body) {
    place?.focus();
  }
}
