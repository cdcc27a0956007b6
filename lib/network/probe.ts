/**
 * Kernel support for bridged networks, probed in a temporary network namespace.
 *
 * @module
 */

import * as call from "../../ffi/program/calls.ts";
import { errnoName } from "../../ffi/errno.ts";
import { execute } from "../../ffi/program/execute.ts";
import { flags } from "../../ffi/program/flags.ts";
import type { Message } from "../../ffi/netlink/netlink.ts";
import { batch, newChain, newTable } from "../../ffi/netlink/nftables_changes.ts";
import { reapNow } from "../../ffi/process/process.ts";
import { callerStep, type Program, register, step } from "../../ffi/program/model.ts";
import { newBridge, newPair } from "../../ffi/netlink/rtnetlink.ts";

/** A feature that can be missing. */
export type NetworkFeature = "bridge" | "veth" | "nf_tables";

const PIDFD = "pidfd", NETWORK = "namespace";

function attempt(name: NetworkFeature, socket: string, messages: readonly Message[]): Program {
  const trial = call.netlink(register(socket), messages);
  return [
    step(`try ${name}`, trial, { save: name, when: socket, ignore: ["EOPNOTSUPP", "EINVAL", "ENOENT", "EPERM"] }),
  ];
}

function rules(): Message[] {
  const place = { table: "probe", chain: "probe" } as const;
  const nat = { type: "nat", hook: "postrouting", priority: 100 } as const;
  const filter = { type: "filter", hook: "prerouting", priority: 0 } as const;
  return batch([
    newTable({ family: "ip", name: "probe" }),
    newChain({ ...place, family: "ip", hook: nat }),
    newTable({ family: "bridge", name: "probe" }),
    newChain({ ...place, family: "bridge", hook: filter }),
  ]);
}

function program(): Program {
  return [
    callerStep(
      "start a process in a network namespace of its own",
      call.clone3(flags("CLONE", "PIDFD", "NEWNET"), PIDFD),
      {
        save: NETWORK,
        ignore: ["EPERM", "EINVAL"],
      },
    ),
    step("open a socket for links", call.routeSocket, { save: "links" }),
    ...attempt("bridge", "links", [newBridge("probe", Uint8Array.of(2, 0, 0, 0, 0, 1), 1500)]),
    ...attempt("veth", "links", [newPair("one", "other")]),
    step("open a socket for rules", call.filterSocket, { save: "rules", ignore: ["EPROTONOSUPPORT"] }),
    ...attempt("nf_tables", "rules", rules()),
    step("end", call.exit),
  ];
}

/** Returns the missing feature and the name of its error; empty if all are supported. */
export function missingFeatures(): Map<NetworkFeature, string> {
  const outcome = execute(program(), [PIDFD]);
  const value = (name: string): number => outcome.registers.get(name) ?? -1;
  const started = value(NETWORK);
  if (started > 0 && outcome.ok) reapNow(value(PIDFD));
  const result = (name: NetworkFeature): number => started < 0 ? started : value(name);
  const features = ["bridge", "veth", "nf_tables"] as const;
  return new Map(features.filter((name) => result(name) < 0).map((name) => [name, errnoName(-result(name))]));
}
