/**
 * Namespaced sysctls and the OOM score adjustment.
 *
 * @module
 */

import { InputError } from "../../errors.ts";
import { selectNetwork } from "../../network/selection.ts";
import type { KernelSetting } from "../../program/spec.ts";
import type { ContainerOptions } from "../options.ts";

// See ipc_namespaces(7); apart from these and net, /proc/sys is shared by the whole host.
const OF_IPC = /^(kernel\.(msgmax|msgmnb|msgmni|sem|shmall|shmmax|shmmni|shm_rmid_forced)|fs\.mqueue\.[a-z_]+)$/;
const OF_NETWORK = /^net(\.[\w-]+)+$/;
const LEAST_SCORE = -1000, GREATEST_SCORE = 1000;

function refuse(name: string, why: string, hint: string): never {
  throw new InputError(`invalid --sysctl ${JSON.stringify(name)}: ${why}`, {
    code: "bad-sysctl",
    facts: { name },
    hint,
  });
}

function sysctl([asked, value]: [string, string], ownNetwork: boolean): KernelSetting {
  // sysctl(8) takes both, and a name with a dot in it, such as an interface's, needs slashes.
  const path = asked.includes("/") ? asked : asked.replaceAll(".", "/"), name = path.replaceAll("/", ".");
  if (OF_NETWORK.test(name) && !ownNetwork) {
    refuse(asked, "the container shares its network", "use a network namespace of its own, or set it there");
  }
  if (!OF_NETWORK.test(name) && !OF_IPC.test(name)) {
    refuse(
      asked,
      "not namespaced",
      "use net.*, fs.mqueue.*, kernel.sem, kernel.msg* or kernel.shm*",
    );
  }
  if (value === "" || /[\0\n]/.test(value)) refuse(asked, "value of one line required", "use NAME=VALUE");
  return { path: `/proc/sys/${path}`, value };
}

/**
 * Reads `NAME=VALUE` words.
 *
 * @throws {InputError} `bad-sysctl`.
 */
export function parseSysctls(words: readonly string[]): Record<string, string> {
  return Object.fromEntries(words.map((word) => {
    const [name = "", value] = word.split(/=(.*)/s);
    if (value === undefined) refuse(word, "value required", "use NAME=VALUE, such as net.core.somaxconn=1024");
    return [name, value];
  }));
}

function score(value: number): KernelSetting {
  if (!Number.isInteger(value) || value < LEAST_SCORE || value > GREATEST_SCORE) {
    throw new InputError(`invalid --oom-score-adj ${value}`, {
      code: "bad-oom-score",
      facts: { value },
      hint: "use an integer from -1000 (never killed) to 1000 (killed first)",
    });
  }
  return { path: "/proc/self/oom_score_adj", value: String(value) };
}

/**
 * Returns the files in /proc that the container's first process writes before it executes the command.
 *
 * @throws {InputError} `bad-sysctl` for a sysctl that is not namespaced, `bad-oom-score`.
 */
export function kernelSettings(options: ContainerOptions): KernelSetting[] {
  const { sysctls = {}, oomScoreAdj } = options;
  const mode = selectNetwork(options).mode, ownNetwork = mode !== "host" && mode !== "container";
  return [
    ...Object.entries(sysctls).map((entry) => sysctl(entry, ownNetwork)),
    ...(oomScoreAdj === undefined ? [] : [score(oomScoreAdj)]),
  ];
}
