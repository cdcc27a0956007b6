/**
 * Events of containers, read from the event log and followed: `events`.
 *
 * @module
 */

import { describeErrno } from "../../../ffi/errno.ts";
import { type Filters, parseFilters as parse, type Test } from "../../text/filters.ts";
import { parseTime } from "../../text/time.ts";
import { type ContainerEvent, EVENTS } from "./event.ts";
import { forEachLine } from "./log_format.ts";
import { readRecord } from "./record.ts";
import { openParts, readParts, startBehind } from "./rotated.ts";

/** Selection of events. */
export interface EventOptions {
  /** Start time, as {@linkcode parseTime} reads it. Default: now. */
  readonly since?: string;
  /** End time, until which events are followed. Default: follow without end. */
  readonly until?: string;
  /**
   * `KEY=VALUE`, where KEY is `container` (a name, an id or its beginning), `action` (also written `event`) or `image`
   * (with or without its tag). Filters with the same key are alternatives, different keys are combined. Default: all events.
   */
  readonly filters?: readonly string[];
  /** Stops following when aborted. */
  readonly signal?: AbortSignal;
  /** Called when events may have been lost by rotation. */
  readonly onLoss?: () => void;
}

const isAction: Test<ContainerEvent> = ({ action }, value) => action === value;

const FILTERS: Filters<ContainerEvent> = {
  container: ({ id, name }, value) => name === value || (value !== "" && id.startsWith(value)),
  action: isAction,
  event: isAction,
  image: ({ image }, value) => image === value || image?.replace(/[:@][^/]*$/, "") === value,
};

/**
 * Parses filters into a predicate.
 *
 * @throws {InputError} `bad-filter`.
 */
export function parseFilters(filters: readonly string[]): (event: ContainerEvent) => boolean {
  return parse(FILTERS, filters, "events");
}

function isEvent(value: unknown): value is ContainerEvent {
  return typeof value === "object" && value !== null && "time" in value && typeof value.time === "string" &&
    "action" in value && typeof value.action === "string" && "id" in value && typeof value.id === "string";
}

/** Parses a line of the event log; undefined if it is invalid. The incomplete line of a killed writer may precede the event. */
export function parseEvent(line: string): ContainerEvent | undefined {
  for (const text of [line, line.slice(Math.max(0, line.lastIndexOf('{"time":')))]) {
    try {
      const value: unknown = JSON.parse(text);
      if (isEvent(value)) return value;
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
  }
  return undefined;
}

type Description = Pick<ContainerEvent, "name" | "image">;

function describe(containers: string, id: string): Description {
  try {
    const { name, image } = readRecord(`${containers}/${id}`) ?? {};
    return { name, image };
  } catch {
    // The record is damaged; the event is shown without it.
    return {};
  }
}

/**
 * Returns a function that completes events with the name and image of their container and a description of error numbers.
 * A monitor keeps writing the name that the container had when it was started. Past events keep the names of their time.
 */
function completer(containers: string, isLive: boolean): (event: ContainerEvent) => ContainerEvent {
  const known = new Map<string, Description>();
  return (event) => {
    const { id, action, name, image, errno } = event;
    if (action === "rename") known.set(id, { name, image });
    else if (!known.has(id) && (isLive || image === undefined)) known.set(id, describe(containers, id));
    const current = known.get(id), told = current?.image === undefined ? { name, image } : current;
    if (action === "destroy") known.delete(id);
    return { ...event, ...(errno === undefined ? {} : { error: describeErrno(errno) }), ...told };
  };
}

/**
 * Yields the events of the containers in the directory `containers`, from now on or since a start time.
 *
 * @throws {InputError} `bad-time`, `bad-filter`.
 */
export function readEvents(containers: string, options: EventOptions = {}): AsyncGenerator<ContainerEvent> {
  const since = options.since === undefined ? undefined : parseTime(options.since);
  const until = options.until === undefined ? undefined : parseTime(options.until);
  const isWanted = parseFilters(options.filters ?? []);
  const complete = completer(containers, since === undefined);
  const path = `${containers}/${EVENTS}`;
  const parts = openParts(path);
  if (since === undefined) startBehind(parts, (line) => line.at(-1) === "\n".charCodeAt(0));
  const end = until === undefined ? Infinity : Date.parse(until);
  const more = (): boolean => Date.now() <= end;
  const chunks = readParts(path, parts, { more, signal: options.signal, onLoss: options.onLoss });
  return (async function* (): AsyncGenerator<ContainerEvent> {
    const decoder = new TextDecoder();
    for await (const chunk of chunks) {
      const events: ContainerEvent[] = [];
      forEachLine(chunk, (at, stop) => {
        const event = parseEvent(decoder.decode(chunk.subarray(at, stop)));
        if (event) events.push(complete(event));
      });
      const isTimely = ({ time }: ContainerEvent): boolean =>
        (since === undefined || time >= since) && (until === undefined || time <= until);
      yield* events.filter((event) => isTimely(event) && isWanted(event));
    }
  })();
}
