/**
 * Which devices a container may use: rules of the devices controller, as the OCI runtime specification lists them.
 *
 * @module
 */

import type { AllowedDevices } from "../../ffi/program/device_filter.ts";

/** What a container may do with devices of a kind. */
export type DeviceRule = AllowedDevices;

function character(major: number, minor?: number): DeviceRule {
  return { kind: "c", major, ...(minor === undefined ? {} : { minor }), access: "rwm" };
}

/**
 * What every container may do: make any device, and use those that do no harm: null, zero, full, random, urandom, tty,
 * console, ptmx and the terminals.
 */
export const USUAL_DEVICES: readonly DeviceRule[] = [
  { kind: "c", access: "m" },
  { kind: "b", access: "m" },
  character(1, 3),
  character(1, 5),
  character(1, 7),
  character(1, 8),
  character(1, 9),
  character(5, 0),
  character(5, 1),
  character(5, 2),
  character(136),
];

/** A rule as `devices.allow` of v1 reads it. */
export function formatRule({ kind, major, minor, access }: DeviceRule): string {
  return `${kind} ${major ?? "*"}:${minor ?? "*"} ${access}`;
}
