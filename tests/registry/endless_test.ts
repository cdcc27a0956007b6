/** Registries that never come to an end, or send more than anybody can keep. */

import assert from "node:assert/strict";
import { hostPlatform, MEDIA } from "../../lib/oci.ts";
import { pullImage } from "../../lib/image/pull.ts";
import { openRegistry } from "../../lib/registry/client.ts";
import { findCredentials } from "../../lib/registry/credentials.ts";
import { fetchManifest } from "../../lib/registry/manifests.ts";
import { fails, fetchBlob, rangeStart, withFile } from "../helpers/blob.ts";
import { withEnvironment } from "../helpers/environment.ts";
import { configOf, descriptor, gz, json, LAYERS, partials } from "../helpers/image_files.ts";
import { host } from "../helpers/inside.ts";
import { apart, cutAfter, describe, type FaultyRegistry, noise, serveFaulty } from "../helpers/registry.ts";
import { tar } from "../helpers/tar.ts";
import { makeWorld } from "../helpers/world.ts";

const MB = 1 << 20;
const BIG = noise(3 * MB), BIG_DESCRIPTOR = await describe(BIG);
const PETABYTES = 2 ** 53 - 1;

/** A registry of one image, whose manifest and blobs are these; a path without an answer gives 404. */
function serveImage(manifest: unknown, blobs: readonly Uint8Array<ArrayBuffer>[]): Promise<FaultyRegistry> {
  return Promise.all(blobs.map((blob) => describe(blob))).then((all) =>
    serveFaulty((request) => {
      const { pathname } = new URL(request.url);
      if (pathname.includes("/manifests/")) {
        return new Response(json(manifest), { headers: { "content-type": MEDIA.manifest } });
      }
      const i = all.findIndex(({ digest }) => pathname.endsWith(digest));
      return i < 0 ? new Response(null, { status: 404 }) : new Response(blobs[i]);
    })
  );
}

function manifestOf(config: unknown, layers: readonly unknown[]) {
  return { schemaVersion: 2, mediaType: MEDIA.manifest, config, layers };
}

function blobsAsked({ asked }: FaultyRegistry): string[] {
  return asked.map(({ path }) => path).filter((path) => path.includes("/blobs/"));
}

Deno.test("pull: a registry that is cut off after a megabyte and resumes with wrong bytes is given up by name", () =>
  withFile(async (path) => {
    const wrong = noise(3 * MB, 77);
    await using registry = serveFaulty((request) => {
      const from = rangeStart(request);
      if (from === 0) return cutAfter(BIG.subarray(0, MB), BIG.length);
      return new Response(wrong.subarray(from), {
        status: 206,
        headers: { "content-range": `bytes ${from}-${BIG.length - 1}/${BIG.length}` },
      });
    });
    await fails("digest-mismatch", /its digest is sha256:/, fetchBlob(registry, path, apart(), BIG_DESCRIPTOR));
    assert.equal(registry.asked.length, 2);
    assert.equal(Deno.statSync(path).size, 0);
  }));

Deno.test("pull: a registry that sends the same first megabyte again and again is given up after a few tries", () =>
  withFile(async (path) => {
    await using registry = serveFaulty(() => cutAfter(BIG.subarray(0, MB + 10), BIG.length));
    await fails("registry-unreachable", /./, fetchBlob(registry, path, apart(), BIG_DESCRIPTOR));
    assert.ok(registry.asked.length < 15, `it was asked ${registry.asked.length} times`);
  }));

Deno.test("images pull of a configuration or a layer of 8 PiB is refused before a byte of it is fetched", async () => {
  await using world = makeWorld();
  const { images } = world.folders, config = json(configOf());
  const good = descriptor(MEDIA.config, config), [layer] = LAYERS;
  assert.ok(layer);
  const one = descriptor(layer.type, layer.blob), digest = `sha256:${"0".repeat(64)}`;
  const rows = [
    [
      manifestOf({ ...good, size: PETABYTES }, [one]),
      "image-malformed",
      /the configuration of .* has 9007199254740991 bytes/,
    ],
    [
      manifestOf(good, [{ ...one, digest, size: PETABYTES }]),
      "store-full",
      /no space left for .*: the blob sha256:0+ takes/,
    ],
    [
      manifestOf(good, Array.from({ length: 18_000 }, () => one)),
      "image-unsupported",
      /has 18000 layers, and at most 500/,
    ],
  ] as const;
  for (const [manifest, code, said] of rows) {
    await using registry = await serveImage(manifest, [config, layer.blob]);
    await fails(code, said, pullImage(`${registry.host}/a/b:1`, images));
    const fetched = blobsAsked(registry).filter((path) => path.endsWith(digest) || code !== "store-full");
    assert.deepEqual(fetched, []);
  }
});

Deno.test("pull: a configuration that is nested a hundred thousand deep is refused by name", async () => {
  await using world = makeWorld();
  const text = JSON.stringify(configOf()).replace("{", `{"x":${"[".repeat(100_000)}${"]".repeat(100_000)},`);
  const config = new TextEncoder().encode(text);
  await using registry = await serveImage(manifestOf(descriptor(MEDIA.config, config), []), [config]);
  const pulling = pullImage(`${registry.host}/a/b:1`, world.folders.images);
  await fails("image-malformed", /the configuration of .* nested more than 100 deep/, pulling);
});

Deno.test("what a full disk cut off in a pull is taken away, and the next pull succeeds when there is room", async () => {
  await using world = makeWorld();
  const small = `${world.home}/small`, images = `${small}/images`;
  const layers = [1, 2, 3].map((seed) => {
    const plain = tar({ name: `noise${seed}`, body: noise(2 * MB, seed) });
    return { plain, blob: gz(plain), type: MEDIA.layerGzip };
  });
  const config = json({ ...hostPlatform(), ...configOf(layers) });
  const manifest = manifestOf(descriptor(MEDIA.config, config), layers.map(({ blob, type }) => descriptor(type, blob)));
  await using registry = await serveImage(manifest, [config, ...layers.map(({ blob }) => blob)]);
  await Deno.mkdir(small);
  // Any one of the layers fits.
  await host("mount", "-t", "tmpfs", "-o", "size=3m", "small", small);
  try {
    const error = await fails("store-full", /no space left/, pullImage(`${registry.host}/a/b:1`, images));
    assert.ok(error.cause, "it was tried");
    assert.deepEqual(partials(images).filter((name) => !name.startsWith(".")), []);
    await host("mount", "-o", "remount,size=32m", small);
    await pullImage(`${registry.host}/a/b:1`, images);
    assert.deepEqual(partials(images), []);
  } finally {
    await host("umount", small);
  }
});

Deno.test("pull: a manifest that comes drop by drop, fast enough not to be idle, ends all the same", async () => {
  await using registry = serveFaulty(() => {
    let timer: ReturnType<typeof setInterval> | undefined;
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => void (timer = setInterval(() => controller.enqueue(new Uint8Array(2000)), 20)),
      cancel: () => clearInterval(timer),
    });
    return new Response(body, { headers: { "content-type": MEDIA.manifest } });
  });
  const begin = performance.now(), open = openRegistry(registry.host, apart({ idleTimeout: 200 }));
  await fails("registry-unreachable", /not there within 0\.6 s/, fetchManifest(open, { repository: "a/b", tag: "1" }));
  assert.ok(performance.now() - begin < 20_000);
});

Deno.test("pull: an error of a registry without end is not read to the end", async () => {
  let open = 0;
  await using registry = serveFaulty(() => {
    open++;
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(1 << 16).fill(97)),
      cancel: () => void open--,
    });
    return new Response(body, { status: 403 });
  });
  const asking = fetchManifest(openRegistry(registry.host, apart()), { repository: "a/b", tag: "1" });
  await fails("registry-refused", /answers 403$/, asking);
  for (let i = 0; open > 0 && i < 100; i++) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(open, 0);
});

Deno.test("pull: a credential helper that writes without end is killed, and named", async () => {
  const folder = await Deno.makeTempDir({ prefix: "sauropod-helper-" });
  try {
    const helper = `${folder}/docker-credential-endless`;
    await Deno.writeTextFile(helper, "#!/bin/sh\ntrap '' TERM\nexec cat /dev/zero\n", { mode: 0o755 });
    await Deno.writeTextFile(`${folder}/config.json`, JSON.stringify({ credsStore: "endless" }));
    const env = { PATH: `${folder}:${Deno.env.get("PATH")}`, REGISTRY_AUTH_FILE: `${folder}/config.json` };
    const said = /cannot use .*docker-credential-endless: its answer is too long/;
    await withEnvironment(env, async () => void await fails("credentials-unusable", said, findCredentials("a.b", "c")));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
