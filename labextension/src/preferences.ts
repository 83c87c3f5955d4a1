/* What did the user set? Pure: values of schema/settings.json; what is missing or no number is as if never set. */

import { IThresholds, THRESHOLDS } from './time.js';

export interface IPreferencesValues {
  readonly thresholds: IThresholds;
  /** ask the server by itself while the page is seen */
  readonly poll: boolean;
  /** tell of warnings, ends and answers by toasts */
  readonly toasts: boolean;
}

export const DEFAULTS: IPreferencesValues = { thresholds: THRESHOLDS, poll: true, toasts: true };

/** Red is never earlier than amber. */
export function preferencesOf(raw: { [name: string]: unknown }): IPreferencesValues {
  const amber = minutes(raw.amber, THRESHOLDS.amber);
  return {
    thresholds: { amber, red: Math.min(amber, minutes(raw.red, THRESHOLDS.red)) },
    poll: raw.poll !== false,
    toasts: raw.toasts !== false
  };
}

function minutes(value: unknown, otherwise: number): number {
  return typeof value === 'number' && value >= 0 && Number.isFinite(value) ? value : otherwise;
}
