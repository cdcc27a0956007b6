/** What becomes of containers when the session or service that has started them is ended, with all in its control group. */

import assert from "node:assert/strict";
import { lastingGroup } from "../../../lib/cgroup/host.ts";
import { host } from "../../helpers/groups.ts";
import { assertApart, clear, inspect, lookApart, monitorsOf, until } from "../../helpers/life.ts";
import { commandLine } from "../../helpers/project.ts";
import { makeWorld, type World } from "../../helpers/world.ts";
import { skipHere } from "../../helpers/skip.ts";

const { unified } = host;
const ignore = skipHere("cgroup v2 is not mounted", !unified);

/** Runs a command line in a group as of a session, and ends that with all that is in it. */
async function inSession(world: World, words: readonly string[]): Promise<string> {
  const session = `${unified?.mount}/session-${Deno.pid}`;
  Deno.mkdirSync(session);
  try {
    // It goes on when the command has ended, as a shell would.
    const script = `echo $$ >${session}/cgroup.procs && "$@"; echo done; exec sleep 1000`;
    const child = new Deno.Command("sh", {
      args: ["-c", script, "sh", ...commandLine(words)],
      cwd: world.home,
      env: { SAUROPOD_HOME: world.home, SAUROPOD_NETWORK: "none" },
      stdin: "null",
      stdout: "piped",
    }).spawn();
    let text = "";
    for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      if (text.endsWith("done\n")) break;
    }
    Deno.writeTextFileSync(`${session}/cgroup.kill`, "1");
    assert.equal((await child.status).signal, "SIGKILL");
    return text.replace(/\s*done\n$/, "");
  } finally {
    await until("the session's group is empty", () => {
      try {
        Deno.removeSync(session);
        return true;
      } catch {
        return false;
      }
    });
  }
}

const groupOf = (pid: number): string =>
  /^0::(.*)$/m.exec(Deno.readTextFileSync(`/proc/${pid}/cgroup`))?.[1] ?? assert.fail("it is in no group of v2");

for (const [what, words] of [["", []], [" with limits", ["--pids-limit", "100"]]] as const) {
  Deno.test({
    name: `run -d: a detached container${what} survives the end of the session that started it, and is started again`,
    ignore,
    async fn(): Promise<void> {
      await using world = makeWorld();
      const before = lookApart();
      const command = ["busybox", "sleep", "1000"];
      const id = await inSession(world, ["run", "-d", "--name", "a", "--restart", "always", ...words, ...command]);
      const { status, pid = 0, state } = await inspect(world, "a");
      assert.deepEqual([status, state?.restarts], ["running", 0]);
      const [monitor = 0, ...others] = monitorsOf(world, id);
      assert.deepEqual(others, []);
      assert.equal(groupOf(monitor), "/");
      assert(!groupOf(pid).includes("session"));
      Deno.kill(pid, "SIGKILL");
      await until("it is started again", async () => (await inspect(world, "a")).state?.restarts === 1);
      await clear(world);
      assertApart(before);
    },
  });
}

Deno.test({
  name: "start, and a command that exec detaches, survive the session too",
  ignore,
  async fn(): Promise<void> {
    await using world = makeWorld();
    assert.equal((await world.cli(["create", "--name", "a", "--network", "none", "busybox", "sleep", "1000"])).code, 0);
    await inSession(world, ["start", "a"]);
    await inSession(world, ["exec", "-d", "a", "sleep", "2000"]);
    assert.match((await world.cli(["exec", "a", "ps"])).stdout, /sleep 1000[^]*sleep 2000/);
    await clear(world);
  },
});

Deno.test("run -d: a monitor is moved only where it must be, and can be", () => {
  const hierarchy = {
    name: "unified",
    version: 2,
    own: "/a/b",
    controllers: [],
    readOnly: false,
    enabled: [],
  } as const;
  const mount = Deno.makeTempDirSync();
  try {
    const group = (more: Record<string, unknown>): string | undefined =>
      lastingGroup({ unified: { ...hierarchy, mount, ...more } });
    assert.equal(lastingGroup({}), undefined);
    assert.equal(group({}), mount);
    assert.equal(group({ own: "/" }), undefined);
    assert.equal(group({ readOnly: true }), undefined);
    assert.equal(group({ enabled: ["pids"] }), mount);
    // As in a control group namespace: the topmost group that can be seen is below others.
    Deno.writeTextFileSync(`${mount}/cgroup.type`, "domain\n");
    assert.equal(group({ enabled: ["pids"] }), undefined);
    assert.equal(group({}), mount);
  } finally {
    Deno.removeSync(mount, { recursive: true });
  }
});
