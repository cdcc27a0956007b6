/**
 * Recorded options: those that start a container again, and that `exec` needs.
 *
 * @module
 */

import type { ContainerOptions, RecordedOptions } from "../options.ts";
import { RECORDED_OPTIONS } from "../state/record_check.ts";

function absolute(volume: string): string {
  return volume.startsWith("/") ? volume : `${Deno.cwd()}/${volume}`;
}

/** Returns the options that a record keeps. Sources of volumes become absolute. */
export function optionsToRecord({ volumes, ...options }: ContainerOptions): RecordedOptions {
  const kept = Object.entries(options).filter(([name]) => Object.hasOwn(RECORDED_OPTIONS, name));
  return { ...Object.fromEntries(kept), volumes: volumes?.map(absolute) };
}
