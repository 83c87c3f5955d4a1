/* What do the plugins share? The model of this server's sandbox, behind one token. */

import { Token } from '@lumino/coreutils';
import { ISignal } from '@lumino/signaling';
import { IPreferencesValues } from './preferences';
import { IView } from './view';

/** What is known, and since when; `skew` is the server's clock less the browser's, in milliseconds. */
export interface IKnown {
  view: IView;
  /** performance-independent instant (Date.now()) at which `view` came */
  heard: number;
  skew: number;
}

/** Something that control has just told: `at` is the end that it is about, by the server's clock. */
export interface INotice {
  id: number;
  /** warning, save, stopping, extended, egress_request; others may come */
  kind: string;
  code: string;
  why: string;
  at: string | null;
}

/** Why nothing newer is known. `gone`: the server has ended; `login`: the browser's login has. */
export interface ITrouble {
  kind: 'away' | 'gone' | 'login';
  /** of the answer; 0: there was none */
  status: number;
  code: string;
  /** the server's own words, where it sent some */
  message: string;
  /** Date.now() of the first failure in a row */
  since: number;
}

export interface ISandboxModel {
  readonly known: IKnown | null;
  readonly trouble: ITrouble | null;
  /** false: this is no sandbox, and nothing is shown */
  readonly isActive: boolean;
  readonly changed: ISignal<ISandboxModel, void>;
  /** Each notice once, by the event bus or, where that was missed, by the document. */
  readonly noticed: ISignal<ISandboxModel, INotice>;
  /** Now by the server's clock, in milliseconds since 1970. */
  now(): number;
  /** Ask now, whatever the pace is. */
  refresh(): Promise<void>;
  /** Each resolves with the answer's document; rejects with RequestError (code, message, remedy, status). */
  extend(by?: number): Promise<{ deadline: string | null; left: number | null; cap: string | null }>;
  keep(by: number): Promise<{ keep_until: string | null }>;
  stop(): Promise<void>;
  askForAccess(host: string, port: number, why: string): Promise<void>;
  withdraw(request: number): Promise<void>;
}

export const ISandboxModel = new Token<ISandboxModel>(
  'jupyter-sandbox-spawner:ISandboxModel',
  "Time left, limits, secrets and refusals of this server's sandbox."
);

/** What its user set, with the signal of a change. */
export interface IPreferences extends IPreferencesValues {
  readonly changed: ISignal<IPreferences, void>;
}

export const IPreferences = new Token<IPreferences>(
  'jupyter-sandbox-spawner:IPreferences',
  'When time left turns amber and red, and what is told.'
);

export namespace CommandIDs {
  export const extend = 'sandbox:extend';
  export const openPanel = 'sandbox:open-panel';
  export const keep = 'sandbox:keep';
  export const stop = 'sandbox:stop';
  export const refresh = 'sandbox:refresh';
  export const ask = 'sandbox:ask-for-access';
}

/** The id of the panel's widget in the shell. */
export const PANEL_ID = 'jp-sandbox-panel';

/** The name that catalogues of translations have. */
export const DOMAIN = 'jupyter_sandbox_spawner';
