/* What became of the hosts that were asked for? Status, until when, answer; what waits can be withdrawn. */

import * as React from 'react';
import type { IEgressRequest } from '../view';
import { Button, IAction } from './action';
import { usePanel } from './context';
import { visible } from './hostile';
import { few, More } from './section';
import { Badge, Instant, Text } from './text';

const MOST = 20;

interface IRequestsProps {
  requests: IEgressRequest[];
  action: IAction;
}

/** Own requests, newest first; nothing at all where none was made. */
export function Requests(props: IRequestsProps): JSX.Element | null {
  const { trans } = usePanel();
  const { shown, more } = few(props.requests, MOST);
  if (shown.length === 0) {
    return null;
  }
  return (
    <>
      <h4 className="jp-sandbox-part">{trans.__('Your requests')}</h4>
      <ul className="jp-sandbox-list" data-list="requests">
        {shown.map(request => (
          <Request key={request.id} request={request} action={props.action} />
        ))}
      </ul>
      <More more={more} />
    </>
  );
}

function Request(props: { request: IEgressRequest; action: IAction }): JSX.Element {
  const { model, trans } = usePanel();
  const { request } = props;
  const host = `${request.host}:${request.port}`;
  const withdraw = () =>
    props.action.run(async () => {
      await model.withdraw(request.id);
      return trans.__('Withdrawn.');
    });
  return (
    <li>
      <strong>
        <Text value={host} most={100} />
      </strong>
      <div className="jp-sandbox-quiet">
        <StatusBadge status={request.status} /> {trans.__('asked')} <Instant at={request.asked_at} />
        {request.status === 'approved' && request.until && (
          <>
            {', '}
            {trans.__('open until')} <Instant at={request.until} />
          </>
        )}
        {request.scope && <>, {scopeWords(request.scope, trans)}</>}
      </div>
      <div>
        {trans.__('You:')} <Text value={request.why} most={200} />
      </div>
      {request.answer && (
        <div>
          {trans.__('Answer:')} <Text value={request.answer} most={300} />
        </div>
      )}
      {request.status === 'waiting' && (
        <div className="jp-sandbox-doing">
          <Button
            onClick={() => void withdraw()}
            off={props.action.busy}
            label={trans.__('Withdraw the request for %1', visible(host, 100).text)}
          >
            {trans.__('Withdraw')}
          </Button>
        </div>
      )}
    </li>
  );
}

/** The status of a request: sign, word and colour. */
export function StatusBadge(props: { status: IEgressRequest['status'] }): JSX.Element {
  const { trans } = usePanel();
  const words: Record<string, [string, string, string]> = {
    waiting: ['waiting', '…', trans.__('waiting')],
    approved: ['approved', '✓', trans.__('approved')],
    denied: ['denied', '✗', trans.__('denied')],
    withdrawn: ['other', '·', trans.__('withdrawn')],
    expired: ['other', '·', trans.__('expired')],
    revoked: ['denied', '✗', trans.__('revoked')]
  };
  const [kind, sign, word] = words[props.status] ?? ['other', '·', ''];
  return (
    <Badge kind={kind} sign={sign}>
      {word || <Text value={props.status} most={20} />}
    </Badge>
  );
}

function scopeWords(scope: string, trans: { __(text: string): string }): string {
  const words: Record<string, string> = {
    sandbox: trans.__('for this server'),
    user: trans.__('for all your servers'),
    group: trans.__('for your group')
  };
  return words[scope] ?? '';
}
