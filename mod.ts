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
 * Needs Linux, root and `deno run -A`. See the README for what it promises.
 *
 * @module
 */

/**
 * Loads at once what is otherwise loaded when it is first needed, such as unpacking and control groups: for programs
 * that must not read files later. It also shows those modules to `deno cache` and `deno vendor`.
 */
export async function preload(): Promise<void> {
  await import("./lib/preload.ts");
}

export { output, run } from "./lib/container/run.ts";
export type { Container, RunOptions, RunOutput, RunStatus } from "./lib/container/run.ts";
export type { ContainerOptions, StreamOption } from "./lib/container/options.ts";
export type { StreamOptions } from "./lib/container/streams.ts";
export type { TerminalSize } from "./lib/program/wiring.ts";
export type { FolderOptions } from "./lib/folders.ts";
export type { Limits } from "./lib/cgroup/limits.ts";
export {
  CgroupError,
  ContainerError,
  type ErrorDetails,
  ImageError,
  InputError,
  SauropodError,
  SpawnError,
} from "./lib/errors.ts";
