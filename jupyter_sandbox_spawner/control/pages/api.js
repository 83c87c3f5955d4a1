// How is control asked? Same origin, by the session's cookie; a failure always says of which kind it is.

import { learn } from './time.js';

const TIMEOUT = 20_000;
const GATEWAY = new Set([502, 503, 504]);

/** `kind`: away (nobody answers), session (log in again), refused (an answer with code and remedy). */
export class ApiError extends Error {
  constructor(kind, status, { code = '', message = '', remedy = '' } = {}) {
    super(message);
    this.kind = kind;
    this.status = status;
    this.code = code;
    this.remedy = remedy;
  }
}

/** The path of one sandbox's or server's document; names may hold anything. */
export function path(...parts) {
  return parts.map((part) => encodeURIComponent(part)).join('/');
}

/** A query without what is empty. */
export function query(values) {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined && value !== null && value !== '') {
      found.set(name, String(value));
    }
  }
  const text = found.toString();
  return text ? `?${text}` : '';
}

/** GET a document. */
export function get(where, values = {}) {
  return call('GET', `${where}${query(values)}`);
}

/** POST or DELETE; the document of the answer, or {} where it has none. */
export async function call(method, where, body) {
  const headers = { Accept: 'application/json', 'X-Sandbox-Page': '1' };
  if (body !== undefined) {
    headers['Content-Type'] = 'application/json';
  }
  let answer;
  try {
    answer = await fetch(where, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: 'same-origin',
      redirect: 'manual',
      cache: 'no-store',
      signal: AbortSignal.timeout(TIMEOUT),
    });
  } catch (error) {
    throw away(0, error.name === 'TimeoutError' ? 'no answer within 20 s' : 'no connection');
  }
  return await read(answer);
}

function away(status, what) {
  return new ApiError('away', status, {
    code: 'page.away',
    message: `Control does not answer (${what}).`,
    remedy: 'See its log, or on the host: jupyter-sandbox-admin doctor',
  });
}

async function read(answer) {
  if (answer.type === 'opaqueredirect' || answer.status === 401) {
    const told = answer.status === 401 ? await document_(answer) : {};
    throw new ApiError('session', answer.status, {
      code: told.code ?? 'page.session_ended',
      message: 'Your login has ended.',
      remedy: 'Log in again; you come back to this view.',
    });
  }
  const told = answer.status === 204 ? {} : await document_(answer);
  if (answer.ok) {
    learn(told.now);
    return told;
  }
  if (!told.code && GATEWAY.has(answer.status)) {
    throw away(answer.status, `status ${answer.status}`);
  }
  throw new ApiError('refused', answer.status, {
    code: told.code || `http.${answer.status}`,
    message: told.message || `The answer was ${answer.status} without a reason.`,
    remedy: told.remedy,
  });
}

async function document_(answer) {
  try {
    return (await answer.json()) ?? {};
  } catch {
    return {};
  }
}
