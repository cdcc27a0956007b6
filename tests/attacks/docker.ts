/**
 * Docker, where a daemon can be run in namespaces of the suite's own.
 *
 * @module
 */

import { openDocker } from "../../bench/peers.ts";
import { archive, configOf, json, sha256 } from "../helpers/image_files.ts";
import { commonFlags, type Engine, type Live, quoted } from "./engines.ts";
import { type Evidence, type Order, packRootfs, runHost, type Scene } from "./scene.ts";

const IMAGE = "attack/image:1";

/** Writes the image of an order as `docker save` does. */
async function writeSaved(scene: Scene, order: Order): Promise<string> {
  const plain = order.layers ?? [await packRootfs(scene)];
  const layers = plain.map((layer) => ({ plain: layer, blob: layer, type: "" }));
  const config = json(configOf(layers, { config: order.image ?? {} })), name = `${sha256(config).slice(7)}.json`;
  const files = plain.map((layer): [string, Uint8Array<ArrayBuffer>] => [`${sha256(layer).slice(7)}/layer.tar`, layer]);
  const index = json([{ Config: name, RepoTags: [IMAGE, "attack:latest"], Layers: files.map(([path]) => path) }]);
  const path = `${scene.room}/saved.tar`;
  await Deno.writeFile(path, archive(new Map([[name, config], ...files, ["manifest.json", index]])));
  return path;
}

/** Starts a daemon and returns the engine; undefined, with the reason printed, if that does not work here. */
export async function openEngine(folder: string, rootfs: string): Promise<(Engine & AsyncDisposable) | undefined> {
  const peer = await openDocker(folder, rootfs);
  if (!peer) return undefined;
  const call = (scene: Scene, words: readonly string[], timeout = 20_000): Promise<Evidence> =>
    runHost([...peer.words, ...words], { cwd: scene.host, timeout });
  const running = async (scene: Scene, order: Order): Promise<string[]> => {
    const loaded = await call(scene, ["load", "-i", await writeSaved(scene, order)]);
    const image = loaded.code === 0 ? IMAGE : `refused: ${loaded.output.trim()}`;
    return ["--network", order.network ?? "none", ...commonFlags(order), image, ...order.args];
  };
  return {
    name: "docker",
    executable: "/usr/bin/docker",
    storage: `${folder}/data`,
    has: ["images", "users by name", "sysctls", "terminals", "detached containers", "storage"],
    async command(scene, order) {
      return [...peer.words, "run", "--rm", ...await running(scene, order)];
    },
    async live(scene, order): Promise<Live> {
      const started = await call(scene, ["run", "-d", "--name", "live", ...await running(scene, order)]);
      if (started.code !== 0) throw new Error(started.output);
      return {
        exec: (args, user) => call(scene, ["exec", ...(user ? ["-u", user] : []), "live", ...args]),
        copyOut: (source, target) => call(scene, ["cp", `live:${source}`, target]),
        copyIn: (source, target, packed) =>
          packed
            ? runHost(["sh", "-c", `${quoted(peer.words)} cp - live:${target} <${source}`])
            : call(scene, ["cp", source, `live:${target}`]),
        top: () => call(scene, ["top", "live"]),
        stop: () => call(scene, ["stop", "-t", "0", "live"]),
        look: async (path) => (await call(scene, ["exec", "live", "/bin/busybox", "test", "-e", path])).code === 0,
        async [Symbol.asyncDispose]() {
          await call(scene, ["rm", "-f", "live"]);
        },
      };
    },
    async build(scene, context) {
      await call(scene, ["load", "-i", await writeSaved(scene, { args: [] })]);
      return await call(scene, ["build", "--no-cache", "--network", "none", context], 30_000);
    },
    async end(scene) {
      await call(scene, ["rm", "-f", "live"]);
      await call(scene, ["image", "rm", "-f", IMAGE, "attack:latest"]);
    },
    async [Symbol.asyncDispose]() {
      await peer.room.close();
    },
  };
}
