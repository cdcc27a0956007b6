/**
 * How an order becomes a container: under Sauropod, and in a container as tutorials make it. The latter falls to every
 * attack, which shows that each of them is one.
 *
 * @module
 */

import { PROJECT } from "../helpers/project.ts";
import { type Evidence, type Order, runHost, type Scene, writeImage } from "./scene.ts";

/** A container that runs while it is attacked. */
export interface Live extends AsyncDisposable {
  /** Runs one more command in it. */
  exec(args: readonly string[], user?: string): Promise<Evidence>;
  /** Copies a file of the host, or an archive (`archive`), into it. */
  copyIn?(source: string, target: string, archive?: boolean): Promise<Evidence>;
  /** Copies a file of it to the host. */
  copyOut?(source: string, target: string): Promise<Evidence>;
  /** Lists its processes. */
  top?(): Promise<Evidence>;
  /** Ends its processes; it can still be copied from. */
  stop?(): Promise<Evidence>;
  /** Where the root of the container is seen from the host, to look what became of it. */
  look(path: string): Promise<boolean>;
}

/** An engine, or runtime, of containers. */
export interface Engine {
  readonly name: string;
  /** The program that its containers come from. */
  readonly executable: string;
  /** Where it keeps images and containers. Default: the scene's folder. */
  readonly storage?: string;
  /** What it has: images of their own, a bridge, sysctls. */
  readonly has: readonly Ability[];
  /** The command that makes the container of an order. */
  command(scene: Scene, order: Order): Promise<string[]>;
  /** Starts a container in the background. */
  live?(scene: Scene, order: Order): Promise<Live>;
  /** Builds the Dockerfile of a folder, without a cache. */
  build?(scene: Scene, context: string): Promise<Evidence>;
  /** Lets nothing of the scene run on. */
  end?(scene: Scene): Promise<void>;
}

/** What not every engine has. */
export type Ability =
  | "images"
  | "bridge"
  | "internal networks"
  | "users by name"
  | "sysctls"
  | "terminals"
  | "detached containers"
  | "storage"
  | "program";

/** A word for a shell. */
export function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

/** Words for a shell. */
export function quoted(words: readonly string[]): string {
  return words.map(quote).join(" ");
}

/** Runs an order to its end. */
export async function runOrder(engine: Engine, scene: Scene, order: Order): Promise<Evidence> {
  const words = await engine.command(scene, order);
  const options = {
    cwd: scene.host,
    env: { SAUROPOD_HOME: scene.room, ...order.callersEnv },
    timeout: order.killAfter ?? order.timeout ?? 8000,
  };
  // The descriptor of a folder of the host that the caller forgot to close, and groups that it has.
  const inherited = `exec 9<${quote(scene.host)}; exec "$@"`;
  const whole = ["setpriv", "--groups=4444", "bash", "-c", inherited, "bash", ...words];
  if (!order.callersTerminal) return await runHost(whole, options);
  const after = `${quoted(whole)}; IFS= read -r -t 1 line && echo "typed: $line"`;
  return await runHost(["script", "-qefc", `bash -c ${quote(after)}`, "/dev/null"], { ...options, stdin: "piped" });
}

function flags(name: string, values: Iterable<string> = []): string[] {
  return [...values].flatMap((value) => [name, value]);
}

function pairs(values: Record<string, string> = {}): string[] {
  return Object.entries(values).map(([name, value]) => `${name}=${value}`);
}

/** The flags that Sauropod and podman share. */
export function commonFlags(order: Order): string[] {
  return [
    ...(order.user ? ["--user", order.user] : []),
    ...(order.cwd ? ["--workdir", order.cwd] : []),
    ...(order.terminal ? ["--tty"] : []),
    ...flags("--env", pairs(order.env)),
    ...flags("--sysctl", pairs(order.sysctl)),
    ...flags("--cap-add", order.addCapabilities),
    ...flags(
      "--volume",
      order.volumes?.map(({ source, target, readOnly }) => `${source}:${target}${readOnly ? ":ro" : ""}`),
    ),
  ];
}

function cli(executable = Deno.execPath()): string[] {
  return [executable, "run", "-A", `${PROJECT}/cli.ts`];
}

async function ours(scene: Scene, words: readonly string[], timeout?: number): Promise<Evidence> {
  return await runHost([...cli(), ...words], { cwd: scene.host, env: { SAUROPOD_HOME: scene.room }, timeout });
}

async function ourImage(scene: Scene, order: Order): Promise<string> {
  if (!order.image) return "attack";
  const { path, name } = await writeImage(scene, order);
  const { code, output } = await ours(scene, ["images", "load", "-i", path]);
  return code === 0 ? name : `refused-${output.trim().split("\n").at(-1)}`;
}

async function ourNetwork(scene: Scene, order: Order): Promise<string> {
  if (order.network !== "internal" && order.network !== "ipv6") return order.network ?? "none";
  await ours(scene, ["network", "create", "own", `--${order.network}`]);
  return "own";
}

/** Sauropod, from its sources. */
export const sauropod: Engine = {
  name: "sauropod",
  executable: Deno.execPath(),
  has: [
    "images",
    "bridge",
    "internal networks",
    "users by name",
    "sysctls",
    "terminals",
    "detached containers",
    "storage",
    "program",
  ],
  async command(scene, order) {
    const image = await ourImage(scene, order), network = await ourNetwork(scene, order);
    // An image that is refused has no container: the refusal is the evidence.
    if (image.startsWith("refused-")) return ["sh", "-c", 'echo "$1"; exit 125', "sh", image];
    const shared = ["--network", network, ...commonFlags(order)];
    return [...cli(order.executable), "run", "--rm", ...shared, image, ...order.args];
  },
  async live(scene, order) {
    const shared = ["--network", await ourNetwork(scene, order), ...commonFlags(order)];
    const image = await ourImage(scene, order);
    const started = await ours(scene, ["run", "-d", "--name", "live", ...shared, image, ...order.args]);
    if (started.code !== 0) throw new Error(started.output);
    const id = started.output.trim();
    return {
      exec: (args, user) => ours(scene, ["exec", ...(user ? ["-u", user] : []), "live", ...args]),
      copyOut: (source, target) => ours(scene, ["cp", `live:${source}`, target]),
      copyIn: (source, target, archive) =>
        archive
          ? runHost(["sh", "-c", `${quoted(cli())} cp - live:${quote(target)} <${quote(source)}`], {
            cwd: scene.host,
            env: { SAUROPOD_HOME: scene.room },
          })
          : ours(scene, ["cp", source, `live:${target}`]),
      top: () => ours(scene, ["top", "live"]),
      stop: () => ours(scene, ["stop", "-t", "0", "live"]),
      look: async (path) => (await runHost(["test", "-e", `${scene.room}/containers/${id}/upper${path}`])).code === 0,
      async [Symbol.asyncDispose]() {
        await ours(scene, ["rm", "-f", "live"]);
      },
    };
  },
  build: (scene, context) => ours(scene, ["images", "build", "--network", "none", context], 15_000),
  async end(scene) {
    await ours(scene, ["rm", "--all", "-f"]);
  },
};
