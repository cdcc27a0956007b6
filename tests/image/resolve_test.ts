import assert from "node:assert/strict";
import { ImageError, InputError } from "../../lib/errors.ts";
import { archiveName, listImages, resolveImage } from "../../lib/image/resolve.ts";
import { output } from "../helpers/host_program.ts";
import { tar } from "../helpers/tar.ts";

async function withImages(use: (images: string) => Promise<void>): Promise<void> {
  const images = await Deno.realPath(await Deno.makeTempDir({ prefix: "sauropod-images-" }));
  try {
    await use(images);
  } finally {
    await Deno.remove(images, { recursive: true });
  }
}

function put(path: string, text = "root:x:0:0"): void {
  Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
  Deno.writeTextFileSync(path, text);
}

const archive = tar({ name: "etc/os-release", body: "from an archive" });

Deno.test("resolveImage: host is the host's own root", async () => {
  const expected = { name: "host", lower: ["/"], kind: "host" };
  assert.deepEqual(await resolveImage("host", "/none"), expected);
});

Deno.test("resolveImage: an image is a folder, a link to one, or an archive of any name that is allowed", () =>
  withImages(async (images) => {
    put(`${images}/plain/etc/passwd`);
    put(`${images}/team/app/etc/passwd`);
    put(`${images}/elsewhere/real/etc/passwd`);
    await Deno.symlink(`${images}/elsewhere/real`, `${images}/linked`);
    assert.deepEqual(await resolveImage("plain", images), {
      name: "plain",
      lower: [`${images}/plain`],
      kind: "folder",
    });
    assert.deepEqual((await resolveImage("team/app", images)).lower, [`${images}/team/app`]);
    assert.deepEqual((await resolveImage("linked", images)).lower, [`${images}/elsewhere/real`]);
    for (const [name, ending] of [["a_1.2-x", ".tar"], ["b:3", ".tar.gz"], ["c", ".tgz"], ["n/d", ".tar.zst"]]) {
      const path = `${images}/${name}${ending}`;
      put(path, "");
      const packed = ending?.includes("z")
        ? await output(ending === ".tar.zst" ? "zstd" : "gzip", ["-c"], archive)
        : archive;
      await Deno.writeFile(path, packed);
      assert.ok(name);
      const image = await resolveImage(name, images);
      assert.equal(image.kind, "archive");
      assert.equal(await Deno.readTextFile(`${image.lower[0]}/etc/os-release`), "from an archive");
      assert.deepEqual(await resolveImage(name, images), image);
    }
  }));

Deno.test("resolveImage: the folders of an image are absolute even if the image folder is not", () =>
  withImages(async (images) => {
    put(`${images}/plain/etc/passwd`);
    await Deno.writeFile(`${images}/packed.tar`, archive);
    const up = "../".repeat(Deno.cwd().split("/").length) + images.slice(1);
    assert.deepEqual((await resolveImage("plain", up)).lower, [`${images}/plain`]);
    assert.ok((await resolveImage("packed", up)).lower[0]?.startsWith(`${images}/.unpacked/packed@`));
  }));

Deno.test("resolveImage: a folder wins over archives, and archives have an order", () =>
  withImages(async (images) => {
    await Deno.writeFile(`${images}/a.tar`, tar({ name: "tar" }));
    await Deno.writeFile(`${images}/a.tar.gz`, await output("gzip", ["-c"], tar({ name: "gz" })));
    const image = await resolveImage("a", images);
    assert.ok(Deno.statSync(`${image.lower[0]}/tar`).isFile);
    put(`${images}/a/etc/passwd`);
    assert.equal((await resolveImage("a", images)).kind, "folder");
    assert.deepEqual(listImages(images), [{ name: "a", kind: "folder", path: `${images}/a` }]);
  }));

Deno.test("resolveImage: names that are no image names are refused before anything is looked at", async () => {
  const names = ["", ".", "..", "/", "/etc", "a/", "a//b", "../a", "a/../b", "a/..", "a b", "a\0", "é", ".unpacked"];
  names.push("a/.hidden", "-v", "a\n", "a\\b", "$HOME", "*");
  for (const name of names) {
    const refusal = (error: unknown): boolean => {
      assert.ok(error instanceof InputError, `${JSON.stringify(name)}: ${error}`);
      assert.equal(error.code, "invalid-image-name");
      return true;
    };
    await assert.rejects(resolveImage(name, "/none"), refusal);
  }
});

Deno.test("resolveImage: an image that is not there is reported with where it was looked for and what there is", () =>
  withImages(async (images) => {
    put(`${images}/alpine/etc/passwd`);
    put(`${images}/debian.tar.gz`);
    await assert.rejects(resolveImage("alpin", images), (error) => {
      assert.ok(error instanceof ImageError);
      assert.equal(error.code, "image-not-found");
      for (const ending of ["", ".tar", ".tar.gz", ".tgz", ".tar.zst"]) {
        assert.ok(error.message.includes(`${images}/alpin${ending}`), ending);
      }
      assert.match(error.hint ?? "", /"alpine", "debian", "host"/);
      assert.deepEqual(error.facts.images, ["alpine", "debian"]);
      return true;
    });
    await assert.rejects(resolveImage("a", `${images}/none/at/all`), { code: "image-not-found" });
    assert.throws(() => Deno.statSync(`${images}/none`), Deno.errors.NotFound, "no folder is made for it");
    put(`${images}/file`);
    await assert.rejects(resolveImage("file", images), { code: "image-not-found" });
    await assert.rejects(resolveImage("file/below", images), { code: "image-not-found" });
  }));

Deno.test("resolveImage: an archive that is damaged is reported with its path", () =>
  withImages(async (images) => {
    const packed = await output("gzip", ["-c"], archive);
    await Deno.writeFile(`${images}/bad.tar.gz`, packed.slice(0, -4));
    await assert.rejects(resolveImage("bad", images), { code: "archive-corrupt", message: /bad\.tar\.gz: the gzip/ });
    assert.deepEqual([...Deno.readDirSync(`${images}/.unpacked`)], []);
  }));

Deno.test("images are listed by name, those in groups too, the store not", () =>
  withImages(async (images) => {
    put(`${images}/alpine/etc/passwd`);
    put(`${images}/scratch/hello`);
    await Deno.mkdir(`${images}/empty`);
    put(`${images}/debian.tar.gz`);
    put(`${images}/team/app.tgz`);
    put(`${images}/team/deep/web/usr/x`);
    put(`${images}/README.md`);
    put(`${images}/.unpacked/x@1/rootfs/a`);
    const expected = [
      ["alpine", "folder", "alpine"],
      ["debian", "archive", "debian.tar.gz"],
      ["empty", "folder", "empty"],
      ["scratch", "folder", "scratch"],
      ["team/app", "archive", "team/app.tgz"],
      ["team/deep/web", "folder", "team/deep/web"],
    ];
    assert.deepEqual(
      listImages(images).map(({ name, kind, path }) => [name, kind, path.slice(images.length + 1)]),
      expected,
    );
    assert.deepEqual(listImages(`${images}/none`), []);
    for (const [name] of expected) {
      if (name !== "debian" && name !== "team/app") assert.ok(await resolveImage(name ?? "", images));
    }
  }));

Deno.test("resolveImage: an archive's name is that of its file without the ending", () => {
  const rows: [string, string | undefined][] = [
    ["/a/b.tar", "b"],
    ["b.c.tar.gz", "b.c"],
    ["b.tgz", "b"],
    ["b.tar.zst", "b"],
    ["b.tar.xz", "b"],
    ["b.zip", undefined],
    ["tar", undefined],
    [".tar", undefined],
  ];
  for (const [path, expected] of rows) assert.equal(archiveName(path), expected, path);
});
