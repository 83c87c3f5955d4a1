/* What does the server say of its sandbox? The document of GET sandbox/view, as singleuser/lab/ makes it.
 *
 * Law: every text in it may have been written by somebody hostile, so it is shown as text and nothing else.
 * Times are RFC 3339 by the clock of `now`; bytes, seconds and cores are plain numbers.
 */

/** How one of the programs answered: `since` is when it was last heard, where it does not answer now. */
export interface IPart {
  ok: boolean;
  code: string;
  message: string;
  remedy: string;
  since: string | null;
}

export interface IMeter {
  name: 'cpu' | 'memory' | 'disk' | 'gpu';
  /** null: this host cannot measure it */
  used: number | null;
  /** null: no limit */
  limit: number | null;
  unit: 'cores' | 'bytes' | 'share';
  /** the host does not enforce it */
  soft: boolean;
  label: string;
}

export interface IExtension {
  possible: boolean;
  until: string | null;
  code: string;
  message: string;
  left: number | null;
  cap: string | null;
}

/** When it ends next, by which rule and why; `at` null: no end is known. */
export interface IEnding {
  at: string | null;
  kind: string;
  code: string;
  why: string;
  rule: string;
}

export interface IWarning {
  /** the event's number, as on the event bus */
  id?: number;
  kind: string;
  code: string;
  why: string;
  at: string;
  told_at: string;
}

export interface ISecret {
  name: string;
  kind: string;
  source: string;
  expires_at: string | null;
  /** the line of code that reads it */
  line: string;
  /** why it cannot be read now; empty where it can */
  reason: string;
}

export interface IDenial {
  host: string;
  port: number;
  code: string;
  rule: string;
  count: number;
  first_at: string;
  last_at: string;
}

export interface IEgressRequest {
  id: number;
  host: string;
  port: number;
  why: string;
  status: 'waiting' | 'approved' | 'denied' | 'withdrawn' | 'expired' | 'revoked';
  asked_at: string;
  decided_at: string | null;
  answer: string;
  scope: 'sandbox' | 'user' | 'group' | null;
  until: string | null;
  /** false: what was given does not hold in this sandbox */
  here?: boolean;
}

export interface IDataset {
  name: string;
  tags: string[];
  path: string;
  read_only: boolean;
  purpose: string;
}

export interface ILeftOut {
  name: string;
  code: string;
  why: string;
}

export interface IRun {
  name: string;
  status: string;
  started_at: string | null;
  url: string | null;
}

export interface IExperiments {
  part: IPart;
  /** this hub records runs, also where `url` is null */
  here: boolean;
  /** where browsers find MLflow, null: nowhere that this server knows */
  url: string | null;
  experiment: string;
  runs: IRun[];
}

export interface IStop {
  code: string;
  why: string;
  actor: string | null;
  decided_at: string | null;
}

export interface ISandbox {
  id: string;
  user: string;
  server: string;
  profile: string;
  status: string;
  ready_at: string | null;
  runtime: string;
  zone: string;
  ending: IEnding;
  idle_timeout: number | null;
  keep_until: string | null;
  extension: IExtension;
  stop: IStop | null;
  warnings: IWarning[];
  meters: IMeter[];
  soft_limits: string[];
  datasets: IDataset[];
  left_out: ILeftOut[];
  /** why the server's last sandbox ended; null: it is the first */
  last: { why: string; at: string | null } | null;
}

export interface IView {
  /** the server's clock when it answered */
  now: string;
  control: IPart;
  broker: IPart;
  /** null: nothing was ever heard of it */
  sandbox: ISandbox | null;
  egress: {
    allowed: string[];
    denied: IDenial[];
    requests: IEgressRequest[];
  };
  secrets: ISecret[];
  experiments: IExperiments;
}
