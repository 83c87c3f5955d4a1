/* Nothing newer is known: why, since when, and what happens next? */

import { URLExt } from '@jupyterlab/coreutils';
import * as React from 'react';
import { agoText } from '../format';
import { staleSince } from '../time';
import type { IKnown, ITrouble } from '../tokens';
import { endOf } from '../trouble';
import { Button } from './action';
import { useNow, usePanel } from './context';
import { Away, Instant, Text } from './text';

/** One banner above all sections; nothing while all is well. */
export function Trouble(): JSX.Element | null {
  const { model, trans } = usePanel();
  const { known, trouble } = model;
  if (trouble === null) {
    return known === null || known.view.control.ok ? null : <ControlAway known={known} />;
  }
  const titles = {
    away: trans.__('This server does not answer'),
    gone: trans.__('This server has ended'),
    login: trans.__('Your login has ended')
  };
  return (
    <Banner kind={trouble.kind} title={titles[trouble.kind]}>
      <Reason trouble={trouble} />
      <Since trouble={trouble} />
      <WayOut trouble={trouble} />
    </Banner>
  );
}

/** Why: of a server that has ended what it said before, for the hub's answer says nothing. */
function Reason(props: { trouble: ITrouble }): JSX.Element | null {
  const { model, trans } = usePanel();
  const { kind, message } = props.trouble;
  if (kind !== 'gone') {
    return message ? (
      <p>
        <Text value={message} most={300} />
      </p>
    ) : null;
  }
  const why = endOf(model.known?.view.sandbox ?? null, model.now());
  return <p>{why ? <Text value={why} most={300} /> : trans.__('Its page at the hub says why.')}</p>;
}

function ControlAway(props: { known: IKnown }): JSX.Element {
  const { trans } = usePanel();
  const { control } = props.known.view;
  return (
    <Banner kind="away" title={trans.__('The sandbox service does not answer')}>
      <p>
        <Text value={control.message} most={300} />{' '}
        {control.remedy && <Text value={control.remedy} most={300} />}
      </p>
      <Since trouble={null} />
      <p className="jp-sandbox-quiet">{trans.__('Your server works on. This is asked again by itself.')}</p>
    </Banner>
  );
}

function Banner(props: { kind: string; title: string; children: React.ReactNode }): JSX.Element {
  return (
    <section className="jp-sandbox-trouble" data-kind={props.kind} aria-labelledby="jp-sandbox-trouble">
      <h3 id="jp-sandbox-trouble">{props.title}</h3>
      {props.children}
    </section>
  );
}

/** `What you see is last known, since 16:02 (3 min ago).` */
function Since(props: { trouble: ITrouble | null }): JSX.Element | null {
  const { model, trans } = usePanel();
  const now = useNow();
  const { known } = model;
  if (known === null) {
    return null;
  }
  const since = staleSince(known, props.trouble);
  if (since === null) {
    return null;
  }
  const at = since + known.skew;
  return (
    <p>
      {trans.__('What you see is last known, since')} <Instant at={new Date(at).toISOString()} />{' '}
      <span className="jp-sandbox-quiet">({agoText(now - at, trans)})</span>
    </p>
  );
}

function WayOut(props: { trouble: ITrouble }): JSX.Element {
  const { model, trans, baseUrl, hubUrl } = usePanel();
  if (props.trouble.kind === 'login') {
    return (
      <>
        <p>{trans.__('Log in again in a new tab; this page then goes on by itself.')}</p>
        <div className="jp-sandbox-doing">
          <Away className="jp-sandbox-button jp-sandbox-away" url={URLExt.join(baseUrl, 'lab')}>
            {trans.__('Log in')}
          </Away>
        </div>
      </>
    );
  }
  if (props.trouble.kind === 'gone') {
    return (
      <>
        <p>{trans.__('Your files are kept. Once it runs again, this page goes on by itself.')}</p>
        {hubUrl && (
          <div className="jp-sandbox-doing">
            <Away className="jp-sandbox-button jp-sandbox-away" url={hubUrl}>
              {trans.__('Start again')}
            </Away>
          </div>
        )}
      </>
    );
  }
  return (
    <>
      <p className="jp-sandbox-quiet">{trans.__('This is asked again by itself.')}</p>
      <div className="jp-sandbox-doing">
        <Button onClick={() => void model.refresh()}>{trans.__('Try now')}</Button>
      </div>
    </>
  );
}
