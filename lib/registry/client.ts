/**
 * A client for registries that speak the OCI distribution specification: one registry, with its mirrors.
 *
 * @module
 */

import { ImageError } from "../errors.ts";
import { type Authenticator, makeAuthority } from "./auth.ts";
import { type Configuration, type Place, placesOf, readConfiguration } from "./configuration.ts";
import { type Credentials, findCredentials } from "./credentials.ts";
import { cannot, refusal, type Task, wordsOf } from "./failure.ts";
import { type Answer, type Ask, send, type Watch, watchIdle } from "./http.ts";
import { type Clock, parseRetryAfter, REAL_CLOCK, withRetries } from "./retry.ts";

/** How a registry is asked. */
export interface RegistryOptions {
  /** Mirrors and insecure registries. Default: what the file in force says. */
  configuration?: Configuration;
  /** Finds credentials for a repository. Default: {@linkcode findCredentials}. */
  credentials?: (registry: string, repository: string) => Promise<Credentials | undefined>;
  /** Ends everything that is asked; its reason is what is thrown then. */
  signal?: AbortSignal;
  /** A connection that moves less than 1 KiB a second in this many milliseconds is given up. Default: a minute. */
  idleTimeout?: number;
  /** The clock. Default: the machine's. */
  clock?: Clock;
}

/** One host that has what the registry has. */
export interface Site {
  /** Its address. */
  readonly place: Place;
  /** Its authorization. */
  readonly authority: Authenticator;
}

/** A registry. */
export interface Registry {
  /** Its name, as in references. */
  readonly name: string;
  /** Its mirrors in their order, and at the end itself. */
  readonly sites: readonly Site[];
  /** How it is asked. */
  readonly options: Readonly<Required<Pick<RegistryOptions, "idleTimeout" | "clock">> & { signal?: AbortSignal }>;
}

/** Request to a site, by a path below `/v2/`. */
export interface Request extends Omit<Ask, "url" | "authorization" | "body"> {
  /** Below the repository, such as `manifests/latest`; or a whole URL. */
  path: string | URL;
  /** Actions of the token's scope: `pull`, or `pull,push`. */
  actions: "pull" | "pull,push";
  /** Other repositories that have to be read for it. */
  reads?: readonly string[];
  /** Makes what is sent, once for each time that it is. */
  body?: () => BodyInit;
}

/** One try at one site. */
export interface Attempt {
  /** The site. */
  readonly site: Site;
  /** Description of the task, for errors. */
  readonly task: Task;
  /** To be told of every progress. */
  readonly watch: Watch;
  /** Asks the site, proving who one is where that is wanted. Answers that are no success are returned too. */
  request(request: Request): Promise<Answer>;
  /** The error for an answer that is no success. */
  refusal(response: Response): Promise<ImageError>;
}

/** Which sites are asked, and how often. */
export interface AttemptOptions {
  /** Whether it is a document, which is small and has to be there after a few times the idle time. Default: false. */
  isDocument?: boolean;
  /** Whether mirrors are skipped. Default: they are asked first. */
  originOnly?: boolean;
  /** Ends it. Default: only the registry's own signal does. */
  signal?: AbortSignal;
  /** Whether the try that has just failed came so far that the next one counts as the first. Default: never. */
  gotOn?: () => boolean;
}

const MINUTE = 60_000;
const DOCUMENT_TIMES = 3;
// The first answer wants credentials, the second comes with them, the third after a token that had just run out.
const MAX_ROUNDS = 3;

/** Makes ready to ask a registry, such as `docker.io`. Nothing is asked yet. */
export function openRegistry(name: string, options: RegistryOptions = {}): Registry {
  const { configuration = readConfiguration(), credentials = findCredentials, clock = REAL_CLOCK, signal } = options;
  return {
    name,
    sites: placesOf(name, configuration).map((place) => ({
      place,
      authority: makeAuthority({ place, credentials, clock }),
    })),
    options: { idleTimeout: options.idleTimeout ?? MINUTE, clock, ...(signal ? { signal } : {}) },
  };
}

function scopeOf({ prefix }: Place, repository: string, { actions, reads = [] }: Request): string {
  if (repository === "") return "";
  return [`repository:${prefix}${repository}:${actions}`, ...reads.map((one) => `repository:${prefix}${one}:pull`)]
    .join(" ");
}

async function ask({ place, authority }: Site, task: Task, watch: Watch, request: Request): Promise<Answer> {
  const { path, body, method, headers } = request;
  const url = path instanceof URL ? path : new URL(`/v2/${place.prefix}${task.repository}/${path}`, place.origin);
  const own = url.origin === place.origin;
  const scope = scopeOf(place, task.repository, request);
  let authorization = own ? authority.headerFor(scope) : undefined;
  for (let round = 1;; round++) {
    const answer = await send({ method, headers, url, authorization, ...(body ? { body: body() } : {}) }, task, watch);
    const { response, foreign } = answer;
    if (response.status !== 401 || foreign || !own || round === MAX_ROUNDS) return answer;
    const words = await wordsOf(response);
    const challenge = response.headers.get("www-authenticate");
    authorization = await authority.answer(task, watch, { scope, tried: authorization, challenge, words });
  }
}

function aborter(...signals: (AbortSignal | undefined)[]): AbortSignal | undefined {
  const given = signals.filter((signal) => signal !== undefined);
  return given.length > 1 ? AbortSignal.any(given) : given[0];
}

/**
 * Does `work` at the first mirror where it succeeds, or else at the registry itself, trying again what may pass. `what`
 * is said in errors, as in `cannot WHAT of REPOSITORY at HOST`.
 */
export async function attempt<T>(
  registry: Registry,
  { what, repository }: { what: string; repository: string },
  work: (attempt: Attempt) => Promise<T>,
  options: AttemptOptions = {},
): Promise<T> {
  const { clock, idleTimeout } = registry.options;
  const signal = aborter(registry.options.signal, options.signal);
  const sites = options.originOnly ? registry.sites.slice(-1) : registry.sites;
  const mirrorErrors: string[] = [];
  for (const [i, site] of sites.entries()) {
    const task = { what, repository, host: site.place.host };
    const standIn = i < sites.length - 1;
    try {
      return await withRetries({ clock, signal, standIn, gotOn: options.gotOn }, async () => {
        const within = options.isDocument ? idleTimeout * DOCUMENT_TIMES : undefined;
        using watch = watchIdle(idleTimeout, { within, signal });
        return await work({
          site,
          task,
          watch,
          request: (request) => ask(site, task, watch, request),
          refusal: async (response) =>
            refusal(
              task,
              response,
              await wordsOf(response),
              parseRetryAfter(response.headers.get("retry-after"), clock.now()),
            ),
        });
      });
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof ImageError)) throw error;
      if (!standIn) throw mirrorErrors.length ? withMirrors(error, mirrorErrors) : error;
      mirrorErrors.push(error.message);
    }
  }
  throw new ImageError(cannot({ what, repository, host: registry.name }), { code: "registry-error" });
}

function withMirrors(error: ImageError, mirrors: readonly string[]): ImageError {
  return new ImageError(`${error.message} (and before: ${mirrors.join("; ")})`, {
    code: error.code,
    facts: { ...error.facts, mirrors },
    ...(error.hint ? { hint: error.hint } : {}),
    cause: error,
  });
}
