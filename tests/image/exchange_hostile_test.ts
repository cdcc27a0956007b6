/** Archives and layouts that are hostile, broken, large, or whose loading is killed. */

import assert from "node:assert/strict";
import { ImageError } from "../../lib/errors.ts";
import { loadImages } from "../../lib/image/exchange/load.ts";
import { storeFolder } from "../../lib/store/store.ts";
import { host, until } from "../helpers/inside.ts";
import { bytesOf, type Item, item, tar } from "../helpers/tar.ts";
import { PROJECT } from "../helpers/project.ts";
import { makeWorld } from "../helpers/world.ts";
import {
  archive,
  type Bytes,
  configOf,
  dockerFiles,
  type Files,
  gz,
  json,
  LAYERS,
  layoutFiles,
  NAME,
  names,
  OCI,
  own,
  partials,
  sha256,
  write,
  writeFolder,
} from "../helpers/image_files.ts";

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
    "image-unsupported",
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

Deno.test("images load: hostile and broken archives are refused by name, and the store has no new name then", async (t) => {
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

Deno.test("images load: hostile layouts in folders: links lead nowhere else, pipes are not waited for", async () => {
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

Deno.test("images load: a large image is loaded and saved in little memory", async () => {
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
