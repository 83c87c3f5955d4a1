/* How long does this server live, and what can be done about it? */

import * as React from 'react';
import { instantText, leftText, spanText } from '../format';
import { HOUR, instant, level, MINUTE, staleSince, thresholdsOf } from '../time';
import type { ISandbox } from '../view';
import { Button, IAction, Result, useAction } from './action';
import { useNow, usePanel } from './context';
import { Section } from './section';
import { Instant, Text } from './text';

/** Profile, end and reason, then what helps. */
export function TimeSection(props: { sandbox: ISandbox }): JSX.Element {
  const { model, trans } = usePanel();
  const { sandbox } = props;
  const action = useAction();
  const hasEnded = model.trouble?.kind === 'gone';
  return (
    <Section name="time" title={trans.__('Time')}>
      <Left sandbox={sandbox} />
      {sandbox.stop && !hasEnded ? <Stopping sandbox={sandbox} /> : <Why sandbox={sandbox} />}
      {!hasEnded && (
        <>
          <Extend sandbox={sandbox} action={action} />
          <Keep sandbox={sandbox} action={action} />
          <StopNow sandbox={sandbox} action={action} />
        </>
      )}
      <Result of={action} />
      <Last sandbox={sandbox} />
    </Section>
  );
}

/** The one part that is drawn each second. */
function Left(props: { sandbox: ISandbox }): JSX.Element {
  const { model, trans, preferences } = usePanel();
  const now = useNow();
  const { ending, profile } = props.sandbox;
  const at = instant(ending.at);
  const left = at === null ? null : at - now;
  const thresholds = thresholdsOf(props.sandbox, preferences.thresholds);
  const loud = left === null ? 'plain' : level(left, thresholds);
  const hasEnded = model.trouble?.kind === 'gone';
  const stale = model.known !== null && staleSince(model.known, model.trouble) !== null;
  return (
    <div className="jp-sandbox-left" data-level={loud} data-stale={stale || undefined}>
      <span className="jp-sandbox-left-profile">
        {trans.__('Profile')} <Text value={profile} most={60} />
      </span>
      <span className="jp-sandbox-left-time" role="timer" aria-label={trans.__('Time left')}>
        {hasEnded ? trans.__('ended') : left === null ? trans.__('no end') : leftText(left, loud, trans)}
      </span>
      <span className="jp-sandbox-left-what">
        {at === null ? (
          trans.__('No end is known.')
        ) : (
          <>
            {stale ? trans.__('last known: stops') : trans.__('stops')} <Instant at={ending.at} />
          </>
        )}
      </span>
    </div>
  );
}

function Why(props: { sandbox: ISandbox }): JSX.Element | null {
  const { trans } = usePanel();
  const { why, rule } = props.sandbox.ending;
  if (!why && !rule) {
    return null;
  }
  return (
    <p className="jp-sandbox-why">
      <Text value={why} most={300} />
      {rule && (
        <span className="jp-sandbox-quiet">
          {' '}
          {trans.__('Rule:')} <Text value={rule} most={80} />
        </span>
      )}
    </p>
  );
}

function Stopping(props: { sandbox: ISandbox }): JSX.Element {
  const { trans } = usePanel();
  const { stop } = props.sandbox;
  return (
    <p className="jp-sandbox-note" data-kind="error">
      {trans.__('It is being stopped:')} <Text value={stop?.why ?? ''} most={300} />{' '}
      {stop?.actor && (
        <>
          {trans.__('By')} <Text value={stop.actor} most={60} />.
        </>
      )}
    </p>
  );
}

interface IDoing {
  sandbox: ISandbox;
  action: IAction;
}

function Extend(props: IDoing): JSX.Element {
  const { model, trans, place } = usePanel();
  const { extension, stop } = props.sandbox;
  const { possible, until, left, cap, message } = extension;
  const at = instant(until);
  const extend = () =>
    props.action.run(async () => {
      const answer = await model.extend();
      const deadline = instant(answer.deadline);
      return deadline === null
        ? trans.__('Extended.')
        : trans.__('Extended: it may run until %1.', instantText(deadline, model.now(), place));
    });
  const to = at === null ? trans.__('Extend') : trans.__('Extend to %1', instantText(at, model.now(), place));
  return (
    <div className="jp-sandbox-doing">
      <Button
        kind="accept"
        onClick={() => void extend()}
        off={!possible || stop !== null || props.action.busy}
        reason="jp-sandbox-extend-why"
      >
        {possible ? to : trans.__('Extend')}
      </Button>
      <span className="jp-sandbox-quiet" id="jp-sandbox-extend-why">
        {possible ? (
          <>
            {left !== null && trans._n('%1 left', '%1 left', left)}
            {left !== null && cap && ', '}
            {cap && (
              <>
                {trans.__('at most until')} <Instant at={cap} />
              </>
            )}
          </>
        ) : (
          <Text value={message || trans.__('It cannot be extended.')} most={300} />
        )}
      </span>
    </div>
  );
}

const SPANS = [1, 2, 4, 8, 24].map(hours => hours * HOUR);

function Keep(props: IDoing): JSX.Element | null {
  const { model, trans, place } = usePanel();
  const [span, setSpan] = React.useState(2 * HOUR);
  const { keep_until, idle_timeout, stop } = props.sandbox;
  const kept = instant(keep_until);
  const isKept = kept !== null && kept > model.now();
  if (!isKept && idle_timeout === null) {
    return null; // nothing ends it for being unused
  }
  const keep = (by: number) =>
    props.action.run(async () => {
      const until = instant((await model.keep(by / 1000)).keep_until);
      return until === null
        ? trans.__('It is no longer kept.')
        : trans.__('Kept until %1, also unused.', instantText(until, model.now(), place));
    });
  const off = stop !== null || props.action.busy;
  if (isKept) {
    return (
      <div className="jp-sandbox-doing">
        <Button onClick={() => void keep(0)} off={off}>
          {trans.__('Keep no longer')}
        </Button>
        <span className="jp-sandbox-quiet">
          {trans.__('Kept until')} <Instant at={keep_until} />
          {trans.__(', also unused')}
        </span>
      </div>
    );
  }
  const unused = spanText(Math.max(MINUTE, (idle_timeout ?? 0) * 1000), trans);
  return (
    <div className="jp-sandbox-doing">
      <Button onClick={() => void keep(span)} off={off} reason="jp-sandbox-keep-why">
        {trans.__('Keep for')}
      </Button>
      <select
        aria-label={trans.__('How long it is kept')}
        value={span}
        onChange={event => setSpan(Number(event.target.value))}
      >
        {SPANS.map(value => (
          <option key={value} value={value}>
            {spanText(value, trans)}
          </option>
        ))}
      </select>
      <span className="jp-sandbox-quiet" id="jp-sandbox-keep-why">
        {trans.__('unused, it ends after %1', unused)}
      </span>
    </div>
  );
}

function StopNow(props: IDoing): JSX.Element {
  const { trans, stop } = usePanel();
  return (
    <div className="jp-sandbox-doing">
      <Button kind="warn" onClick={() => void stop()} off={props.sandbox.stop !== null || props.action.busy}>
        {trans.__('Stop now…')}
      </Button>
    </div>
  );
}

function Last(props: { sandbox: ISandbox }): JSX.Element | null {
  const { trans } = usePanel();
  const { last } = props.sandbox;
  if (last === null) {
    return null;
  }
  return (
    <p className="jp-sandbox-quiet">
      {trans.__('Your last server ended')} <Instant at={last.at} />
      {': '}
      <Text value={last.why} most={300} />
    </p>
  );
}
