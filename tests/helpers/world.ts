/**
 * A place for tests to make containers in: folders of its own, images, the command line, and a look at the machine
 * before and after.
 *
 * @module
 */

import assert from "node:assert/strict";

/** The project's folder. */
export const PROJECT = new URL("../../", import.meta.url).pathname.replace(/\/$/, "");

const ALPINE = `${PROJECT}/../shared/images/alpine-minirootfs-3.20.3-${Deno.build.arch}.tar.gz`;
const BUSYBOX = "/bin/busybox";

/** What a command line wrote and how it ended. */
export interface Result {
  /** The exit code. */
  code: number;
  /** Standard output. */
  stdout: string;
  /** Standard error. */
  stderr: string;
}

/** How to run a command line. */
export interface CliOptions {
  /** What to send to standard input. Default: nothing, /dev/null. */
  stdin?: string | Uint8Array<ArrayBuffer>;
  /** Variables to add to the environment. */
  env?: Record<string, string>;
  /** The working directory. Default: the world's folder. */
  cwd?: string;
}

/** A folder with `images/` and `containers/`, removed at the end of the scope. */
export interface World extends AsyncDisposable {
  /** The folder, absolute. */
  readonly home: string;
  /** Options for the library: where images and containers live. */
  readonly folders: { images: string; containers: string };
  /** Runs `sauropod WORDS…` to its end. */
  cli(words: readonly string[], options?: CliOptions): Promise<Result>;
  /** Starts `sauropod WORDS…` with piped streams; the caller ends it. */
  start(words: readonly string[], options?: CliOptions): Deno.ChildProcess;
}

/** The command that runs Sauropod's command line. */
export function commandLine(words: readonly string[]): string[] {
  return [Deno.execPath(), "run", "-A", `${PROJECT}/cli.ts`, ...words];
}

/** A small image made of Debian's static busybox. */
function makeBusybox(folder: string): void {
  for (const name of ["bin", "etc", "tmp", "root", "var"]) Deno.mkdirSync(`${folder}/${name}`, { recursive: true });
  Deno.chmodSync(`${folder}/tmp`, 0o1777);
  Deno.copyFileSync(BUSYBOX, `${folder}/bin/busybox`);
  const { stdout } = new Deno.Command(BUSYBOX, { args: ["--list"] }).outputSync();
  for (const applet of new TextDecoder().decode(stdout).trim().split("\n")) {
    if (applet !== "busybox") Deno.symlinkSync("busybox", `${folder}/bin/${applet}`);
  }
  Deno.writeTextFileSync(
    `${folder}/etc/passwd`,
    "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000:Alice:/home/alice:/bin/sh\n",
  );
  Deno.writeTextFileSync(`${folder}/etc/group`, "root:x:0:\nalice:x:1000:\nstaff:x:50:alice\n");
}

/** Makes a world with the image `busybox`, and `alpine` where the real one is at hand. */
export function makeWorld(): World {
  const home = Deno.makeTempDirSync({ prefix: "sauropod-test-" });
  const folders = { images: `${home}/images`, containers: `${home}/containers` };
  Deno.mkdirSync(folders.images);
  Deno.mkdirSync(folders.containers);
  makeBusybox(`${folders.images}/busybox`);
  if (hasAlpine()) Deno.symlinkSync(ALPINE, `${folders.images}/alpine.tar.gz`);

  const command = (words: readonly string[], options: CliOptions): Deno.Command => {
    const [program = "", ...args] = commandLine(words);
    return new Deno.Command(program, {
      args,
      cwd: options.cwd ?? home,
      env: { SAUROPOD_HOME: home, ...options.env },
      stdin: options.stdin === undefined ? "null" : "piped",
      stdout: "piped",
      stderr: "piped",
    });
  };
  return {
    home,
    folders,
    start: (words, options = {}) => command(words, options).spawn(),
    async cli(words, options = {}): Promise<Result> {
      const child = command(words, options).spawn();
      const { stdin } = options;
      const fed = stdin === undefined ? undefined : (async (): Promise<void> => {
        const writer = child.stdin.getWriter();
        await writer.write(typeof stdin === "string" ? new TextEncoder().encode(stdin) : stdin);
        await writer.close();
      })().catch(() => {});
      const output = await child.output();
      await fed;
      const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
      return { code: output.code, stdout: text(output.stdout), stderr: text(output.stderr) };
    },
    async [Symbol.asyncDispose](): Promise<void> {
      await Deno.remove(home, { recursive: true });
    },
  };
}

/** Whether real Alpine is at hand. */
export function hasAlpine(): boolean {
  try {
    return Deno.statSync(ALPINE).isFile;
  } catch {
    return false;
  }
}

/** What containers could leave on a machine. */
export interface Machine {
  /** Mount points. */
  mounts: string[];
  /** Control groups of Sauropod's. */
  groups: string[];
  /** Network interfaces. */
  links: string[];
  /** Processes of Sauropod's shim. */
  processes: string[];
}

function lines(path: string, column: number): string[] {
  return Deno.readTextFileSync(path).trim().split("\n").map((line) => line.split(" ")[column] ?? "");
}

/** The links of this network namespace, but for the default network's bridge, which stays once it has been made. */
function links(): string[] {
  const names = [...Deno.readTextFileSync("/proc/net/dev").matchAll(/^ *([^\s:]+):/gm)].map(([, name = ""]) => name);
  return names.filter((name) => name !== "sauropod0").sort();
}

function isContainerLink(name: string): boolean {
  return name.startsWith("veth");
}

function groups(folder: string, depth: number): string[] {
  return [...Deno.readDirSync(folder)].filter(({ isDirectory }) => isDirectory).flatMap(({ name }) => {
    const path = `${folder}/${name}`;
    if (name.startsWith("sauropod-")) return [path];
    return depth > 0 ? groups(path, depth - 1) : [];
  });
}

function commandOf(pid: string): string {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim();
  } catch {
    return "";
  }
}

/** Looks at the machine. */
export function lookAtMachine(): Machine {
  const pids = [...Deno.readDirSync("/proc")].map(({ name }) => name).filter((name) => /^\d+$/.test(name));
  return {
    mounts: lines("/proc/self/mountinfo", 4).sort(),
    groups: groups("/sys/fs/cgroup", 1).sort(),
    links: links().filter((name) => !isContainerLink(name)),
    processes: pids.map(commandOf).filter((command) => command.startsWith("sauropod-")).sort(),
  };
}

/** Checks that the machine is as it was. */
export function assertUnchanged(before: Machine): void {
  // The kernel takes the network of a container that has ended away soon, but not at once.
  const end = Date.now() + 5000, clock = new Int32Array(new SharedArrayBuffer(4));
  while (links().some(isContainerLink) && Date.now() < end) Atomics.wait(clock, 0, 0, 10);
  assert.deepEqual(links().filter(isContainerLink), []);
  assert.deepEqual(lookAtMachine(), before);
}
