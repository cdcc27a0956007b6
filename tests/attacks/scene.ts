/**
 * A scene of an attack: a root file system of its own, a part of the host that the attack is after, and what a container
 * is asked to be.
 *
 * @module
 */

import { archive, configOf, layoutFiles, NAME, OCI, own } from "../helpers/image_files.ts";

/** A volume of a container. */
export interface Volume {
  readonly source: string;
  readonly target: string;
  readonly readOnly?: boolean;
}

/** Parts of an image's configuration that an attack may forge. */
export interface ImageConfig {
  readonly Env?: string[];
  readonly User?: string;
  readonly Labels?: Record<string, string>;
  readonly Volumes?: Record<string, unknown>;
  readonly WorkingDir?: string;
}

/** The container that an attack asks for, in the terms that all engines have. */
export interface Order {
  /** The command. */
  readonly args: readonly string[];
  readonly user?: string;
  readonly cwd?: string;
  readonly env?: Record<string, string>;
  readonly volumes?: readonly Volume[];
  readonly sysctl?: Record<string, string>;
  readonly addCapabilities?: readonly string[];
  /** The image is a real one, with this configuration, not a plain root file system. */
  readonly image?: ImageConfig;
  /** Layers of the image. Default: the root file system. */
  readonly layers?: readonly Uint8Array<ArrayBuffer>[];
  /** `host`, or a bridge of the engine's own. Default: none. */
  readonly network?: "host" | "bridge" | "ipv6" | "internal";
  /** A terminal of the container's own. */
  readonly terminal?: boolean;
  /** A bundle in which nothing is mounted on /dev, where the engine takes bundles. */
  readonly bareDev?: boolean;
  /** The caller has a terminal, which the container may share. */
  readonly callersTerminal?: boolean;
  /** The program that the engine is started from. */
  readonly executable?: string;
  /** Variables of the engine's own environment. */
  readonly callersEnv?: Record<string, string>;
  /** The control groups are mounted where the engine does so. */
  readonly cgroups?: boolean;
  /** The engine is killed this many milliseconds after it started. */
  readonly killAfter?: number;
  /** What runs for longer hangs. Default: 8 s. */
  readonly timeout?: number;
}

/** How a command ended. */
export interface Evidence {
  /** The exit code; 124 if it had to be ended. */
  readonly code: number;
  /** All that it wrote. */
  readonly output: string;
}

/** Where an attack takes place. */
export interface Scene {
  /** A folder of its own, removed afterwards. */
  readonly room: string;
  /** The root file system. */
  readonly rootfs: string;
  /** The part of the host that the attack is after. */
  readonly host: string;
  /** The content of `secret` there. */
  readonly secret: string;
}

/** How to run a command of the host. */
export interface HostOptions {
  readonly cwd?: string;
  readonly env?: Record<string, string>;
  readonly timeout?: number;
  readonly stdin?: "null" | "piped";
}

/** Runs a command to its end, or kills it when its time is over. */
export async function runHost(words: readonly string[], options: HostOptions = {}): Promise<Evidence> {
  const [program = "", ...args] = words;
  const { timeout = 8000, stdin = "null", ...rest } = options;
  const child = new Deno.Command(program, { args, stdin, stdout: "piped", stderr: "piped", ...rest }).spawn();
  let late = false;
  const timer = setTimeout(() => {
    try {
      child.kill("SIGKILL");
      late = true;
    } catch {
      // It has just ended.
    }
  }, timeout);
  try {
    let output = "";
    const decoder = new TextDecoder();
    const all = Promise.all([child.stdout, child.stderr].map(async (stream) => {
      for await (const bytes of stream) output += decoder.decode(bytes);
    }));
    const { code } = await child.status;
    clearTimeout(timer);
    // A process that the engine left may hold the pipes.
    let patience: ReturnType<typeof setTimeout> | undefined;
    await Promise.race([all, new Promise((end) => patience = setTimeout(end, 500))]);
    clearTimeout(patience);
    return { code: late ? 124 : code, output };
  } finally {
    if (stdin === "piped") await child.stdin.close().catch(() => {});
  }
}

/** Programs that attacks bring along. */
export interface Arsenal {
  /** The static program of `attack.c`. */
  readonly attack: string;
  /** The library of `preload.c`. */
  readonly preload: string;
  /** The library of `nss.c`. */
  readonly nss: string;
  /** The root file system that scenes begin with. */
  readonly rootfs: string;
}

/** Compiles the arsenal to a folder. */
export async function forge(folder: string): Promise<Arsenal> {
  const here = new URL(".", import.meta.url).pathname;
  const arsenal = {
    attack: `${folder}/attack`,
    preload: `${folder}/preload.so`,
    nss: `${folder}/nss.so`,
    rootfs: `${folder}/rootfs`,
  };
  const done = await Promise.all([
    runHost(["gcc", "-static", "-O1", "-w", "-o", arsenal.attack, `${here}attack.c`], { timeout: 60_000 }),
    runHost(["gcc", "-shared", "-fPIC", "-w", "-o", arsenal.preload, `${here}preload.c`], { timeout: 60_000 }),
    runHost(["gcc", "-shared", "-fPIC", "-w", "-o", arsenal.nss, `${here}nss.c`], { timeout: 60_000 }),
  ]);
  for (const { code, output } of done) if (code !== 0) throw new Error(`cannot compile the attacks: ${output}`);
  await makeRootfs(arsenal.rootfs, arsenal.attack);
  return arsenal;
}

const PASSWD = "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000:Alice:/:/bin/sh\n";

const APPLETS = [
  ..."sh cat ls grep head id mount umount unshare sleep nslookup ip sed mkdir rmdir env echo true test".split(" "),
  ..."[ tar gzip gunzip ps mv ln cp chmod pwd readlink printf touch".split(" "),
];

async function makeRootfs(folder: string, attack: string): Promise<void> {
  for (const name of ["bin", "etc", "tmp", "root", "proc", "sys", "dev", "vol"]) {
    await Deno.mkdir(`${folder}/${name}`, { recursive: true });
  }
  await Deno.chmod(`${folder}/tmp`, 0o1777);
  await Deno.copyFile("/bin/busybox", `${folder}/bin/busybox`);
  await Deno.copyFile(attack, `${folder}/attack`);
  for (const name of APPLETS) await Deno.symlink("busybox", `${folder}/bin/${name}`);
  await Deno.writeTextFile(`${folder}/etc/passwd`, PASSWD);
  await Deno.writeTextFile(`${folder}/etc/group`, "root:x:0:\nalice:x:1000:\nstaff:x:50:alice\n");
}

/** Opens a scene. All folders above it can be traversed. */
export async function openScene(name: string, arsenal: Arsenal): Promise<Scene & AsyncDisposable> {
  const room = await Deno.makeTempDir({ prefix: `sauropod-attack-${name}-` });
  await Deno.chmod(room, 0o755);
  const rootfs = `${room}/images/attack`, host = `${room}/host`, secret = `secret of ${crypto.randomUUID()}`;
  await Deno.mkdir(`${room}/images`);
  await runHost(["cp", "-a", arsenal.rootfs, rootfs]);
  await Deno.mkdir(`${room}/containers`);
  await Deno.mkdir(host);
  await Deno.writeTextFile(`${host}/secret`, `${secret}\n`);
  return {
    room,
    rootfs,
    host,
    secret,
    async [Symbol.asyncDispose](): Promise<void> {
      await runHost(["rm", "-rf", room]);
    },
  };
}

/** Whether there is anything of that name, be it a dangling link. */
export function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

/** The text of a file; empty if it cannot be read. */
export function read(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}

/** Replaces whatever is there by a symbolic link. */
export async function link(target: string, path: string): Promise<void> {
  await Deno.remove(path, { recursive: true }).catch(() => {});
  await Deno.symlink(target, path);
}

/** Puts programs into the image that leave `/pwned` when anybody executes them. */
export async function plant(scene: Scene, names: readonly string[]): Promise<void> {
  const trojan = "#!/bin/busybox sh\necho executed as $0 >>/pwned\nexec /bin/busybox cat\n";
  for (const folder of ["bin", "usr/bin", "sbin", "usr/local/bin"]) {
    await Deno.mkdir(`${scene.rootfs}/${folder}`, { recursive: true });
    for (const name of names) {
      const path = `${scene.rootfs}/${folder}/${name}`;
      await Deno.remove(path).catch(() => {});
      await Deno.writeTextFile(path, trojan, { mode: 0o755 });
    }
  }
}

/** Writes the image that an order asks for as an OCI archive; its path and its name. */
export async function writeImage(scene: Scene, order: Order): Promise<{ path: string; name: string }> {
  const layers = (order.layers ?? [await packRootfs(scene)])
    .map((plain) => ({ plain, blob: plain, type: `${OCI}layer.v1.tar` }));
  const config = configOf(layers, { config: order.image });
  const files = layoutFiles({ layers, config, annotations: { [NAME]: "attack/image:1" } });
  const path = `${scene.room}/image.tar`;
  await Deno.writeFile(path, archive(files));
  return { path, name: "attack/image:1" };
}

/** Packs the root file system. */
export async function packRootfs(scene: Scene): Promise<Uint8Array<ArrayBuffer>> {
  const path = `${scene.room}/rootfs.tar`;
  await runHost(["tar", "-C", scene.rootfs, "--sort=name", "-cf", path, "."]);
  return own(await Deno.readFile(path));
}
