/** A container's root: /dev, the file systems of the kernel, and that writes stay in it. */

import assert from "node:assert/strict";
import { SpawnError } from "../../../mod.ts";
import { converse, host, inside, parseMounts, say } from "../../helpers/inside.ts";
import { makeWorld } from "../../helpers/world.ts";
import { containersIn, fingerprint, refused } from "../../helpers/unchanged.ts";

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

async function kilobytes(folder: string): Promise<number> {
  return Number.parseInt(await host("du", "--summarize", "--block-size=1024", folder));
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

Deno.test("run: the devices work", async () => {
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

Deno.test("run: the special file systems are mounted with their options", async () => {
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

Deno.test("run: writes never reach the image", async () => {
  const image = world.image;
  const before = await fingerprint(image);
  const script = `echo evil >> /etc/passwd; echo new > /etc/new; rm /bin/vi; chmod 777 /root; chown 1000 /tmp
    mv /etc/group /etc/moved; mkdir -p /deep/er; rm -r /var; ln -s /etc /var; touch -d @0 /bin/busybox
    cat /etc/new; tail -n 1 /etc/passwd; ls -d /var/new`;
  assert.equal(await say(world, script), "new\nevil\n/var/new\n");
  assert.equal(await fingerprint(image), before);
});

Deno.test("run: writes of a container of the image host never reach the host", async () => {
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

Deno.test("run: a second clone of an image costs kilobytes", async () => {
  await using world = makeWorld();
  const size = await kilobytes(world.image);
  assert.ok(size > 1000, `the image has ${size} KiB`);
  for (const script of ["true", "echo a > /a; echo b > /etc/b"]) await say(world, script, { keep: true });
  const folders = containersIn(world);
  assert.equal(folders.length, 2);
  for (const id of folders) {
    const cost = await kilobytes(`${world.folders.containers}/${id}`);
    assert.ok(cost < 64, `a container costs ${cost} KiB`);
  }
});

Deno.test("run: two containers of one image do not see each other's files", async () => {
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
  await using world = makeWorld({ ownImage: true });
  Deno.writeTextFileSync(`${world.image}/tmp/file`, "");
  assert.equal(await say(world, "ls /tmp", { tmpfs: ["/tmp"] }), "");
});

for (const name of ["proc", "dev", "sys"]) {
  Deno.test(`run: an image whose /${name} is a symbolic link is refused by name and nothing leaks`, async () => {
    await using world = makeWorld({ ownImage: true });
    const image = world.image;
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

  Deno.test(`run: an image whose /${name} is a file is refused by name`, async () => {
    await using world = makeWorld({ ownImage: true });
    Deno.writeTextFileSync(`${world.image}/${name}`, "");
    assert.match((await refused(world, SpawnError, {})).message, new RegExp(`/${name}\\b`));
  });
}

Deno.test("run: symbolic links in the image's own /dev, /proc and /sys are covered, not followed", async () => {
  await using world = makeWorld({ ownImage: true });
  const image = world.image;
  for (const name of ["dev", "proc", "sys/fs"]) Deno.mkdirSync(`${image}/${name}`, { recursive: true });
  for (const name of ["dev/null", "dev/pts", "dev/shm", "proc/sys", "proc/keys", "sys/fs/cgroup", "sys/firmware"]) {
    Deno.symlinkSync("/etc", `${image}/${name}`);
  }
  const lines = (await say(world, STAT, { limits: { pids: 50 } })).trim().split("\n");
  assert.deepEqual(lines.filter((line) => line !== "ptmx"), DEV);
  const names = "group\nhostname\nhosts\npasswd\nresolv.conf\n";
  assert.equal(await say(world, "ls /etc", { limits: { pids: 50 } }), names);
});

Deno.test("run: device files of an image do not work", async () => {
  await using world = makeWorld({ ownImage: true });
  await host("mknod", "-m", "666", `${world.image}/zero`, "c", "1", "5");
  const { code, stderr } = await inside(world, "head -c 1 /zero");
  assert.notEqual(code, 0);
  assert.match(stderr, /Permission denied/);
});
