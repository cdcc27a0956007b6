import assert from "node:assert/strict";
import { ImageError } from "../../lib/errors.ts";
import { isIndex, type Manifest, parseManifest } from "../../lib/oci.ts";
import { openRegistry, type Registry } from "../../lib/registry/client.ts";
import { downloadBlob } from "../../lib/registry/download.ts";
import { fetchManifest, lookUpManifest, pushManifest } from "../../lib/registry/manifests.ts";
import { hasBlob, pushBlob } from "../../lib/registry/upload.ts";
import { type RealRegistry, startRegistry, USER } from "../helpers/docker_registry.ts";
import { succeed } from "../helpers/host_program.ts";
import { apart, makeLayout, noise } from "../helpers/registry.ts";

// Two small layers, and one that is pushed as a stream.
const LAYERS = [noise(10_000, 1), noise(1, 2), noise(6 * 2 ** 20, 3)];

const skopeo = (...words: string[]) => succeed(["skopeo", "--insecure-policy", ...words]);

async function putThere({ folder, host }: RealRegistry, name: string, ...words: string[]): Promise<void> {
  await makeLayout(`${folder}/layout`, LAYERS);
  await skopeo(
    "copy",
    "-q",
    "--dest-tls-verify=false",
    ...words,
    `oci:${folder}/layout:one`,
    `docker://${host}/${name}`,
  );
}

/** Fetches an image into `folder/HEX…`. */
async function fetchAll(registry: Registry, repository: string, tag: string, folder: string) {
  const { descriptor, text } = await fetchManifest(registry, { repository, tag });
  const manifest = parseManifest(text, tag);
  assert.ok(!isIndex(manifest));
  const blobs = [manifest.config, ...manifest.layers];
  const path = (digest: string) => `${folder}/${digest.slice(7)}`;
  const got = await Promise.all(blobs.map((blob) => downloadBlob(registry, repository, blob, path(blob.digest))));
  return { descriptor, text, manifest, blobs, path, received: got.reduce((sum, { received }) => sum + received, 0) };
}

async function pushAll(
  registry: Registry,
  repository: string,
  { blobs, path, text, descriptor }: { manifest: Manifest } & Awaited<ReturnType<typeof fetchAll>>,
  tag: string,
  mountFrom?: string,
): Promise<string[]> {
  const open = (digest: string) => () => Deno.openSync(path(digest)).readable;
  const done = await Promise.all(
    blobs.map((blob) => pushBlob(registry, repository, blob, open(blob.digest), mountFrom ? { mountFrom } : {})),
  );
  const pushed = await pushManifest(registry, { repository, tag }, { text, mediaType: descriptor.mediaType });
  assert.deepEqual(pushed, descriptor);
  return [...new Set(done)];
}

Deno.test("what skopeo puts into a registry is pulled, and what is pushed back skopeo reads", async () => {
  await using real = await startRegistry();
  await putThere(real, "team/app:one", "--preserve-digests");
  const registry = openRegistry(real.host, apart());
  const pulled = Deno.makeTempDirSync({ dir: real.folder });
  const image = await fetchAll(registry, "team/app", "one", pulled);
  for (const { digest } of image.blobs) {
    const original = Deno.readFileSync(`${real.folder}/layout/blobs/sha256/${digest.slice(7)}`);
    assert.deepEqual(Deno.readFileSync(image.path(digest)), original);
  }
  const { digest } = image.descriptor;
  assert.equal(await lookUpManifest(registry, { repository: "team/app", tag: "one" }), digest);
  assert.equal((await fetchManifest(registry, { repository: "team/app", digest }, image.descriptor)).text, image.text);

  assert.deepEqual(await pushAll(registry, "team/app", image, "two"), ["there"]);
  assert.deepEqual(await pushAll(registry, "other/app", image, "one", "team/app"), ["mounted"]);
  await using second = await startRegistry();
  const there = openRegistry(second.host, apart());
  assert.deepEqual(await pushAll(there, "new", image, "one"), ["sent"]);
  for (const place of [`${real.host}/team/app:two`, `${real.host}/other/app:one`, `${second.host}/new:one`]) {
    const found = JSON.parse(await skopeo("inspect", "--tls-verify=false", `docker://${place}`));
    assert.equal(found.Digest, digest);
    assert.equal(found.Layers.length, LAYERS.length);
  }
  const copy = `${real.folder}/copy`;
  await skopeo(
    "copy",
    "-q",
    "--preserve-digests",
    "--src-tls-verify=false",
    `docker://${second.host}/new:one`,
    `oci:${copy}:one`,
  );
  const names = (folder: string) => [...Deno.readDirSync(`${folder}/blobs/sha256`)].map(({ name }) => name).sort();
  assert.deepEqual(names(copy), names(`${real.folder}/layout`));
});

Deno.test("Docker's own format is pulled and pushed as it is", async () => {
  await using real = await startRegistry();
  await putThere(real, "docker:1", "--format", "v2s2");
  const registry = openRegistry(real.host, apart());
  const image = await fetchAll(registry, "docker", "1", Deno.makeTempDirSync({ dir: real.folder }));
  assert.equal(image.descriptor.mediaType, "application/vnd.docker.distribution.manifest.v2+json");
  assert.deepEqual(await pushAll(registry, "again", image, "1"), ["sent"]);
  const raw = await skopeo("inspect", "--raw", "--tls-verify=false", `docker://${real.host}/again:1`);
  assert.equal(raw, image.text);
});

Deno.test("pull and push: a download that was ended goes on where it was", async () => {
  await using real = await startRegistry();
  await putThere(real, "app:1", "--preserve-digests");
  const registry = openRegistry(real.host, apart());
  const { text } = await fetchManifest(registry, { repository: "app", tag: "1" });
  const manifest = parseManifest(text, "app");
  const layer = isIndex(manifest) ? undefined : manifest.layers[2];
  assert.ok(layer);
  const path = `${real.folder}/part`;
  const controller = new AbortController();
  const onProgress = (bytes: number) => bytes > 2 ** 20 && controller.abort(new Error("enough"));
  const work = downloadBlob(registry, "app", layer, path, {
    signal: controller.signal,
    onProgress: (n) => void onProgress(n),
  });
  await assert.rejects(work, /enough/);
  const { size } = Deno.statSync(path);
  assert.ok(size > 2 ** 20 && size < layer.size);
  const seen: number[] = [];
  const { received } = await downloadBlob(registry, "app", layer, path, { onProgress: (n) => void seen.push(n) });
  assert.equal(received, layer.size - size);
  assert.equal(seen[0], size);
  assert.equal(seen.at(-1), layer.size);
});

Deno.test("pull and push: what is not in a registry is an error that quotes it", async () => {
  await using real = await startRegistry();
  const registry = openRegistry(real.host, apart());
  const code = (work: Promise<unknown>) =>
    work.then(() => "", (error) => error instanceof ImageError ? error.code : error);
  assert.equal(await code(fetchManifest(registry, { repository: "none", tag: "1" })), "image-not-found");
  await assert.rejects(lookUpManifest(registry, { repository: "none", tag: "1" }), { code: "image-not-found" });
  const blob = { mediaType: "x", digest: `sha256:${"0".repeat(64)}`, size: 1 };
  assert.equal(await hasBlob(registry, "none", blob), false);
  const path = `${real.folder}/none`;
  await assert.rejects(downloadBlob(registry, "none", blob, path), /404: "blob unknown to registry"/);
  const wrong = () => new Blob(["x"]).stream();
  await assert.rejects(
    pushBlob(registry, "none", blob, wrong),
    /400: "provided digest did not match uploaded content"/,
  );
  const manifest = { text: `{"schemaVersion":2}`, mediaType: "application/vnd.oci.image.manifest.v1+json" };
  assert.equal(await code(pushManifest(registry, { repository: "none", tag: "1" }, manifest)), "registry-error");
});

Deno.test("pull and push: a registry with passwords takes those of the docker configuration, and refuses others by name", async () => {
  await using real = await startRegistry({ password: true });
  const credentials = `${USER.username}:${USER.password}`;
  await putThere(real, "app:1", `--dest-creds=${credentials}`);
  const before = Deno.env.get("REGISTRY_AUTH_FILE");
  const file = `${real.folder}/config.json`;
  Deno.env.set("REGISTRY_AUTH_FILE", file);
  try {
    const { credentials: _, ...files } = apart();
    const put = (auths: unknown) => Deno.writeTextFileSync(file, JSON.stringify({ auths }));
    put({ [real.host]: { auth: btoa(credentials) } });
    const registry = openRegistry(real.host, files);
    const image = await fetchAll(registry, "app", "1", Deno.makeTempDirSync({ dir: real.folder }));
    assert.deepEqual(await pushAll(registry, "copy", image, "1"), ["sent"]);
    const raw = await skopeo(
      "inspect",
      "--raw",
      "--tls-verify=false",
      `--creds=${credentials}`,
      `docker://${real.host}/copy:1`,
    );
    assert.equal(raw, image.text);

    const pull = () => fetchManifest(openRegistry(real.host, files), { repository: "app", tag: "1" });
    put({ [real.host]: { auth: btoa("alice:wrong") } });
    await assert.rejects(pull(), {
      code: "registry-refused",
      message: /does not accept the credentials of .*config\.json/,
    });
    put({});
    await assert.rejects(pull(), { code: "registry-refused", message: /wants credentials/ });
    const blob = image.manifest.config;
    const push = pushBlob(openRegistry(real.host, files), "app", blob, () => new Blob([]).stream());
    await assert.rejects(push, { code: "registry-refused" });
  } finally {
    before === undefined ? Deno.env.delete("REGISTRY_AUTH_FILE") : Deno.env.set("REGISTRY_AUTH_FILE", before);
  }
});
