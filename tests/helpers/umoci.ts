/**
 * Trees as other programs see them.
 *
 * @module
 */

import { host } from "./inside.ts";
import type { World } from "./world.ts";

/** A tree as text: names, types, modes, owners, sizes and targets. */
export async function listTree(folder: string): Promise<string[]> {
  const format = "%P %y %m %U %G %s %l\n";
  const lines = (await host("find", folder, "-mindepth", "1", "-printf", format)).trim().split("\n");
  return lines.map((line) => / d /.test(line) ? line.replace(/ \d+ $/, "") : line).sort();
}

/** An image of a layout, unpacked by umoci; the folder. */
export async function unpackedByUmoci(world: World, layout: string, name: string): Promise<string> {
  const bundle = Deno.makeTempDirSync({ dir: world.home });
  await host("umoci", "unpack", "--image", `${layout}:${name}`, `${bundle}/b`);
  return `${bundle}/b/rootfs`;
}
