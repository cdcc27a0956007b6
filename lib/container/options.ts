/**
 * Container options.
 *
 * @module
 */

import type { Limits } from "../cgroup/limits.ts";
import type { FolderOptions } from "../host/folders.ts";
import type { ContainerNetworkOptions } from "../network/options.ts";
import type { PullPolicy } from "../store/image.ts";

/** Connection of a standard stream, as in `Deno.Command`. */
export type StreamOption = "piped" | "inherit" | "null";

/** Health check of a detached container. */
export interface HealthCheck {
  /** Command to run in the container; exit status 0 is healthy. A string is run by `/bin/sh -c`. */
  readonly command: string | readonly string[];
  /** Milliseconds between checks. Default: 30,000. */
  readonly interval?: number;
  /** Milliseconds after which a check is killed and has failed. Default: 30,000. */
  readonly timeout?: number;
  /** Milliseconds after the start during which failures do not count. Default: 0. */
  readonly startPeriod?: number;
  /** Consecutive failures that make the container unhealthy. Default: 3. */
  readonly retries?: number;
}

/** Options of a container. */
export interface ContainerOptions extends FolderOptions, ContainerNetworkOptions {
  /** Entry point, executed with the command as its arguments; empty for none. Default: the image's. */
  entrypoint?: string | readonly string[];
  /** Pull policy: `always`, `missing` or `never`. Default: `missing`. */
  pull?: PullPolicy;
  /** Platform of the image as `OS/ARCHITECTURE[/VARIANT]`. Default: the host's. */
  platform?: string;
  /** Name of the container. Default: none. */
  name?: string;
  /** Host name. Default: the container ID. */
  hostname?: string;
  /** Environment variables, in addition to PATH, HOME, USER, HOSTNAME, TERM and PS1, which they override. */
  env?: Readonly<Record<string, string>>;
  /** Working directory, absolute; created if missing. Default: `/`. */
  cwd?: string;
  /** User and group as `NAME|UID[:GROUP|GID]`, with names of the image's `/etc/passwd` and `/etc/group`. Default: root. */
  user?: string;
  /** Additional supplementary groups: GIDs, or names of the image's `/etc/group`. */
  groups?: readonly string[];
  /** Run an init as PID 1 that forwards signals and reaps orphans. Default: false. */
  init?: boolean;
  /** Stop signal, by name or number. Default: the image's, else `TERM`. */
  stopSignal?: string | number;
  /** Seconds that `stop` waits before it kills; negative for no limit. Default: 10. */
  stopTimeout?: number;
  /** Labels, by name. Default: the image's. */
  labels?: Readonly<Record<string, string>>;
  /** Resource limits of its control group. Default: 4096 processes and threads. */
  limits?: Limits;
  /** Resource limits as `NAME=SOFT[:HARD]`, such as `nofile=1024:4096`; -1 or `unlimited` for no limit. The last of a name holds. */
  ulimits?: readonly string[];
  /** Namespaced sysctls, such as `{ "net.core.somaxconn": "1024" }`. */
  sysctls?: Readonly<Record<string, string>>;
  /**
   * OOM score adjustment, -1000 to 1000. A value below the caller's needs CAP_SYS_RESOURCE. Default: the caller's.
   */
  oomScoreAdj?: number;
  /**
   * Bind mounts as `SOURCE:TARGET[:ro]`, with a source relative to the caller's working directory; or `TARGET` alone
   * for a volume of the container, which starts as a copy of the image's content and is removed with the container.
   * Default: the image's volumes.
   */
  volumes?: readonly string[];
  /** tmpfs mounts as `TARGET[:OPTIONS]`, with options of tmpfs(5), and `exec`. */
  tmpfs?: readonly string[];
  /** Host devices as `PATH[:TARGET][:ACCESS]`; `ACCESS` is a combination of `r`, `w` and `m` (mknod). Default: `rwm`. */
  devices?: readonly string[];
  /**
   * Additional device cgroup rules as `TYPE MAJOR:MINOR ACCESS`, such as `c 189:* rwm`. They also make device nodes in
   * volumes usable.
   */
  deviceRules?: readonly string[];
  /** Mount the root filesystem read-only. Default: false. */
  readOnly?: boolean;
  /** Size of /dev/shm in bytes. Default: 64 MiB. */
  shmSize?: number;
  /** Capabilities to add to the default set, such as `NET_ADMIN`, or `ALL`. */
  capAdd?: readonly string[];
  /** Capabilities to drop, or `ALL`. */
  capDrop?: readonly string[];
  /** Give all capabilities and devices, mask no paths: the command can control the host. Default: false. */
  privileged?: boolean;
  /** Let set-user-ID programs gain privileges (clears no_new_privs). Default: false. */
  allowNewPrivileges?: boolean;
  /** Parent control group, which must exist, such as `/machine`. Default: the root group. */
  cgroupParent?: string;
  /** Keep the standard input of a detached container open for `attach`. Default: false. */
  interactive?: boolean;
  /** Allocate a terminal for a detached container. Default: false. */
  tty?: boolean;
  /**
   * Restart policy of a detached container: `no`, `on-failure[:TIMES]`, `always` or `unless-stopped`. No container
   * restarts after `stop`, or after a reboot of the host. Default: `no`.
   */
  restart?: string;
  /** Maximum size of a log file of a detached container in bytes; 0 for no log. Default: 10 MiB. */
  logSize?: number;
  /** Maximum number of log files. Default: 3. */
  logFiles?: number;
  /** Health check of a detached container. Default: none. */
  health?: HealthCheck;
  /** Keep the container after it exits. Default: false; the command line keeps it unless `--rm`. */
  keep?: boolean;
}

/** The options that a container's record keeps: completed from its image, without those that only matter at its creation. */
export type RecordedOptions = Omit<
  ContainerOptions,
  "images" | "containers" | "pull" | "platform" | "entrypoint" | "name" | "keep"
>;
