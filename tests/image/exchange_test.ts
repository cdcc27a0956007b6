/** Images and root file systems that are loaded, imported and saved. */

import assert from "node:assert/strict";
import { commitContainer } from "../../lib/image/commit.ts";
import { InputError } from "../../lib/errors.ts";
import { importImage } from "../../lib/image/exchange/import.ts";
import { loadImages } from "../../lib/image/exchange/load.ts";
import { saveImages } from "../../lib/image/exchange/save.ts";
import { layerFolder } from "../../lib/store/layer_paths.ts";
import { hostPlatform } from "../../lib/oci.ts";
import { storeFolder } from "../../lib/store/store.ts";
import { host } from "../helpers/inside.ts";
import { output } from "../helpers/host_program.ts";
import { tar } from "../helpers/tar.ts";
import { listTree, unpackedByUmoci } from "../helpers/umoci.ts";
import { makeWorld } from "../helpers/world.ts";
import {
  archive,
  blobName,
  cmdOf,
  configOf,
  descriptor,
  dockerFiles,
  documents,
  type Files,
  FULL_NAME,
  gz,
  json,
  LAYERS,
  layoutFiles,
  NAME,
  names,
  OCI,
  own,
  partials,
  PLAIN_LAYERS,
  sha256,
  write,
  writeFolder,
  zst,
  ZSTD,
} from "../helpers/image_files.ts";

Deno.test("images import: a root file system is imported from a folder, an archive in any compression and a stream", async () => {
  await using world = makeWorld();
  const { images } = world.folders, folder = world.image;
  const plain = own(await output("tar", ["-C", folder, "-cf", "-", "."]));
  const wanted = await listTree(folder);
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
    if (name !== "folder") assert.deepEqual(await listTree(`${unpacked}/diff`), wanted);
    if (name === "zstd") continue; // Debian's umoci does not know it.
    await saveImages(images, [made.name], `${world.home}/${name}-layout/`, "oci");
    assert.deepEqual(await listTree(await unpackedByUmoci(world, `${world.home}/${name}-layout`, made.name)), wanted);
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

Deno.test("images import: of an index the image for this machine is taken; attestations and Docker's second list are passed over", async () => {
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

Deno.test("images import: an archive may be in any order, with links between layers as Docker's old ones have", async () => {
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

Deno.test("images import: a container's changes become a layer upon its image's, or upon the folder it was made of", async () => {
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
  assert.deepEqual((await listTree(rootfs)).map((line) => line.split(" ")[0]), ["etc", "etc/new", "link", "run"]);

  const base = await commitContainer(images, { changes: [upper], lower: [world.image] }, "c/base");
  assert.equal(documents(images, base.name).manifest.layers.length, 2);
  await assert.rejects(commitContainer(images, { changes: [upper], lower: ["/"] }, "c/h"), {
    code: "commit-unsupported",
  });
});
