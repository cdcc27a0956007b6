/** What copied files are: owners, modes, times, attributes, holes. */

import assert from "node:assert/strict";
import { copyFrom, copyTo } from "../../../mod.ts";
import { flags } from "../../../ffi/program/flags.ts";
import { AT_FDCWD, chownAt, close, linkAt, mknodAt, openAt, S_IF, symlinkAt, utimesAt } from "../../../ffi/fs/fs.ts";
import { setXattr } from "../../../ffi/fs/xattrs.ts";
import { host, text } from "../../helpers/inside.ts";
import { randomFrom } from "../../helpers/random.ts";
import { treeOf } from "../../helpers/tree.ts";
import { lookAtMachine } from "../../helpers/leftovers.ts";
import { until } from "../../helpers/until.ts";
import { makeWorld } from "../../helpers/world.ts";
import { boxesIn } from "../../helpers/boxes.ts";

const world = makeWorld(), { folder, stopped, running, treeIn } = boxesIn(world);
Deno.test.afterAll(async () => await world[Symbol.asyncDispose]());

function descriptors(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

/** Makes a tree with everything that a file system can hold. */
function makeTree(path: string): void {
  Deno.mkdirSync(`${path}/deep/er`, { recursive: true });
  const fd = openAt(AT_FDCWD, path, flags("O", "RDONLY", "DIRECTORY"));
  const write = (name: string, content: string | Uint8Array<ArrayBuffer>, mode: number, uid = 0, gid = 0): void => {
    const file = openAt(fd, name, flags("O", "WRONLY", "CREAT", "EXCL"), 0o600);
    Deno.writeFileSync(
      `/proc/self/fd/${file}`,
      typeof content === "string" ? new TextEncoder().encode(content) : content,
    );
    chownAt(file, "", uid, gid);
    Deno.chmodSync(`/proc/self/fd/${file}`, mode);
    close(file);
  };
  const random = randomFrom(7);
  write("plain", "text", 0o640, 1000, 50);
  write("set-user-id", "#!", 0o4755);
  write("set-group-id", "#!", 0o2711, 0, 50);
  write("unreadable", "x", 0o000, 12345, 54321);
  write("empty", "", 0o644);
  write("large", crypto.getRandomValues(new Uint8Array(60_000)), 0o600);
  write("new\nline", "1", 0o644);
  write("no-utf8-\udcff\udcfe", "2", 0o644);
  write("-dash and space*", "3", 0o644);
  write(`long-${"ä".repeat(110)}`, "4", 0o644);
  write("deep/er/.wh.not-a-whiteout", "5", 0o644);
  for (let i = 0; i < 50; i++) write(`deep/${i}`, "y".repeat(random() * 3000), 0o600 + i % 8, i, i);
  linkAt(fd, "plain", fd, "deep/er/linked");
  symlinkAt("plain", fd, "link");
  symlinkAt("/etc/shadow", fd, "absolute");
  symlinkAt("../../../../..", fd, "climbing");
  symlinkAt("x".repeat(300), fd, "long-link");
  chownAt(fd, "link", 7, 8);
  mknodAt(fd, "fifo", S_IF.IFO | 0o622);
  const plain = openAt(fd, "plain", flags("O", "RDWR"));
  setXattr(plain, "user.note", new TextEncoder().encode("a=b\n\0c"));
  close(plain);
  const capable = openAt(fd, "large", flags("O", "RDWR"));
  // VFS_CAP_REVISION_2 with CAP_NET_BIND_SERVICE.
  setXattr(
    capable,
    "security.capability",
    new Uint8Array([0, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
  );
  close(capable);
  for (const name of ["plain", "link", "fifo", "empty"]) utimesAt(fd, name, 1_234_567_890_123_456_789n);
  utimesAt(fd, "unreadable", -5_000_000_000n);
  Deno.chmodSync(`${path}/deep`, 0o1777);
  Deno.chownSync(`${path}/deep/er`, 99, 98);
  utimesAt(fd, "deep/er", 1_000_000_000_000_000_000n);
  utimesAt(fd, "deep", 999_999_999_999_999_999n);
  close(fd);
}

Deno.test("with archive a whole tree comes back as it was, entry by entry, from containers that run and that do not", async () => {
  // What Deno and the process's own event source open once stays open.
  const tree = `${folder()}/tree`;
  makeTree(tree);
  {
    await using first = await running();
    await copyTo(first.name, tree, "/srv", { ...world.folders, archive: true });
    await world.cli(["--version"]);
  }
  const { mounts } = lookAtMachine(), open = descriptors();
  mknodAt(AT_FDCWD, `${tree}/device`, S_IF.CHR | 0o666, 1, 3);
  Deno.removeSync(`${tree}/device`);
  const expected = treeOf(tree);
  const options = { ...world.folders, archive: true };
  const box = await stopped();
  await copyTo(box, tree, "/srv", options);
  assert.deepEqual(await treeIn(box, "/srv"), expected);
  {
    await using live = await running();
    await copyTo(live.name, tree, "/srv", options);
    assert.deepEqual(await treeIn(live.name, "/srv"), expected);
    // From one container to the other, and within one.
    const { code, stderr } = await world.cli(["cp", "-a", `${live.name}:/srv`, `${box}:/from-live`]);
    assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
    assert.equal((await world.cli(["cp", "-a", `${box}:/from-live`, `${box}:/again`])).code, 0);
  }
  assert.deepEqual(await treeIn(box, "/again"), expected);
  // Those of commands that have ended are closed a little later.
  await until("all descriptors closed", () => descriptors() <= open);
  assert.deepEqual(lookAtMachine().mounts, mounts);
});

Deno.test("cp: without archive files belong to who they are copied to, and may do nothing in a new owner's name", async () => {
  const tree = `${folder()}/tree`,
    out = `${folder()}/out`,
    box = await stopped("mkdir /keep; chmod 711 /keep; chown 5:6 /keep");
  makeTree(tree);
  await copyTo(box, tree, "/srv", world.folders);
  await copyTo(box, `${tree}/.`, "/keep", world.folders);
  await copyFrom(box, "/srv", out, world.folders);
  const all = treeOf(out), was = treeOf(tree);
  assert.deepEqual([...all.keys()].sort(), [...was.keys()].sort());
  for (const [name, entry] of all) {
    assert.match(entry, /^\d+ 0:0 /, name);
    assert.doesNotMatch(entry, /user\.|security\./, name);
    const mode = parseInt(was.get(name)?.split(" ")[0] ?? "", 8), isFile = (mode & S_IF.MT) === S_IF.REG;
    assert.equal(parseInt(entry.split(" ")[0] ?? "", 8), isFile ? mode & ~0o6000 : mode, name);
    assert.equal(entry.split(" ")[2], was.get(name)?.split(" ")[2], `${name}: time`);
  }
  // A folder that is there stays as it is.
  assert.match((await treeIn(box, "/keep")).get("") ?? "", /^40711 5:6 /);
});

Deno.test("cp: a file of 100 GiB that is mostly holes is copied, exported and read by tar in no time, and keeps its holes", async () => {
  const box = await stopped(), from = folder(), GiB = 2 ** 30;
  using file = await Deno.open(`${from}/sparse`, { create: true, write: true });
  for (const [at, what] of [[0, "start"], [3 * GiB + 5, "middle"], [100 * GiB - 4, "end."]] as const) {
    await file.seek(at, Deno.SeekMode.Start);
    await file.write(new TextEncoder().encode(what));
  }
  await copyTo(box, `${from}/sparse`, "/srv", world.folders);
  await copyFrom(box, "/srv", `${from}/back`, world.folders);
  await host("sh", "-c", `cd ${from} && truncate -s 50G hole`);
  await copyTo(box, `${from}/hole`, "/hole", world.folders);
  const check = async (path: string): Promise<void> => {
    const { size, blocks } = await Deno.stat(path);
    assert.equal(size, 100 * GiB);
    assert(Number(blocks) * 512 < 1 << 20, `${path} takes ${blocks} blocks`);
    using read = await Deno.open(path);
    for (
      const [at, what] of [[0, "start"], [3 * GiB + 5, "middle"], [100 * GiB - 4, "end."], [GiB, "\0\0\0\0"]] as const
    ) {
      const buffer = new Uint8Array(what.length);
      await read.seek(at, Deno.SeekMode.Start);
      await read.read(buffer);
      assert.equal(text(buffer), what);
    }
  };
  await check(`${from}/back`);
  const { code } = await world.cli(["export", "-o", `${from}/all.tar`, box]);
  assert.equal(code, 0);
  assert(Deno.statSync(`${from}/all.tar`).size < 20_000_000);
  await host("tar", "-C", from, "-xf", `${from}/all.tar`, "./srv".slice(2), "hole");
  await check(`${from}/srv`);
  assert.equal(Deno.statSync(`${from}/hole`).size, 50 * GiB);
});

Deno.test("cp: a file with very many holes keeps its content", async () => {
  const box = await stopped(), from = folder();
  using file = await Deno.open(`${from}/comb`, { create: true, write: true });
  for (let i = 0; i < 3000; i++) {
    await file.seek(i * 12_288 + 4096, Deno.SeekMode.Start);
    await file.write(new TextEncoder().encode(`tooth ${i}`));
  }
  await copyTo(box, `${from}/comb`, "/comb", world.folders);
  await copyFrom(box, "/comb", `${from}/back`, world.folders);
  await host("cmp", `${from}/comb`, `${from}/back`);
});

Deno.test("cp: a container that was never started has the files of its image: they can be taken out, changed and exported", async () => {
  const { cli, folders } = world, from = folder();
  const made = await cli(["create", "--network", "none", "busybox", "cat", "/given"]), id = made.stdout.trim();
  assert.equal(made.code, 0, made.stderr);
  assert.equal((await cli(["diff", id])).stdout, "");
  await copyFrom(id, "/bin/busybox", `${from}/busybox`, folders);
  assert.deepEqual(Deno.readFileSync(`${from}/busybox`), Deno.readFileSync(`${folders.images}/busybox/bin/busybox`));
  Deno.writeTextFileSync(`${from}/given`, "given\n");
  await copyTo(id, `${from}/given`, "/given", folders);
  assert.equal((await cli(["diff", id])).stdout, "A /given\n");
  assert.equal((await cli(["export", "-o", `${from}/all.tar`, id])).code, 0);
  assert.equal((await cli(["commit", id, "given:1"])).code, 0);
  assert.equal((await cli(["run", "--rm", "--network", "none", "given:1", "cat", "/given"])).stdout, "given\n");
  assert.equal((await cli(["start", "-a", id])).stdout, "given\n");
});
