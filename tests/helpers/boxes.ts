/**
 * Containers to copy to and from.
 *
 * @module
 */

import assert from "node:assert/strict";
import { copyFrom } from "../../mod.ts";
import { type Conversation, converse, type InsideOptions, say } from "./inside.ts";
import { type Tree, treeOf } from "./tree.ts";
import type { World } from "./world.ts";

/** Ways to make containers in a world. */
export interface Boxes {
  /** A fresh folder of this machine. */
  folder(): string;
  /** A container that has run `script`, and is kept; its name. */
  stopped(script?: string, options?: InsideOptions): Promise<string>;
  /** A container that has run `script` and waits for a line. */
  running(script?: string, options?: InsideOptions): Promise<Conversation & { name: string }>;
  /** What a container has at a path, as it was copied out with everything. */
  treeIn(container: string, path: string): Promise<Tree>;
}

/** Makes containers without a network in a world. */
export function boxesIn(world: World): Boxes {
  const network = "none";
  let made = 0;
  const folder = (): string => Deno.makeTempDirSync({ dir: world.home });
  return {
    folder,
    async stopped(script = "true", options = {}) {
      const name = `box${made++}`;
      await say(world, script, { network, ...options, name, keep: true });
      return name;
    },
    async running(script = "true", options = {}) {
      const name = `box${made++}`;
      const talk = await converse(world, `${script}; echo ready; read line`, { network, ...options, name });
      assert.equal(await talk.ask(), "ready");
      return { ...talk, name, [Symbol.asyncDispose]: () => talk[Symbol.asyncDispose]() };
    },
    async treeIn(container, path) {
      const out = `${folder()}/out`;
      await copyFrom(container, path, out, { ...world.folders, archive: true });
      return treeOf(out);
    },
  };
}

/** Every name below a folder, sorted; links with what they lead to. */
export function listed(path: string, prefix = ""): string[] {
  return [...Deno.readDirSync(path)].flatMap(({ name, isDirectory, isSymlink }) => {
    if (isSymlink) return [`${prefix}${name} -> ${Deno.readLinkSync(`${path}/${name}`)}`];
    return isDirectory ? [`${prefix}${name}/`, ...listed(`${path}/${name}`, `${prefix}${name}/`)] : [prefix + name];
  }).sort();
}
