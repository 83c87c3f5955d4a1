/* Which datasets are here, where, and which were left out? */

import * as React from 'react';
import type { IDataset, ILeftOut, ISandbox } from '../view';
import { usePanel } from './context';
import { counted, few, More, Nothing, Section } from './section';
import { Badge, Code, Copy, Text } from './text';

const MOST = 50;

/** Paths with their tags; then what is missing, and why. */
export function DatasetSection(props: { sandbox: ISandbox }): JSX.Element {
  const { trans } = usePanel();
  const { datasets, left_out } = props.sandbox;
  const here = few(datasets, MOST);
  const out = few(left_out, MOST);
  return (
    <Section name="datasets" title={trans.__('Datasets')} count={counted(datasets.length)}>
      {here.shown.length + out.shown.length === 0 && (
        <Nothing>{trans.__('This profile has no datasets.')}</Nothing>
      )}
      <ul className="jp-sandbox-list">
        {here.shown.map((dataset, place) => (
          <Dataset key={place} dataset={dataset} />
        ))}
      </ul>
      <More more={here.more} />
      {out.shown.length > 0 && <h4 className="jp-sandbox-part">{trans.__('Left out')}</h4>}
      <ul className="jp-sandbox-list">
        {out.shown.map((dataset, place) => (
          <LeftOut key={place} dataset={dataset} />
        ))}
      </ul>
      <More more={out.more} />
    </Section>
  );
}

function Dataset(props: { dataset: IDataset }): JSX.Element {
  const { trans } = usePanel();
  const { dataset } = props;
  return (
    <li>
      <div className="jp-sandbox-row">
        <strong>
          <Text value={dataset.name} most={80} />
        </strong>
        <span className="jp-sandbox-tag">
          {dataset.read_only ? trans.__('read-only') : trans.__('writable')}
        </span>
        {dataset.tags.slice(0, 20).map((tag, place) => (
          <span key={place} className="jp-sandbox-tag">
            <Text value={tag} most={40} />
          </span>
        ))}
      </div>
      {dataset.purpose && (
        <div className="jp-sandbox-quiet">
          {trans.__('for')} <Text value={dataset.purpose} most={200} />
        </div>
      )}
      <div className="jp-sandbox-copied">
        <Code value={dataset.path} />
        <Copy value={dataset.path} what={trans.__('Copy the path')} />
      </div>
    </li>
  );
}

function LeftOut(props: { dataset: ILeftOut }): JSX.Element {
  const { trans } = usePanel();
  return (
    <li>
      <div className="jp-sandbox-row">
        <strong>
          <Text value={props.dataset.name} most={80} />
        </strong>
        <Badge kind="denied" sign="✗">
          {trans.__('not here')}
        </Badge>
      </div>
      <div>
        <Text value={props.dataset.why} most={300} />
      </div>
    </li>
  );
}
