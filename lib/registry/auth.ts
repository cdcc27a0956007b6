/**
 * Proving to a registry who one is: by name and password, or by a token from its token server.
 *
 * @module
 */

import type { Place } from "./configuration.ts";
import type { Credentials } from "./credentials.ts";
import { type Challenge, parseChallenges } from "./challenge.ts";
import { failure, readBytes, refusal, type Task, unreachable, wordsOf } from "./failure.ts";
import { type Ask, send, type Watch } from "./http.ts";
import { type Clock, parseRetryAfter } from "./retry.ts";

/** Authorization headers of a registry. */
export interface Authenticator {
  /** Returns a cached header for `scope`. */
  headerFor(scope: string): string | undefined;
  /**
   * Finds what answers the challenge of a registry that has refused `tried` with `words`.
   *
   * @throws {ImageError} `registry-refused`, and those of the token server.
   */
  answer(task: Task, watch: Watch, refused: AuthChallenge): Promise<string>;
}

/** A refused request. */
export interface AuthChallenge {
  /** Its scope, such as `repository:library/alpine:pull`. */
  scope: string;
  /** Authorization header that was sent. */
  tried?: string;
  /** The registry's header that says what it wants. */
  challenge: string | null;
  /** Message of the registry. */
  words: string;
}

/** Options of an authenticator. */
export interface AuthorityOptions {
  /** The registry. */
  place: Place;
  /** Finds credentials for a repository of it. */
  credentials: (registry: string, repository: string) => Promise<Credentials | undefined>;
  /** The clock. */
  clock: Clock;
}

interface CachedToken {
  header: string;
  expires: number;
}

const MAX_TOKEN_BYTES = 1024 * 1024;
/** A token is good for a minute where its server does not say. */
const USUAL_SECONDS = 60;
const MARGIN = 10_000;

function realmOf({ parameters }: Challenge, place: Place, task: Task): URL {
  const realm = URL.parse(parameters.realm ?? "");
  const isWeb = realm?.protocol === "https:" || realm?.protocol === "http:";
  if (!realm || !isWeb || realm.username || realm.password) {
    throw failure(task, "registry-refused", "the registry names no token server that can be asked");
  }
  if (realm.protocol === "http:" && place.secure) {
    throw failure(task, "registry-refused", `its token server ${realm.host} is not secure`, {
      hint: "nothing was sent there; this is a mistake of the registry, or of somebody in between",
    });
  }
  return realm;
}

function basic(username: string, password: string): string {
  const bytes = new TextEncoder().encode(`${username}:${password}`);
  return `Basic ${btoa(String.fromCharCode(...bytes))}`;
}

function tokenRequest(realm: URL, scopes: readonly string[], service: string | undefined, known?: Credentials): Ask {
  if (known && "identityToken" in known) {
    const body = new URLSearchParams({
      grant_type: "refresh_token",
      refresh_token: known.identityToken,
      client_id: "sauropod",
      scope: scopes.join(" "),
      ...(service === undefined ? {} : { service }),
    });
    return { method: "POST", url: realm, body };
  }
  const url = new URL(realm);
  if (service !== undefined) url.searchParams.set("service", service);
  for (const scope of scopes) url.searchParams.append("scope", scope);
  return { url, ...(known ? { authorization: basic(known.username, known.password) } : {}) };
}

function readToken(bytes: Uint8Array | undefined, task: Task): { token: string; seconds: number } {
  const bad = (why: string) => failure(task, "registry-error", `the answer of its token server ${why}`);
  if (!bytes) throw bad("is too long");
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw bad("is not JSON");
  }
  if (typeof value !== "object" || value === null) throw bad("has no token");
  const { token, access_token, expires_in }: { token?: unknown; access_token?: unknown; expires_in?: unknown } = value;
  const found = [token, access_token].find((one) => typeof one === "string" && /^[\x21-\x7e]+$/.test(one));
  if (typeof found !== "string") throw bad("has no token");
  return { token: found, seconds: typeof expires_in === "number" && expires_in > 0 ? expires_in : USUAL_SECONDS };
}

const OTHER_CREDENTIALS = "check the name of the repository, and log in again: sauropod login";
const NO_CREDENTIALS = "if it is not public, log in: sauropod login";

function refused(task: Task, known: Credentials | undefined, words: string): Error {
  const why = known
    ? `the registry does not accept the credentials of ${known.from} for it`
    : "the registry wants credentials, or there is no such repository";
  return failure(task, "registry-refused", `${why}${words}`, {
    hint: known ? task.repository === "" ? undefined : OTHER_CREDENTIALS : NO_CREDENTIALS,
    facts: { status: 401 },
  });
}

/** Returns an {@linkcode Authenticator} for one registry. Tokens are kept by scope, and asked for once at a time. */
export function makeAuthority({ place, credentials, clock }: AuthorityOptions): Authenticator {
  const passes = new Map<string, CachedToken>();
  const underway = new Map<string, Promise<string>>();

  const headerFor = (scope: string): string | undefined => {
    const pass = passes.get(scope);
    return pass && pass.expires > clock.now() ? pass.header : undefined;
  };

  const askForToken = async (wish: Task, watch: Watch, ask: Ask, known?: Credentials) => {
    const task = { ...wish, what: `get a token of ${ask.url.host} to ${wish.what}` };
    const { response } = await send(ask, task, watch);
    if (response.ok) {
      try {
        return readToken(await readBytes(response, MAX_TOKEN_BYTES, watch.progress), task);
      } catch (error) {
        throw error instanceof TypeError ? unreachable(task, error) : error;
      }
    }
    const words = await wordsOf(response);
    if (response.status === 401 || response.status === 403) throw refused(wish, known, words);
    const later = parseRetryAfter(response.headers.get("retry-after"), clock.now());
    throw refusal(task, response, words, later);
  };

  const obtain = async (
    task: Task,
    watch: Watch,
    { scope, tried, challenge, words }: AuthChallenge,
  ): Promise<string> => {
    const challenges = parseChallenges(challenge ?? "");
    const known = await credentials(place.host, place.prefix + task.repository);
    const bearer = challenges.find(({ scheme }) => scheme === "bearer");
    if (bearer) {
      const { service, scope: wanted } = bearer.parameters;
      const scopes = [...new Set([scope, wanted ?? ""])].filter((one) => one !== "");
      const ask = tokenRequest(realmOf(bearer, place, task), scopes, service, known);
      const { token, seconds } = await askForToken(task, watch, ask, known);
      const header = `Bearer ${token}`;
      if (header === tried) throw refused(task, known, words);
      passes.set(scope, { header, expires: clock.now() + Math.max(seconds * 500, seconds * 1000 - MARGIN) });
      return header;
    }
    const wantsBasic = challenges.some(({ scheme }) => scheme === "basic");
    if (!wantsBasic || !known || "identityToken" in known) throw refused(task, known, words);
    const header = basic(known.username, known.password);
    if (header === tried) throw refused(task, known, words);
    passes.set(scope, { header, expires: Infinity });
    return header;
  };

  return {
    headerFor,
    async answer(task, watch, refused) {
      const newer = headerFor(refused.scope);
      if (newer !== undefined && newer !== refused.tried) return newer;
      const asked = underway.get(refused.scope) ?? obtain(task, watch, refused);
      underway.set(refused.scope, asked);
      try {
        return await asked;
      } finally {
        if (underway.get(refused.scope) === asked) underway.delete(refused.scope);
      }
    },
  };
}
