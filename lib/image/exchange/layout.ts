/**
 * Reading an OCI image layout (OCI image specification 1.1, image-layout.md).
 *
 * @module
 */

import { ImageError, InputError } from "../../errors.ts";
import { listed } from "../../text/listed.ts";
import { formatReference, parseReference } from "../../registry/reference.ts";
import {
  checkLayers,
  type Descriptor,
  hostPlatform,
  type Index,
  isIndex,
  type Manifest,
  parseConfig,
  parseManifest,
  type Platform,
} from "../../oci.ts";
import { NAME_ANNOTATION } from "../../store/store.ts";
import { type Contents, readJson, readText } from "./contents.ts";
import type { FoundBlob, FoundImage } from "./found.ts";
import { malformed, missing, otherSize } from "./problems.ts";
import { otherDigest } from "../../store/verify_layer.ts";

/** The annotation in which containerd and Docker keep an image's full name. */
export const CONTAINERD_NAME = "io.containerd.image.name";

const ATTESTATION = "vnd.docker.reference.type";
const MAX_DEPTH = 4, MOST_FACTS = 100;
// A tag alone, as umoci and others write it: it names no image.
const LONE_TAG = /^(latest|v?[0-9][^/:@]*)$/;

/** Returns an image's full name, if the layout tells one that can be one. */
function nameOf({ annotations = {} }: Descriptor): string | undefined {
  const full = annotations[CONTAINERD_NAME], short = annotations[NAME_ANNOTATION];
  const text = full ?? (short !== undefined && LONE_TAG.test(short) ? undefined : short);
  if (text === undefined) return undefined;
  try {
    return formatReference(parseReference(text));
  } catch (error) {
    // The specification lets a layout use other words than references.
    if (error instanceof InputError) return undefined;
    throw error;
  }
}

function isImage({ annotations, platform }: Descriptor): boolean {
  return annotations?.[ATTESTATION] === undefined && platform?.os !== "unknown";
}

/** Returns a blob that a layout must have, verified. */
async function findBlob(contents: Contents, descriptor: Descriptor, kind: string): Promise<FoundBlob> {
  const { digest, size } = descriptor, what = `the ${kind} ${digest}`, name = `blobs/${digest.replace(":", "/")}`;
  const file = await contents.find(name);
  if (!file) throw missing(what, name);
  if (file.size !== size) throw otherSize(what, size, file.size);
  if (file.digest !== digest) throw otherDigest(what, digest, file.digest);
  return { descriptor, file };
}

function fits(platform: Platform | undefined, wanted: Platform): boolean {
  return platform?.os === wanted.os && platform.architecture === wanted.architecture;
}

/** Returns the one of several that is for this machine; the only one whatever it is for. */
function choose(manifests: readonly Descriptor[], what: string): Descriptor {
  const images = manifests.filter(isImage), host = hostPlatform();
  const found = images.find(({ platform }) => fits(platform, host)) ?? images.find(({ platform }) => !platform) ??
    (images.length === 1 ? images[0] : undefined);
  if (found) return found;
  const known = images.flatMap(({ platform }) => platform ? `${platform.os}/${platform.architecture}` : []);
  throw new ImageError(`${what} holds no image for ${host.os}/${host.architecture}`, {
    code: "image-unsupported",
    facts: { what, known: known.slice(0, MOST_FACTS) },
    hint: `it holds some for ${listed(known) || "no machine at all"}`,
  });
}

async function findManifest(
  contents: Contents,
  choice: readonly Descriptor[],
  what: string,
  depth = 0,
): Promise<{ manifest: FoundBlob; document: Manifest }> {
  if (depth > MAX_DEPTH) throw malformed(what, "it lists lists of lists of images");
  const chosen = choose(choice, what);
  const manifest = await findBlob(contents, chosen, "manifest");
  const subject = `the manifest ${chosen.digest}`;
  const document = parseManifest(await readText(manifest.file, subject), subject);
  return isIndex(document) ? findManifest(contents, document.manifests, subject, depth + 1) : { manifest, document };
}

async function findImage(contents: Contents, choice: readonly Descriptor[], names: string[]): Promise<FoundImage> {
  const { manifest, document } = await findManifest(contents, choice, names[0] ?? "the layout");
  checkLayers(document, names[0] ?? manifest.descriptor.digest);
  const config = await findBlob(contents, document.config, "configuration");
  const what = `the configuration ${document.config.digest}`;
  const diffIds = parseConfig(await readText(config.file, what), what).rootfs.diff_ids;
  if (diffIds.length !== document.layers.length) {
    throw malformed(what, `it names ${diffIds.length} layers and the manifest ${document.layers.length}`);
  }
  const layers: FoundBlob[] = [];
  for (const layer of document.layers) layers.push(await findBlob(contents, layer, "layer"));
  return { names, manifest, config, layers, diffIds };
}

async function readIndex(contents: Contents): Promise<Index | undefined> {
  const marker = await contents.find("oci-layout");
  if (!marker) return undefined;
  const value = await readJson(marker, "oci-layout");
  const version = typeof value === "object" && value !== null && "imageLayoutVersion" in value
    ? value.imageLayoutVersion
    : undefined;
  if (typeof version !== "string") throw malformed("oci-layout", "it has no version");
  if (!version.startsWith("1.")) {
    throw new ImageError(`unsupported OCI layout version ${JSON.stringify(version.slice(0, 20))}`, {
      code: "image-unsupported",
    });
  }
  const file = await contents.find("index.json");
  if (!file) throw missing("the list of images", "index.json");
  const index = parseManifest(await readText(file, "index.json"), "index.json");
  return isIndex(index) ? index : Promise.reject(malformed("index.json", "it lists no images"));
}

/** Returns the images of a layout; undefined if it is none. */
export async function layoutImages(contents: Contents): Promise<FoundImage[] | undefined> {
  const index = await readIndex(contents);
  if (!index) return undefined;
  // Entries with the same name are the same image for several platforms.
  const groups = Map.groupBy(index.manifests.filter(isImage), (one) => nameOf(one) ?? one.digest);
  const images: FoundImage[] = [];
  for (const [key, choice] of groups) {
    const name = choice.map(nameOf).find((one) => one !== undefined);
    images.push(await findImage(contents, choice, name === key ? [name] : []));
  }
  return images;
}
