import assert from "node:assert/strict";
import { ImageError, InputError, output, SpawnError } from "../mod.ts";
import { converse, host, inside, type InsideOptions, parseMounts, say } from "./helpers/inside.ts";
import { assertUnchanged, hasAlpine, lookAtMachine, makeWorld, type World } from "./helpers/world.ts";

const world = makeWorld();
Deno.test.afterAll(async () => await world[Symbol.asyncDispose]());

const STAT = "find /dev -path /dev/pts -prune -o -exec stat -c '%n|%F|%t:%T|%a|%N' {} + | LC_ALL=C sort; ls /dev/pts";

// Name, kind, device number in hexadecimal, permissions, and where a link leads: runtime-spec, config-linux.md.
const DEV = [
  "/dev/fd|symbolic link|0:0|777|'/dev/fd' -> '/proc/self/fd'",
  "/dev/full|character special file|1:7|666|/dev/full",
  "/dev/mqueue|directory|0:0|1777|/dev/mqueue",
  "/dev/null|character special file|1:3|666|/dev/null",
  "/dev/ptmx|symbolic link|0:0|777|'/dev/ptmx' -> 'pts/ptmx'",
  "/dev/random|character special file|1:8|666|/dev/random",
  "/dev/shm|directory|0:0|1777|/dev/shm",
  "/dev/stderr|symbolic link|0:0|777|'/dev/stderr' -> '/proc/self/fd/2'",
  "/dev/stdin|symbolic link|0:0|777|'/dev/stdin' -> '/proc/self/fd/0'",
  "/dev/stdout|symbolic link|0:0|777|'/dev/stdout' -> '/proc/self/fd/1'",
  "/dev/tty|character special file|5:0|666|/dev/tty",
  "/dev/urandom|character special file|1:9|666|/dev/urandom",
  "/dev/zero|character special file|1:5|666|/dev/zero",
  "/dev|directory|0:0|755|/dev",
];

/** Everything in a folder: names, kinds, modes, owners, sizes, times and contents. */
async function fingerprint(folder: string): Promise<string> {
  const script =
    "find . -printf '%p %y %m %U:%G %s %T@ %l\\n' | sort; find . -type f -print0 | sort -z | xargs -0 md5sum";
  return await host("sh", "-c", `cd "$1" && { ${script}; }`, "sh", folder);
}

async function kilobytes(folder: string): Promise<number> {
  return Number.parseInt(await host("du", "--summarize", "--block-size=1024", folder));
}

function containersIn(world: World): string[] {
  return [...Deno.readDirSync(world.folders.containers)].map(({ name }) => name).filter((name) =>
    !name.startsWith(".")
  );
}

/** Runs what must be refused with an error of `type`, and checks that nothing was made. */
async function refused(
  world: World,
  type: new (...words: never[]) => Error,
  options: InsideOptions,
): Promise<Error & { code?: string; hint?: string }> {
  const before = lookAtMachine();
  let caught: unknown;
  await inside(world, "echo ran; cat /etc/hostname", options).catch((error) => caught = error);
  assert.ok(caught instanceof type, `not refused: ${caught}`);
  assertUnchanged(before);
  assert.deepEqual(containersIn(world), []);
  return caught;
}

Deno.test("/dev holds the devices and links of the OCI specification and nothing else", async () => {
  for (const image of ["busybox", "host"]) {
    const lines = (await say(world, STAT, { image })).trim().split("\n");
    assert.deepEqual(
      lines.filter((line) => line !== "ptmx").map((line) => line.replace(/\|'([^']*)'$/, "|$1")),
      DEV,
    );
    assert.ok(lines.includes("ptmx"));
  }
});

Deno.test("with a terminal there is /dev/console too, and it is that terminal", async () => {
  const terminal = { columns: 200, rows: 24 };
  const script = "stat -c '%F %t:%T' /dev/console /dev/pts/0; tty; ls /dev | tr '\\n' ' '";
  const said = await inside(world, script, { stdin: "piped", terminal });
  const [console, pts, tty, names = ""] = said.stdout.split("\r\n");
  assert.deepEqual([console, pts, tty], ["character special file 88:0", "character special file 88:0", "/dev/pts/0"]);
  const expected = [...DEV.slice(0, -1).map((line) => line.split("|")[0]?.slice(5)), "console", "pts"].sort();
  assert.deepEqual(names.trim().split(/\s+/).sort(), expected);
});

Deno.test("the devices work", async () => {
  const script = `
    head -c 3 /dev/zero | wc -c; wc -c < /dev/null; echo lost > /dev/null
    head -c 3 /dev/urandom | wc -c; head -c 3 /dev/random | wc -c
    echo more 2>&1 > /dev/full | sed 's/.*: //'
    echo from | cat /dev/stdin > /dev/stdout; ls -d /dev/fd/0; echo to >/dev/shm/file && cat /dev/shm/file`;
  const said = await say(world, script, { user: "alice" });
  assert.equal(said, "3\n0\n3\n3\nNo space left on device\nfrom\n/dev/fd/0\nto\n");
});

// Target, type, options of the mount and of the file system that must be there.
const MOUNTS: readonly (readonly [string, string, string[], string[]])[] = [
  ["/", "overlay", ["rw", "nodev"], ["rw"]],
  ["/proc", "proc", ["rw", "nosuid", "nodev", "noexec"], ["rw"]],
  ["/dev", "tmpfs", ["rw", "nosuid"], ["rw", "size=65536k", "mode=755"]],
  ["/dev/pts", "devpts", ["rw", "nosuid", "noexec"], ["rw", "gid=5", "mode=620", "ptmxmode=666"]],
  ["/dev/shm", "tmpfs", ["rw", "nosuid", "nodev", "noexec"], ["rw", "size=65536k"]],
  ["/dev/mqueue", "mqueue", ["rw", "nosuid", "nodev", "noexec"], ["rw"]],
  ["/sys", "sysfs", ["ro", "nosuid", "nodev", "noexec"], []],
];

Deno.test("the special file systems are mounted with their options", async () => {
  const mounts = parseMounts(await say(world, "cat /proc/self/mountinfo"));
  for (const [target, type, options, superOptions] of MOUNTS) {
    const found = mounts.filter((mount) => mount.target === target);
    assert.deepEqual(found.map((mount) => mount.type), [type], target);
    const [mount] = found;
    assert.deepEqual(options.filter((option) => !mount?.options.includes(option)), [], target);
    assert.deepEqual(superOptions.filter((option) => !mount?.superOptions.includes(option)), [], target);
    const forbidden = options.includes("rw") ? "ro" : "rw";
    assert.ok(!mount?.options.includes(forbidden), target);
  }
  const devpts = mounts.find(({ target }) => target === "/dev/pts");
  assert.ok(!devpts?.options.includes("nodev"));
});

Deno.test("/dev/pts is an instance of its own", async () => {
  const terminal = { columns: 80, rows: 24 };
  await using one = await converse(world, "echo; read", { terminal });
  await one.ask();
  assert.equal((await say(world, "ls /dev/pts")).trim(), "ptmx");
});

Deno.test("the size of /dev/shm can be chosen", async () => {
  const script = ["sh", "-c", "df -k /dev/shm | tail -n 1 | awk '{ print $2 }'"];
  assert.equal((await world.cli(["--rm", "--shm-size", "3m", "busybox", ...script])).stdout, "3072\n");
});

Deno.test("a limited container sees its own control groups, read-only and from their top", async () => {
  const script = "cat /proc/self/mountinfo; echo ===; cat /proc/self/cgroup; echo ===;" +
    "for top in $(awk '/ - cgroup/ { print $5 }' /proc/self/mountinfo); do mkdir $top/new; done 2>&1";
  const { stdout } = await inside(world, script, { limits: { pids: 50 } });
  const [mountinfo = "", groups = "", made = ""] = stdout.split("===\n");
  const mounts = parseMounts(mountinfo).filter(({ type }) => type.startsWith("cgroup"));
  assert.ok(mounts.length > 0);
  for (const { target, root, options } of mounts) {
    assert.ok(target === "/sys/fs/cgroup" || target.startsWith("/sys/fs/cgroup/"), target);
    assert.equal(root, "/", `${target} shows ${root}`);
    assert.deepEqual(["ro", "nosuid", "nodev", "noexec"].filter((option) => !options.includes(option)), []);
  }
  assert.match(groups, /^\d+:(.*\bpids\b.*)?:\/$/m);
  assert.doesNotMatch(groups, /sauropod-/);
  assert.match(made, /Read-only file system/);
  const limit = await say(world, "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; true", {
    limits: { pids: 50 },
  });
  assert.equal(limit, "50\n");
});

Deno.test("writes never reach the image", async () => {
  const image = `${world.folders.images}/busybox`;
  const before = await fingerprint(image);
  const script = `echo evil >> /etc/passwd; echo new > /etc/new; rm /bin/vi; chmod 777 /root; chown 1000 /tmp
    mv /etc/group /etc/moved; mkdir -p /deep/er; rm -r /var; ln -s /etc /var; touch -d @0 /bin/busybox
    cat /etc/new; tail -n 1 /etc/passwd; ls -d /var/new`;
  assert.equal(await say(world, script), "new\nevil\n/var/new\n");
  assert.equal(await fingerprint(image), before);
});

Deno.test("writes of a container of the image host never reach the host", async () => {
  // Right below the root, so that it lies on the file system that the image host shows.
  const folder = Deno.makeTempDirSync({ dir: "/", prefix: "sauropod-test-" });
  try {
    Deno.writeTextFileSync(`${folder}/precious`, "of the host");
    Deno.writeTextFileSync(`${folder}/doomed`, "of the host");
    const before = await fingerprint(folder);
    const script = `cat ${folder}/precious; cd ${folder}; echo > precious; rm doomed; echo > new; chmod 777 .; ls`;
    assert.equal(await say(world, script, { image: "host" }), "of the host" + "new\nprecious\n");
    assert.equal(await fingerprint(folder), before);
    await say(world, `rm -r ${folder}`, { image: "host" });
    assert.equal(await fingerprint(folder), before);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("a second clone of an image costs kilobytes", async () => {
  await using world = makeWorld();
  const size = await kilobytes(`${world.folders.images}/busybox`);
  assert.ok(size > 1000, `the image has ${size} KiB`);
  for (const script of ["true", "echo a > /a; echo b > /etc/b"]) await say(world, script, { keep: true });
  const folders = containersIn(world);
  assert.equal(folders.length, 2);
  for (const id of folders) {
    const cost = await kilobytes(`${world.folders.containers}/${id}`);
    assert.ok(cost < 64, `a container costs ${cost} KiB`);
  }
});

Deno.test("two containers of one image do not see each other's files", async () => {
  const script =
    'echo "$HOSTNAME" > /mine; echo "$HOSTNAME" >> /etc/passwd; echo ready; read; cat /mine; tail -n 1 /etc/passwd; ls / | wc -l';
  await using one = await converse(world, script);
  await using other = await converse(world, script);
  assert.deepEqual([await one.ask(), await other.ask()], ["ready", "ready"]);
  for (const { container, ask } of [one, other]) {
    assert.deepEqual([await ask("go"), await ask()], [container.id, container.id]);
  }
  assert.equal(await one.ask(), await other.ask());
});

Deno.test("with --read-only the root cannot be written but file systems in memory can", async () => {
  const script =
    `for path in /new /etc/passwd /root/new /work/new; do echo > $path; done 2>&1 | sed 's/.*: //' | uniq -c
    pwd; echo a > /dev/shm/a; echo b > /scratch/b; cat /dev/shm/a /scratch/b`;
  const flags = ["--rm", "--read-only", "--workdir", "/work", "--tmpfs", "/scratch"];
  const { code, stdout, stderr } = await world.cli(["run", ...flags, "busybox", "/bin/sh", "-c", script]);
  assert.deepEqual([code, stderr], [0, ""]);
  assert.deepEqual(stdout.trim().split("\n").map((line) => line.trim()), [
    "4 Read-only file system",
    "/work",
    "a",
    "b",
  ]);
});

Deno.test("--tmpfs mounts memory with the options asked for, noexec unless told otherwise", async () => {
  const tmpfs = ["/plain", "/deep/er:size=1m,mode=0710,uid=1000,gid=50,nr_inodes=9", "/programs:exec,size=4m"];
  const script = `stat -c '%a %u %g' /plain /deep/er; df -k /deep/er | tail -n 1 | awk '{ print $2 }'
    for i in 1 2 3 4 5 6 7 8 9; do touch /deep/er/$i; done 2>&1 | grep -c 'No space'
    for folder in /plain /programs; do cp /bin/busybox $folder/echo; $folder/echo ran 2>&1 | sed 's/.*: //'; done`;
  const said = await say(world, script, { tmpfs });
  assert.equal(said, "1777 0 0\n710 1000 50\n1024\n1\nPermission denied\nran\n");
  const mounts = parseMounts(await say(world, "cat /proc/self/mountinfo", { tmpfs }));
  for (const target of ["/plain", "/deep/er", "/programs"]) {
    const options = mounts.find((mount) => mount.target === target)?.options ?? [];
    assert.deepEqual(["nosuid", "nodev"].filter((option) => !options.includes(option)), []);
    assert.equal(options.includes("noexec"), target !== "/programs", target);
  }
});

Deno.test("--tmpfs on /tmp hides what the image has there", async () => {
  await using world = makeWorld();
  Deno.writeTextFileSync(`${world.folders.images}/busybox/tmp/file`, "");
  assert.equal(await say(world, "ls /tmp", { tmpfs: ["/tmp"] }), "");
});

Deno.test("a volume is the host's folder: both sides see what the other writes", async () => {
  Deno.mkdirSync(`${world.home}/data`);
  await using box = await converse(world, "echo in > /new/data/in; echo; read; cat /new/data/out", {
    volumes: [`${world.home}/data:/new/data`],
  });
  await box.ask();
  assert.equal(Deno.readTextFileSync(`${world.home}/data/in`), "in\n");
  Deno.writeTextFileSync(`${world.home}/data/out`, "out");
  assert.equal(await box.ask("go"), "out");
});

Deno.test("a single file can be a volume, also in place of a file of the image", async () => {
  Deno.writeTextFileSync(`${world.home}/file`, "of the host\n");
  const volumes = [`${world.home}/file:/etc/passwd:ro`, `${world.home}/file:/a/new/one`];
  const script = "cat /etc/passwd /a/new/one; echo changed > /a/new/one; echo > /etc/passwd";
  const { stdout, stderr } = await inside(world, script, { volumes });
  assert.equal(stdout, "of the host\nof the host\n");
  assert.match(stderr, /etc\/passwd: Read-only file system/);
  assert.equal(Deno.readTextFileSync(`${world.home}/file`), "changed\n");
});

Deno.test("a read-only volume cannot be written, not even in what is mounted below it", async () => {
  const data = `${world.home}/guarded`;
  Deno.mkdirSync(`${data}/below`, { recursive: true });
  await host("mount", "-t", "tmpfs", "below", `${data}/below`);
  try {
    Deno.writeTextFileSync(`${data}/below/file`, "seen");
    const script =
      "cat /data/below/file; for f in /data/new /data/below/new /data/below/file; do echo > $f; done; true";
    const { stdout, stderr } = await inside(world, script, { volumes: [`${data}:/data:ro`], capAdd: ["DAC_OVERRIDE"] });
    assert.equal(stdout, "seen");
    assert.equal(stderr.match(/Read-only file system/g)?.length, 3);
    assert.deepEqual([...Deno.readDirSync(data)].map(({ name }) => name), ["below"]);
    // Only the container's view is read-only.
    Deno.writeTextFileSync(`${data}/below/other`, "");
  } finally {
    await host("umount", `${data}/below`);
  }
});

Deno.test("the source of a volume is relative to the working directory", async () => {
  Deno.mkdirSync(`${world.home}/here/data`, { recursive: true });
  Deno.writeTextFileSync(`${world.home}/here/data/file`, "found");
  for (const source of ["data", "./data", "../here/data", "."]) {
    const file = source === "." ? "/in/data/file" : "/in/file";
    const { stdout } = await world.cli(["--rm", "-v", `${source}:/in`, "busybox", "cat", file], {
      cwd: `${world.home}/here`,
    });
    assert.equal(stdout, "found", source);
  }
});

Deno.test("volumes can be nested, whatever their order", async () => {
  for (const name of ["outer/middle", "inner"]) Deno.mkdirSync(`${world.home}/${name}`, { recursive: true });
  Deno.writeTextFileSync(`${world.home}/outer/file`, "outer ");
  Deno.writeTextFileSync(`${world.home}/inner/file`, "inner");
  const volumes = [`${world.home}/inner:/data/middle`, `${world.home}/outer:/data`];
  for (const order of [volumes, volumes.toReversed()]) {
    assert.equal(await say(world, "cat /data/file /data/middle/file", { volumes: order }), "outer inner");
  }
  const mixed = { volumes: volumes.slice(1), tmpfs: ["/data/middle"] };
  assert.equal(await say(world, "cat /data/file; ls /data/middle; touch /data/middle/new", mixed), "outer ");
  assert.deepEqual([...Deno.readDirSync(`${world.home}/outer/middle`)], []);
});

Deno.test("a symbolic link of the image as a volume's target leads only into the image", async () => {
  await using world = makeWorld();
  const victim = `${world.home}/victim`;
  Deno.mkdirSync(victim);
  Deno.mkdirSync(`${world.home}/data`);
  Deno.writeTextFileSync(`${world.home}/data/file`, "data");
  const image = `${world.folders.images}/busybox`;
  Deno.symlinkSync("/etc", `${image}/to-etc`);
  Deno.symlinkSync(`../../../../../..${victim}`, `${image}/out`);
  const before = await fingerprint(image);

  const link = await say(world, "cat /etc/file; ls /etc", { volumes: [`${world.home}/data:/to-etc`] });
  assert.equal(link, "data" + "file\n");
  const parent = await say(world, "cat /etc/new/file; test -e /etc/passwd", {
    volumes: [`${world.home}/data:/to-etc/new`],
  });
  assert.equal(parent, "data");
  // A way up and out: `..` at the top must stay there, also while the container is being made.
  const target = await inside(world, "true", { volumes: [`${world.home}/data:/out`] }).catch((error) => error);
  assert.ok(target instanceof SpawnError, "the volume was mounted on a folder of the host");
  for (const options of [{ volumes: [`${world.home}/data:/out/deep/er`] }, { tmpfs: ["/out/memory"] }]) {
    await inside(world, "true", options).catch((error) => assert.ok(error instanceof SpawnError));
  }
  assert.deepEqual([...Deno.readDirSync(victim)], []);
  assert.equal(await fingerprint(image), before);
});

Deno.test("a volume may lie on a folder of /dev or /sys, which symbolic links of the image do not move", async () => {
  Deno.mkdirSync(`${world.home}/special`);
  Deno.writeTextFileSync(`${world.home}/special/file`, "data");
  assert.equal(await say(world, "cat /dev/data/file", { volumes: [`${world.home}/special:/dev/data`] }), "data");
  assert.equal(await say(world, "cat /sys/kernel/file", { volumes: [`${world.home}/special:/sys/kernel:ro`] }), "data");
});

Deno.test("mounts that make no sense are refused before anything is made", async () => {
  const source = world.home;
  Deno.writeTextFileSync(`${source}/file`, "");
  Deno.symlinkSync("loop", `${source}/loop`);
  const bad: readonly (readonly [InsideOptions, string])[] = [
    [{ volumes: [`${source}/missing:/data`] }, "mount-source-missing"],
    [{ volumes: [`${source}/file/x:/data`] }, "bad-mount"],
    [{ volumes: [`${source}/loop:/data`] }, "bad-mount"],
    [{ devices: [`${source}/file/x:/dev/x`] }, "bad-device"],
    [{ volumes: ["data"] }, "bad-mount"],
    [{ volumes: [`${source}:data`] }, "bad-mount"],
    [{ volumes: [`${source}:/data:rx`] }, "bad-mount"],
    [{ volumes: [`${source}:/data:ro:ro`] }, "bad-mount"],
    [{ volumes: [`${source}:/a/../../b`] }, "bad-mount"],
    [{ volumes: [`${source}:/`] }, "bad-mount"],
    [{ volumes: [`${source}:/a\0`] }, "bad-mount"],
    [{ volumes: ["/a\0"] }, "bad-mount"],
    [{ tmpfs: ["/a\0"] }, "bad-mount"],
    [{ volumes: [`${source}:/proc`] }, "bad-mount"],
    [{ volumes: [`${source}:/proc/self/attr`] }, "bad-mount"],
    [{ volumes: [`${source}://proc/./sys/`] }, "bad-mount"],
    [{ volumes: [`${source}:/sys`] }, "bad-mount"],
    [{ volumes: [`${source}:/a`, `${source}:/a/`] }, "bad-mount"],
    [{ volumes: [`${source}:/a`], tmpfs: ["/a"] }, "bad-mount"],
    [{ tmpfs: ["run"] }, "bad-mount"],
    [{ tmpfs: ["/run:size=lots"] }, "bad-mount"],
    [{ tmpfs: ["/run:suid"] }, "bad-mount"],
    [{ tmpfs: ["/dev"] }, "bad-mount"],
  ];
  for (const [options, code] of bad) {
    const error = await refused(world, InputError, options);
    assert.equal(error.code, code, JSON.stringify(options));
    assert.match(error.message, /^--(volume|tmpfs|device) |^two mounts/);
  }
  const { code, stderr } = await world.cli(["-v", "missing:/data", "busybox", "true"]);
  assert.equal(code, 125);
  assert.ok(stderr.includes(`there is no ${world.home}/missing`), stderr);
  assert.deepEqual(containersIn(world), []);
});

Deno.test("a volume whose target is a file where a folder is needed is refused and nothing is left", async () => {
  const error = await refused(world, SpawnError, { volumes: [`${world.home}:/etc/passwd`] });
  assert.match(error.message, /\/etc\/passwd/);
  assert.match(`${error.hint}`, /a folder can only be mounted on a folder/);
});

for (const name of ["proc", "dev", "sys"]) {
  Deno.test(`an image whose /${name} is a symbolic link is refused by name and nothing leaks`, async () => {
    await using world = makeWorld();
    const image = `${world.folders.images}/busybox`;
    const victim = `${world.home}/victim`;
    Deno.mkdirSync(victim);
    for (const target of ["/etc", "etc", victim, `../../../..${victim}`, "/missing"]) {
      Deno.symlinkSync(target, `${image}/${name}`);
      const before = await fingerprint(image);
      const error = await refused(world, SpawnError, {});
      assert.match(error.message, new RegExp(`/${name}\\b`), target);
      assert.match(`${error.hint}`, /symbolic link/);
      const { code, stdout, stderr } = await world.cli(["--rm", "busybox", "echo", "ran"]);
      assert.deepEqual([code, stdout], [125, ""]);
      assert.match(stderr, new RegExp(`/${name}\\b`));
      assert.equal(await fingerprint(image), before);
      assert.deepEqual([...Deno.readDirSync(victim)], []);
      Deno.removeSync(`${image}/${name}`);
    }
  });

  Deno.test(`an image whose /${name} is a file is refused by name`, async () => {
    await using world = makeWorld();
    Deno.writeTextFileSync(`${world.folders.images}/busybox/${name}`, "");
    assert.match((await refused(world, SpawnError, {})).message, new RegExp(`/${name}\\b`));
  });
}

Deno.test("symbolic links in the image's own /dev, /proc and /sys are covered, not followed", async () => {
  await using world = makeWorld();
  const image = `${world.folders.images}/busybox`;
  for (const name of ["dev", "proc", "sys/fs"]) Deno.mkdirSync(`${image}/${name}`, { recursive: true });
  for (const name of ["dev/null", "dev/pts", "dev/shm", "proc/sys", "proc/keys", "sys/fs/cgroup", "sys/firmware"]) {
    Deno.symlinkSync("/etc", `${image}/${name}`);
  }
  const lines = (await say(world, STAT, { limits: { pids: 50 } })).trim().split("\n");
  assert.deepEqual(lines.filter((line) => line !== "ptmx"), DEV);
  const names = "group\nhostname\nhosts\npasswd\nresolv.conf\n";
  assert.equal(await say(world, "ls /etc", { limits: { pids: 50 } }), names);
});

Deno.test("device files of an image do not work", async () => {
  await using world = makeWorld();
  await host("mknod", "-m", "666", `${world.folders.images}/busybox/zero`, "c", "1", "5");
  const { code, stderr } = await inside(world, "head -c 1 /zero");
  assert.notEqual(code, 0);
  assert.match(stderr, /Permission denied/);
});

const ARCHIVES: readonly (readonly [ending: string, pack: string])[] = [
  ["tar", "cat"],
  ["tar.gz", "gzip -1"],
  ["tgz", "gzip -1"],
  ["tar.zst", "node:zlib"],
];

async function pack(world: World, ending: string, packer: string): Promise<void> {
  const { folders: { images } } = world;
  const target = `${images}/packed.${ending}`;
  if (packer !== "node:zlib") {
    await host("sh", "-c", `tar -C "$1/busybox" -cf - . | ${packer} > "$2"`, "sh", images, target);
    return;
  }
  const { zstdCompressSync } = await import("node:zlib");
  await host("tar", "-C", `${images}/busybox`, "-cf", `${images}/plain`, ".");
  Deno.writeFileSync(target, new Uint8Array(zstdCompressSync(Deno.readFileSync(`${images}/plain`))));
}

for (const [ending, packer] of ARCHIVES) {
  Deno.test(`an image can be an archive packed as .${ending}`, async () => {
    await using world = makeWorld();
    await pack(world, ending, packer);
    const image = "packed";
    for (let i = 0; i < 2; i++) assert.equal(await say(world, "head -n 1 /etc/group", { image }), "root:x:0:\n");
    assert.equal(await say(world, ["stat", "-c", "%a", "/tmp"], { image }), "1777\n");
    assert.equal((await world.cli(["--rm", "packed", "id", "-un"])).stdout, "root\n");
  });
}

Deno.test("concurrent first runs of one archive all succeed, and it is unpacked once", async () => {
  await using world = makeWorld();
  await pack(world, "tar.gz", "gzip -1");
  const words = ["--rm", "packed", "sh", "-c", "ls /bin | wc -l; cat /etc/passwd | wc -l"];
  const others = [world.cli(words), world.cli(words), world.cli(words)];
  const script = words.slice(4).join(" ");
  const ours = Array.from({ length: 4 }, () => inside(world, script, { image: "packed" }));
  const results = await Promise.all([...others, ...ours]);
  const [first] = results;
  assert.deepEqual(first?.code, 0);
  for (const result of results) assert.deepEqual(result, first);
  const unpacked = [...Deno.readDirSync(`${world.folders.images}/.unpacked`)].filter(({ isDirectory }) => isDirectory);
  assert.equal(unpacked.length, 1, unpacked.map(({ name }) => name).join(" "));
});

Deno.test("an archive that is cut short is refused, and runs once it has been mended", async () => {
  await using world = makeWorld();
  await pack(world, "tar.gz", "gzip -1");
  const path = `${world.folders.images}/packed.tar.gz`;
  const bytes = Deno.readFileSync(path);
  Deno.writeFileSync(path, bytes.subarray(0, bytes.length / 2));
  await refused(world, ImageError, { image: "packed" });
  Deno.writeFileSync(path, bytes);
  assert.equal(await say(world, "echo ran", { image: "packed" }), "ran\n");
});

Deno.test("real Alpine runs from its archive", { ignore: !hasAlpine() }, async () => {
  await using world = makeWorld();
  const { stdout } = await output("alpine", ["cat", "/etc/alpine-release"], world.folders);
  assert.equal(new TextDecoder().decode(stdout), "3.20.3\n");
});
