import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { commitContainer } from "../lib/image/commit.ts";
import { ImageError, InputError } from "../lib/errors.ts";
import { importImage } from "../lib/image/exchange/import.ts";
import { loadImages } from "../lib/image/exchange/load.ts";
import { saveImages } from "../lib/image/exchange/save.ts";
import { layerFolder } from "../lib/image/layer_folders.ts";
import { hostPlatform } from "../lib/image/oci.ts";
import { findStored, listStored, readImage, storeFolder } from "../lib/image/store.ts";
import { host, until } from "./helpers/inside.ts";
import { bytesOf, type Item, item, output, tar } from "./helpers/tar.ts";
import { makeWorld, PROJECT, type World } from "./helpers/world.ts";

type Bytes = Uint8Array<ArrayBuffer>;
type Files = Map<string, Bytes>;

const OCI = "application/vnd.oci.image.";
const NAME = "org.opencontainers.image.ref.name", FULL_NAME = "io.containerd.image.name";

function sha256(bytes: Bytes): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

function own(bytes: Uint8Array): Bytes {
  return new Uint8Array(bytes);
}

const gz = (bytes: Bytes): Bytes => own(gzipSync(bytes)), zst = (bytes: Bytes): Bytes => own(zstdCompressSync(bytes));
const json = (value: unknown): Bytes => bytesOf(JSON.stringify(value));

/** Three layers: the last hides a file of the first and changes another. */
const PLAIN_LAYERS = [
  tar({ name: "etc/", type: "5", mode: 0o755 }, { name: "etc/old", body: "old" }, { name: "etc/kept", body: "1" }),
  tar({ name: "run", body: "#!/bin/sh\n", mode: 0o4755, uid: 7 }, { name: "link", type: "2", target: "run" }),
  tar({ name: "etc/.wh.old" }, { name: "etc/kept", body: "2" }),
];
const LAYERS: readonly { plain: Bytes; blob: Bytes; type: string }[] = PLAIN_LAYERS.map((plain, i) => ({
  plain,
  blob: i === 0 ? plain : gz(plain),
  type: `${OCI}layer.v1.tar${i === 0 ? "" : "+gzip"}`,
}));
const ZSTD = LAYERS.map(({ plain }) => ({ plain, blob: zst(plain), type: `${OCI}layer.v1.tar+zstd` }));

function descriptor(mediaType: string, bytes: Bytes, more: Record<string, unknown> = {}) {
  return { mediaType, digest: sha256(bytes), size: bytes.length, ...more };
}

function configOf(layers = LAYERS, more: Record<string, unknown> = {}) {
  return {
    ...hostPlatform(),
    config: { Env: ["A=1", "B=2"], Cmd: ["/run"], Healthcheck: { Test: ["NONE"] } },
    rootfs: { type: "layers", diff_ids: layers.map(({ plain }) => sha256(plain)) },
    history: layers.map((_, i) => ({ created_by: `step ${i}` })),
    ...more,
  };
}

function manifestOf(config: Bytes, layers = LAYERS) {
  return {
    schemaVersion: 2,
    mediaType: `${OCI}manifest.v1+json`,
    config: descriptor(`${OCI}config.v1+json`, config),
    layers: layers.map(({ blob, type }) => descriptor(type, blob)),
  };
}

function blobName(bytes: Bytes): string {
  return `blobs/${sha256(bytes).replace(":", "/")}`;
}

interface LayoutOptions {
  /** Annotations of the image. Default: the name a/b:1. */
  annotations?: Record<string, string>;
  config?: unknown;
  layers?: typeof LAYERS;
  /** Changes the manifest. */
  manifest?: (made: ReturnType<typeof manifestOf>) => unknown;
}

/** The files of a layout with one image. */
function layoutFiles(options: LayoutOptions = {}): Files {
  const { annotations = { [NAME]: "a/b:1" }, layers = LAYERS } = options;
  const config = json(options.config ?? configOf(layers));
  const made = manifestOf(config, layers), manifest = json(options.manifest?.(made) ?? made);
  const index = {
    schemaVersion: 2,
    manifests: [descriptor(`${OCI}manifest.v1+json`, manifest, { annotations })],
  };
  const blobs = [config, manifest, ...layers.map(({ blob }) => blob)];
  return new Map([
    ["oci-layout", json({ imageLayoutVersion: "1.0.0" })],
    ["index.json", json(index)],
    ...blobs.map((bytes): [string, Bytes] => [blobName(bytes), bytes]),
  ]);
}

/** The files of an archive of `docker save`. */
function dockerFiles(change: (made: Record<string, unknown>) => unknown = (made) => made, config = configOf()): Files {
  const document = json(config), configName = `${sha256(document).slice(7)}.json`;
  const layers = LAYERS.map(({ plain }): [string, Bytes] => [`${sha256(plain).slice(7)}/layer.tar`, plain]);
  const image = { Config: configName, RepoTags: ["a/b:1"], Layers: layers.map(([name]) => name) };
  return new Map([[configName, document], ...layers, ["manifest.json", json([change(image)])]]);
}

function archive(files: Files, ...more: (Item | Bytes)[]): Bytes {
  return tar(...[...files].map(([name, body]) => ({ name, body })), ...more);
}

function writeFolder(files: Files, folder: string): string {
  for (const [name, bytes] of files) {
    Deno.mkdirSync(`${folder}/${name}`.replace(/\/[^/]*$/, ""), { recursive: true });
    Deno.writeFileSync(`${folder}/${name}`, bytes);
  }
  return folder;
}

function write(world: World, name: string, bytes: Bytes): string {
  Deno.writeFileSync(`${world.home}/${name}`, bytes);
  return `${world.home}/${name}`;
}

const skopeo = (from: string, to: string): Promise<string> => host("skopeo", "copy", "--insecure-policy", from, to);

/** A tree as text: names, types, modes, owners, sizes and targets. */
async function treeOf(folder: string): Promise<string[]> {
  const format = "%P %y %m %U %G %s %l\n";
  const lines = (await host("find", folder, "-mindepth", "1", "-printf", format)).trim().split("\n");
  return lines.map((line) => / d /.test(line) ? line.replace(/ \d+ $/, "") : line).sort();
}

function names(images: string): string[] {
  return listStored(storeFolder(images)).map(({ name }) => name);
}

function partials(images: string): string[] {
  return [...Deno.readDirSync(`${storeFolder(images)}/partial`)].map(({ name }) => name);
}

function documents(images: string, name: string) {
  const store = storeFolder(images), found = findStored(store, name);
  assert.ok(found, `${name} is there`);
  return readImage(store, found);
}

function cmdOf(images: string, name: string): unknown {
  return documents(images, name).config.config?.Cmd;
}

async function unpackedByUmoci(world: World, layout: string, name: string): Promise<string> {
  const bundle = Deno.makeTempDirSync({ dir: world.home });
  await host("umoci", "unpack", "--image", `${layout}:${name}`, `${bundle}/b`);
  return `${bundle}/b/rootfs`;
}

Deno.test("an image keeps names, settings and layers on its way through skopeo and back, in all formats", async () => {
  await using world = makeWorld();
  const { images } = world.folders;
  const [first] = await loadImages(images, write(world, "in", archive(layoutFiles())));
  assert.equal(first?.name, "docker.io/a/b:1");
  await saveImages(images, ["a/b:1"], `${world.home}/o.tar`, "oci");
  await saveImages(images, ["a/b:1"], `${world.home}/d.tar`, "docker");
  await saveImages(images, ["a/b:1"], `${world.home}/layout/`, "oci");

  await skopeo(`oci-archive:${world.home}/o.tar:docker.io/a/b:1`, `docker-archive:${world.home}/d2.tar:x/fromoci:2`);
  await skopeo(`docker-archive:${world.home}/d.tar:a/b:1`, `oci-archive:${world.home}/o2.tar:x/fromdocker:2`);
  await skopeo(`oci:${world.home}/layout`, `oci:${world.home}/layout2:x/folder:2`);
  await skopeo(`oci:${storeFolder(images)}:docker.io/a/b:1`, `oci-archive:${world.home}/o3.tar:x/store:2`);
  for (const source of ["d2.tar", "o2.tar", "layout2", "o3.tar"]) await loadImages(images, `${world.home}/${source}`);

  const all = ["a/b:1", "x/folder:2", "x/fromdocker:2", "x/fromoci:2", "x/store:2"].map((name) => `docker.io/${name}`);
  assert.deepEqual(names(images), all);
  const [wanted] = all.map((name) => documents(images, name));
  for (const name of all) {
    const { config } = documents(images, name);
    assert.deepEqual(config.rootfs, wanted?.config.rootfs);
    assert.deepEqual(config.config, wanted?.config.config);
  }
  assert.deepEqual(documents(images, "docker.io/x/store:2").manifest.config, wanted?.manifest.config);

  const rootfs = await unpackedByUmoci(world, `${world.home}/layout2`, "x/folder:2");
  assert.equal(await host("cat", `${rootfs}/etc/kept`), "2");
  assert.deepEqual((await treeOf(rootfs)).map((line) => line.split(" ")[0]), ["etc", "etc/kept", "link", "run"]);
  assert.deepEqual(partials(images), []);
});

Deno.test("podman loads what is saved and saves what is loaded, names kept", async () => {
  await using world = makeWorld();
  const { images } = world.folders;
  // Podman leaves locks and state in these folders of the machine's.
  const own = 'for d in /run /dev/shm; do mount -t tmpfs podman $d; done; exec "$@"';
  const podman = (...words: string[]): Promise<string> =>
    host(
      ...["unshare", "--mount", "--propagation", "private", "sh", "-ec", own, "sh"] as const,
      ...["podman", "--root", `${world.home}/p`, "--runroot", `${world.home}/r`, "--storage-driver", "vfs"] as const,
      ...["--cgroup-manager", "cgroupfs", "--events-backend", "none", ...words],
    );
  await loadImages(images, write(world, "in", archive(layoutFiles())));
  for (const format of ["docker", "oci"] as const) {
    await saveImages(images, ["a/b:1"], `${world.home}/${format}.tar`, format);
    assert.match(await podman("load", "-i", `${world.home}/${format}.tar`), /docker\.io\/a\/b:1/);
    await podman("tag", "docker.io/a/b:1", `quay.io/p/${format}:x`);
    await podman("save", "-q", "--format", `${format}-archive`, "-o", `${world.home}/p.tar`, `quay.io/p/${format}:x`);
    Deno.renameSync(`${world.home}/p.tar`, `${world.home}/p-${format}.tar`);
    await podman("rmi", "-f", "docker.io/a/b:1");
    const loaded = await loadImages(images, `${world.home}/p-${format}.tar`);
    assert.deepEqual(loaded.map(({ name }) => name), [`quay.io/p/${format}:x`]);
    assert.deepEqual(documents(images, `quay.io/p/${format}:x`).config.rootfs.diff_ids, configOf().rootfs.diff_ids);
  }
});

Deno.test("what umoci makes is loaded, and its tree is that of umoci unpack", async () => {
  await using world = makeWorld();
  const { images } = world.folders, layout = `${world.home}/u`;
  await host("umoci", "init", "--layout", layout);
  await host("umoci", "new", "--image", `${layout}:made:1`);
  const bundle = `${world.home}/bundle`;
  await host("umoci", "unpack", "--image", `${layout}:made:1`, bundle);
  await host("cp", "-a", `${images}/busybox/.`, `${bundle}/rootfs`);
  await host("umoci", "repack", "--image", `${layout}:made:1`, bundle);
  await host("umoci", "config", "--image", `${layout}:made:1`, "--config.cmd", "/bin/sh");
  const [image] = await loadImages(images, layout);
  assert.equal(image?.name, "docker.io/library/made:1");
  const [diffId = ""] = documents(images, image.name).config.rootfs.diff_ids;
  const rootfs = await unpackedByUmoci(world, layout, "made:1");
  assert.deepEqual(await treeOf(`${layerFolder(storeFolder(images), diffId)}/diff`), await treeOf(rootfs));
});

Deno.test("a root file system is imported from a folder, an archive in any compression and a stream", async () => {
  await using world = makeWorld();
  const { images } = world.folders, folder = `${images}/busybox`;
  const plain = own(await output("tar", ["-C", folder, "-cf", "-", "."]));
  const wanted = await treeOf(folder);
  const sources = {
    folder,
    plain: write(world, "plain.gz", plain),
    gzip: write(world, "gzip", gz(plain)),
    zstd: write(world, "zstd.tar", zst(plain)),
    stream: ReadableStream.from([plain.subarray(0, 1000), plain.subarray(1000)]),
  };
  for (const [name, source] of Object.entries(sources)) {
    const changes = { Cmd: ["/bin/sh"], Env: ["X=1"] };
    const made = await importImage(images, source, `in/${name}`, { changes, message: "hello" });
    assert.equal(made.name, `docker.io/in/${name}:latest`);
    const { config, manifest } = documents(images, made.name);
    assert.deepEqual(config.config, { Cmd: ["/bin/sh"], Env: ["X=1"] });
    assert.deepEqual([config.os, config.architecture], ["linux", hostPlatform().architecture]);
    assert.equal(config.history?.[0]?.comment, "hello");
    const { digest, mediaType } = manifest.layers[0] ?? { digest: "", mediaType: "" };
    assert.equal(mediaType, `${OCI}layer.v1.tar+${name === "zstd" ? "zstd" : "gzip"}`);
    if (name === "gzip") assert.equal(digest, sha256(gz(plain)));
    if (name !== "folder") assert.equal(config.rootfs.diff_ids[0], sha256(plain));
    const unpacked = layerFolder(storeFolder(images), config.rootfs.diff_ids[0] ?? "");
    if (name !== "folder") assert.deepEqual(await treeOf(`${unpacked}/diff`), wanted);
    if (name === "zstd") continue; // Debian's umoci does not know it.
    await saveImages(images, [made.name], `${world.home}/${name}-layout/`, "oci");
    assert.deepEqual(await treeOf(await unpackedByUmoci(world, `${world.home}/${name}-layout`, made.name)), wanted);
  }
  const other = await importImage(images, sources.gzip, "in/arm", { platform: { os: "linux", architecture: "arm64" } });
  assert.equal(documents(images, other.name).config.architecture, "arm64");
  assert.deepEqual(partials(images), []);
});

Deno.test("an image in a layout or an archive of docker save is imported under a new name, changed if wanted", async () => {
  await using world = makeWorld();
  const { images } = world.folders;
  const layout = archive(layoutFiles()), docker = archive(dockerFiles());
  const sources = {
    layout: write(world, "l", gz(layout)),
    docker: write(world, "d.bin", docker),
    folder: writeFolder(layoutFiles(), `${world.home}/folder`),
    stream: ReadableStream.from([layout]),
  };
  for (const [name, source] of Object.entries(sources)) {
    await importImage(images, source, `in/${name}:1`);
    assert.deepEqual(cmdOf(images, `docker.io/in/${name}:1`), ["/run"]);
  }
  assert.equal((await world.cli(["images", "import", "folder", "in/same:1"])).stdout, "in/same:1\n");
  const digestOf = (name: string) => documents(images, `docker.io/in/${name}:1`).descriptor.digest;
  assert.equal(digestOf("same"), digestOf("folder"), "nothing was to be changed");
  const changes = { Entrypoint: ["/e"], Env: ["B=3", "C=4"], Labels: { l: "1" } };
  await importImage(images, sources.layout, "in/changed", { changes, message: "why" });
  const { config, manifest } = documents(images, "docker.io/in/changed:latest");
  const { Healthcheck: _, ...settings } = { Healthcheck: 0, ...config.config };
  assert.deepEqual(settings, { Entrypoint: ["/e"], Env: ["A=1", "B=3", "C=4"], Labels: { l: "1" } });
  assert.deepEqual(config.history?.at(-1)?.empty_layer, true);
  const raw = Deno.readTextFileSync(`${storeFolder(images)}/blobs/${manifest.config.digest.replace(":", "/")}`);
  assert.match(raw, /"Healthcheck":\{"Test":\["NONE"\]\}/);
  assert.equal(names(images).includes("docker.io/a/b:1"), false);
  for (const bad of ["a@sha256:" + "0".repeat(64), "Bad", ""]) {
    await assert.rejects(importImage(images, sources.layout, bad), InputError);
  }
});

Deno.test("several images, several names of one, and images without a name are loaded", async () => {
  await using world = makeWorld();
  const { images } = world.folders;
  const one = layoutFiles({ annotations: { [FULL_NAME]: "docker.io/library/one:1", [NAME]: "1" } });
  const two = layoutFiles({ annotations: { [NAME]: "latest" }, config: configOf(LAYERS, { author: "two" }) });
  const manifests = [one, two].flatMap((files) =>
    JSON.parse(new TextDecoder().decode(files.get("index.json"))).manifests
  );
  const again = { ...manifests[0], annotations: { [NAME]: "quay.io/other/name:x" } };
  const index = json({ schemaVersion: 2, manifests: [...manifests, again] });
  const both = new Map([...one, ...two, ["index.json", index]]);
  const loaded = await loadImages(images, write(world, "x", archive(both)));
  assert.deepEqual(loaded.map(({ name }) => name), [
    "docker.io/library/one:1",
    manifests[1].digest,
    "quay.io/other/name:x",
  ]);
  assert.deepEqual(names(images), ["docker.io/library/one:1", "quay.io/other/name:x"]);

  await saveImages(images, ["one:1", "quay.io/other/name:x", "one:1"], `${world.home}/d.tar`, "docker");
  const manifest = await host("tar", "-xOf", `${world.home}/d.tar`, "manifest.json");
  assert.deepEqual(JSON.parse(manifest)[0].RepoTags, ["docker.io/library/one:1", "quay.io/other/name:x"]);
  assert.equal((await loadImages(`${world.home}/images2`, `${world.home}/d.tar`)).length, 2);
  const untagged = write(world, "n", archive(dockerFiles((made) => ({ ...made, RepoTags: null }))));
  const [nameless] = await loadImages(images, untagged);
  assert.equal(nameless?.name, nameless?.descriptor.digest);
});

Deno.test("of an index the image for this machine is taken; attestations and Docker's second list are passed over", async () => {
  await using world = makeWorld();
  const { images } = world.folders;
  const files = layoutFiles(), other = layoutFiles({ config: configOf(LAYERS, { architecture: "s390x" }) });
  const manifestOfLayout = (layout: Files) =>
    JSON.parse(new TextDecoder().decode(layout.get("index.json"))).manifests[0];
  const type = `${OCI}manifest.v1+json`, gone = "sha256:" + "1".repeat(64);
  const list = json({
    schemaVersion: 2,
    manifests: [
      { mediaType: type, digest: gone, size: 10, platform: { os: "linux", architecture: "s390x" } },
      { mediaType: type, digest: gone, size: 10, platform: { os: "unknown", architecture: "unknown" } },
      { ...manifestOfLayout(files), annotations: {}, platform: hostPlatform() },
    ],
  });
  const annotations = { [FULL_NAME]: "docker.io/library/multi:1", [NAME]: "1" };
  const index = json({ schemaVersion: 2, manifests: [descriptor(`${OCI}index.v1+json`, list, { annotations })] });
  const all = new Map([...files, ...other, [blobName(list), list], ["index.json", index]]);
  all.set("manifest.json", json([{ Config: "blobs/none", RepoTags: ["x:1"], Layers: ["blobs/none"] }]));
  const loaded = await loadImages(images, write(world, "m", archive(all)));
  assert.deepEqual(loaded.map(({ name, descriptor }) => [name, descriptor.digest]), [
    ["docker.io/library/multi:1", manifestOfLayout(files).digest],
  ]);
});

Deno.test("an archive may be in any order, with links between layers as Docker's old ones have", async () => {
  await using world = makeWorld();
  const { images } = world.folders;
  const [first = new Uint8Array()] = PLAIN_LAYERS;
  const layers = [...LAYERS.slice(0, 1), ...LAYERS.slice(0, 1), ...LAYERS.slice(0, 1)];
  const config = json(configOf(layers)), configName = `${sha256(config).slice(7)}.json`;
  const manifest = json([{ Config: configName, RepoTags: ["l:1"], Layers: ["b/layer.tar", "a/layer.tar", "c.tar"] }]);
  const bytes = tar(
    { name: "./b/", type: "5" },
    { name: "./b/layer.tar", type: "2", target: "../a/layer.tar" },
    { name: "c.tar", type: "1", target: "./a/layer.tar" },
    { name: "manifest.json", body: manifest },
    { name: "./a/layer.tar", body: first },
    { name: configName, body: config },
    { name: configName, body: config },
  );
  const [image] = await loadImages(images, ReadableStream.from([bytes]));
  assert.equal(documents(images, image?.name ?? "").manifest.layers.length, 3);
  const reversed = new Map([...layoutFiles({ layers: ZSTD })].reverse());
  assert.equal((await loadImages(images, write(world, "r", archive(reversed)))).length, 1);
});

Deno.test("the same images are saved as the same bytes, whole or not at all", async () => {
  await using world = makeWorld();
  const { images } = world.folders;
  await loadImages(images, write(world, "in", archive(layoutFiles())));
  for (const format of ["oci", "docker"] as const) {
    const parts: Uint8Array[] = [];
    await saveImages(images, ["a/b:1"], `${world.home}/1`, format);
    await saveImages(images, ["a/b:1"], new WritableStream({ write: (part) => void parts.push(part.slice()) }), format);
    const whole = await new Blob(parts.map(own)).bytes();
    assert.equal(sha256(own(whole)), sha256(Deno.readFileSync(`${world.home}/1`)));
  }
  await assert.rejects(saveImages(images, ["a/b:2"], `${world.home}/2`, "oci"), { code: "image-not-found" });
  await assert.rejects(saveImages(images, ["a/b:1"], world.home, "oci"), { code: "bad-target" });
  await assert.rejects(saveImages(images, ["a/b:1"], `${world.home}/new/`, "docker"), { code: "bad-target" });
  const [layer] = documents(images, "docker.io/a/b:1").manifest.layers;
  const blob = `${storeFolder(images)}/blobs/${layer?.digest.replace(":", "/")}`;
  Deno.writeFileSync(blob, Deno.readFileSync(blob).with(3, 1));
  for (const format of ["oci", "docker"] as const) {
    await assert.rejects(saveImages(images, ["a/b:1"], `${world.home}/2`, format), { code: "digest-mismatch" });
  }
  assert.deepEqual([...Deno.readDirSync(world.home)].filter(({ name }) => name.startsWith("2")), []);
});

Deno.test("a container's changes become a layer upon its image's, or upon the folder it was made of", async () => {
  await using world = makeWorld();
  const { images } = world.folders;
  await loadImages(images, write(world, "in", archive(layoutFiles())));
  const upper = `${world.home}/upper`;
  Deno.mkdirSync(`${upper}/etc`, { recursive: true });
  Deno.writeTextFileSync(`${upper}/etc/new`, "new");
  await host("mknod", `${upper}/etc/kept`, "c", "0", "0");
  const image = documents(images, "docker.io/a/b:1");
  const changes = { Cmd: ["/new"] };
  const made = await commitContainer(images, { changes: [upper], image }, "c/d", {
    message: "m",
    author: "me",
    changes,
  });
  assert.equal(made.name, "docker.io/c/d:latest");
  const { config, manifest } = documents(images, made.name);
  assert.equal(manifest.layers.length, 4);
  assert.deepEqual(config.config, { Env: ["A=1", "B=2"], Cmd: ["/new"] });
  assert.equal(config.author, "me");
  assert.deepEqual(config.history?.map(({ created_by, comment }) => [created_by, comment]).slice(-2), [
    ["step 2", undefined],
    ["sauropod commit", "m"],
  ]);
  await saveImages(images, ["c/d"], `${world.home}/layout/`, "oci");
  const rootfs = await unpackedByUmoci(world, `${world.home}/layout`, made.name);
  assert.deepEqual((await treeOf(rootfs)).map((line) => line.split(" ")[0]), ["etc", "etc/new", "link", "run"]);

  const base = await commitContainer(images, { changes: [upper], lower: [`${images}/busybox`] }, "c/base");
  assert.equal(documents(images, base.name).manifest.layers.length, 2);
  await assert.rejects(commitContainer(images, { changes: [upper], lower: ["/"] }, "c/h"), {
    code: "commit-unsupported",
  });
});

const wrongLayer = { ...LAYERS[0] ?? { plain: new Uint8Array(), type: "" }, blob: bytesOf("no tar at all") };
const evil = (...items: Item[]) => {
  const plain = tar(...items);
  return [{ plain, blob: gz(plain), type: `${OCI}layer.v1.tar+gzip` }];
};

function without(files: Files, pattern: RegExp): Files {
  return new Map([...files].filter(([name]) => !pattern.test(name)));
}

function replaced(files: Files, pattern: RegExp, change: (bytes: Bytes) => Bytes): Files {
  return new Map([...files].map(([name, bytes]) => [name, pattern.test(name) ? change(bytes) : bytes]));
}

const [firstLayer = wrongLayer, gzipLayer = wrongLayer] = LAYERS;
const nameOfBlob = (bytes: Bytes): RegExp => new RegExp(sha256(bytes).slice(7));
const flip = (bytes: Bytes): Bytes => bytes.with(bytes.length - 20, (bytes.at(-20) ?? 0) ^ 1);
const big = (bytes: Bytes): Bytes => bytesOf(new TextDecoder().decode(bytes) + " ".repeat(5 << 20));
const docker = (change: Record<string, unknown>): Bytes => archive(dockerFiles((made) => ({ ...made, ...change })));
const marker = (text: string): Bytes => archive(new Map([...layoutFiles(), ["oci-layout", bytesOf(text)]]));
const index = (value: unknown): Bytes => archive(new Map([...layoutFiles(), ["index.json", json(value)]]));

/** What is wrong, the archive, and the error's code and message. */
const HOSTILE: readonly (readonly [string, () => Bytes, string, RegExp?])[] = [
  ["nothing", () => new Uint8Array(), "archive-truncated"],
  ["an empty archive", () => tar(), "archive-unsupported", /no images/],
  ["garbage", () => bytesOf("x".repeat(2000)), "archive-malformed"],
  ["a root file system", () => tar({ name: "bin/sh", body: "x" }), "archive-unsupported", /no images/],
  ["a cut archive", () => archive(layoutFiles()).slice(0, -1600), "archive-truncated"],
  ["a cut gzip stream", () => gz(archive(layoutFiles())).slice(0, -30), "archive-corrupt"],
  ["xz", () => own(new Uint8Array([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 1, 2])), "archive-unsupported"],
  ["a name with ..", () => archive(layoutFiles(), { name: "../../etc/cron.d/x", body: "x" }), "archive-unsafe", /cron/],
  ["an absolute name", () => archive(layoutFiles(), { name: "/etc/x", body: "x" }), "archive-unsafe", /slash/],
  [
    "a link out",
    () => archive(layoutFiles(), { name: "blobs/x", type: "2", target: "../../x" }),
    "archive-unsafe",
    /out/,
  ],
  ["an absolute link", () => archive(layoutFiles(), { name: "x", type: "2", target: "/etc/shadow" }), "archive-unsafe"],
  ["a hard link out", () => archive(layoutFiles(), { name: "x", type: "1", target: "../x" }), "archive-unsafe"],
  ["a device", () => archive(layoutFiles(), { name: "x", type: "4", major: 8 }), "archive-unsafe", /device/],
  ["a pipe", () => archive(layoutFiles(), { name: "index.json", type: "6" }), "archive-unsafe"],
  ["two lists", () => archive(layoutFiles(), { name: "./index.json", body: "{}" }), "archive-unsafe", /twice/],
  [
    "a file and a link",
    () => archive(layoutFiles(), { name: "index.json", type: "2", target: "x" }),
    "archive-unsafe",
    /twice/,
  ],
  ["a huge declared size", () => tar(item({ name: "x", size: 2 ** 33 - 1 })), "archive-truncated"],
  ["a blob that is missing", () => archive(without(layoutFiles(), nameOfBlob(gzipLayer.blob))), "image-malformed"],
  ["no list", () => archive(without(layoutFiles(), /index/)), "image-malformed", /index\.json/],
  ["a list that is none", () => index({ manifests: 3 }), "image-malformed"],
  ["a list of nothing", () => index({ manifests: [] }), "archive-unsupported"],
  ["a list that is an image", () => index({ config: {}, layers: [] }), "image-malformed"],
  [
    "a digest that is a path",
    () => index({ manifests: [{ mediaType: "x", digest: "sha256:../../../etc/passwd", size: 1 }] }),
    "image-malformed",
  ],
  [
    "a blob of another content",
    () => archive(replaced(layoutFiles(), nameOfBlob(firstLayer.blob), flip)),
    "digest-mismatch",
    nameOfBlob(firstLayer.blob),
  ],
  [
    "a blob of another size",
    () => archive(replaced(layoutFiles(), nameOfBlob(firstLayer.blob), (bytes) => bytes.slice(0, -1))),
    "size-mismatch",
    nameOfBlob(firstLayer.blob),
  ],
  [
    "a changed configuration",
    () => archive(replaced(layoutFiles(), nameOfBlob(json(configOf())), flip)),
    "digest-mismatch",
    /configuration/,
  ],
  [
    "a wrong diff id",
    () => archive(layoutFiles({ config: configOf([firstLayer, firstLayer, firstLayer]) })),
    "digest-mismatch",
  ],
  ["too few diff ids", () => archive(layoutFiles({ config: configOf([firstLayer]) })), "image-malformed", /names 1/],
  ["no diff ids", () => archive(layoutFiles({ config: { os: "linux" } })), "image-malformed"],
  [
    "a layer that is no archive",
    () => archive(layoutFiles({ layers: [{ ...wrongLayer, plain: wrongLayer.blob }] })),
    "archive-truncated",
  ],
  [
    "a layer that climbs out",
    () => archive(layoutFiles({ layers: evil({ name: "../x", body: "x" }) })),
    "archive-unsafe",
  ],
  [
    "a layer with a way out",
    () => archive(layoutFiles({ layers: evil({ name: "l", type: "2", target: "/tmp" }, { name: "l/x", body: "x" }) })),
    "archive-unsafe",
  ],
  ["5 MB of a list", () => archive(replaced(layoutFiles(), /index/, big)), "archive-too-large"],
  ["5 MB of a configuration", () => {
    const config = configOf(LAYERS, { author: "x".repeat(5 << 20) });
    return archive(layoutFiles({ config }));
  }, "archive-too-large"],
  ["no JSON", () => archive(replaced(layoutFiles(), /index/, () => bytesOf("[".repeat(1 << 20)))), "image-malformed"],
  ["another version", () => marker('{"imageLayoutVersion":"2.0.0"}'), "image-unsupported"],
  ["no version", () => marker("{}"), "image-malformed"],
  [
    "not UTF-8",
    () => archive(new Map([...layoutFiles(), ["index.json", new Uint8Array([0x7b, 0xff, 0x7d])]])),
    "image-malformed",
  ],
  [
    "both image and list",
    () => archive(layoutFiles({ manifest: (made) => ({ ...made, manifests: [] }) })),
    "image-malformed",
  ],
  [
    "10,000 layers",
    () => archive(layoutFiles({ manifest: (made) => ({ ...made, layers: Array(10_000).fill(made.layers[0]) }) })),
    "archive-too-large",
  ],
  ["30,000 entries", () => {
    const one = item({ name: "x/", type: "5" }), all = new Uint8Array(512 * 30_001);
    for (let i = 0; i < 30_000; i++) all.set(one, i * 512);
    return all;
  }, "archive-too-large"],
  [
    "another machine's only",
    () => {
      const at = (architecture: string) => ({
        mediaType: "x",
        digest: sha256(bytesOf(architecture)),
        size: 1,
        annotations: { [NAME]: "x:1" },
        platform: { os: "linux", architecture },
      });
      return index({ manifests: [at("s390x"), at("riscv64")] });
    },
    "image-unsupported",
    /linux\//,
  ],
  ["docker: a layer out of the archive", () => docker({ Layers: ["../../etc/passwd", "x", "y"] }), "archive-unsafe"],
  ["docker: an absolute layer", () => docker({ Layers: ["/etc/passwd", "x", "y"] }), "archive-unsafe"],
  ["docker: an absolute configuration", () => docker({ Config: "/etc/passwd" }), "archive-unsafe"],
  ["docker: no configuration", () => docker({ Config: null }), "image-malformed"],
  ["docker: a missing layer", () => docker({ Layers: ["a", "b", "c"] }), "image-malformed", /"a"/],
  ["docker: too few layers", () => docker({ Layers: [] }), "image-malformed"],
  ["docker: a name that is none", () => docker({ RepoTags: ["../../x"] }), "image-malformed"],
  ["docker: names that are numbers", () => docker({ RepoTags: [1] }), "image-malformed"],
  ["docker: no list", () => archive(new Map([["manifest.json", json({})]])), "image-malformed"],
  ["docker: a changed layer", () => archive(replaced(dockerFiles(), /layer/, flip)), "digest-mismatch", /layer\.tar/],
  [
    "docker: a changed configuration",
    () =>
      archive(
        replaced(dockerFiles(), /^[0-9a-f]+\.json/, (bytes) =>
          own(bytesOf(new TextDecoder().decode(bytes).replace("A=1", "A=2")))),
      ),
    "digest-mismatch",
    /configuration/,
  ],
  [
    "docker: links in a circle",
    () => tar({ name: "manifest.json", type: "2", target: "b" }, { name: "b", type: "2", target: "manifest.json" }),
    "archive-unsafe",
  ],
];

Deno.test("hostile and broken archives are refused by name, and the store has no new name then", async (t) => {
  await using world = makeWorld();
  const { images } = world.folders;
  for (const [what, make, code, message = /./] of HOSTILE) {
    await t.step(what, async () => {
      await assert.rejects(loadImages(images, write(world, "hostile", make())), (error) => {
        assert.ok(error instanceof ImageError, String(error));
        assert.equal(error.code, code, error.message);
        assert.match(error.message, message);
        assert.ok(error.message.startsWith(`${world.home}/hostile: `));
        return true;
      });
      assert.deepEqual([names(images), partials(images)], [[], []]);
    });
  }
  await assert.rejects(loadImages(images, `${world.home}/missing`), { code: "image-not-found" });
  await loadImages(images, write(world, "good", archive(layoutFiles())));
  await t.step("a blob that is not what its diff id says, although that layer is there", async () => {
    const layers = [{ ...gzipLayer, plain: gzipLayer.plain, blob: gz(tar({ name: "other" })) }];
    const files = layoutFiles({ layers, annotations: { [NAME]: "evil:1" } });
    await assert.rejects(loadImages(images, write(world, "x", archive(files))), { code: "digest-mismatch" });
    assert.deepEqual(names(images), ["docker.io/a/b:1"]);
  });
});

Deno.test("hostile layouts in folders: links lead nowhere else, pipes are not waited for", async () => {
  await using world = makeWorld();
  const { images } = world.folders;
  const folder = writeFolder(layoutFiles(), `${world.home}/l`);
  const index = Deno.readTextFileSync(`${folder}/index.json`);
  write(world, "outside.json", bytesOf(index));
  Deno.removeSync(`${folder}/index.json`);
  Deno.symlinkSync(`${world.home}/outside.json`, `${folder}/index.json`);
  await assert.rejects(loadImages(images, folder), { code: "image-malformed" });
  Deno.removeSync(`${folder}/index.json`);
  await host("mkfifo", `${folder}/index.json`);
  await assert.rejects(loadImages(images, folder), { code: "archive-unsafe" });
});

Deno.test("a load that is killed leaves no name, and the next one takes its rests away; one that is aborted leaves none", async () => {
  await using world = makeWorld();
  const { images } = world.folders;
  const bytes = archive(layoutFiles());
  const code = `
    const { loadImages } = await import("file://${PROJECT}/lib/image/exchange/load.ts");
    await loadImages(${JSON.stringify(images)}, Deno.stdin.readable);`;
  const child = new Deno.Command(Deno.execPath(), { args: ["eval", code], stdin: "piped", stdout: "null" }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(bytes.subarray(0, -1100));
  await until("the process has spooled files", () => {
    try {
      return partials(images).some((name) =>
        [...Deno.readDirSync(`${storeFolder(images)}/partial/${name}`)].length > 3
      );
    } catch {
      return false;
    }
  });
  child.kill("SIGKILL");
  await child.status;
  await writer.abort().catch(() => {});
  assert.deepEqual([names(images), partials(images).length], [[], 1]);

  const stop = new AbortController();
  const slow = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(bytes.subarray(0, 2000)),
    pull: () => void setTimeout(() => stop.abort(new Error("enough")), 20),
  });
  await assert.rejects(loadImages(images, slow, { signal: stop.signal }), { message: "enough" });
  assert.deepEqual([names(images), partials(images)], [[], []]);
  assert.equal((await loadImages(images, ReadableStream.from([bytes])))[0]?.name, "docker.io/a/b:1");
});

Deno.test("a large image is loaded and saved in little memory", async () => {
  await using world = makeWorld();
  const { images } = world.folders, folder = `${world.home}/big`;
  Deno.mkdirSync(folder);
  await host("truncate", "-s", "200M", `${world.home}/zeros`);
  await host("tar", "-C", world.home, "-cf", `${folder}/layer.tar`, "zeros");
  const diffId = `sha256:${(await host("sha256sum", `${folder}/layer.tar`)).slice(0, 64)}`;
  Deno.writeFileSync(`${folder}/config`, json({ ...configOf(), rootfs: { type: "layers", diff_ids: [diffId] } }));
  const manifest = [{ Config: "config", RepoTags: ["big:1"], Layers: ["layer.tar"] }];
  Deno.writeFileSync(`${folder}/manifest.json`, json(manifest));
  await host("tar", "-C", folder, "-cf", `${world.home}/big.tar`, "layer.tar", "manifest.json", "config");
  const code = `
    const at = "file://${PROJECT}/lib/image/exchange/";
    const [{ saveImages }, { loadImages }] = await Promise.all([import(at + "save.ts"), import(at + "load.ts")]);
    const [images, home] = ${JSON.stringify([images, world.home])};
    await loadImages(images, home + "/big.tar");
    await saveImages(images, ["big:1"], home + "/saved.tar", "docker");
    await loadImages(images, home + "/saved.tar");
    console.log(/VmHWM:\\s+(\\d+)/.exec(Deno.readTextFileSync("/proc/self/status"))[1]);`;
  const peak = Number(await host(Deno.execPath(), "eval", code)) / 1024;
  assert.ok(peak < 200, `${peak} MB`);
});
