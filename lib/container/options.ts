/**
 * Options of a container.
 *
 * @module
 */

import type { Limits } from "../cgroup/limits.ts";
import type { FolderOptions } from "../host/folders.ts";
import type { ContainerNetworkOptions } from "../network/options.ts";
import type { PullPolicy } from "../store/image.ts";

/** What one of the command's standard streams is connected with, as in `Deno.Command`. */
export type StreamOption = "piped" | "inherit" | "null";

/** How to find out whether a container is well. */
export interface HealthCheck {
  /** The command, run in the container, that ends with 0 if it is well; a text is for `/bin/sh -c`. */
  readonly command: string | readonly string[];
  /** Milliseconds between two checks. Default: 30,000. */
  readonly interval?: number;
  /** Milliseconds after which the command is killed, and counts as a failure. Default: 30,000. */
  readonly timeout?: number;
  /** Milliseconds after the start in which failures do not count. Default: 0. */
  readonly startPeriod?: number;
  /** How many failures in a row make it unhealthy. Default: 3. */
  readonly retries?: number;
}

/** Options of a container. All are optional; the doc comment of each says what it is without. */
export interface ContainerOptions extends FolderOptions, ContainerNetworkOptions {
  /** What is executed before the command; empty for nothing. Default: what the image says. */
  entrypoint?: string | readonly string[];
  /** When to pull the image: always, if it is missing, or never. Default: `missing`. */
  pull?: PullPolicy;
  /** The kind of machine as `OS/ARCHITECTURE[/VARIANT]`. Default: this one. */
  platform?: string;
  /** A name of its own for the container. Default: none; its id is enough to find it. */
  name?: string;
  /** The container's host name. Default: its id. */
  hostname?: string;
  /** Environment variables beside PATH, HOME, USER, HOSTNAME, TERM and PS1, which they can replace. */
  env?: Readonly<Record<string, string>>;
  /** The working directory, absolute; made if missing. Default: `/`. */
  cwd?: string;
  /** `NAME|UID[:GROUP|GID]`, names from the image's `/etc/passwd` and `/etc/group`. Default: root. */
  user?: string;
  /** Groups of the user beside those that the image knows: numbers, or names from the image's `/etc/group`. */
  groups?: readonly string[];
  /** Put a PID 1 in front of the command that forwards signals and reaps orphans. Default: false. */
  init?: boolean;
  /** The signal that asks the command to end, by name or number. Default: what the image says, else `TERM`. */
  stopSignal?: string | number;
  /** Seconds that `stop` waits for the end before it kills; negative: for ever. Default: 10. */
  stopTimeout?: number;
  /** Notes of the user's own about it, by name. Default: what the image says. */
  labels?: Readonly<Record<string, string>>;
  /** Limits on CPU, memory and processes. Default: 4096 processes and threads, and nothing else. */
  limits?: Limits;
  /** Resource limits as `NAME=SOFT[:HARD]`, such as `nofile=1024:4096`; -1 or `unlimited` is no limit. The last holds. */
  ulimits?: readonly string[];
  /** Settings of the kernel's that hold in its namespaces alone, such as `{ "net.core.somaxconn": "1024" }`. */
  sysctls?: Readonly<Record<string, string>>;
  /**
   * How likely the kernel kills it for lack of memory, from -1000 to 1000. Less than the caller wants CAP_SYS_RESOURCE.
   * Default: as likely as the caller.
   */
  oomScoreAdj?: number;
  /**
   * Files and folders of the host as `SOURCE:TARGET[:ro]`; a relative source begins at the working directory. `TARGET`
   * alone is a folder of the container's own, which begins with what the image has there and goes with the container.
   * Default: the volumes that the image names.
   */
  volumes?: readonly string[];
  /** Folders in memory as `TARGET[:OPTIONS]`, options as tmpfs(5) has them, and `exec`. */
  tmpfs?: readonly string[];
  /** Devices of the host as `PATH[:TARGET][:ACCESS]`; `ACCESS` is some of `r`, `w` and `m` (make nodes). Default: `rwm`. */
  devices?: readonly string[];
  /**
   * More devices that it may use if it finds or makes a node, as `TYPE MAJOR:MINOR ACCESS` such as `c 189:* rwm`. Nodes in
   * volumes work then.
   */
  deviceRules?: readonly string[];
  /** Mount the container's root read-only. Default: false. */
  readOnly?: boolean;
  /** Size of /dev/shm in bytes. Default: 64 MiB. */
  shmSize?: number;
  /** Capabilities to add to the default ones, such as `NET_ADMIN`, or `ALL`. */
  capAdd?: readonly string[];
  /** Capabilities to take away, or `ALL`. */
  capDrop?: readonly string[];
  /** All capabilities and devices, nothing masked. Only for commands that may own the machine. Default: false. */
  privileged?: boolean;
  /** Let set-user-id programs of the image gain privileges. Default: false. */
  allowNewPrivileges?: boolean;
  /** The control group to make the container's below, such as `/machine`. It must exist. Default: the top. */
  cgroupParent?: string;
  /** Keep standard input open for those who attach. Only for a detached container. Default: false. */
  interactive?: boolean;
  /** Give a detached container a terminal. Default: false. */
  tty?: boolean;
  /**
   * When the monitor of a detached container starts it again: `no`, `on-failure[:TIMES]`, `always` or `unless-stopped`.
   * Nothing is started again after `stop`, or after the machine has been started again. Default: `no`.
   */
  restart?: string;
  /** How large a log file of a detached container becomes at most, in bytes; 0 is no log. Default: 10 MiB. */
  logSize?: number;
  /** How many log files there are at most. Default: 3. */
  logFiles?: number;
  /** How to find out whether a detached container is well. Default: nobody asks. */
  health?: HealthCheck;
  /** Keep the container's folder when it has ended. Default: false; the command line keeps unless `--rm`. */
  keep?: boolean;
}

/** The options that a container's record keeps: completed from its image, without those that only matter at its creation. */
export type RecordedOptions = Omit<
  ContainerOptions,
  "images" | "containers" | "pull" | "platform" | "entrypoint" | "name" | "keep"
>;
