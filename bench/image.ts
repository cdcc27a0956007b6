/**
 * The images that are measured with.
 *
 * @module
 */

import { fileChunks } from "../lib/tar/chunks.ts";
import { decompress } from "../lib/tar/decompress.ts";
import { measureAll } from "../lib/tar/measure.ts";
import { digestOf, MEDIA } from "../lib/oci.ts";
import { runCommand } from "./peers.ts";

const BUSYBOX = "/bin/busybox";

/** Makes a root filesystem with a few of busybox's commands, and what Alpine's has of that on which things are mounted. */
export function makeImage(rootfs: string): void {
  for (const name of ["bin", "dev", "etc", "proc", "sys"]) Deno.mkdirSync(`${rootfs}/${name}`, { recursive: true });
  for (const name of ["hostname", "hosts"]) Deno.writeTextFileSync(`${rootfs}/etc/${name}`, "");
  Deno.copyFileSync(BUSYBOX, `${rootfs}/bin/busybox`);
  for (const name of ["true", "sh", "sleep"]) Deno.symlinkSync("busybox", `${rootfs}/bin/${name}`);
}

/** Archives of this machine's own files, `.tar.gz`, in `folder`; as many layers of `files` files in all. */
export async function makeLayers(folder: string, layers: number, files: number): Promise<string[]> {
  await Deno.mkdir(folder, { recursive: true });
  // Every second one, so that every layer has some of every folder that is large.
  await runCommand([
    "sh",
    "-ec",
    `find /usr/share /usr/lib /usr/include -xdev -type f -size -256k | LC_ALL=C sort | awk 'NR % 2 == 0' | head -${files} > list
     split -n l/${layers} -d list part
     for part in part*; do tar --no-recursion -czf $part.tar.gz -T $part; done 2>/dev/null`,
  ], folder);
  return [...Deno.readDirSync(folder)].map(({ name }) => `${folder}/${name}`).filter((path) => path.endsWith(".tar.gz"))
    .sort();
}

/** Makes an OCI layout of an image called `name` with these layers. */
export async function makeLayout(layout: string, name: string, layers: readonly string[]): Promise<void> {
  await Deno.mkdir(`${layout}/blobs/sha256`, { recursive: true });
  const blob = (digest: string): string => `${layout}/blobs/${digest.replace(":", "/")}`;
  const document = async (value: unknown, mediaType: string) => {
    const bytes = new TextEncoder().encode(JSON.stringify(value)), digest = await digestOf(bytes);
    await Deno.writeFile(blob(digest), bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const diffIds: string[] = [], descriptors = [];
  for (const path of layers) {
    const { digest, size } = await measureAll(fileChunks(path));
    await Deno.copyFile(path, blob(digest));
    descriptors.push({ mediaType: MEDIA.layerGzip, digest, size });
    diffIds.push((await measureAll(decompress(fileChunks(path)))).digest);
  }
  const machine = { os: "linux", architecture: Deno.build.arch === "aarch64" ? "arm64" : "amd64" };
  const config = await document({ ...machine, rootfs: { type: "layers", diff_ids: diffIds } }, MEDIA.config);
  const manifest = await document(
    { schemaVersion: 2, mediaType: MEDIA.manifest, config, layers: descriptors },
    MEDIA.manifest,
  );
  const named = { ...manifest, annotations: { "org.opencontainers.image.ref.name": name } };
  const index = { schemaVersion: 2, mediaType: MEDIA.index, manifests: [named] };
  await Deno.writeTextFile(`${layout}/index.json`, JSON.stringify(index));
  await Deno.writeTextFile(`${layout}/oci-layout`, JSON.stringify({ imageLayoutVersion: "1.0.0" }));
}
