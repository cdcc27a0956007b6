/**
 * Sauropod: containers for Deno scripts.
 *
 * ```ts
 * import { output, run } from "./mod.ts";
 *
 * const { stdout } = await output("alpine", ["cat", "/etc/os-release"]);
 * console.log(new TextDecoder().decode(stdout));
 *
 * await using box = await run("alpine", ["sh"], { stdin: "piped", stdout: "piped" });
 * ```
 *
 * Needs Linux, root and `deno run -A`. See the README for its guarantees.
 *
 * @module
 */

/**
 * Loads all modules that are otherwise loaded on first use, such as unpacking and control groups: for programs that
 * cannot read files later. It also shows these modules to `deno cache` and `deno vendor`.
 */
export async function preload(): Promise<void> {
  await import("./lib/preload.ts");
}

export { output, run } from "./lib/container/attached/run.ts";
export {
  create,
  exec,
  fork,
  forkDetached,
  kill,
  prepare,
  remove,
  rename,
  restart,
  runDetached,
  start,
  stop,
  wait,
} from "./lib/api/containers.ts";
export { apply, changes, copyFrom, copyTo, exportTar } from "./lib/api/files.ts";
export {
  buildImage,
  commitContainer,
  importImage,
  listImages,
  loadImages,
  pullImage,
  pushImage,
  removeImage,
  saveImages,
  tagImage,
} from "./lib/api/images.ts";
export { createNetwork, listNetworks, removeNetwork } from "./lib/api/networks.ts";
export { events, inspect, list, logs, type LogsOptions } from "./lib/api/observe.ts";
export type { ContainerReference } from "./lib/api/reference.ts";
export { pause, stats, top, unpause, updateLimits, updateRestart } from "./lib/api/resources.ts";
export type { ContainerInfo } from "./lib/container/state/list.ts";
export type { ShownStatus } from "./lib/container/state/freeze.ts";
export type { ContainerEvent } from "./lib/container/state/event.ts";
export type { EventOptions } from "./lib/container/state/events.ts";
export type { LogLoss, LogOptions } from "./lib/container/state/log.ts";
export type { LogRecord, LogStream } from "./lib/container/state/log_format.ts";
export type { ContainerRecord, ContainerStatus, Detached, Elsewhere, EndRecord } from "./lib/container/state/record.ts";
export type { Health, MonitorState } from "./lib/container/state/monitor_state.ts";
export type { ExecOptions, ExecOutput, ExecProcess } from "./lib/container/attached/exec.ts";
export type { DetachedOptions } from "./lib/container/detached/start.ts";
export type { RemoveOptions, StopOptions } from "./lib/container/detached/stop.ts";
export type { Child, CommandStatus, Written } from "./lib/container/attached/child.ts";
export type { CommandOptions, PreparedContainer } from "./lib/container/attached/prepared.ts";
export type { Container, RunOutput, RunStatus } from "./lib/container/attached/attached.ts";
export type { RunOptions } from "./lib/container/attached/create.ts";
export type { ContainerOptions, HealthCheck, RecordedOptions, StreamOption } from "./lib/container/options.ts";
export type { PullPolicy } from "./lib/store/image.ts";
export type { ApplyOptions, ApplyResult } from "./lib/container/files/apply.ts";
export type { ApplyPlan, Conflict } from "./lib/container/files/apply_plan.ts";
export type { Change, FileKind, FileState } from "./lib/container/files/changes.ts";
export type { CopyOptions, CopyResult } from "./lib/container/files/copy.ts";
export type { CopyFileOptions } from "./lib/container/files/files.ts";
export type { Sample, StatsOptions } from "./lib/container/stats/stats.ts";
export type { ContainerProcess } from "./lib/container/stats/top.ts";
export type { Updated } from "./lib/container/detached/update.ts";
export type { StreamOptions } from "./lib/container/attached/streams.ts";
export type { ContainerNetworkOptions } from "./lib/network/options.ts";
export type { Attachment } from "./lib/network/allocate.ts";
export type { PublishedPort } from "./lib/network/ports.ts";
export type { NetworkOptions } from "./lib/network/definition.ts";
export type { NetworkInfo } from "./lib/network/manage.ts";
export type { TerminalSize } from "./lib/program/launch_fds.ts";
export type { FolderOptions } from "./lib/host/folders.ts";
export type { BuildOptions, BuildProgress, BuiltImage } from "./lib/build/build.ts";
export type { CommitOptions } from "./lib/image/commit.ts";
export type { ImportOptions } from "./lib/image/exchange/import.ts";
export type { LoadOptions, Source } from "./lib/image/exchange/load.ts";
export type { SaveFormat, SaveOptions } from "./lib/image/exchange/save.ts";
export type { LayerProgress } from "./lib/store/ensure_layers.ts";
export type { ImageSummary } from "./lib/image/manage.ts";
export type { Descriptor, ImageSettings, Platform } from "./lib/oci.ts";
export type { PullOptions } from "./lib/image/pull.ts";
export type { PushOptions } from "./lib/image/push.ts";
export type { StoredImage } from "./lib/store/store.ts";
export type { Limits } from "./lib/cgroup/limits.ts";
export {
  CgroupError,
  ContainerError,
  type ErrorDetails,
  ImageError,
  InputError,
  NetworkError,
  SauropodError,
  SpawnError,
} from "./lib/errors.ts";
