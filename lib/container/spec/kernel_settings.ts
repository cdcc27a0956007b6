/**
 * Settings of the kernel's that a container has for itself: sysctls of its namespaces, and how likely it is killed.
 *
 * @module
 */

import { InputError } from "../../errors.ts";
import { selectNetwork } from "../../network/selection.ts";
import type { KernelSetting } from "../../program/spec.ts";
import type { ContainerOptions } from "../options.ts";

// What ipc_namespaces(7) lists; everything else below /proc/sys but net is the whole machine's.
const OF_IPC = /^(kernel\.(msgmax|msgmnb|msgmni|sem|shmall|shmmax|shmmni|shm_rmid_forced)|fs\.mqueue\.[a-z_]+)$/;
const OF_NETWORK = /^net(\.[\w-]+)+$/;
const LEAST_SCORE = -1000, GREATEST_SCORE = 1000;

function refuse(name: string, why: string, hint: string): never {
  throw new InputError(`--sysctl ${name}: ${why}`, { code: "bad-sysctl", facts: { name }, hint });
}

function sysctl([asked, value]: [string, string], ownNetwork: boolean): KernelSetting {
  // sysctl(8) takes both, and a name with a dot in it, such as an interface's, needs slashes.
  const path = asked.includes("/") ? asked : asked.replaceAll(".", "/"), name = path.replaceAll("/", ".");
  if (OF_NETWORK.test(name) && !ownNetwork) {
    refuse(asked, "the container has no network of its own", "it would hold for everybody on that network");
  }
  if (!OF_NETWORK.test(name) && !OF_IPC.test(name)) {
    refuse(
      asked,
      "it is not a setting of one container",
      "net.*, fs.mqueue.*, kernel.sem, kernel.msg* and kernel.shm* are",
    );
  }
  if (value === "" || /[\0\n]/.test(value)) refuse(asked, "it needs a value of one line", "NAME=VALUE");
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
    if (value === undefined) refuse(word, "it needs a value", "NAME=VALUE, such as net.core.somaxconn=1024");
    return [name, value];
  }));
}

function score(value: number): KernelSetting {
  if (!Number.isInteger(value) || value < LEAST_SCORE || value > GREATEST_SCORE) {
    throw new InputError(`--oom-score-adj ${value}: it must be a whole number from -1000 to 1000`, {
      code: "bad-oom-score",
      facts: { value },
      hint: "-1000 is never, 1000 is first; 0 is usual",
    });
  }
  return { path: "/proc/self/oom_score_adj", value: String(value) };
}

/**
 * What the container's first process writes to files of the kernel's before it becomes the command.
 *
 * @throws {InputError} `bad-sysctl` for a setting that is not the container's alone, `bad-oom-score`.
 */
export function kernelSettings(options: ContainerOptions): KernelSetting[] {
  const { sysctls = {}, oomScoreAdj } = options;
  const mode = selectNetwork(options).mode, ownNetwork = mode !== "host" && mode !== "container";
  return [
    ...Object.entries(sysctls).map((entry) => sysctl(entry, ownNetwork)),
    ...(oomScoreAdj === undefined ? [] : [score(oomScoreAdj)]),
  ];
}
