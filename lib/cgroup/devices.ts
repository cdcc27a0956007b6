/**
 * Device rules of the devices controller, as the OCI runtime specification lists them.
 *
 * @module
 */

import type { AllowedDevices } from "../../ffi/program/device_filter.ts";

/** A rule for devices of one kind. */
export type DeviceRule = AllowedDevices;

function character(major: number, minor?: number): DeviceRule {
  return { kind: "c", major, ...(minor === undefined ? {} : { minor }), access: "rwm" };
}

/**
 * The default rules: create any device node; use null, zero, full, random, urandom, tty, console, ptmx and the
 * terminals.
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

/** Formats a rule as v1's `devices.allow` expects it. */
export function formatRule({ kind, major, minor, access }: DeviceRule): string {
  return `${kind} ${major ?? "*"}:${minor ?? "*"} ${access}`;
}
