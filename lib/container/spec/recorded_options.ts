/**
 * Recorded options: those that start a container again, and that `exec` needs.
 *
 * @module
 */

import { RECORDED_OPTIONS } from "../state/record_check.ts";
import type { ContainerOptions } from "./options.ts";

/** Options of a container, completed from its image, without those that only its creation needs. */
export type RecordedOptions = Omit<
  ContainerOptions,
  "images" | "containers" | "pull" | "platform" | "entrypoint" | "name" | "keep"
>;

function absolute(volume: string): string {
  return volume.startsWith("/") ? volume : `${Deno.cwd()}/${volume}`;
}

/** Returns the options that a record keeps. Sources of volumes become absolute. */
export function optionsToRecord({ volumes, ...options }: ContainerOptions): RecordedOptions {
  const kept = Object.entries(options).filter(([name]) => Object.hasOwn(RECORDED_OPTIONS, name));
  return { ...Object.fromEntries(kept), volumes: volumes?.map(absolute) };
}
