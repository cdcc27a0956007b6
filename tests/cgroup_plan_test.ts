import assert from "node:assert/strict";
import type { Limits } from "../lib/cgroup/limits.ts";
import { type CgroupPlan, groupCandidates, groupName, planCgroups, type PlanOptions } from "../lib/cgroup/plan.ts";
import { CgroupError, InputError } from "../lib/errors.ts";
import {
  CG,
  detect,
  type Files,
  HYBRID,
  IN_DOCKER,
  MiB,
  NONE,
  SYSTEMD_HYBRID,
  throws,
  V2,
} from "./helpers/cgroup_hosts.ts";

/** A plan in short: per group its header, what it enables and writes (`?` is optional). */
function brief(plan: CgroupPlan): string[][] {
  return plan.groups.map((group) => [
    `v${group.version} ${group.hierarchy} ${group.join} ${group.path}`,
    ...group.enable.map(({ file, value }) => `enable ${file} ${value}`),
    ...group.writes.map(({ file, value, optional }) => {
      assert.ok(file.startsWith(group.path + "/"));
      return `${file.slice(group.path.length + 1)}${optional ? "?" : ""}=${value}`;
    }),
  ]);
}

Deno.test("limits become groups and writes in the order that each kernel interface accepts", () => {
  const all: Limits = {
    pids: 100,
    memoryReservation: 32 * MiB,
    memorySwap: 96 * MiB,
    memory: 64 * MiB,
    cpusetCpus: "0-1",
    cpus: 1.5,
    cpuShares: 512,
  };
  const cases: [string, Files, Limits, string[][], PlanOptions?][] = [
    ["v1 makes no group without limits", HYBRID, {}, []],
    ["v1, one limit, one group", HYBRID, { pids: -1 }, [[`v1 pids write ${CG}/pids/c1`, "pids.max=max"]]],
    ["v1, memory alone allows as much swap", HYBRID, { memory: 64 * MiB }, [[
      `v1 memory write ${CG}/memory/c1`,
      "memory.limit_in_bytes=67108864",
      "memory.memsw.limit_in_bytes?=134217728",
    ]]],
    ["v1, unlimited swap", HYBRID, { memorySwap: -1 }, [[
      `v1 memory write ${CG}/memory/c1`,
      "memory.memsw.limit_in_bytes=-1",
    ]]],
    ["v1, memory nodes bring the CPUs along", HYBRID, { cpusetMems: "0" }, [[
      `v1 cpuset write ${CG}/cpuset/c1`,
      "cpuset.cpus=0-3",
      "cpuset.mems=0",
    ]]],
    ["v1, all below a parent", HYBRID, all, [
      [`v1 cpu write ${CG}/cpu/a/b/c1`, "cpu.shares=512", "cpu.cfs_period_us=100000", "cpu.cfs_quota_us=150000"],
      [`v1 cpuset write ${CG}/cpuset/a/b/c1`, "cpuset.cpus=0-1", "cpuset.mems=1"],
      [
        `v1 memory write ${CG}/memory/a/b/c1`,
        "memory.limit_in_bytes=67108864",
        "memory.memsw.limit_in_bytes=100663296",
        "memory.soft_limit_in_bytes=33554432",
      ],
      [`v1 pids write ${CG}/pids/a/b/c1`, "pids.max=100"],
    ], { parent: "/a/b", cpuset: { cpus: "0-2", mems: "1" } }],
    ["co-mounted controllers share a group", SYSTEMD_HYBRID, { cpus: 0.5 }, [[
      `v1 cpu,cpuacct write ${CG}/cpu,cpuacct/c1`,
      "cpu.cfs_period_us=100000",
      "cpu.cfs_quota_us=50000",
    ]]],
    ["v2 makes a group without limits", V2, {}, [[`v2 unified clone ${CG}/c1`]]],
    ["v2, all", V2, all, [[
      `v2 unified clone ${CG}/c1`,
      `enable ${CG}/cgroup.subtree_control +cpuset`,
      "cpuset.cpus=0-1",
      "cpu.weight=50",
      "cpu.max=150000 100000",
      "memory.max=67108864",
      "memory.swap.max=33554432",
      "memory.low=33554432",
      "pids.max=100",
    ]]],
    ["v2, below a parent that may hand down less", V2, { pids: -1, memory: 8 * MiB, cpusetMems: "0" }, [[
      `v2 unified clone ${CG}/a.slice/c1`,
      `enable ${CG}/cgroup.subtree_control +cpuset`,
      `enable ${CG}/a.slice/cgroup.subtree_control +cpuset +memory +pids`,
      "cpuset.mems=0",
      "memory.max=8388608",
      "memory.swap.max?=8388608",
      "pids.max=max",
    ]], { parent: "a.slice" }],
    ["v2, no swap", V2, { memory: 8 * MiB, memorySwap: 8 * MiB }, [[
      `v2 unified clone ${CG}/c1`,
      "memory.max=8388608",
      "memory.swap.max=0",
    ]]],
    ["v2, unlimited swap", V2, { memory: 8 * MiB, memorySwap: -1 }, [[
      `v2 unified clone ${CG}/c1`,
      "memory.max=8388608",
      "memory.swap.max=max",
    ]]],
    ["no control groups, no limits", NONE, {}, []],
    ["a bind-mounted part is the top", IN_DOCKER, { memoryReservation: 8 * MiB }, [[
      `v1 memory write ${CG}/memory/c1`,
      "memory.soft_limit_in_bytes=8388608",
    ]]],
  ];
  for (const [name, files, limits, expected, options] of cases) {
    assert.deepEqual(brief(planCgroups(detect(files), "c1", limits, options)), expected, name);
  }
});

Deno.test("a container that is to be frozen gets a group of v2 where it is mounted, else of v1's freezer", () => {
  const plan = (files: Files, limits: Limits = {}, options: PlanOptions = {}): string[][] =>
    brief(planCgroups(detect(files), "c1", limits, { freezable: true, ...options }));
  const v1: Files = { ...HYBRID, "/proc/self/cgroup": HYBRID["/proc/self/cgroup"]?.replace(/^0::.*$/m, "") ?? "" };
  assert.deepEqual(plan(HYBRID), [[`v2 unified clone ${CG}/unified/c1`]]);
  assert.deepEqual(plan(v1), [[`v1 freezer write ${CG}/freezer/c1`]]);
  assert.deepEqual(plan(V2), [[`v2 unified clone ${CG}/c1`]], "it has one already");
  assert.deepEqual(plan(v1, { pids: 5 }, { parent: "a/b" }), [
    [`v1 pids write ${CG}/pids/a/b/c1`, "pids.max=5"],
    [`v1 freezer write ${CG}/freezer/a/b/c1`],
  ]);
  throws(() => plan(NONE), CgroupError, "freezer-missing");
});

Deno.test("the places where a container's groups could be hold every plan, and nothing of hierarchies that are read-only", () => {
  const limits: Limits = { cpus: 1, cpusetCpus: "0", memory: 64 * MiB, pids: 9 };
  for (const files of [HYBRID, V2, SYSTEMD_HYBRID]) {
    const host = detect(files);
    const candidates = groupCandidates(host, "c1", "/a");
    const possible = Object.fromEntries(
      Object.entries(limits).filter(([name]) => files !== SYSTEMD_HYBRID || name !== "pids"),
    );
    const { groups } = planCgroups(host, groupName("c1"), possible, { parent: "a", freezable: true });
    for (const { path } of groups) assert.ok(candidates.includes(path), path);
    assert.equal(new Set(candidates).size, candidates.length);
  }
  assert.deepEqual(
    groupCandidates(detect(HYBRID), "c1").sort(),
    ["cpu", "cpuset", "freezer", "memory", "pids", "unified"].map((name) => `${CG}/${name}/sauropod-c1`),
  );
  const mountinfo = HYBRID["/proc/self/mountinfo"]?.replace("/sys/fs/cgroup/memory rw,", "/sys/fs/cgroup/memory ro,") ??
    "";
  const readOnly = groupCandidates(detect({ ...HYBRID, "/proc/self/mountinfo": mountinfo }), "c1");
  assert.ok(readOnly.length === 5 && !readOnly.some((path) => path.includes("/memory/")));
  assert.deepEqual(groupCandidates(detect(V2), "c1", "/x.slice"), [`${CG}/x.slice/sauropod-c1`]);
  assert.deepEqual(groupCandidates(detect(NONE), "c1"), []);
});

Deno.test("a hybrid host splits a plan over both versions, and a co-mounted cpuset is always filled", () => {
  const host = detect({
    "/proc/self/mountinfo": `1 0 8:1 / / rw - ext4 x rw
2 1 0:2 / /v1 rw - cgroup cgroup rw,cpuset,cpu
3 1 0:3 / /v2 rw - cgroup2 none rw
`,
    "/proc/self/cgroup": "2:cpuset,cpu:/\n0::/\n",
    "/v1/cpuset.effective_cpus": "0\n",
    "/v1/cpuset.effective_mems": "0\n",
    "/v2/cgroup.controllers": "memory pids\n",
  });
  assert.deepEqual(brief(planCgroups(host, "c1", { cpuShares: 2, pids: 5 })), [
    ["v1 cpuset,cpu write /v1/c1", "cpuset.cpus=0", "cpuset.mems=0", "cpu.shares=2"],
    ["v2 unified clone /v2/c1", "enable /v2/cgroup.subtree_control +pids", "pids.max=5"],
  ]);
  assert.deepEqual(planCgroups(host, "c1", {}).groups, []);
});

Deno.test("a limit that this host cannot set is refused by name", () => {
  const V2_READ_ONLY: Files = {
    ...V2,
    "/proc/self/mountinfo": (V2["/proc/self/mountinfo"] ?? "").replaceAll(" rw", " ro"),
  };
  const V2_BARE: Files = { ...V2, [`${CG}/cgroup.controllers`]: "pids\n" };
  const NO_CPUSET_DATA: Files = { ...HYBRID, [`${CG}/cpuset/cpuset.effective_mems`]: "" };
  const cases: [Files, Limits, string, string][] = [
    [NONE, { memory: 64 * MiB }, "cgroups-missing", "--memory needs the memory controller"],
    [V2_BARE, { cpus: 1 }, "controller-missing", "--cpus needs the cpu controller"],
    [SYSTEMD_HYBRID, { pids: 5 }, "controller-missing", "--pids-limit needs the pids controller"],
    [SYSTEMD_HYBRID, { memory: 64 * MiB, memorySwap: -1 }, "swap-accounting-missing", "--memory-swap"],
    [IN_DOCKER, { cpuShares: 2 }, "cgroup-read-only", "--cpu-shares"],
    [V2_READ_ONLY, { pids: 5 }, "cgroup-read-only", "--pids-limit"],
    [HYBRID, { cpusetCpus: "2-5" }, "not-in-cpuset", "--cpuset-cpus 2-5: 4,5"],
    [V2, { cpusetMems: "1" }, "not-in-cpuset", "--cpuset-mems 1: 1"],
    [NO_CPUSET_DATA, { cpusetCpus: "0" }, "cpuset-unknown", `${CG}/cpuset`],
  ];
  for (const [files, limits, code, text] of cases) {
    throws(() => planCgroups(detect(files), "c1", limits), CgroupError, code, text);
  }
  assert.deepEqual(planCgroups(detect(V2_READ_ONLY), "c1", {}).groups, []);
  assert.equal(planCgroups(detect(NO_CPUSET_DATA), "c1", { cpusetCpus: "0", cpusetMems: "0" }).groups.length, 1);
});

Deno.test("a group's name cannot leave its parent", () => {
  const host = detect(V2);
  for (const name of ["", ".", "..", "a/b", "/a", "a\nb", "a\0"]) {
    throws(() => planCgroups(host, name, {}), InputError, "bad-cgroup-name");
  }
  for (const parent of ["..", "/a/../b", "./a", "a\nb"]) {
    throws(() => planCgroups(host, "c1", {}, { parent }), InputError, "bad-cgroup-name");
  }
  assert.equal(planCgroups(host, "..c", {}, { parent: "/a//b/" }).groups[0]?.path, `${CG}/a/b/..c`);
});
