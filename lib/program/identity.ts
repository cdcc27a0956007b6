/**
 * Steps that take away what the command must not have.
 *
 * @module
 */

import * as call from "../../ffi/calls.ts";
import type { Flags } from "../../ffi/flags.ts";
import { type Program, step } from "../../ffi/program.ts";
import { CAPABILITIES, type Capability, capabilityMask } from "../capabilities.ts";
import type { ProcessSpec, Rlimit } from "../spec.ts";

const NO_LIMIT = 0xffffffffffffffffn;

function numbered(capability: Capability): Flags {
  return { value: CAPABILITIES.indexOf(capability), text: `CAP_${capability}` };
}

function setLimit({ resource, soft, hard }: Rlimit): Program {
  const limit = Object.entries(call.RLIMITS).find(([name]) => name === resource)?.[1];
  if (!limit) return [];
  const bits = (value: number): bigint => value < 0 ? NO_LIMIT : BigInt(value);
  return [step(`limit ${resource} to ${soft}:${hard}`, call.setrlimit(limit, bits(soft), bits(hard)))];
}

/** Resource limits, capabilities, user and groups of the command. */
export function becomeUser(process: ProcessSpec): Program {
  const { uid, gid, groups } = process.identity;
  const kept = uid === 0 ? process.capabilities : process.ambient;
  const inherited = uid === 0 ? [] : process.ambient;
  const dropped = CAPABILITIES.filter((name) => !process.capabilities.includes(name));
  const text = (names: readonly Capability[]): string => names.map((name) => `CAP_${name}`).join("|") || "0";
  return [
    step("leave the caller's keyring", call.joinSessionKeyring, { ignore: ["ENOSYS"] }),
    ...process.rlimits.flatMap(setLimit),
    step("give up all other capabilities for good", call.dropBounding(capabilityMask(dropped), text(dropped))),
    step("set supplementary groups", call.setgroups(groups)),
    step(`become group ${gid}`, call.setresgid(gid)),
    ...(inherited.length ? [step("keep capabilities across the change of user", call.keepCapabilities)] : []),
    step(`become user ${uid}`, call.setresuid(uid)),
    step(
      "keep only the capabilities allowed",
      call.capset(
        capabilityMask(kept),
        capabilityMask(inherited),
        `{permitted=effective=${text(kept)}, inheritable=${text(inherited)}}`,
      ),
    ),
    ...inherited.map((name) => step(`keep ${name} for the command`, call.raiseAmbient(numbered(name)))),
    ...(process.noNewPrivileges ? [step("gain no privileges ever again", call.noNewPrivileges)] : []),
  ];
}
