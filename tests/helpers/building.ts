/**
 * Contexts to build in, builds, and what was built.
 *
 * @module
 */

import assert from "node:assert/strict";
import { output } from "../../mod.ts";
import { inspectImage } from "../../lib/image/manage.ts";
import { storeFolder } from "../../lib/store/store.ts";
import type { Result, World } from "./world.ts";

type Content = string | { text: string; mode?: number } | { link: string };

/** Makes the files of a context; a name that ends with a slash is a folder. Returns its path. */
export function context(world: World, files: Record<string, Content>, name = "context"): string {
  const folder = `${world.home}/${name}`;
  Deno.mkdirSync(folder, { recursive: true });
  for (const [path, content] of Object.entries(files)) {
    const file = `${folder}/${path}`;
    Deno.mkdirSync(file.slice(0, file.lastIndexOf("/")), { recursive: true });
    if (path.endsWith("/")) continue;
    if (typeof content !== "string" && "link" in content) Deno.symlinkSync(content.link, file);
    else {
      const { text, mode = 0o644 } = typeof content === "string" ? { text: content, mode: undefined } : content;
      Deno.writeTextFileSync(file, text);
      Deno.chmodSync(file, mode);
    }
  }
  return folder;
}

/** Builds an image. */
export function build(world: World, ...words: string[]): Promise<Result> {
  return world.cli(["images", "build", "--network", "none", ...words], { env: { SOURCE_DATE_EPOCH: "" } });
}

/** Builds an image, which must succeed. */
export async function built(world: World, ...words: string[]): Promise<Result> {
  const result = await build(world, ...words);
  assert.equal(result.code, 0, result.stderr);
  return result;
}

/** What a script in a container of the image says. */
export async function say(world: World, image: string, script: string): Promise<string> {
  const { stdout } = await output(image, ["-c", script], {
    ...world.folders,
    network: "none",
    entrypoint: "/bin/sh",
  });
  return new TextDecoder().decode(stdout);
}

/** The steps that were not done again. */
export function cached({ stderr }: Result): string[] {
  return [...stderr.matchAll(/^\[\d+\/\d+\] (.*) \(cached\)$/gm)].map(([, text = ""]) => text);
}

/** The names in a folder, sorted; none if it is missing. */
export function namesIn(folder: string): string[] {
  try {
    return [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/** The blobs of the store. */
export function blobs({ folders }: World): string[] {
  return namesIn(`${storeFolder(folders.images)}/blobs/sha256`);
}

/** The configuration of an image. */
export function configOf({ folders }: World, name: string) {
  return inspectImage(folders.images, name).config;
}

/** The layers of an image. */
export function layersOf({ folders }: World, name: string): readonly string[] {
  return inspectImage(folders.images, name).config.rootfs.diff_ids;
}
