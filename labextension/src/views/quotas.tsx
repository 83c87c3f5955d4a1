/* How much of its limits does this server use? One meter each, in words too. */

import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import { bytesText, IPlace, numberText } from '../format';
import type { IMeter, ISandbox } from '../view';
import { usePanel } from './context';
import { Nothing, Section } from './section';
import { Text } from './text';

const HIGH = 0.8;
const FULL = 0.95;

/** Meters of cpu, memory, disk and GPUs. */
export function QuotaSection(props: { sandbox: ISandbox }): JSX.Element {
  const { trans } = usePanel();
  const { meters, soft_limits } = props.sandbox;
  const others = soft_limits.filter(name => !meters.some(meter => meter.soft && meter.name === name));
  return (
    <Section name="quotas" title={trans.__('Quotas')}>
      {meters.length === 0 && <Nothing>{trans.__('Nothing is measured here.')}</Nothing>}
      {meters.map((meter, place) => (
        <Meter key={place} id={`jp-sandbox-meter-${place}`} meter={meter} />
      ))}
      {others.length > 0 && (
        <p className="jp-sandbox-quiet">
          {trans.__('Soft limits, too:')} <Text value={others.join(', ')} />
        </p>
      )}
    </Section>
  );
}

function Meter(props: { id: string; meter: IMeter }): JSX.Element {
  const { trans, place } = usePanel();
  const { meter, id } = props;
  const words = amounts(meter, trans, place);
  const isMeasured = meter.used !== null && meter.limit;
  const share = isMeasured ? Math.min(1, Math.max(0, meter.used! / meter.limit!)) : null;
  const loud = share === null ? 'plain' : share >= FULL ? 'red' : share >= HIGH ? 'amber' : 'plain';
  return (
    <div className="jp-sandbox-meter" data-level={loud}>
      <div className="jp-sandbox-meter-head">
        <span id={id}>
          <strong>{nameOf(meter, trans)}</strong>{' '}
          {meter.label && <Text value={meter.label} most={40} />}
        </span>
        <span className="jp-sandbox-meter-words">{words}</span>
      </div>
      {share !== null && (
        <div
          className="jp-sandbox-meter-bar"
          role="meter"
          aria-labelledby={id}
          aria-valuemin={0}
          aria-valuemax={100}
          aria-valuenow={Math.round(share * 100)}
          aria-valuetext={words}
        >
          <div style={{ width: `${share * 100}%` }} />
        </div>
      )}
      {meter.soft && (
        <span className="jp-sandbox-soft">
          {trans.__('soft limit: this host does not hold you to it, the sandbox ends past it')}
        </span>
      )}
    </div>
  );
}

function nameOf(meter: IMeter, trans: TranslationBundle): string {
  const names: Record<string, string> = {
    cpu: trans.__('CPU'),
    memory: trans.__('Memory'),
    disk: trans.__('Disk'),
    gpu: trans.__('GPU')
  };
  return names[meter.name] ?? '';
}

function amounts(meter: IMeter, trans: TranslationBundle, place: IPlace): string {
  const write = (value: number): string => {
    if (meter.unit === 'bytes') {
      return bytesText(value, place.locale);
    }
    return meter.unit === 'share'
      ? `${numberText(value * 100, 0, place.locale)} %`
      : numberText(value, 1, place.locale);
  };
  const unit = meter.unit === 'cores' ? ` ${trans.__('cores')}` : '';
  if (meter.used === null) {
    return meter.limit === null
      ? trans.__('not measured')
      : trans.__('not measured, of %1', write(meter.limit) + unit);
  }
  if (meter.limit === null) {
    return trans.__('%1, no limit', write(meter.used) + unit);
  }
  return meter.unit === 'share'
    ? trans.__('%1 busy', write(meter.used))
    : trans.__('%1 of %2', write(meter.used), write(meter.limit) + unit);
}
