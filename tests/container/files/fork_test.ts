/** Forks: containers with the files of another one, copy-on-write. */

import assert from "node:assert/strict";
import {
  changes,
  create,
  exec,
  fork,
  forkDetached,
  remove,
  rename,
  run,
  runDetached,
  start,
  stop,
} from "../../../mod.ts";
import { assertUnchanged, lookAtMachine, makeWorld, type World } from "../../helpers/world.ts";

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** What a shell in a running container says. */
async function say(world: World, container: string, script: string): Promise<string> {
  const process = await exec(container, ["sh", "-c", script], { ...world.folders, stdout: "piped", stderr: "piped" });
  const { stdout, stderr, code } = await process.output();
  assert.equal(code, 0, text(stderr));
  return text(stdout);
}

const NONE = { network: "none", keep: true } as const;

async function endAll(folders: World["folders"]): Promise<void> {
  for (const { name } of Deno.readDirSync(folders.containers)) {
    if (/^[0-9a-f]{12}$/.test(name)) await remove(name, { ...folders, force: true });
  }
}

async function inWorld(work: (world: World, options: typeof NONE & World["folders"]) => Promise<void>): Promise<void> {
  await using world = makeWorld();
  const before = lookAtMachine();
  try {
    await work(world, { ...world.folders, ...NONE });
  } finally {
    await endAll(world.folders);
  }
  assert.equal((await world.cli(["gc"])).code, 0);
  const layers = `${world.folders.containers}/.layers`;
  assert.deepEqual([...Deno.readDirSync(layers)].map(({ name }) => name), [".lock"]);
  assertUnchanged(before);
}

const SLEEP = ["sleep", "1000"];
const MAKE =
  "mkdir -p /d/sub && echo one >/d/f && ln /d/f /d/hard && ln -s f /d/soft && rm /etc/group && chmod 700 /d/sub";

for (const image of ["busybox", "host"]) {
  Deno.test(`a fork of a running container of ${image} has its files, and neither sees what the other writes`, async () => {
    await inWorld(async (world, options) => {
      await runDetached(image, SLEEP, { ...options, name: "a" });
      await say(world, "a", MAKE);
      await forkDetached("a", [], { ...options, name: "b" });
      assert.equal(
        await say(world, "b", "cat /d/f /d/soft; ls /etc/group 2>/dev/null; stat -c %a%h /d/sub /d/f"),
        "one\none\n7002\n6442\n",
      );
      await say(world, "b", "echo two >/d/f; rm /d/hard; touch /d/only-b");
      await say(world, "a", "echo three >/d/f; touch /d/only-a");
      assert.equal(await say(world, "a", "cd /d; cat f hard; ls"), "three\nthree\nf\nhard\nonly-a\nsoft\nsub\n");
      assert.equal(await say(world, "b", "cd /d; cat f; ls"), "two\nf\nonly-b\nsoft\nsub\n");
    });
  });

  Deno.test(`a stopped container of ${image} is forked again and again, goes on, and keeps what it had`, async () => {
    await inWorld(async (world, options) => {
      await runDetached(image, SLEEP, { ...options, name: "a" });
      await say(world, "a", MAKE);
      await stop("a", { ...world.folders, timeout: 0 });
      await forkDetached("a", [], { ...options, name: "b" });
      await say(world, "b", "echo two >/d/f; rm -r /d/sub");
      await stop("b", { ...world.folders, timeout: 0 });
      await forkDetached("b", [], { ...options, name: "c" });
      await say(world, "c", "echo more >/d/sub");
      assert.equal(
        await say(world, "c", "cat /d/f /d/hard /d/sub; ls /etc/group 2>/dev/null | wc -l"),
        "two\none\nmore\n0\n",
      );
      await start("a", world.folders);
      assert.equal(
        await say(world, "a", "cat /d/f /d/hard; ls /d; ls /etc/group 2>/dev/null | wc -l"),
        "one\none\nf\nhard\nsoft\nsub\n0\n",
      );
      await say(world, "a", "echo again >/d/f");
      assert.equal(await say(world, "c", "cat /d/f"), "two\n");
    });
  });
}

Deno.test("what a container changed is told as before when it has been forked", async () => {
  await inWorld(async (world, options) => {
    await runDetached("busybox", SLEEP, { ...options, name: "a" });
    await say(world, "a", `${MAKE}; echo x >>/etc/passwd`);
    const list = async (): Promise<string[]> =>
      (await changes("a", world.folders)).map(({ kind, path }) => `${kind} ${path}`);
    const before = await list();
    assert(before.includes("deleted /etc/group") && before.includes("changed /etc/passwd"), before.join());
    await stop("a", { ...world.folders, timeout: 0 });
    await create("container:a", [], { ...options, name: "b" });
    assert.deepEqual(await list(), before);
    await start("a", world.folders);
    await say(world, "a", "rm /d/f; echo y >>/etc/passwd; echo z >/etc/group; echo w >/new");
    const expected = [
      ...before.filter((line) => !/\/d\/f$|\/etc\/group$/.test(line)),
      "changed /etc/group",
      "added /new",
    ];
    assert.deepEqual((await list()).sort(), expected.sort());
  });
});

Deno.test("a fork has the options of the original, but for its name and ports, unless others are given", async () => {
  await inWorld(async (world, options) => {
    const more = { env: { A: "1", B: "1" }, cwd: "/tmp", user: "alice", readOnly: true, tmpfs: ["/scratch"] };
    await runDetached("busybox", SLEEP, { ...options, ...more, name: "a" });
    await forkDetached("a", [], { ...options, name: "b", env: { B: "2" } });
    const script = "echo $A$B; pwd; id -un; touch /x 2>/dev/null || echo read-only; grep -c ' /scratch ' /proc/mounts";
    assert.equal(await say(world, "b", script), "12\n/tmp\nalice\nread-only\n1\n");
    const { code, stdout } = await world.cli([
      "fork",
      "--rm",
      "--network",
      "none",
      "a",
      "sh",
      "-c",
      `${script}; exit 7`,
    ]);
    assert.deepEqual([code, stdout], [7, "11\n/tmp\nalice\nread-only\n1\n"]);
  });
});

Deno.test("a fork in this process ends with its scope, and the original may go before it", async () => {
  await inWorld(async (world, options) => {
    const a = await run("busybox", SLEEP, { ...options, keep: false });
    await (await a.exec(["sh", "-c", MAKE])).status;
    await using b = await fork(a.id, [], { ...options, keep: false });
    await a[Symbol.asyncDispose]();
    assert.equal((await world.cli(["gc"])).code, 0);
    const { stdout } = await (await b.exec(["cat", "/d/f"], { stdout: "piped", stderr: "piped" })).output();
    assert.equal(text(stdout), "one\n");
  });
});

Deno.test("fork of a running container keeps holes at the end of files, and owners above 2^31", async () => {
  await inWorld(async (world, options) => {
    await runDetached("busybox", SLEEP, { ...options, name: "a" });
    await say(
      world,
      "a",
      "echo x >/holes; dd if=/dev/null of=/holes bs=1 seek=3G 2>/dev/null; chown 4000000000 /holes",
    );
    await forkDetached("a", [], { ...options, name: "b" });
    assert.equal(await say(world, "b", "stat -c '%s %u' /holes"), "3221225472 4000000000\n");
  });
});

Deno.test("what is written while a container is forked is there as at one instant", async () => {
  await inWorld(async (world, options) => {
    // The two files are always equal but for one write: an instant shows a difference of at most one.
    const count = "i=0; while :; do i=$((i+1)); echo $i >/x; echo $i >/y; done";
    await runDetached("busybox", ["sh", "-c", count], { ...options, name: "a" });
    for (let i = 0; i < 6; i++) {
      await forkDetached("a", SLEEP, { ...options, name: `f${i}` });
      const [x = NaN, y = NaN] = (await say(world, `f${i}`, "cat /x /y")).trim().split("\n").map(Number);
      assert(x - y === 0 || x - y === 1 || Number.isNaN(x + y), `${x} ${y}`);
    }
    const number = 'until n=$(cat /y) && [ -n "$n" ]; do :; done; echo $n';
    const [before = NaN, after = NaN] = (await say(world, "a", `${number}; sleep 0.1; ${number}`)).split("\n").map(
      Number,
    );
    assert(after > before, `${before} ${after}`);
  });
});

Deno.test("a process that is killed in the middle of a fork loses nothing", async () => {
  await inWorld(async (world, options) => {
    await runDetached("busybox", SLEEP, { ...options, name: "a" });
    await say(world, "a", "echo kept >/f");
    await stop("a", { ...world.folders, timeout: 0 });
    const [id = ""] = [...Deno.readDirSync(world.folders.containers)].map(({ name }) => name).filter((name) =>
      /^[0-9a-f]{12}$/.test(name)
    );
    const folder = `${world.folders.containers}/${id}`, layer = `${world.folders.containers}/.layers/0011/diff`;
    const record = JSON.parse(Deno.readTextFileSync(`${folder}/container.json`));
    const between = JSON.stringify({ ...record, layers: [layer], forking: layer });
    // Killed before its upper folder was moved, and behind it.
    for (const moved of [false, true]) {
      Deno.mkdirSync(`${world.folders.containers}/.layers/0011`, { recursive: true });
      Deno.writeTextFileSync(`${folder}/container.json`, between);
      if (moved) Deno.renameSync(`${folder}/upper`, layer);
      await start("a", world.folders);
      assert.equal(await say(world, "a", "cat /f"), "kept\n");
      await stop("a", { ...world.folders, timeout: 0 });
    }
    await rename("a", "still", world.folders);
  });
});

Deno.test("forks that are refused are told why", async () => {
  await inWorld(async (world, options) => {
    await assert.rejects(fork("nothing", [], options), { code: "container-not-found" });
    await create("busybox", SLEEP, { ...options, name: "a" });
    const { code, stderr } = await world.cli(["fork"]);
    assert.equal(code, 125);
    assert.match(stderr, /fork needs CONTAINER/);
    await forkDetached("a", [], { ...options, name: "b" });
    assert.equal(await say(world, "b", "cat /proc/1/cmdline | tr '\\0' ' '"), "sleep 1000 ");
  });
});

/** Whether a file system that can share blocks can be made and mounted here. */
const XFS = ["mkfs.xfs", "losetup"].every((program) => {
  try {
    return new Deno.Command(program, { args: ["-V"], stdout: "null", stderr: "null" }).outputSync().success;
  } catch {
    return false;
  }
}) && Deno.readTextFileSync("/proc/filesystems").includes("\txfs\n");
if (!XFS) console.log("the test of shared blocks is ignored: mkfs.xfs, losetup or this kernel's XFS is missing");

Deno.test({
  name: "where the file system can share blocks, a fork of a running container shares them",
  ignore: !XFS,
  async fn(): Promise<void> {
    await using world = makeWorld();
    const disk = `${world.home}/disk`, place = `${world.home}/xfs`;
    const host = async (script: string): Promise<string> => {
      const { code, stdout, stderr } = await new Deno.Command("sh", { args: ["-ec", script] }).output();
      assert.equal(code, 0, text(stderr));
      return text(stdout).trim();
    };
    await host(
      `truncate -s 400m ${disk}; mkfs.xfs -q -m reflink=1 ${disk}; mkdir ${place}; mount -o loop ${disk} ${place}`,
    );
    const folders = { images: world.folders.images, containers: `${place}/containers` };
    const used = async (): Promise<number> => Number(await host(`sync; df --output=used -m ${place} | tail -n 1`));
    try {
      const a = await runDetached("busybox", SLEEP, { ...folders, ...NONE });
      const fill = "head -c 60000000 /dev/urandom >/big; : >/holes; dd if=/dev/null of=/holes bs=1 seek=3G 2>/dev/null";
      await (await exec(a, ["sh", "-c", fill], folders)).status;
      const before = await used();
      const b = await forkDetached(a, [], { ...folders, ...NONE });
      assert(await used() < before + 10, "the fork takes as much room again");
      const sums = await Promise.all([a, b].map(async (id) => {
        const { stdout } = await (await exec(id, ["sh", "-c", "md5sum /big; stat -c %s /big; stat -c %s%b /holes"], {
          ...folders,
          stdout: "piped",
          stderr: "piped",
        })).output();
        return text(stdout);
      }));
      assert.equal(sums[0], sums[1]);
      assert.match(sums[0] ?? "", /^[0-9a-f]{32} .*\n60000000\n32212254720\n$/);
    } finally {
      await endAll(folders);
      await host(`umount ${place}`);
    }
  },
});
