import assert from "node:assert/strict";
import { copyFrom, copyTo, exportTar } from "../mod.ts";
import { parsePlace } from "../cli/cp.ts";
import { showName } from "../cli/text.ts";
import { flags } from "../ffi/flags.ts";
import {
  AT_FDCWD,
  chmodAt,
  chownAt,
  close,
  linkAt,
  mknodAt,
  openAt,
  S_IF,
  setXattr,
  symlinkAt,
  utimesAt,
} from "../ffi/fs.ts";
import { placeCopy } from "../lib/container/copy_place.ts";
import { readRecord, writeRecord } from "../lib/container/record.ts";
import { withStopped } from "../lib/container/stopped.ts";
import { withRoot } from "../lib/container/view.ts";
import { type Conversation, converse, host, inside, say, text } from "./helpers/inside.ts";
import { randomFrom } from "./helpers/tar.ts";
import { treeOf } from "./helpers/tree.ts";
import { lookAtMachine, makeWorld, type World } from "./helpers/world.ts";

const world = makeWorld();
Deno.test.afterAll(async () => await world[Symbol.asyncDispose]());

const NONE = { network: "none" } as const;

/** A fresh folder of this machine. */
function folder(): string {
  return Deno.makeTempDirSync({ dir: world.home });
}

let made = 0;

/** A container that has run `script`, and is kept. */
async function stopped(script = "true", options: Parameters<typeof say>[2] = {}): Promise<string> {
  const name = `box${made++}`;
  await say(world, script, { ...NONE, ...options, name, keep: true });
  return name;
}

/** A container that waits for a line. */
async function running(
  script = "true",
  options: Parameters<typeof say>[2] = {},
): Promise<Conversation & { name: string }> {
  const name = `box${made++}`;
  const talk = await converse(world, `${script}; echo ready; read line`, { ...NONE, ...options, name });
  assert.equal(await talk.ask(), "ready");
  return { ...talk, name, [Symbol.asyncDispose]: () => talk[Symbol.asyncDispose]() };
}

function descriptors(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

/** What a container has at a path, as it was copied out with everything. */
async function treeIn(container: string, path: string) {
  const out = `${folder()}/out`;
  await copyFrom(container, path, out, { ...world.folders, archive: true });
  return treeOf(out);
}

// Names

Deno.test("what is a container's and what is this machine's is told as docker does", () => {
  const table: [string, string | undefined, string][] = [
    ["web:/etc", "web", "/etc"],
    ["web:etc/x", "web", "etc/x"],
    ["web:", "web", ""],
    ["web:/a:b\nc", "web", "/a:b\nc"],
    ["/web:/etc", undefined, "/web:/etc"],
    ["./web:x", undefined, "./web:x"],
    ["../web:x", undefined, "../web:x"],
    ["dir/web:x", undefined, "dir/web:x"],
    [":x", undefined, ":x"],
    ["plain", undefined, "plain"],
    ["-", undefined, "-"],
  ];
  for (const [typed, container, path] of table) {
    assert.deepEqual(parsePlace(typed), container === undefined ? { path } : { container, path }, typed);
  }
});

Deno.test("names are shown on one line, and cannot speak to the terminal", () => {
  assert.equal(showName("plain/näme 日本"), "plain/näme 日本");
  assert.equal(showName("a\nb\x1b[31m\\\u009b\udcff\u202e"), "a\\nb\\x1b[31m\\\\\\x9b\\xff\\u{202e}");
});

Deno.test("where a copy goes follows docker's rules", () => {
  const file = { folder: false, name: "f", contents: false };
  const dir = { folder: true, name: "d", contents: false }, all = { ...dir, contents: true };
  const table = [
    [file, "nothing", false, "new"],
    [file, "nothing", true, "no-folder"],
    [file, "other", false, "new"],
    [file, "other", true, "not-a-folder"],
    [file, "folder", true, "f"],
    [dir, "nothing", false, "new"],
    [dir, "nothing", true, "new"],
    [dir, "other", false, "folder-onto-file"],
    [dir, "folder", true, "d"],
    [all, "nothing", false, "new"],
    [all, "other", false, "folder-onto-file"],
    [all, "folder", true, ""],
  ] as const;
  for (const [what, there, slash, expected] of table) {
    const placed = placeCopy(what, { there, slash, name: "new" });
    assert.equal("refusal" in placed ? placed.refusal : placed.name, expected, JSON.stringify([what, there, slash]));
  }
});

/** A source, a target, and what is then in the folder of the target, or the code of the error. */
const RULES: [from: string, to: string, expected: string[] | string][] = [
  ["f", "new", ["have/", "have/old", "new", "old"]],
  ["f", "new/", "no-folder"],
  ["f", "old", ["have/", "have/old", "old"]],
  ["f", "old/", "not-a-folder"],
  ["f", "have", ["have/", "have/f", "have/old", "old"]],
  ["f", "have/", ["have/", "have/f", "have/old", "old"]],
  ["f", "have/old", ["have/", "have/old", "old"]],
  ["f", "gone/new", "file-not-found"],
  ["f", "old/new", "not-a-folder"],
  ["d", "new", ["have/", "have/old", "new/", "new/x", "old"]],
  ["d", "new/", ["have/", "have/old", "new/", "new/x", "old"]],
  ["d", "old", "folder-onto-file"],
  ["d", "have", ["have/", "have/d/", "have/d/x", "have/old", "old"]],
  ["d/", "have", ["have/", "have/d/", "have/d/x", "have/old", "old"]],
  ["d/.", "have", ["have/", "have/old", "have/x", "old"]],
  ["d/.", "new", ["have/", "have/old", "new/", "new/x", "old"]],
  ["l", "new", ["have/", "have/old", "new -> d", "old"]],
  ["l", "have", ["have/", "have/l -> d", "have/old", "old"]],
  ["l/", "new", ["have/", "have/old", "new/", "new/x", "old"]],
  ["f/", "new", "not-a-folder"],
  ["gone", "new", "file-not-found"],
  ["clash/.", ".", "occupied"],
  ["reverse/.", ".", "occupied"],
];

function listed(path: string, prefix = ""): string[] {
  return [...Deno.readDirSync(path)].flatMap(({ name, isDirectory, isSymlink }) => {
    if (isSymlink) return [`${prefix}${name} -> ${Deno.readLinkSync(`${path}/${name}`)}`];
    return isDirectory ? [`${prefix}${name}/`, ...listed(`${path}/${name}`, `${prefix}${name}/`)] : [prefix + name];
  }).sort();
}

const SOURCE = "echo f > f; mkdir d clash reverse reverse/old; echo x > d/x; ln -s d l; echo c > clash/have";
const TARGET = "mkdir have; echo old > old; echo old > have/old";

Deno.test("copies in and out, to containers that run and that do not, obey the table", async () => {
  const box = await stopped(`mkdir /from && cd /from && ${SOURCE}`);
  const machine = folder();
  await host("sh", "-c", `cd ${machine} && ${SOURCE}`);
  await using live = await running();
  for (const [from, to, expected] of RULES) {
    const out = folder();
    await host("sh", "-c", `cd ${out} && ${TARGET}`);
    const outcome = async (work: Promise<unknown>, list: () => string[] | Promise<string[]>) => {
      try {
        await work;
      } catch (error) {
        return error instanceof Error && "code" in error ? error.code : error;
      }
      return await list();
    };
    const options = world.folders, what = `${from} to ${to}`;
    assert.deepEqual(
      await outcome(copyFrom(box, `/from/${from}`, `${out}/${to}`, options), () => listed(out)),
      expected,
      what,
    );
    for (const name of [box, live.name]) {
      // The table's folder, fresh.
      const fresh = `to${made++}`, start = folder();
      await host("sh", "-c", `mkdir ${start}/${fresh} && cd ${start}/${fresh} && ${TARGET}`);
      await copyTo(name, `${start}/${fresh}`, "/", options);
      const back = async () => {
        const seen = folder();
        await copyFrom(name, `/${fresh}/.`, seen, options);
        return listed(seen);
      };
      const work = copyTo(name, `${machine}/${from}`, `/${fresh}/${to}`, options);
      assert.deepEqual(await outcome(work, back), expected, `${what} in ${name}`);
    }
  }
});

Deno.test("a link as the destination is followed inside of the container, and -L follows the source", async () => {
  const box = await stopped(
    "mkdir /d; ln -s /d /to-folder; ln -s /d/made /to-nothing; ln -s ../../../../d/up /climb; ln -s loop /loop",
  );
  const from = folder();
  Deno.writeTextFileSync(`${from}/f`, "text");
  Deno.symlinkSync("f", `${from}/l`);
  const copy = (source: string, target: string, followLink = false) =>
    copyTo(box, `${from}/${source}`, target, { ...world.folders, followLink });
  await copy("f", "/to-folder");
  await copy("f", "/to-nothing");
  await copy("f", "/climb");
  await copy("l", "/d/followed", true);
  await assert.rejects(copy("f", "/loop"), { code: "open-failed" });
  const out = `${folder()}/out`;
  await copyFrom(box, "/d", out, world.folders);
  assert.deepEqual(listed(out), ["f", "followed", "made", "up"]);
});

// What files are

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
  const { mounts } = lookAtMachine(), open = descriptors();
  const tree = `${folder()}/tree`;
  makeTree(tree);
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
  assert.equal(descriptors(), open);
  assert.deepEqual(lookAtMachine().mounts, mounts);
});

Deno.test("without archive files belong to who they are copied to, and may do nothing in a new owner's name", async () => {
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

Deno.test("a file of 100 GiB that is mostly holes is copied, exported and read by tar in no time, and keeps its holes", async () => {
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

Deno.test("a file with very many holes keeps its content", async () => {
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

Deno.test("a container that was never started has the files of its image: they can be taken out, changed and exported", async () => {
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

// What a container may try

Deno.test("FIFOs and devices of a container are not opened; devices are left out, and that is told", async () => {
  const { folders } = world;
  await using live = await running(
    "mkdir /d; cd /d; mkfifo fifo; mknod null c 1 3; mknod disk b 8 0; echo x > file",
    { capAdd: ["MKNOD"] },
  );
  const out = `${folder()}/out`;
  const { leftOut } = await copyFrom(live.name, "/d", out, { ...folders, archive: true });
  assert.deepEqual([...leftOut].sort(), ["disk", "null"]);
  assert.deepEqual(listed(out), ["fifo", "file"]);
  assert((await Deno.lstat(`${out}/fifo`)).isFifo);
  const { leftOut: alone } = await copyFrom(live.name, "/d/null", `${out}/null`, folders);
  assert.deepEqual(alone, ["null"]);
  assert.deepEqual(listed(out), ["fifo", "file"]);
  const { code, stderr } = await world.cli(["cp", `${live.name}:/d`, out]);
  assert.deepEqual({ code, stderr }, { code: 0, stderr: "sauropod: left out: disk, null\n" });
  // This machine's devices can be given to a container.
  await copyTo(live.name, "/dev/full", "/given", { ...folders, archive: true });
  assert.equal(await live.ask("x"), undefined);
});

Deno.test("a socket is left out, and that is told", async () => {
  const box = await stopped(), from = folder();
  using _socket = Deno.listen({ transport: "unix", path: `${from}/socket` });
  assert.deepEqual((await copyTo(box, `${from}/.`, "/root", world.folders)).leftOut, ["socket"]);
});

Deno.test("files that the kernel makes up are refused or left out, and magic links lead nowhere", async () => {
  await using live = await running("ln -s /proc/1/root /magic; ln -s /proc/self/cwd/x /self");
  for (
    const [path, code] of [["/proc/version", "file-made-up"], ["/proc/1/root/etc", "open-failed"], [
      "/magic/etc",
      "open-failed",
    ], ["/sys", "file-made-up"]]
  ) {
    await assert.rejects(copyFrom(live.name, path ?? "", `${folder()}/out`, world.folders), { code }, path);
  }
  const out = `${folder()}/out`;
  await copyFrom(live.name, "/", out, world.folders);
  assert.deepEqual([listed(`${out}/proc`), listed(`${out}/sys`)], [[], []]);
  assert.equal(Deno.readTextFileSync(`${out}/etc/hostname`).trim(), live.container.id);
});

Deno.test("links of a container lead only into it, in both directions", async () => {
  const secret = folder();
  Deno.writeTextFileSync(`${secret}/marker`, "host");
  const box = await stopped(
    `ln -s ${secret} /link; ln -s ../../../../../../..${secret}/marker /climb; ln -s ${secret}/new /new`,
  );
  const from = folder();
  Deno.writeTextFileSync(`${from}/marker`, "overwritten");
  for (const path of ["/link/marker", "/climb/", "/link/."]) {
    await assert.rejects(copyFrom(box, path, `${from}/out`, world.folders), { code: "file-not-found" });
    await assert.rejects(copyFrom(box, "/climb", `${from}/out`, { ...world.folders, followLink: true }), {
      code: "file-not-found",
    });
  }
  for (const path of ["/link", "/link/marker", "/climb", "/new"]) {
    await assert.rejects(copyTo(box, `${from}/marker`, path, world.folders), { code: "file-not-found" });
  }
  assert.deepEqual(listed(secret), ["marker"]);
  assert.equal(Deno.readTextFileSync(`${secret}/marker`), "host");
});

Deno.test("the mode of a FIFO that has become a link meanwhile is not set on what the link leads to", () => {
  const here = folder();
  Deno.writeTextFileSync(`${here}/host`, "", { mode: 0o600 });
  Deno.symlinkSync(`${here}/host`, `${here}/fifo`);
  assert.throws(() => chmodAt(AT_FDCWD, `${here}/fifo`, 0o666), { code: "EOPNOTSUPP" });
  assert.equal((Deno.statSync(`${here}/host`).mode ?? 0) & 0o777, 0o600);
});

Deno.test("links that a container's files meet on this machine are not written through", async () => {
  const box = await stopped("mkdir -p /d/sub; echo evil > /d/sub/marker; ln -s /nowhere /d/file");
  const secret = folder(), out = folder();
  Deno.writeTextFileSync(`${secret}/marker`, "host");
  Deno.mkdirSync(`${out}/d`);
  Deno.symlinkSync(secret, `${out}/d/sub`);
  await assert.rejects(copyFrom(box, "/d", out, world.folders), { code: "occupied" });
  assert.equal(Deno.readTextFileSync(`${secret}/marker`), "host");
  // A link is replaced by what comes in its place, not followed.
  Deno.removeSync(`${out}/d/sub`);
  await Deno.remove(`${out}/d/file`).catch(() => {});
  Deno.symlinkSync(`${secret}/marker`, `${out}/d/file`);
  await copyFrom(box, "/d", out, world.folders);
  assert.equal(Deno.readLinkSync(`${out}/d/file`), "/nowhere");
  assert.equal(Deno.readTextFileSync(`${secret}/marker`), "host");
});

Deno.test("a container that exchanges folders, links and mounts meanwhile makes a copy reach nothing of the host", async () => {
  const { mounts } = lookAtMachine();
  const secret = folder(), inner = "/race/dir";
  Deno.mkdirSync(`${secret}/sub`);
  for (const path of [`${secret}/marker`, `${secret}/sub/marker`]) Deno.writeTextFileSync(path, "marker-of-the-host");
  const untouched = treeOf(secret);
  const script = `mkdir -p /race/dir/sub /race/deep/sub /race/other; cd /race
    for file in dir/marker dir/sub/marker deep/sub/marker; do echo own > $file; done
    ln -s ${secret} link; ln -s ${secret} deep/link; echo ready; exec 2>/dev/null
    (while :; do mv dir away; mv link dir; mv dir link; mv away dir; done) &
    (cd deep; while :; do mv sub away; mv link sub; mv sub link; mv away sub; done) &
    (while :; do mount -t tmpfs x other; mount --bind / other; umount other; umount other; done) &
    read line; kill %1 %2 %3`;
  await using live = await converse(world, script, { ...NONE, capAdd: ["SYS_ADMIN"], name: "racer", init: true });
  assert.equal(await live.ask(), "ready");
  const from = folder();
  Deno.mkdirSync(`${from}/sub`);
  Deno.writeTextFileSync(`${from}/marker`, "in");
  Deno.writeTextFileSync(`${from}/sub/marker`, "in");
  let copied = 0, tries = 0;
  const end = Date.now() + 6000;
  for (let round = 0; round < 400 && Date.now() < end; round++) {
    const out = folder();
    for (const path of [`${inner}/marker`, inner, "/race/deep", "/race", "/race/link/.", "/race/deep/sub/."]) {
      try {
        // A place of its own for each: the one before may have been copied as a link to the host's secret.
        await copyFrom("racer", path, `${out}/${tries++}`, { ...world.folders, archive: true });
        copied++;
      } catch (error) {
        assert(error instanceof Error && "code" in error, String(error));
      }
    }
    const { stdout } = await new Deno.Command("grep", { args: ["-rl", "--devices=skip", "marker-of-the-host", out] })
      .output();
    assert.equal(text(stdout), "", "something of the host was copied");
    for (
      const [path, to] of [[`${from}/.`, inner], [`${from}/marker`, "/race/deep/sub"], [`${from}/sub`, inner], [
        `${from}/marker`,
        "/race/link",
      ]]
    ) {
      try {
        await copyTo("racer", path ?? "", to ?? "", world.folders);
        copied++;
      } catch (error) {
        assert(error instanceof Error && "code" in error, String(error));
      }
    }
    await Deno.remove(out, { recursive: true });
  }
  assert(copied > 20, `only ${copied} copies succeeded`);
  assert.deepEqual(treeOf(secret), untouched);
  assert.deepEqual(lookAtMachine().mounts, mounts);
});

// Volumes, locks, places

Deno.test("volumes are seen and written, whether the container runs or not, unless they are read-only", async () => {
  const volume = folder(), from = folder();
  Deno.writeTextFileSync(`${volume}/there`, "volume");
  Deno.writeTextFileSync(`${from}/new`, "new");
  const volumes = [`${volume}:/data`, `${volume}:/ro:ro`, `${from}:/gone`];
  const box = await stopped("true", { volumes });
  await using live = await running("true", { volumes });
  for (const name of [box, live.name]) {
    const out = folder();
    await copyFrom(name, "/data/there", out, world.folders);
    assert.equal(Deno.readTextFileSync(`${out}/there`), "volume");
    await copyTo(name, `${from}/new`, `/data/${name}`, world.folders);
    assert.equal(Deno.readTextFileSync(`${volume}/${name}`), "new");
    await assert.rejects(copyTo(name, `${from}/new`, "/ro/x", world.folders), { hint: /read-only/ });
  }
  await Deno.rename(from, `${from}-moved`);
  await copyFrom(box, "/data/there", folder(), world.folders);
});

Deno.test("a container whose root is read-only takes files in its volumes only", async () => {
  const volume = folder(), from = folder();
  Deno.writeTextFileSync(`${from}/f`, "x");
  const options = { readOnly: true, volumes: [`${volume}:/data`] };
  const box = await stopped("true", options);
  await using live = await running("true", options);
  for (const name of [box, live.name]) {
    await assert.rejects(copyTo(name, `${from}/f`, "/root/f", world.folders), {
      code: "copy-failed",
      hint: /read-only/,
    });
    await copyTo(name, `${from}/f`, `/data/${name}`, world.folders);
  }
  assert.deepEqual(listed(volume).length, 2);
});

Deno.test("nobody can start a container while its files are shown, and what is shown is not mounted anywhere", async () => {
  const { mounts } = lookAtMachine();
  const box = await stopped(), { containers } = world.folders;
  const order: string[] = [];
  await withRoot(containers, box, "read", async ({ fd, record }) => {
    assert.deepEqual(lookAtMachine().mounts, mounts);
    const second = withStopped(containers, record.id, () => order.push("second"));
    await new Promise((resolve) => setTimeout(resolve, 100));
    order.push("first");
    assert.throws(() => openAt(fd, "new", flags("O", "WRONLY", "CREAT"), 0o600), { code: "EROFS" });
    return { second };
  }).then(({ second }) => second);
  assert.deepEqual(order, ["first", "second"]);
  await using live = await running();
  await assert.rejects(async () => await withStopped(containers, live.container.id, () => {}), {
    code: "container-running",
  });
  await assert.rejects(copyFrom("nobody", "/", folder(), world.folders), { code: "container-not-found" });
});

Deno.test("an image of many layers is shown as it is when it runs", async () => {
  const { containers, images } = world.folders, box = await stopped();
  const id = await withRoot(containers, box, "read", ({ record }) => Promise.resolve(record.id));
  const record = readRecord(`${containers}/${id}`);
  assert(record);
  const layers = Array.from({ length: 120 }, (_, i) => `${images}/layer-with-a-name-${i}`);
  for (const [i, layer] of layers.entries()) {
    Deno.mkdirSync(layer);
    Deno.writeTextFileSync(`${layer}/${i}`, "");
    Deno.writeTextFileSync(`${layer}/same`, String(i));
  }
  writeRecord(`${containers}/${id}`, { ...record, lower: layers });
  const out = folder();
  await copyFrom(box, "/.", out, world.folders);
  assert.equal(Deno.readTextFileSync(`${out}/same`), "0");
  assert.equal(listed(out).filter((name) => /^\d+$/.test(name)).length, 120);
});

Deno.test("a folder that holds the container, or the copy itself, is copied without end of it", async () => {
  const small = makeWorld();
  try {
    await say(small, "true", { ...NONE, name: "box", keep: true });
    await copyTo("box", small.home, "/copy", small.folders);
    const out = `${small.home}/out`;
    await copyFrom("box", "/copy", out, small.folders);
    assert(listed(`${out}/containers`).includes(".live/"));
    // The copy is beneath what is copied: a volume shows it.
    const data = `${small.home}/data`;
    Deno.mkdirSync(data);
    await using _live = await converse(small, "read line", { ...NONE, name: "live", volumes: [`${data}:/data`] });
    await copyFrom("live", "/data", data, small.folders);
    await copyFrom("live", "/data", `${data}/again`, small.folders);
    assert.deepEqual(listed(data), ["again/", "again/data/", "data/"]);
  } finally {
    await small[Symbol.asyncDispose]();
  }
});

// The command line

async function cli(world: World, words: string[], stdin?: Uint8Array<ArrayBuffer>) {
  return await world.cli(words, { cwd: world.home, stdin });
}

Deno.test("archives go through standard input and output, also compressed ones", async () => {
  const box = await stopped("mkdir -p /d/e; echo x > /d/e/f; chown 7:8 /d/e/f; ln -s e /d/l"), from = folder();
  const archive = `${from}/a.tar`;
  await host(
    "sh",
    "-c",
    `cd ${world.home} && SAUROPOD_HOME=${world.home} ${Deno.execPath()} run -A ${
      new URL("../cli.ts", import.meta.url).pathname
    } cp ${box}:/d - > ${archive}`,
  );
  assert.match(
    await host("tar", "-tvf", archive, "--numeric-owner"),
    /d\/\n.*d\/e\/\n.* 7\/8 .*d\/e\/f\n.*d\/l -> e\n$/s,
  );
  await host("sh", "-c", `cd ${from} && tar -xf a.tar && tar -czf b.tar.gz d`);
  const { code, stderr } = await cli(world, ["cp", "-a", "-", `${box}:/root`], await Deno.readFile(`${from}/b.tar.gz`));
  assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
  assert.deepEqual([...(await treeIn(box, "/root/d")).keys()], ["", "/e", "/e/f", "/l"]);
  assert.match((await treeIn(box, "/root/d")).get("/e/f") ?? "", / 7:8 /);
  const hostile = await cli(world, ["cp", "-", `${box}:/root`], await Deno.readFile("/bin/true"));
  assert.equal(hostile.code, 125);
  assert.match(hostile.stderr, /^sauropod: the tar archive is/);
});

Deno.test("mistakes of cp and export end with 125, say what is wrong and leave the target alone", async () => {
  const box = await stopped("echo x > /f"), from = folder();
  Deno.writeTextFileSync(`${from}/f`, "x");
  const table: [string[], RegExp][] = [
    [["cp", "a", "b"], /neither a nor b is a container's\n {2}write CONTAINER:PATH/],
    [["cp", `${box}:/f`], /cp needs DESTINATION/],
    [["cp", `${box}:/nothing`, from], /there is no "\/nothing" in the container box/],
    [["cp", `${box}:/f`, `${from}/none/x`], /there is no ".*none"/],
    [["cp", `${from}/nothing`, `${box}:/`], /there is no ".*nothing"\n/],
    [["cp", `${from}/f`, `${box}:/none/`], /"\/none\/": there is no folder in the container .*\n {2}make it first/],
    [["cp", `${from}`, `${box}:/f`], /a folder cannot be copied onto a file/],
    [["cp", "nobody:/f", from], /there is no container nobody/],
    [["cp", "-", `${box}:/none`], /there is no "\/none"/],
    [["export", "nobody"], /there is no container nobody/],
    [["export", "-o", "/dev/null/x", box], /x: a part of the path is no folder\n/],
    [["diff", "nobody"], /there is no container nobody/],
  ];
  for (const [words, reason] of table) {
    const { code, stdout, stderr } = await cli(world, words);
    assert.deepEqual([code, stdout], [125, ""], words.join(" "));
    assert.match(stderr, reason, words.join(" "));
    assert.doesNotMatch(stderr, /\.ts:\d/);
  }
  assert.deepEqual(listed(from), ["f"]);
});

Deno.test("an export is the whole root without mounts, running or not, and makes an image", async () => {
  const volume = folder(), out = folder();
  Deno.writeTextFileSync(`${volume}/secret`, "volume");
  const script = "mkdir /mine; echo mine > /mine/f; rm /etc/group; mkfifo /fifo";
  const options = { volumes: [`${volume}:/data`], tmpfs: ["/scratch"] };
  const box = await stopped(script, options);
  await using live = await running(`${script}; echo x > /scratch/x`, options);
  for (const name of [box, live.name]) {
    const path = `${out}/${name}.tar`;
    assert.deepEqual(await cli(world, ["export", "-o", path, name]), { code: 0, stdout: "", stderr: "" });
    const names = (await host("tar", "-tf", path)).trim().split("\n");
    assert(names.includes("mine/f") && names.includes("fifo") && names.includes("bin/busybox"), name);
    const mounted = names.filter((entry) => /^(proc|sys|dev|data|scratch)\/.|^etc\/group$/.test(entry));
    assert.deepEqual(mounted, [], name);
    for (const point of ["proc/", "sys/", "dev/", "data/", "scratch/"]) {
      assert(names.includes(point), `${name}: ${point}`);
    }
  }
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  await exportTar(live.name, new WritableStream({ write: (chunk) => void pieces.push(chunk) }), {
    ...world.folders,
    source: "/mine",
  });
  assert(text(await new Blob(pieces).bytes()).includes("mine/f\0"));
  const imported = await cli(world, ["images", "import", `${out}/${box}.tar`, "exported"]);
  assert.equal(imported.code, 0, imported.stderr);
  const { stdout } = await inside(world, "cat /mine/f; ls /etc/group /data", { ...NONE, image: "exported" });
  assert.equal(stdout, "mine\n/data:\n");
});
