/* Which runs has this server's experiment, and where is MLflow? */

import * as React from 'react';
import type { IExperiments, IRun } from '../view';
import { usePanel } from './context';
import { counted, few, More, Nothing, PartAway, Section } from './section';
import { Away, Badge, Instant, Text } from './text';

const MOST = 20;

/** The experiment's newest runs and a link to all. */
export function ExperimentSection(props: { experiments: IExperiments }): JSX.Element {
  const { trans } = usePanel();
  const { part, here, url, experiment, runs } = props.experiments;
  const { shown, more } = few(runs, MOST);
  const absent = part.ok && !here;
  return (
    <Section name="experiments" title={trans.__('Experiments')} count={counted(runs.length)}>
      <PartAway part={part} />
      {absent && <Nothing>{trans.__('This site tracks no experiments.')}</Nothing>}
      {experiment && !absent && (
        <p className="jp-sandbox-why">
          {trans.__('Experiment')} <Text value={experiment} most={100} />
        </p>
      )}
      <ul className="jp-sandbox-list">
        {shown.map((run, place) => (
          <Run key={place} run={run} />
        ))}
      </ul>
      {!absent && part.ok && shown.length === 0 && <Nothing>{trans.__('No runs yet.')}</Nothing>}
      <More more={more} />
      {url && (
        <div className="jp-sandbox-doing">
          <Away className="jp-sandbox-button jp-sandbox-away" url={url}>
            {trans.__('Open MLflow')}
          </Away>
        </div>
      )}
    </Section>
  );
}

const KINDS: Record<string, [string, string]> = {
  FINISHED: ['approved', '✓'],
  FAILED: ['denied', '✗'],
  KILLED: ['denied', '✗'],
  RUNNING: ['waiting', '▸']
};

function Run(props: { run: IRun }): JSX.Element {
  const { run } = props;
  const [kind, sign] = KINDS[run.status.toUpperCase()] ?? ['other', '·'];
  const name = <Text value={run.name} most={80} />;
  return (
    <li>
      <div className="jp-sandbox-row">
        {run.url ? <Away url={run.url}>{name}</Away> : <strong>{name}</strong>}
        <Badge kind={kind} sign={sign}>
          <Text value={run.status.toLowerCase()} most={20} />
        </Badge>
      </div>
      <div className="jp-sandbox-quiet">
        <Instant at={run.started_at} />
      </div>
    </li>
  );
}
