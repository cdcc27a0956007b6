import assert from "node:assert/strict";
import { groupPids, killGroup, removeGroups } from "../../lib/cgroup/remove.ts";
import { oomKills } from "../../lib/cgroup/usage.ts";
import { CgroupError } from "../../lib/errors.ts";
import { throws, withTree } from "../helpers/cgroup_hosts.ts";

Deno.test("OOM kills are counted in both versions' files; none if the file is gone", () => {
  const files = {
    "/v1": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
    "/v2": "low 0\nhigh 0\nmax 12\noom 4\noom_kill 2\noom_group_kill 1\n",
    "/old": "oom_kill_disable 0\nunder_oom 0\n",
  };
  withTree(files, (root) => {
    assert.deepEqual(["v1", "v2", "old", "gone"].map((name) => oomKills(`${root}/${name}`)), [3, 2, 0, 0]);
  });
});

Deno.test("removeGroups: groups are removed with those below them, and missing ones are fine", () => {
  withTree({ "/keep/file": "" }, (root) => {
    Deno.mkdirSync(`${root}/a/b/c`, { recursive: true });
    Deno.mkdirSync(`${root}/a/d`);
    removeGroups([`${root}/a`, `${root}/gone`]);
    assert.deepEqual([...Deno.readDirSync(root)].map(({ name }) => name), ["keep"]);
    removeGroups([]);
  });
});

Deno.test("removeGroups: a group that stays busy is named with its processes, and the others are removed", () => {
  withTree({ "/busy/sub/cgroup.procs": "41\n0\n42\n" }, (root) => {
    Deno.mkdirSync(`${root}/free`);
    assert.throws(() => removeGroups([`${root}/busy`, `${root}/free`], { timeoutMs: 10 }), (error) => {
      assert.ok(error instanceof CgroupError);
      assert.equal(error.code, "group-busy");
      assert.deepEqual(error.facts, { paths: [`${root}/busy`], pids: [41, 42] });
      return true;
    });
    assert.deepEqual([...Deno.readDirSync(root)].map(({ name }) => name), ["busy"]);
  });
});

Deno.test("removeGroups: a group with this process or process 1 in it is never killed", () => {
  for (const pid of [1, Deno.pid]) {
    withTree({ "/g/sub/cgroup.procs": `${pid}\n`, "/g/cgroup.kill": "" }, (root) => {
      throws(() => killGroup(`${root}/g`), CgroupError, "group-not-ours", `process ${pid}`);
      assert.equal(Deno.readTextFileSync(`${root}/g/cgroup.kill`), "");
    });
  }
});

Deno.test("killing a group writes to cgroup.kill where there is one, and else signals until time is up", async () => {
  killGroup("/nonexistent/group");
  const child = new Deno.Command("sleep", { args: ["60"] }).spawn();
  const procs = { "/g/cgroup.procs": `${child.pid}\n` };
  withTree({ ...procs, "/g/cgroup.kill": "" }, (root) => {
    assert.deepEqual(groupPids(`${root}/g`), [child.pid]);
    throws(() => killGroup(`${root}/g`, { timeoutMs: 10 }), CgroupError, "group-busy", `process ${child.pid}`);
    assert.equal(Deno.readTextFileSync(`${root}/g/cgroup.kill`), "1");
  });
  withTree(procs, (root) => {
    throws(() => killGroup(`${root}/g`, { timeoutMs: 10 }), CgroupError, "group-busy");
  });
  assert.equal((await child.status).signal, "SIGKILL");
});
