/* Which hosts may be reached, which were refused and why, and what was asked for? */

import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import type { IDenial, IEgressRequest, IView } from '../view';
import { IAction, Result, useAction } from './action';
import { AskOpener } from './ask';
import { usePanel } from './context';
import { Requests, StatusBadge } from './requests';
import { few, More, Nothing, Section } from './section';
import { Code, Instant, Sign, Text } from './text';

const MOST = 50;

type Filter = 'all' | 'denied';

/** Refused hosts with a way to ask for them, own requests, and the allowed list. */
export function NetworkSection(props: { egress: IView['egress'] }): JSX.Element {
  const { trans } = usePanel();
  const [filter, setFilter] = React.useState<Filter>('all');
  const action = useAction();
  const { allowed, denied, requests } = props.egress;
  const refused = denied.length ? trans._n('%1 denied', '%1 denied', denied.length) : '';
  return (
    <Section name="network" title={trans.__('Network')} count={refused}>
      <FilterChoice value={filter} choose={setFilter} />
      <Denials denied={denied} requests={requests} action={action} />
      {filter === 'all' && (
        <>
          <Requests requests={requests} action={action} />
          <Allowed allowed={allowed} />
        </>
      )}
      <AskOpener host="" port={443} action={action} words={trans.__('Ask for another host…')} />
      <Result of={action} />
    </Section>
  );
}

function FilterChoice(props: { value: Filter; choose: (value: Filter) => void }): JSX.Element {
  const { trans } = usePanel();
  const choices: [Filter, string][] = [
    ['all', trans.__('All')],
    ['denied', trans.__('Denied only')]
  ];
  return (
    <fieldset className="jp-sandbox-filter">
      <legend className="jp-sr-only">{trans.__('What is shown of the network')}</legend>
      {choices.map(([value, label]) => (
        <label key={value}>
          <input
            type="radio"
            name="jp-sandbox-network"
            value={value}
            checked={props.value === value}
            onChange={() => props.choose(value)}
          />
          {label}
        </label>
      ))}
    </fieldset>
  );
}

interface IDenialsProps {
  denied: IDenial[];
  requests: IEgressRequest[];
  action: IAction;
}

function Denials(props: IDenialsProps): JSX.Element {
  const { trans } = usePanel();
  const { shown, more } = few(props.denied, MOST);
  return (
    <>
      <h4 className="jp-sandbox-part">{trans.__('Denied')}</h4>
      {shown.length === 0 && <Nothing>{trans.__('Nothing was denied.')}</Nothing>}
      <ul className="jp-sandbox-list" data-list="denied">
        {shown.map(denial => (
          <Denial
            key={`${denial.host.slice(0, 300)}:${denial.port}:${denial.code}`}
            denial={denial}
            asked={latest(props.requests, denial)}
            action={props.action}
          />
        ))}
      </ul>
      <More more={more} />
    </>
  );
}

function Denial(props: { denial: IDenial; asked: IEgressRequest | null; action: IAction }): JSX.Element {
  const { trans } = usePanel();
  const { denial, asked } = props;
  const open = asked !== null && (asked.status === 'waiting' || asked.status === 'approved');
  return (
    <li>
      <div className="jp-sandbox-row">
        <Sign kind="denied" sign="✗">
          {trans.__('denied')}
        </Sign>
        <strong>
          <Text value={`${denial.host}:${denial.port}`} most={100} />
        </strong>
      </div>
      <div>{reason(denial.code, trans) ?? <Text value={denial.code} most={60} />}</div>
      <div className="jp-sandbox-quiet">
        {trans._n('once', '%1 times', denial.count)}
        {', '}
        {trans.__('last')} <Instant at={denial.last_at} />
        {denial.rule && (
          <>
            {' · '}
            {trans.__('rule')} <Text value={denial.rule} most={80} />
          </>
        )}
      </div>
      {open && asked ? (
        <div className="jp-sandbox-row">
          <span>{trans.__('You asked:')}</span> <StatusBadge status={asked.status} />
        </div>
      ) : (
        canBeOpened(denial) && <AskOpener host={denial.host} port={denial.port} action={props.action} />
      )}
    </li>
  );
}

/** Only a host that no rule names is opened by an approval; no approval mends a name or an address. */
function canBeOpened({ code, host, port }: IDenial): boolean {
  return (code === 'egress.not_allowed' || code === 'egress.port_not_allowed') && host !== '' && port > 0;
}

function Allowed(props: { allowed: string[] }): JSX.Element {
  const { trans } = usePanel();
  const { shown, more } = few(props.allowed, 2 * MOST);
  return (
    <>
      <h4 className="jp-sandbox-part">{trans.__('Allowed')}</h4>
      {shown.length === 0 && <Nothing>{trans.__('No host is allowed.')}</Nothing>}
      <ul className="jp-sandbox-list jp-sandbox-close" data-list="allowed">
        {shown.map((rule, place) => (
          <li key={place}>
            <Code value={rule} />
          </li>
        ))}
      </ul>
      <More more={more} />
    </>
  );
}

function latest(requests: IEgressRequest[], denial: IDenial): IEgressRequest | null {
  return requests.find(request => request.host === denial.host && request.port === denial.port) ?? null;
}

function reason(code: string, trans: TranslationBundle): string | null {
  const words: Record<string, string> = {
    'egress.not_allowed': trans.__('No rule of your profile allows this host.'),
    'egress.port_not_allowed': trans.__('The host is allowed on other ports only.'),
    'egress.ip_literal': trans.__('An address instead of a name: only listed ones are allowed.'),
    'egress.bad_host': trans.__('This is not the name of a host.'),
    'egress.resolved_private': trans.__('The name leads to an address that is not public.'),
    'egress.sni_mismatch': trans.__('The connection was for another host than it said.'),
    'egress.capped': trans.__('Connections, rate or the bytes of today are used up.'),
    'egress.bad_request': trans.__('This was not a request that the proxy understands.'),
    'egress.unresolved': trans.__('The host is allowed, but its name has no address.'),
    'egress.unreachable': trans.__('The host is allowed, but does not answer.'),
    'egress.http_only': trans.__('This name is reached by plain http:// only.')
  };
  return words[code] ?? null;
}
