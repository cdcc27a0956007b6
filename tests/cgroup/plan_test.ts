import assert from "node:assert/strict";
import type { Limits } from "../../lib/cgroup/limits.ts";
import { type CgroupPlan, type GroupPlan, oomFile, planCgroups, type PlanOptions } from "../../lib/cgroup/plan.ts";
import { CgroupError, InputError } from "../../lib/errors.ts";
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
} from "../helpers/cgroup_hosts.ts";

type Usual = { readonly optional?: true; readonly value: string };

/** What nobody asks for: 4096 processes, and that the controller is handed down for that. */
function isUsual({ optional, value }: Usual): boolean {
  return optional === true && /^(4096|\+pids)$/.test(value);
}

/** A group in short: its header, what it enables and writes (`?` is optional), but for what is usual. */
function briefGroup(group: GroupPlan): string[] {
  const { version, hierarchy, join, path, enable, writes, inner } = group;
  const written = writes.filter((write) => !isUsual(write)).map(({ file, value, optional }) => {
    assert.ok(file.startsWith(path + "/"));
    return `${file.slice(path.length + 1)}${optional ? "?" : ""}=${value}`;
  });
  // The container is one group below, which says the same.
  assert.equal(inner?.path, `${path}/inner`);
  assert.deepEqual(
    inner.writes,
    writes.map(({ file, ...rest }) => ({ file: file.replace(path, `${path}/inner`), ...rest })),
  );
  const handed = inner.enable.map(({ file, value }) => `${file} ${value}`).join();
  const named = new Set(writes.map(({ file }) => file.slice(path.length + 1).split(".")[0] ?? ""));
  for (const controller of version === 2 ? named : []) assert.match(handed, new RegExp(`\\+${controller}\\b`));
  return [
    `v${version} ${hierarchy} ${join} ${path}`,
    ...enable.filter((write) => !isUsual(write)).map(({ file, value }) => `enable ${file} ${value}`),
    ...written,
  ];
}

/** Of a plan, the groups that hold a limit which was asked for, or that are of v2 alone. */
function brief({ groups }: CgroupPlan): string[][] {
  const alone = groups.every(({ version }) => version === 2);
  return groups.filter(({ limited }) => limited || alone).map(briefGroup).sort();
}

Deno.test("planCgroups: limits become groups and writes in the order that each kernel interface accepts", () => {
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
    ["v1 limits nothing without limits", HYBRID, {}, []],
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

Deno.test("planCgroups: there is a group in every hierarchy that can be written to, and where it holds limits one below it", () => {
  const groups = (files: Files, options: PlanOptions = {}): string[] =>
    planCgroups(detect(files), "c1", {}, options).groups.map(({ path, inner }) =>
      `${path.slice(CG.length)}${inner ? " with inner" : ""}`
    ).sort();
  const every = ["cpu", "cpuacct", "cpuset", "freezer", "memory", "pids", "unified"];
  const known = groups(HYBRID).filter((path) => every.includes(path.split("/")[1] ?? ""));
  assert.deepEqual(
    known.map((path) => path.replace("/c1", "")),
    every.map((name) => `/${name}${["pids", "unified"].includes(name) ? " with inner" : ""}`).filter((path) =>
      known.some((one) => one.startsWith(path.split(" ")[0] ?? ""))
    ),
  );
  const mountinfo = HYBRID["/proc/self/mountinfo"]?.replace("/sys/fs/cgroup/memory rw,", "/sys/fs/cgroup/memory ro,");
  const readOnly = groups({ ...HYBRID, "/proc/self/mountinfo": mountinfo ?? "" });
  assert.deepEqual(readOnly, groups(HYBRID).filter((path) => !path.startsWith("/memory")));
  assert.deepEqual(groups(V2), ["/c1 with inner"]);
  assert.deepEqual(groups(NONE), []);
  const parent = groups(HYBRID, { parent: "/a", hasParent: (mount) => mount.endsWith("/cpu") });
  assert.deepEqual(parent.filter((path) => path.includes("/a/")), ["/cpu/a/c1"]);
});

Deno.test("planCgroups: a group of devices says what may be used, and counts of memory are where the kernel writes them", () => {
  const plan = planCgroups(detect(HYBRID), "c1", { memory: 64 * MiB }, {
    devices: [{ kind: "c", major: 1, access: "r" }],
  });
  const writes = plan.groups.flatMap((group) => group.writes).filter(({ file }) => file.includes("/devices."));
  if (detect(HYBRID).controllers.has("devices")) {
    assert.deepEqual(writes.map(({ value }) => value), ["a", "c 1:* r"]);
  }
  assert.equal(oomFile(detect(HYBRID), plan), `${CG}/memory/c1/inner/memory.oom_control`);
  assert.equal(oomFile(detect(HYBRID), planCgroups(detect(HYBRID), "c1", {})), `${CG}/memory/c1/memory.oom_control`);
  assert.equal(oomFile(detect(V2), planCgroups(detect(V2), "c1", {})), `${CG}/c1/memory.events`);
  assert.equal(oomFile(detect(NONE), planCgroups(detect(NONE), "c1", {})), undefined);
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
  assert.deepEqual(brief(planCgroups(host, "c1", {})), []);
});

Deno.test("planCgroups: a limit that this host cannot set is refused by name", () => {
  const V2_READ_ONLY: Files = {
    ...V2,
    "/proc/self/mountinfo": (V2["/proc/self/mountinfo"] ?? "").replaceAll(" rw", " ro"),
  };
  const V2_BARE: Files = { ...V2, [`${CG}/cgroup.controllers`]: "pids\n" };
  const NO_CPUSET_DATA: Files = { ...HYBRID, [`${CG}/cpuset/cpuset.effective_mems`]: "" };
  const cases: [Files, Limits, string, string][] = [
    [
      NONE,
      { memory: 64 * MiB },
      "cgroups-missing",
      "cannot apply --memory: no control groups are mounted for the memory controller",
    ],
    [V2_BARE, { cpus: 1 }, "controller-missing", "cannot apply --cpus: no v1 hierarchy has the cpu controller"],
    [
      SYSTEMD_HYBRID,
      { pids: 5 },
      "controller-missing",
      "cannot apply --pids-limit: no v1 hierarchy has the pids controller",
    ],
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
  const both = { cpusetCpus: "0", cpusetMems: "0" };
  assert.equal(brief(planCgroups(detect(NO_CPUSET_DATA), "c1", both)).length, 1);
  const hierarchies = planCgroups(detect(NO_CPUSET_DATA), "c1", {}).groups.map(({ hierarchy }) => hierarchy);
  assert.ok(!hierarchies.includes("cpuset"), "nobody could be moved into its group");
});

Deno.test("planCgroups: a group's name cannot leave its parent", () => {
  const host = detect(V2);
  for (const name of ["", ".", "..", "a/b", "/a", "a\nb", "a\0"]) {
    throws(() => planCgroups(host, name, {}), InputError, "bad-cgroup-name");
  }
  for (const parent of ["..", "/a/../b", "./a", "a\nb"]) {
    throws(() => planCgroups(host, "c1", {}, { parent }), InputError, "bad-cgroup-name");
  }
  assert.equal(planCgroups(host, "..c", {}, { parent: "/a//b/" }).groups[0]?.path, `${CG}/a/b/..c`);
});
