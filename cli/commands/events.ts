/**
 * `sauropod events`.
 *
 * @module
 */

import type { ContainerEvent } from "../../lib/container/state/event.ts";
import { readEvents } from "../../lib/container/state/events.ts";
import { findFolders, type FolderOptions } from "../../lib/host/folders.ts";
import { printable, printableJson } from "../../lib/text/printable.ts";
import { printError, printOut } from "../output/output.ts";

/** The flags of `events`. */
export interface EventsFlags extends FolderOptions {
  readonly since?: string;
  readonly until?: string;
  readonly filter?: readonly string[];
  readonly json?: boolean;
}

function formatEvent({ time, action, id, ...attributes }: ContainerEvent): string {
  const known = Object.entries(attributes).filter(([, value]) => value !== undefined && value !== false);
  const words = known.sort(([a], [b]) => a < b ? -1 : 1);
  const details = words.map(([key, value]) => `${key}=${printable(String(value))}`).join(", ");
  return `${time} container ${action} ${id}${details === "" ? "" : ` (${details})`}`;
}

/** Prints events as they happen. */
export async function events(flags: EventsFlags): Promise<void> {
  const { containers } = findFolders(flags);
  const onLoss = (): void =>
    printError("sauropod: events may be missing here: the file was rotated faster than it could be read");
  const { since, until, filter } = flags;
  for await (const event of readEvents(containers, { since, until, filters: filter, onLoss })) {
    printOut((flags.json ? printableJson(event) : formatEvent(event)) + "\n");
  }
}
