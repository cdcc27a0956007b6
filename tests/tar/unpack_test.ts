/** Archives that are unpacked. */

import assert from "node:assert/strict";
import { AT_FDCWD, S_IF, statusAt } from "../../ffi/fs/fs.ts";
import { unpackOnce } from "../../lib/image/archive.ts";
import { output } from "../helpers/host_program.ts";
import { pax, tar } from "../helpers/tar.ts";
import { file, folder, hard, inBox, link, listing, type, unpackTo } from "../helpers/unpacking.ts";
import { skipHere } from "../helpers/skip.ts";

const ALPINE = "/work/shared/images/alpine-minirootfs-3.20.3-x86_64.tar.gz";
const SUPERUSER = Deno.uid() === 0;

function modeOf(path: string): number {
  return statusAt(AT_FDCWD, path).mode & 0o7777;
}

async function xattr(path: string, name: string): Promise<string> {
  const code = "import os,sys\nprint(os.getxattr(sys.argv[1], sys.argv[2]).hex())";
  return new TextDecoder().decode(await output("python3", ["-c", code, path, name])).trim();
}

Deno.test("unpack: names are taken below the folder whatever they begin with", () =>
  inBox(async (box) => {
    await unpackTo(`${box}/root`, tar(file("/abs", "1"), file("./dot", "2"), file("//d/./e", "3")));
    assert.equal(await Deno.readTextFile(`${box}/root/abs`), "1");
    assert.equal(await Deno.readTextFile(`${box}/root/dot`), "2");
    assert.equal(await Deno.readTextFile(`${box}/root/d/e`), "3");
  }));

Deno.test("unpack: odd but harmless names are kept as they are", () =>
  inBox(async (box) => {
    const names = ["a\nb", "...", "-rf", "ü", " ", "a\\b", ".wh.x"];
    await unpackTo(`${box}/root`, tar(...names.map((name) => file(name))));
    assert.deepEqual([...Deno.readDirSync(`${box}/root`)].map((entry) => entry.name).sort(), names.sort());
  }));

Deno.test("unpack: the last of several entries of a name wins, whatever they are", () =>
  inBox(async (box) => {
    const root = `${box}/root`;
    await Deno.symlink("../outside/secret", `${root}/was-link`);
    const archive = tar(
      file("was-link", "new"),
      file("twice", "first"),
      file("twice", "second"),
      file("tree/a/b/c"),
      file("tree", "now a file"),
      link("to-folder", "../outside"),
      folder("to-folder"),
      file("to-folder/x", "inside"),
      file("linked", "kept"),
      hard("other", "linked"),
      file("linked", "replaced"),
      folder("gone/d"),
      link("gone", "../outside"),
      { ...folder("same"), mode: 0o700 },
      file("same/x"),
      { ...folder("same"), mode: 0o711 },
    );
    await unpackTo(root, archive);
    assert.equal(await Deno.readTextFile(`${root}/was-link`), "new");
    assert.equal(await Deno.readTextFile(`${root}/twice`), "second");
    assert.equal(await Deno.readTextFile(`${root}/tree`), "now a file");
    assert.equal(await Deno.readTextFile(`${root}/to-folder/x`), "inside");
    assert.equal(await Deno.readTextFile(`${root}/other`), "kept");
    assert.equal(await Deno.readTextFile(`${root}/linked`), "replaced");
    assert.equal(Deno.readLinkSync(`${root}/gone`), "../outside");
    assert.equal(modeOf(`${root}/same`), 0o711);
    assert.equal(modeOf(`${box}/outside`), 0o755);
    assert.equal(await Deno.readTextFile(`${box}/outside/secret`), "secret");
  }));

Deno.test("unpack: a hard link after its folder was replaced finds the new one", () =>
  inBox(async (box) => {
    const archive = tar(
      file("d/f", "1"),
      hard("a", "d/f"),
      file("d", "x"),
      folder("d"),
      file("d/f", "2"),
      hard("b", "d/f"),
    );
    await unpackTo(`${box}/root`, archive);
    assert.equal(await Deno.readTextFile(`${box}/root/b`), "2");
  }));

Deno.test("unpack: modes, times and owners are those of the archive, whatever the umask", () =>
  inBox(async (box) => {
    const root = `${box}/root`, umask = Deno.umask(0o077);
    // Above 2^31: more than a header holds, and negative for the kernel's 32 bits.
    const owner = SUPERUSER ? pax({ uid: "3000000000", gid: "12" }) : new Uint8Array();
    try {
      await unpackTo(
        root,
        tar(
          { ...folder("./"), mode: 0o751, mtime: 5 },
          owner,
          { ...folder("ro"), mode: 0o555, mtime: 100 },
          owner,
          { ...file("ro/suid"), mode: 0o6755, mtime: 200 },
          owner,
          { ...link("ro/link", "x"), mtime: 300 },
          owner,
          { name: "ro/fifo", type: "6", mode: 0o622, mtime: 400 },
          { ...folder("sticky"), mode: 0o1777 },
          pax({ mtime: "1.000000001" }),
          file("implicit/nano"),
        ),
      );
    } finally {
      Deno.umask(umask);
    }
    assert.equal(modeOf(root), 0o751);
    assert.equal(modeOf(`${root}/ro`), 0o555);
    assert.equal(modeOf(`${root}/ro/suid`), 0o6755);
    assert.equal(modeOf(`${root}/ro/fifo`), 0o622);
    assert.equal(type(`${root}/ro/fifo`), S_IF.IFO);
    assert.equal(modeOf(`${root}/sticky`), 0o1777);
    assert.equal(modeOf(`${root}/implicit`), 0o755);
    const times = ["", "/ro", "/ro/suid", "/ro/link", "/ro/fifo", "/implicit/nano"];
    const seconds = times.map((path) => statusAt(AT_FDCWD, root + path).mtime);
    assert.deepEqual(seconds, [5n, 100n, 200n, 300n, 400n].map((s) => s * 1_000_000_000n).concat(1_000_000_001n));
    if (!SUPERUSER) return;
    for (const path of ["/ro", "/ro/suid", "/ro/link", "/ro/fifo"]) {
      const { uid, gid } = statusAt(AT_FDCWD, root + path);
      assert.deepEqual([uid, gid], [3_000_000_000, 12]);
    }
  }));

Deno.test("unpack: extended attributes of users and capabilities are kept, those for overlayfs are not", {
  ignore: skipHere("only root can", !SUPERUSER),
}, () =>
  inBox(async (box) => {
    const capability = new Uint8Array([1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    const archive = tar(
      pax({
        "SCHILY.xattr.user.note": new Uint8Array([0, 1, 61]),
        "SCHILY.xattr.security.capability": capability,
        "SCHILY.xattr.trusted.overlay.redirect": "/etc",
        "SCHILY.xattr.user.overlay.opaque": "y",
        "SCHILY.xattr.security.selinux": "evil_t",
      }),
      { ...file("ping"), uid: 5 },
      pax({ "SCHILY.xattr.trusted.overlay.opaque": "y", "SCHILY.xattr.user.d": "1" }),
      folder("d"),
    );
    await unpackTo(`${box}/root`, archive);
    const code = "import os,sys\nprint(*sorted(os.listxattr(sys.argv[1])))";
    const names = async (path: string) => new TextDecoder().decode(await output("python3", ["-c", code, path])).trim();
    assert.equal(await names(`${box}/root/ping`), "security.capability user.note");
    assert.equal(await names(`${box}/root/d`), "user.d");
    assert.equal(await xattr(`${box}/root/ping`, "user.note"), "00013d");
    assert.equal(await xattr(`${box}/root/ping`, "security.capability"), capability.toHex());
  }));

Deno.test(
  "unpack: device nodes are left out unless asked for",
  { ignore: skipHere("only root can", !SUPERUSER) },
  () =>
    inBox(async (box) => {
      const archive = tar({ name: "null", type: "3", major: 1, minor: 3 }, {
        name: "b",
        type: "4",
        major: 259,
        minor: 1000,
      });
      await unpackTo(`${box}/root`, archive);
      assert.deepEqual([...Deno.readDirSync(`${box}/root`)], []);
      await unpackTo(`${box}/root`, archive, { devices: "create" });
      assert.equal(statusAt(AT_FDCWD, `${box}/root/null`).rdev, "1:3");
      assert.equal(statusAt(AT_FDCWD, `${box}/root/b`).rdev, "259:1000");
      assert.equal(type(`${box}/root/b`), S_IF.BLK);
    }),
);

Deno.test(
  "unpack: whiteouts of a layer become those of overlayfs",
  { ignore: skipHere("only root can", !SUPERUSER) },
  () =>
    inBox(async (box) => {
      const root = `${box}/root`;
      const archive = tar(
        file("etc/.wh.gone"),
        file("opaque/.wh..wh..opq"),
        file("opaque/x"),
        // In the same layer: what is hidden is only what lies below.
        file("kept/x"),
        file(".wh.kept"),
        file(".wh.again"),
        folder("again"),
        file(".wh.implied"),
        file("implied/x"),
        file("stays", "1"),
        file(".wh.stays"),
        file(".wh.file"),
        file("file", "2"),
        hard(".wh.linked", ".wh.x"),
      );
      await unpackTo(root, archive, { layer: true });
      const whiteout = (path: string) =>
        type(root + path) === S_IF.CHR && statusAt(AT_FDCWD, root + path).rdev === "0:0";
      assert.ok(whiteout("/etc/gone"));
      assert.ok(whiteout("/linked"));
      for (const path of ["/opaque", "/kept", "/again", "/implied"]) {
        assert.equal(await xattr(root + path, "trusted.overlay.opaque"), "79", path);
      }
      assert.equal(await Deno.readTextFile(`${root}/stays`), "1");
      assert.equal(await Deno.readTextFile(`${root}/file`), "2");
      assert.equal([...Deno.readDirSync(root)].some((entry) => entry.name.startsWith(".wh.")), false);
    }),
);

Deno.test("a tree is unpacked as tar unpacks it", () =>
  inBox(async (box) => {
    await Deno.mkdir(`${box}/source/a/b`, { recursive: true });
    await Deno.writeTextFile(`${box}/source/a/file`, "x".repeat(300_000));
    await Deno.link(`${box}/source/a/file`, `${box}/source/a/b/hard`);
    await Deno.symlink("../file", `${box}/source/a/b/soft`);
    await Deno.writeTextFile(`${box}/source/${"n".repeat(200)}`, "long");
    await Deno.chmod(`${box}/source/a`, 0o2551);
    for (const format of ["gnu", "pax"]) {
      const archive = await output("tar", ["-c", "--format", format, "-C", `${box}/source`, "."]);
      const expected = `${box}/expected-${format}`, root = `${box}/root/${format}`;
      await Deno.mkdir(expected);
      await Deno.mkdir(root);
      await output("tar", ["-xp", "-C", expected], archive);
      // The second time, all of it replaces what is there; others than root cannot, in a read-only folder.
      for (const step of SUPERUSER ? [10_000, 333] : [333]) await unpackTo(root, archive, undefined, step);
      assert.deepEqual(await listing(root), await listing(expected));
      assert.equal(await Deno.readTextFile(`${root}/a/b/hard`), "x".repeat(300_000));
    }
  }));

Deno.test("Alpine is unpacked as tar unpacks it, from gzip and from zstd", () =>
  inBox(async (box) => {
    try {
      await Deno.stat(ALPINE);
    } catch {
      console.log(`skipped: ${ALPINE} is not there`);
      return;
    }
    await Deno.mkdir(`${box}/expected`, { mode: 0o755 });
    await output("tar", ["-xzpf", ALPINE, "-C", `${box}/expected`]);
    const plain = await output("gzip", ["-dc", ALPINE]);
    await Deno.writeFile(`${box}/alpine.tar.zst`, await output("zstd", ["-cq"], plain));
    const expected = await listing(`${box}/expected`);
    for (const archive of [ALPINE, `${box}/alpine.tar.zst`]) {
      const rootfs = await unpackOnce(archive, `${box}/store`);
      assert.deepEqual(await listing(rootfs), expected);
      await output("diff", ["-r", "--no-dereference", `${box}/expected`, rootfs]);
    }
  }));
