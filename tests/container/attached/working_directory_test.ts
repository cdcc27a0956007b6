/** Working directories that the command's user may not enter, or that lie elsewhere than they seem to. */

import assert from "node:assert/strict";
import { prepare, run, runDetached, SpawnError } from "../../../mod.ts";
import { inside, say, text } from "../../helpers/inside.ts";
import { commandLine } from "../../helpers/project.ts";
import { makeWorld, type Result } from "../../helpers/world.ts";

const world = makeWorld({ ownImage: true });
Deno.test.afterAll(async () => await world[Symbol.asyncDispose]());

const secret = `${world.image}/secret`;
Deno.mkdirSync(secret, { mode: 0o700 });
const there = { cwd: "/secret", user: "alice" } as const;
const look = ["sh", "-c", "readlink /proc/self/cwd; id -u; ls . 2>&1; true"];
const seen = "/secret\n1000\nls: .: Permission denied\n";

/** Runs a command line as a root that the permissions of files hold for. */
async function withoutOverride(words: readonly string[]): Promise<Result> {
  const { code, stdout, stderr } = await new Deno.Command("capsh", {
    args: ["--drop=cap_dac_override,cap_dac_read_search", "--", "-c", 'exec "$@"', "sh", ...commandLine(words)],
    env: { SAUROPOD_HOME: world.home },
    cwd: world.home,
    stdin: "null",
  }).output();
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

for (const init of [false, true]) {
  const flags = init ? ["--init"] : [];
  Deno.test(`run ${[...flags, "-u alice -w /secret"].join(" ")} starts in a folder that alice may not enter`, async () => {
    const words = ["--rm", ...flags, "-u", "alice", "-w", "/secret", "busybox", ...look];
    assert.deepEqual(await world.cli(words), { code: 0, stdout: seen, stderr: "" });
    assert.equal(await say(world, look, { ...there, init }), seen);
  });
}

Deno.test("exec -u alice -w /secret starts in a folder that alice may not enter, also if the container says so", async () => {
  const piped = { stdout: "piped", stderr: "piped" } as const;
  await using box = await run("busybox", ["sleep", "60"], { ...world.folders, cwd: "/secret" });
  for (const cwd of [{}, { cwd: "/secret" }]) {
    await using one = await box.exec(look, { ...piped, user: "alice", ...cwd });
    const { stdout, stderr } = await one.output();
    assert.deepEqual([text(stdout), text(stderr)], [seen, ""]);
  }
  const { stdout } = await world.cli(["exec", "-u", "alice", box.id, ...look]);
  assert.equal(stdout, seen);
  assert.equal((await world.cli(["exec", "-u", "alice", "-w", "/secret", box.id, ...look])).stdout, seen);
});

Deno.test("run -d and prepare() start in a folder that the user may not enter", async () => {
  await using ready = await prepare("busybox", { ...world.folders, ...there, stdout: "piped", stderr: "piped" });
  await using box = await ready.run(look);
  assert.equal(text((await box.output()).stdout), seen);

  const detached = await runDetached("busybox", look, { ...world.folders, ...there, keep: true });
  const { code } = await world.cli(["wait", detached]);
  const { stdout } = await world.cli(["logs", detached]);
  assert.deepEqual([code, stdout], [0, seen]);
  assert.equal((await world.cli(["rm", detached])).code, 0);
});

Deno.test("exec -u alice starts in a folder that root may not enter, but alice", async () => {
  const alices = `${world.image}/alices`;
  Deno.mkdirSync(alices, { mode: 0o700 });
  Deno.chownSync(alices, 1000, 1000);
  await using box = await run("busybox", ["sleep", "60"], world.folders);
  const words = (user: string): string[] => ["exec", "-u", user, "-w", "/alices", box.id, "readlink", "/proc/self/cwd"];
  assert.deepEqual(await withoutOverride(words("alice")), { code: 0, stdout: "/alices\n", stderr: "" });
  const neither = await withoutOverride(words("4321"));
  assert.equal(neither.code, 125);
  assert.match(neither.stderr, /change to \/alices: EACCES/);
});

Deno.test("a working directory outside of the container is refused to who may not enter it as to others (CVE-2024-21626)", async () => {
  // The caller's descriptors are open until the command is executed.
  using home = Deno.openSync("/");
  await using box = await run("busybox", ["sleep", "60"], world.folders);
  const isHome = (fd: string): boolean => {
    try {
      return Deno.readLinkSync(`/proc/self/fd/${fd}`) === "/";
    } catch {
      return false;
    }
  };
  const open = [...Deno.readDirSync("/proc/self/fd")].map(({ name }) => name).filter(isHome);
  assert.ok(open.length > 0 && home.statSync().isDirectory);
  for (const fd of open) {
    for (const user of ["root", "alice"]) {
      const options = { cwd: `/proc/self/fd/${fd}`, user };
      await assert.rejects(inside(world, "true", options), SpawnError);
      await assert.rejects(box.exec(["true"], options), SpawnError);
    }
  }
});
