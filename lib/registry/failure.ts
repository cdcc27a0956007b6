/**
 * Errors of registries.
 *
 * @module
 */

import { ImageError, messageOf } from "../errors.ts";

/** Description of the task, for errors. */
export interface Task {
  /** Such as `fetch the manifest 3.20`. */
  readonly what: string;
  /** In which repository. */
  readonly repository: string;
  /** At which host. */
  readonly host: string;
}

const MAX_ERROR_BYTES = 64 * 1024;
const MAX_QUOTE = 300;

/** Returns the beginning of every message. */
export function cannot({ what, repository, host }: Task): string {
  return `cannot ${what}${repository && ` of ${repository}`} at ${host}`;
}

function factsOf({ host, repository }: Task): Record<string, unknown> {
  return { registry: host, repository };
}

/** Text of others, quoted, without control characters, and not too long. */
export function quote(text: string): string {
  return JSON.stringify(text.length > MAX_QUOTE ? `${text.slice(0, MAX_QUOTE)}…` : text);
}

/** Returns an error that says what could not be done and `why`. */
export function failure(
  task: Task,
  code: string,
  why: string,
  more: { hint?: string; facts?: object } = {},
): ImageError {
  return new ImageError(`${cannot(task)}: ${why}`, {
    code,
    facts: { ...factsOf(task), ...more.facts },
    ...(more.hint ? { hint: more.hint } : {}),
  });
}

const STAGES = [
  { stage: "secure", sign: /certificate|corrupt message|handshake|tls|unexpected eof during/i },
  { stage: "connect", sign: /\(Connect\)|blocked|proxy|tunnel/i },
  { stage: "answer", sign: /./ },
] as const;

const HINTS = {
  secure:
    'an authority of your own belongs into /etc/docker/certs.d/HOST/ca.crt, or into the file that $SSL_CERT_FILE names; a registry without TLS is named in "insecure" of registries.json',
  connect: "check the name of the registry, the network, and $HTTPS_PROXY",
  answer: "try again: what has come so far is kept",
} as const;

/** Returns the error for a connection that cannot be made or was lost. */
export function unreachable(task: Task, error: unknown): ImageError {
  const inner = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  // Without the URL, which may be a signed one: who has it needs no credentials.
  const text = messageOf(inner).replace(/^.*for url \(.*?\):? ?/, "");
  const { stage } = STAGES.find(({ sign }) => sign.test(text)) ?? STAGES[2];
  const why = text.replace(/^client error \(\w+\): ?/, "").slice(0, MAX_QUOTE) || "the connection was lost";
  return new ImageError(`${cannot(task)}: ${why}`, {
    code: "registry-unreachable",
    facts: { ...factsOf(task), stage },
    hint: HINTS[stage],
    cause: error,
  });
}

/** Reads at most `most` bytes of an answer; `undefined` if there are more. */
export async function readBytes(
  response: Response,
  most: number,
  onBytes: (count: number) => void = () => {},
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  for await (const part of response.body ?? []) {
    onBytes(part.length);
    size += part.length;
    if (size > most) return undefined;
    parts.push(part);
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function messagesOf(text: string): string | undefined {
  try {
    const value: unknown = JSON.parse(text);
    const errors: unknown[] = isObject(value) && Array.isArray(value.errors) ? value.errors : [value];
    const messages = errors.filter(isObject).map(({ message, details, code }) =>
      [message, details, code].find((words) => typeof words === "string" && words !== "")
    );
    return messages.filter((words) => words !== undefined).join("; ") || undefined;
  } catch {
    return undefined;
  }
}

/** Reads the error message of a response, as `: "…"`; empty if there is none. Consumes the body. */
export async function wordsOf(response: Response): Promise<string> {
  try {
    const bytes = await readBytes(response, MAX_ERROR_BYTES);
    const message = bytes && messagesOf(new TextDecoder().decode(bytes));
    return message ? `: ${quote(message)}` : "";
  } catch {
    return "";
  }
}

const STATUS_HINTS: Readonly<Record<number, string>> = {
  401: "log in: sauropod login",
  403: "these credentials, or none, are not allowed to do it",
  404: "check the name and the tag",
  429: "the registry limits how much one may ask for; wait, or use credentials or a mirror",
};

/** Returns the error for an answer that is no success; `words` are those of {@linkcode wordsOf}. */
export function refusal(task: Task, response: Response, words: string, retryAfter?: number): ImageError {
  const { status } = response;
  const later = retryAfter === undefined ? "" : `, and asks to wait for ${Math.ceil(retryAfter / 1000)} s`;
  return failure(
    task,
    status === 401 || status === 403 ? "registry-refused" : "registry-error",
    `the registry answers ${status}${words}${later}`,
    { hint: STATUS_HINTS[status], facts: { status, ...(retryAfter === undefined ? {} : { retryAfter }) } },
  );
}
