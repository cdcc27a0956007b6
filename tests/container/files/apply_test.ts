import assert from "node:assert/strict";
import { apply, type ApplyOptions } from "../../../mod.ts";
import { withRoot } from "../../../lib/container/files/rootfs_mount.ts";
import { converse, host, say } from "../../helpers/inside.ts";
import { hasPython, Terminal } from "../../helpers/terminal.ts";
import { type Tree, treeOf } from "../../helpers/tree.ts";
import { lookAtMachine } from "../../helpers/leftovers.ts";
import { commandLine } from "../../helpers/project.ts";
import { makeWorld } from "../../helpers/world.ts";
import { skipWithout } from "../../helpers/skip.ts";

const world = makeWorld();
Deno.test.afterAll(async () => await world[Symbol.asyncDispose]());

let made = 0;

/** A folder that stands for this machine, an image at the same time. */
async function machine(): Promise<{ name: string; path: string }> {
  const name = `machine${made++}`, path = `${world.folders.images}/${name}`;
  await host("cp", "-a", world.image, path);
  const script =
    `cd ${path}; mkdir -p opt/full/sub opt/empty dev proc sys run; echo 1 > opt/full/a; echo 2 > opt/full/sub/b
    echo 3 > opt/file; echo 4 > opt/other; ln -s file opt/link; setfattr -n user.note -v old opt/other opt/full
    echo > etc/hosts; echo > etc/hostname; echo > etc/resolv.conf`;
  await host("sh", "-ec", script);
  // What is older than the container is not changed meanwhile.
  await new Promise((resolve) => setTimeout(resolve, 5));
  return { name, path };
}

/** A container of it that has run `script`. */
async function changed(image: string, script: string, options: Parameters<typeof say>[2] = {}): Promise<string> {
  const name = `box${made++}`;
  await say(world, script, { network: "none", ...options, image, name, keep: true });
  return name;
}

function write(container: string, path: string, options: ApplyOptions = {}) {
  return apply(container, { ...world.folders, machine: path, ...options });
}

/** What counts: everything but the times of folders that were there, and what is below /dev, /proc, /run and /sys. */
function relevant(tree: Tree, old: Tree): Tree {
  return new Map(
    [...tree].filter(([path]) => !/^\/(dev|proc|run|sys)(\/|$)/.test(path)).map(([path, entry]) => {
      return [
        path,
        path === "" || entry.startsWith("4") && old.get(path)?.startsWith("4") ? entry.replace(/@\S+/, "@") : entry,
      ];
    }),
  );
}

async function treeInside(container: string): Promise<Tree> {
  return await withRoot(world.folders.containers, container, "read", ({ fd }) => {
    return Promise.resolve(treeOf(`/proc/self/fd/${fd}/.`, (name) => name.startsWith("user.")));
  });
}

const EVERYTHING = `cd /opt
  echo new > new; mkdir -p d/e/f; echo deep > d/e/f/g; chmod 750 d/e; chown 5:6 d/e/f/g; touch -d '2001-02-03 04:05:06' d/e/f/g d/e/f d/e
  echo more >> file; chmod 4711 other; chown 7:8 full/sub/b
  rm -r empty; rm link; ln -s /somewhere/else link; ln new hard; ln -s dangling soft
  mkfifo fifo; rm -r full; mkdir full; echo again > full/a
  rm /etc/group; rm -r /var; echo file > /var; rm /bin/ls; mkdir /bin/ls; echo in > /bin/ls/in; chmod 700 /root
  printf '\\377' > "$(printf 'odd\\n\\377')"
  dd if=/dev/zero of=holes bs=1 count=1 seek=100M 2>/dev/null
  echo x > /run/own; mkdir /run/d`;

Deno.test("after apply the machine's files are what the container's are, entry by entry", async () => {
  const { mounts } = lookAtMachine();
  const { name, path } = await machine();
  const before = treeOf(path);
  const box = await changed(name, EVERYTHING);
  const planned = await write(box, path, { dryRun: true });
  assert.equal(planned.applied, false);
  assert.deepEqual(treeOf(path), before);
  const result = await write(box, path);
  assert.deepEqual({ applied: result.applied, conflicts: result.conflicts }, { applied: true, conflicts: [] });
  assert.deepEqual(result.leftOut.toSorted(), ["/run", "/run/d", "/run/own"]);
  assert.deepEqual(result.changes, planned.changes);
  const isUser = (attribute: string): boolean => attribute.startsWith("user.");
  const wanted = relevant(await treeInside(box), before), found = relevant(treeOf(path, isUser), before);
  assert.deepEqual(found, wanted);
  assert.equal(Deno.statSync(`${path}/opt/new`).ino, Deno.statSync(`${path}/opt/hard`).ino);
  assert(Number(Deno.statSync(`${path}/opt/holes`).blocks) < 1000);
  assert.equal(treeOf(path).get("/run"), before.get("/run"));
  // Again there is nothing to do.
  const again = await write(box, path);
  assert.deepEqual([again.applied, again.changes, again.conflicts], [false, [], []]);
  assert.deepEqual(lookAtMachine().mounts, mounts);
});

Deno.test("apply: only the chosen paths are written, with the folders that they need", async () => {
  const { name, path } = await machine();
  const box = await changed(
    name,
    "mkdir -p /srv/a/b /srv/c; echo x > /srv/a/b/f; echo x > /srv/c/f; echo x >> /opt/file; rm /opt/other",
  );
  const { changes } = await write(box, path, { paths: ["/srv/a/b", "/opt/other/"] });
  assert.deepEqual(changes.map((change) => change.path), ["/opt/other", "/srv", "/srv/a", "/srv/a/b", "/srv/a/b/f"]);
  assert.equal(Deno.readTextFileSync(`${path}/opt/file`), "3\n");
  assert.throws(() => Deno.statSync(`${path}/srv/c`), Deno.errors.NotFound);
  assert.throws(() => Deno.statSync(`${path}/opt/other`), Deno.errors.NotFound);
  await assert.rejects(write(box, path, { paths: ["/nothing"] }), { code: "no-change" });
  for (const bad of ["opt", "/opt/../etc"]) {
    await assert.rejects(write(box, path, { paths: [bad] }), { code: "bad-path" });
  }
});

/** What the container does, what happens here meanwhile, which paths are in conflict and why. */
const CONFLICTS: [inside: string, meanwhile: string, path: string, reason: RegExp][] = [
  ["echo x >> /opt/file", "echo y >> opt/file", "/opt/file", /changed on the host/],
  ["echo x >> /opt/file", "chmod 600 opt/file", "/opt/file", /changed on the host/],
  ["echo x >> /opt/file", "rm opt/file", "/opt/file", /removed on the host/],
  ["echo x >> /opt/file", "rm opt/file; mkdir opt/file", "/opt/file", /changed on the host/],
  ["echo x > /opt/new", "echo y > opt/new", "/opt/new", /changed on the host/],
  ["echo x > /opt/new", "ln -s /etc/passwd opt/new", "/opt/new", /changed on the host/],
  ["mkdir /opt/new", "mkdir -m 700 opt/new", "/opt/new", /changed on the host/],
  ["rm /opt/file", "echo y >> opt/file", "/opt/file", /changed on the host/],
  ["rm /opt/file", "rm opt/file; echo y > opt/file", "/opt/file", /changed on the host/],
  ["rm -r /opt/full", "echo y > opt/full/sub/new", "/opt/full", /changed on the host/],
  ["rm -r /opt/full; echo x > /opt/full", "touch opt/full/sub/b", "/opt/full", /changed on the host/],
  ["rm /opt/full/a", "rm -r opt/full", "/opt/full", /removed on the host/],
  ["chmod 700 /opt/full", "chmod 711 opt/full", "/opt/full", /changed on the host/],
  ["echo x > /opt/full/new", "chmod 711 opt/full", "/opt/full", /changed on the host/],
];

Deno.test("apply: what was changed here since the container was made is a conflict: nothing is written, unless by force", async () => {
  const isUser = (attribute: string): boolean => attribute.startsWith("user.");
  for (const [script, meanwhile, where, reason] of CONFLICTS) {
    const { name, path } = await machine();
    const box = await changed(name, `${script}; echo x > /etc/innocent`);
    await host("sh", "-ec", `cd ${path}; ${meanwhile}`);
    const before = treeOf(path);
    const refused = await write(box, path);
    const what = `${script} | ${meanwhile}`;
    assert.equal(refused.applied, false, what);
    assert.deepEqual(refused.conflicts.map((conflict) => conflict.path), [where], what);
    assert.match(refused.conflicts[0]?.reason ?? "", reason, what);
    assert.deepEqual(treeOf(path), before, what);
    // The rest can be written by name.
    assert.equal((await write(box, path, { paths: ["/etc/innocent"] })).applied, true, what);
    assert.equal((await write(box, path, { force: true })).applied, true, what);
    const wanted = (await treeInside(box)).get(where), found = treeOf(path, isUser).get(where);
    const withoutTime = (entry: string | undefined): string | undefined => entry?.replace(/@\S+/, "");
    assert.equal(withoutTime(found), withoutTime(wanted), what);
  }
});

/** What is no conflict: the same has happened here, or something beside. */
const PEACE: [inside: string, meanwhile: string][] = [
  ["echo x > /opt/new", "echo x > opt/new"],
  ["rm /opt/file", "rm opt/file"],
  ["rm -r /opt/full", "rm -r opt/full"],
  ["mkdir /opt/new; echo x > /opt/new/a", "mkdir opt/new; echo y > opt/new/b"],
  ["echo x > /opt/full/new", "echo y > opt/full/other"],
  ["echo x >> /opt/file", "echo x >> opt/file"],
  ["echo x > /opt/new", "rm opt/file; echo z > opt/other"],
];

Deno.test("apply: what has happened here in the same way, or beside it, is no conflict", async () => {
  for (const [script, meanwhile] of PEACE) {
    const { name, path } = await machine();
    const box = await changed(name, script);
    await host("sh", "-ec", `cd ${path}; ${meanwhile}`);
    assert.deepEqual((await write(box, path)).conflicts, [], `${script} | ${meanwhile}`);
    assert.deepEqual((await write(box, path)).changes, [], `${script} | ${meanwhile}`);
  }
});

Deno.test("apply: links on the way are not followed: by force they are replaced", async () => {
  const { name, path } = await machine();
  const secret = `${world.home}/secret`;
  Deno.mkdirSync(`${secret}/sub`, { recursive: true });
  for (const file of ["a", "sub/b"]) Deno.writeTextFileSync(`${secret}/${file}`, "host");
  const box = await changed(name, "echo x > /opt/full/a; echo x > /opt/full/sub/new; rm /opt/full/sub/b");
  const untouched = treeOf(secret);
  await host("sh", "-ec", `cd ${path}/opt; rm -r full; ln -s ${secret} full`);
  const { applied, conflicts } = await write(box, path);
  assert.deepEqual([applied, conflicts.map((conflict) => conflict.path)], [false, ["/opt/full"]]);
  assert.equal((await write(box, path, { force: true })).applied, true);
  assert.deepEqual(treeOf(secret), untouched);
  assert(Deno.lstatSync(`${path}/opt/full`).isDirectory);
  assert.equal(Deno.readTextFileSync(`${path}/opt/full/a`), "x\n");
});

Deno.test("apply: what lies on another file system here is not written, also not by force", async () => {
  const { name, path } = await machine();
  const box = await changed(name, "echo x > /opt/empty/new; rm /opt/file");
  await host("mount", "-t", "tmpfs", "t", `${path}/opt/empty`);
  try {
    for (const force of [false, true]) {
      const { applied, conflicts } = await write(box, path, { force });
      assert.equal(applied, false);
      assert.deepEqual(conflicts.map((conflict) => [conflict.path, conflict.forcible]), [
        ["/opt/empty", false],
        ["/opt/empty/new", false],
      ]);
      assert.match(conflicts[0]?.reason ?? "", /another file system/);
    }
    assert(Deno.statSync(`${path}/opt/file`).isFile);
    assert.deepEqual([...Deno.readDirSync(`${path}/opt/empty`)], []);
  } finally {
    await host("umount", `${path}/opt/empty`);
  }
});

Deno.test("apply: a file is replaced at once: whoever reads it meanwhile has the old one or the new", async () => {
  const { name, path } = await machine();
  const size = 3_000_000;
  Deno.writeTextFileSync(`${path}/opt/file`, "a".repeat(size));
  const box = await changed(name, `tr a b < /opt/file > /opt/t; cat /opt/t > /opt/file; rm /opt/t`);
  const script = `const seen = new Set(); console.log("ready");
    for (const end = Date.now() + 3000; Date.now() < end && !seen.has("b");) {
      const text = Deno.readTextFileSync(${JSON.stringify(`${path}/opt/file`)});
      seen.add(text.length === ${size} && /^(a+|b+)$/.test(text) ? text[0] : "torn");
    }
    console.log([...seen].sort().join());`;
  const reader = new Deno.Command(Deno.execPath(), { args: ["eval", script], stdout: "piped" }).spawn();
  const lines = reader.stdout.pipeThrough(new TextDecoderStream()).getReader();
  assert.equal((await lines.read()).value, "ready\n");
  await new Promise((resolve) => setTimeout(resolve, 50));
  await write(box, path);
  assert.equal((await lines.read()).value, "a,b\n");
  await lines.cancel();
  await reader.status;
});

Deno.test("containers that run, and those of other images, are refused", async () => {
  const { name, path } = await machine();
  const box = await changed("busybox", "echo x > /new");
  await assert.rejects(write(box, path), { code: "apply-unsupported" });
  await assert.rejects(apply(box, world.folders), { code: "apply-unsupported" });
  await using _live = await converse(world, "echo x > /new; read line", { network: "none", image: name, name: "live" });
  await assert.rejects(write("live", path), { code: "container-running" });
});

// The command line writes to this machine: only to folders of the test's.

Deno.test("sauropod apply shows, asks, and writes to this machine what a container of the host has changed", async () => {
  const here = Deno.makeTempDirSync({ dir: world.home });
  Deno.writeTextFileSync(`${here}/old`, "old");
  Deno.writeTextFileSync(`${here}/gone`, "gone");
  await new Promise((resolve) => setTimeout(resolve, 5));
  const script =
    `cd ${here}; echo new > new; echo more >> old; chmod 600 old; rm gone; printf x > "$(printf 'evil\\033[2J')"`;
  assert.equal((await world.cli(["--network", "none", "--name", "try", "host", "sh", "-c", script])).code, 0);
  const shown = [
    /^A .*\/evil\\x1b\[2J +file 1 B 0644 0:0$/m,
    /^D .*\/gone +file 4 B$/m,
    /^A .*\/new +file 4 B 0644 0:0$/m,
    /^C .*\/old +mode 0644 -> 0600, 3 B -> 8 B$/m,
  ];
  const untouched = treeOf(here);

  const dry = await world.cli(["apply", "--dry-run", "try", here]);
  assert.deepEqual([dry.code, dry.stderr], [0, ""]);
  for (const line of shown) assert.match(dry.stdout, line);

  const unasked = await world.cli(["apply", "try", here]);
  assert.equal(unasked.code, 125);
  assert.match(unasked.stderr, /standard input is not a terminal\n {2}use --yes/);

  const json = await world.cli(["apply", "--json", "--dry-run", "try", here]);
  assert.deepEqual(JSON.parse(json.stdout).changes.map(({ kind }: { kind: string }) => kind).sort(), [
    "added",
    "added",
    "changed",
    "deleted",
  ]);
  assert.deepEqual(treeOf(here), untouched);

  Deno.writeTextFileSync(`${here}/old`, "changed meanwhile");
  const conflict = await world.cli(["apply", "--yes", "try", here]);
  assert.equal(conflict.code, 1);
  assert.match(conflict.stderr, /^conflict: .*\/old: changed on the host meanwhile\nsauropod: nothing was written\n/m);
  assert.equal(Deno.readTextFileSync(`${here}/gone`), "gone");

  const forced = await world.cli(["apply", "--yes", "--force", "try", here]);
  assert.deepEqual([forced.code, forced.stderr], [0, "written: 4\n"]);
  assert.equal(Deno.readTextFileSync(`${here}/old`), "oldmore\n");
  assert.equal(Deno.readTextFileSync(`${here}/new`), "new\n");
  assert.deepEqual([...Deno.readDirSync(here)].map(({ name }) => name).sort(), ["evil\x1b[2J", "new", "old"]);
  assert.equal((await world.cli(["apply", "--yes", "try", here])).stderr, "there is nothing to write\n");
});

Deno.test({
  name: "on a terminal apply asks, and only yes is yes",
  ignore: skipWithout("python3", hasPython()),
  fn: async () => {
    const here = Deno.makeTempDirSync({ dir: world.home });
    const script = ["sh", "-c", `echo new > ${here}/new`];
    assert.equal((await world.cli(["--network", "none", "--name", "asked", "host", ...script])).code, 0);
    for (const [answer, code, written] of [["\r", 1, 0], ["nope\r", 1, 0], ["y\r", 0, 1]] as const) {
      await using terminal = new Terminal(commandLine(["apply", "asked", here]), {
        env: { SAUROPOD_HOME: world.home },
      });
      await terminal.shows(/Write this change to this machine\? \[y\/N\] $/);
      await terminal.types(answer);
      assert.equal(await terminal.ended(), code, JSON.stringify(answer));
      assert.equal([...Deno.readDirSync(here)].length, written, JSON.stringify(answer));
    }
  },
});

Deno.test("a device, FIFO or socket of this machine is not replaced nor removed, also not by force", async () => {
  const { name, path } = await machine();
  await host("sh", "-ec", `cd ${path}/opt; mkfifo fifo gone; mknod null c 1 3; ln -s fifo tofifo`);
  const box = await changed(
    name,
    "cd /opt; rm fifo gone null; echo x > fifo; echo x > null; echo y > tofifo; echo z > fine",
  );
  for (const options of [{}, { force: true }]) {
    const { applied, conflicts } = await write(box, path, options);
    assert.equal(applied, false);
    assert.deepEqual(
      conflicts.filter(({ forcible }) => !forcible).map(({ path, reason }) => `${path}: ${reason}`),
      ["fifo", "gone", "null"].map((name) => `/opt/${name}: a device, FIFO or socket on the host is not replaced`),
    );
  }
  await write(box, path, { paths: ["/opt/fine"] });
  assert.equal(
    await host("sh", "-c", `cd ${path}/opt; stat -c %F fifo gone null fine`),
    "fifo\nfifo\ncharacter special file\nregular file\n",
  );
});
