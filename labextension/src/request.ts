/* How is the server asked? One function for every route below /sandbox; an error says what its document says. */

import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import { GONE } from './trouble';

/** A refusal or failure: `status` 0 where nothing answered. */
export class RequestError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly remedy: string = ''
  ) {
    super(message);
  }
}

/** After so many milliseconds without an answer there is none: a socket of before a sleep never says so itself. */
const LIMIT = 25_000;

/** The JSON document at `sandbox/` + path; a body makes it a POST. Rejects with RequestError. */
export async function request<T>(
  path: string,
  body?: unknown,
  settings: ServerConnection.ISettings = ServerConnection.makeSettings()
): Promise<T> {
  const url = URLExt.join(settings.baseUrl, 'sandbox', path);
  const headers = new Headers(settings.init.headers);
  headers.set('Accept', 'application/json'); // for others the hub has a page
  const asked: RequestInit =
    body === undefined ? { cache: 'no-store' } : { method: 'POST', body: JSON.stringify(body) };
  // The hub redirects what was for a server that has ended, and to another origin where it has subdomains.
  const init: RequestInit = { ...asked, headers, redirect: 'manual' };
  let response: Response;
  try {
    response = await ServerConnection.makeRequest(url, { ...init, signal: limit() }, settings);
  } catch (error) {
    throw new RequestError(0, 'server.away', error instanceof Error ? error.message : String(error));
  }
  if (response.type === 'opaqueredirect') {
    throw new RequestError(424, GONE, '');
  }
  return answer<T>(response);
}

async function answer<T>(response: Response): Promise<T> {
  const document = await json(response);
  if (!response.ok) {
    throw new RequestError(
      response.status,
      text(document?.code, 'server.failed'),
      text(document?.message, response.statusText),
      text(document?.remedy, '')
    );
  }
  if (document === null || typeof document !== 'object') {
    throw new RequestError(502, 'server.no_document', response.statusText); // a proxy's page in its place
  }
  return document as T;
}

function limit(): AbortSignal {
  const controller = new AbortController();
  setTimeout(() => controller.abort(), LIMIT);
  return controller.signal;
}

async function json(response: Response): Promise<any> {
  try {
    return await response.json();
  } catch {
    return null; // an answer of something else, such as a proxy's page
  }
}

function text(value: unknown, otherwise: string): string {
  return typeof value === 'string' && value ? value : otherwise;
}
