/**
 * The peers that are installed: runc, crun, bubblewrap and podman.
 *
 * @module
 */

import { commonFlags, type Engine, type Live, quoted } from "./engines.ts";
import { type Evidence, type Order, runHost, type Scene, writeImage } from "./scene.ts";

/** Runs a shell in a mount namespace of its own, without the v2 hierarchy, which crun does not bear beside v1. */
function apart(script: string, words: readonly string[]): string[] {
  const hide = "umount /sys/fs/cgroup/unified 2>/dev/null";
  return ["unshare", "--mount", "--propagation", "private", "bash", "-c", `${hide}; ${script}`, "bash", ...words];
}

/** The group of the runtimes' containers. */
const GROUP = "/sauropod-attacks/one";
/** Ends what an attack has let survive its runtime, and removes the group. */
const EMPTY = `for group in /sys/fs/cgroup/*${GROUP} /sys/fs/cgroup/*${GROUP.replace(/\/one$/, "")}; do
  [ -d "$group" ] || continue
  for i in 1 2 3 4 5; do xargs -r kill -9 <"$group/cgroup.procs"; rmdir "$group" && break; sleep 0.1; done
done 2>/dev/null`;

/** The number of a user, as runtimes get it from who makes their bundle. */
function numbers(user = "0"): { uid: number; gid: number } {
  const [uid = 0, gid = 0] = user.split(":").map(Number);
  return { uid, gid };
}

async function writeBundle(scene: Scene, order: Order): Promise<string> {
  const bundle = `${scene.room}/bundle`;
  await Deno.mkdir(bundle, { recursive: true });
  await Deno.remove(`${bundle}/config.json`).catch(() => {});
  await runHost(["runc", "spec"], { cwd: bundle });
  const config = JSON.parse(await Deno.readTextFile(`${bundle}/config.json`));
  config.root = { path: scene.rootfs, readonly: false };
  Object.assign(config.process, {
    terminal: order.terminal === true,
    args: order.args,
    cwd: order.cwd ?? "/",
    user: numbers(order.user),
    env: ["PATH=/bin:/usr/bin", ...Object.entries(order.env ?? {}).map(([name, value]) => `${name}=${value}`)],
  });
  if (order.bareDev) {
    config.mounts = config.mounts.filter(({ destination }: { destination: string }) =>
      !/^\/dev(\/|$)/.test(destination)
    );
  }
  for (const { source, target, readOnly } of order.volumes ?? []) {
    const options = ["rbind", readOnly ? "ro" : "rw"];
    config.mounts.push({ destination: target, type: "bind", source, options });
  }
  config.linux.sysctl = order.sysctl;
  config.linux.cgroupsPath = GROUP;
  if (order.network === "host") {
    config.linux.namespaces = config.linux.namespaces.filter(({ type }: { type: string }) => type !== "network");
  }
  await Deno.writeTextFile(`${bundle}/config.json`, JSON.stringify(config));
  return bundle;
}

/** An OCI runtime, as somebody calls it who passes on what an image says. */
function runtime(name: string, path: string): Engine {
  const words = (scene: Scene, order: Order, ...rest: string[]): string[] => [
    ...[order.executable ?? path, "--root", `${scene.room}/${name}`],
    ...rest,
  ];
  return {
    name,
    executable: path,
    has: ["sysctls", "terminals", "program"],
    async command(scene, order) {
      const bundle = await writeBundle(scene, order), run = words(scene, order, "run", "--bundle", bundle, "attack");
      // A runtime passes its own terminal on, so it must have one.
      return apart(
        order.terminal ? `exec script -qefc ${`"$1"`} /dev/null` : `exec "$@"`,
        order.terminal ? [quoted(run)] : run,
      );
    },
    async live(scene, order): Promise<Live> {
      const bundle = await writeBundle(scene, order);
      const run = words(scene, order, "run", "--detach", "--bundle", bundle, "attack");
      await runHost(apart(`exec "$@" >/dev/null 2>"$0.err"`, run), {});
      return {
        exec: (args, user) =>
          runHost(
            apart(`exec "$@"`, words(scene, order, "exec", ...(user ? ["--user", user] : []), "attack", ...args)),
          ),
        look: () => Promise.resolve(false),
        [Symbol.asyncDispose]: () => end(scene),
      };
    },
    end,
  };
  async function end(scene: Scene): Promise<void> {
    await runHost(apart(`exec "$@"`, words(scene, { args: [] }, "delete", "--force", "attack")));
    await runHost(["bash", "-c", EMPTY]);
  }
}

const bubblewrap: Engine = {
  name: "bwrap",
  executable: "/usr/bin/bwrap",
  has: ["program"],
  command: (scene, order) =>
    Promise.resolve([
      ...[order.executable ?? "/usr/bin/bwrap", "--unshare-all", "--as-pid-1"],
      ...(order.network === "host" ? ["--share-net"] : []),
      ...["--bind", scene.rootfs, "/", "--proc", "/proc", "--dev", "/dev"],
      ...(order.volumes ?? []).flatMap(({ source, target, readOnly }) => [
        readOnly ? "--ro-bind" : "--bind",
        source,
        target,
      ]),
      ...(order.user ? ["--unshare-user", "--uid", order.user.split(":")[0] ?? ""] : []),
      ...Object.entries(order.env ?? {}).flatMap(([name, value]) => ["--setenv", name, value]),
      ...(order.cwd ? ["--chdir", order.cwd] : []),
      ...order.args,
    ]),
};

const LIMITS = ["--ulimit", "nofile=1024:2048", "--ulimit", "nproc=1024:2048"];

function podmanWords(scene: Scene, executable = "/usr/bin/podman"): string[] {
  return [
    ...[executable, "--root", `${scene.room}/podman`, "--runroot", `${scene.room}/r`],
    ...["--cgroup-manager", "cgroupfs", "--runtime", "runc", "--events-backend", "none", "--storage-driver", "vfs"],
    ...["--tmpdir", `${scene.room}/podman-tmp`, "--network-config-dir", `${scene.room}/networks`],
  ];
}

function callPodman(scene: Scene, words: readonly string[], timeout = 15_000): Promise<Evidence> {
  return runHost([...podmanWords(scene), ...words], { cwd: scene.host, timeout });
}

/** Where podman finds the root file system, or the image, of an order. */
async function podmanImage(scene: Scene, order: Order): Promise<string[]> {
  if (!order.image) return ["--rootfs", scene.rootfs];
  const { path, name } = await writeImage(scene, order);
  const { code, output } = await callPodman(scene, ["load", "-i", path]);
  return [code === 0 ? `localhost/${name}` : `refused:${output.trim().split("\n").at(-1)}`];
}

async function podmanRun(scene: Scene, order: Order): Promise<string[]> {
  const network = order.network === "host" ? "host" : order.network ? "bridge" : "none";
  return ["--network", network, ...LIMITS, ...commonFlags(order), ...await podmanImage(scene, order), ...order.args];
}

const podman: Engine = {
  name: "podman",
  executable: "/usr/bin/podman",
  has: ["images", "users by name", "sysctls", "terminals", "detached containers", "storage", "program"],
  async command(scene, order) {
    return [...podmanWords(scene, order.executable), "run", "--rm", ...await podmanRun(scene, order)];
  },
  async live(scene, order): Promise<Live> {
    const started = await callPodman(scene, ["run", "-d", "--name", "live", ...await podmanRun(scene, order)]);
    if (started.code !== 0) throw new Error(started.output);
    return {
      exec: (args, user) => callPodman(scene, ["exec", ...(user ? ["-u", user] : []), "live", ...args]),
      copyOut: (source, target) => callPodman(scene, ["cp", `live:${source}`, target]),
      copyIn: (source, target, archive) =>
        archive
          ? runHost(["sh", "-c", `${quoted(podmanWords(scene))} cp - live:${target} <${source}`])
          : callPodman(scene, ["cp", source, `live:${target}`]),
      top: () => callPodman(scene, ["top", "live"]),
      stop: () => callPodman(scene, ["stop", "-t", "0", "live"]),
      look: async (path) => (await callPodman(scene, ["exec", "live", "/bin/busybox", "test", "-e", path])).code === 0,
      async [Symbol.asyncDispose]() {
        await callPodman(scene, ["rm", "-f", "-t", "0", "live"]);
      },
    };
  },
  async build(scene, context) {
    // The base is the root file system, as an image.
    const { path } = await writeImage(scene, { args: [], image: {} });
    await callPodman(scene, ["load", "-i", path]);
    await callPodman(scene, ["tag", "localhost/attack/image:1", "localhost/attack"]);
    return await callPodman(scene, ["build", "--network", "none", ...LIMITS, context], 30_000);
  },
  async end(scene) {
    await callPodman(scene, ["rm", "-f", "-t", "0", "--all"]);
    await runHost([
      "sh",
      "-c",
      `awk -v r="$0" 'index($5, r) == 1 { print $5 }' /proc/self/mountinfo | tac | xargs -r umount -l`,
      scene.room,
    ]);
  },
};

/** The peers that are installed. */
export async function peers(): Promise<Engine[]> {
  const all = [runtime("runc", "/usr/sbin/runc"), runtime("crun", "/usr/bin/crun"), bubblewrap, podman];
  const there = await Promise.all(all.map(async (one) => (await runHost(["test", "-x", one.executable])).code === 0));
  return all.filter((_, i) => there[i]);
}
