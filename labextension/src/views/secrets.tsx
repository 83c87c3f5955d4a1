/* Which secrets may be read here, until when, and by which line? Never a value. */

import * as React from 'react';
import type { IPart, ISecret } from '../view';
import { usePanel } from './context';
import { counted, few, More, Nothing, PartAway, Section } from './section';
import { Badge, Code, Copy, Instant, Text } from './text';

const MOST = 50;

/** Names, expiry and the line of code. */
export function SecretSection(props: { secrets: ISecret[]; broker: IPart }): JSX.Element {
  const { trans } = usePanel();
  const { shown, more } = few(props.secrets, MOST);
  return (
    <Section name="secrets" title={trans.__('Secrets')} count={counted(props.secrets.length)}>
      <PartAway part={props.broker} />
      {shown.length === 0 && props.broker.ok && <Nothing>{trans.__('This profile has no secrets.')}</Nothing>}
      <ul className="jp-sandbox-list">
        {shown.map((secret, place) => (
          <Secret key={place} secret={secret} />
        ))}
      </ul>
      <More more={more} />
    </Section>
  );
}

function Secret(props: { secret: ISecret }): JSX.Element {
  const { trans } = usePanel();
  const { secret } = props;
  const facts = [secret.kind, secret.source].filter(Boolean).join(' · ');
  return (
    <li>
      <div className="jp-sandbox-row">
        <strong>
          <Text value={secret.name} most={80} />
        </strong>
        {secret.reason && (
          <Badge kind="denied" sign="✗">
            {trans.__('not readable')}
          </Badge>
        )}
      </div>
      <div className="jp-sandbox-quiet">
        <Text value={facts} most={100} />
        {secret.expires_at && (
          <>
            {' · '}
            {trans.__('expires')} <Instant at={secret.expires_at} />
          </>
        )}
      </div>
      {secret.reason ? (
        <div>
          <Text value={secret.reason} most={300} />
        </div>
      ) : (
        secret.line && (
          <div className="jp-sandbox-copied">
            <Code value={secret.line} />
            <Copy value={secret.line} what={trans.__('Copy the line of code')} />
          </div>
        )
      )}
    </li>
  );
}
