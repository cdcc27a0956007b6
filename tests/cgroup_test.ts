import assert from "node:assert/strict";
import { type CgroupHost, detectCgroups } from "../lib/cgroup/host.ts";
import { type Limits, sharesToWeight, weightToShares } from "../lib/cgroup/limits.ts";
import { formatSize, parseSize } from "../lib/size.ts";
import { parseCpuList, validateLimits } from "../lib/cgroup/limits.ts";
import { parseMountinfo, visibleMounts } from "../lib/cgroup/mountinfo.ts";
import { type CgroupPlan, groupCandidates, groupName, planCgroups, type PlanOptions } from "../lib/cgroup/plan.ts";
import { groupPids, killGroup, removeGroups } from "../lib/cgroup/remove.ts";
import { oomKills } from "../lib/cgroup/usage.ts";
import { CgroupError, InputError } from "../lib/errors.ts";

const MiB = 1024 * 1024;
const CG = "/sys/fs/cgroup";

type Files = Readonly<Record<string, string>>;

function withTree<T>(files: Files, use: (root: string) => T): T {
  const root = Deno.makeTempDirSync({ prefix: "sauropod-cgroup-" });
  try {
    for (const [path, text] of Object.entries(files)) {
      const file = root + path;
      Deno.mkdirSync(file.slice(0, file.lastIndexOf("/")), { recursive: true });
      Deno.writeTextFileSync(file, text);
    }
    return use(root);
  } finally {
    Deno.removeSync(root, { recursive: true });
  }
}

/** The host that a tree describes, with the tree's folder taken out of its paths. */
function detect(files: Files): CgroupHost {
  return withTree(files, (root) => {
    const host = detectCgroups(root);
    const plain = new Map(host.hierarchies.map((h) => [h.mount, { ...h, mount: h.mount.slice(root.length) }]));
    return {
      ...host,
      hierarchies: [...plain.values()],
      controllers: new Map(host.controllers.entries().map(([name, h]) => [name, plain.get(h.mount) ?? h])),
      unified: host.unified && { ...host.unified, mount: host.unified.mount.slice(root.length) },
    };
  });
}

function throws(act: () => unknown, kind: typeof InputError | typeof CgroupError, code: string, text = ""): void {
  assert.throws(act, (error) => {
    assert.ok(error instanceof kind, String(error));
    assert.equal(error.code, code);
    assert.ok(error.message.includes(text), error.message);
    return true;
  });
}

/** A small random number generator (mulberry32), so that a failure repeats. */
function random(seed: number): (below: number) => number {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor(((t ^ (t >>> 14)) >>> 0) / 2 ** 32 * below);
  };
}

/** A hybrid host without systemd: what one of the build machines says. */
const HYBRID: Files = {
  "/proc/self/mountinfo": `22 27 0:21 / /proc rw,relatime - proc proc rw
23 27 0:22 / /sys rw,relatime - sysfs sysfs rw
24 27 0:6 / /dev rw,relatime - devtmpfs devtmpfs rw,size=12334524k,nr_inodes=3083631,mode=755
26 24 0:24 / /dev/pts rw,relatime - devpts devpts rw,mode=600,ptmxmode=000
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard,resv_strict,resuid=65534,resgid=65534
29 26 0:26 / /dev/pts rw,relatime - devpts devpts rw,mode=600,ptmxmode=000
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct
34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
36 31 0:33 / /sys/fs/cgroup/devices rw,relatime - cgroup cgroup rw,devices
37 31 0:34 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer
38 31 0:35 / /sys/fs/cgroup/blkio rw,relatime - cgroup cgroup rw,blkio
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
`,
  "/proc/self/cgroup": `9:name=systemd:/
8:pids:/
7:blkio:/
6:freezer:/
5:devices:/
4:memory:/process_api/e7aa
3:cpuset:/
2:cpuacct:/
1:cpu:/
0::/
`,
  [`${CG}/unified/cgroup.controllers`]: "hugetlb\n",
  [`${CG}/unified/cgroup.subtree_control`]: "\n",
  [`${CG}/memory/memory.memsw.limit_in_bytes`]: "9223372036854771712\n",
  [`${CG}/cpuset/cpuset.effective_cpus`]: "0-3\n",
  [`${CG}/cpuset/cpuset.effective_mems`]: "0\n",
};

/** A host with systemd and only v2. */
const V2: Files = {
  "/proc/self/mountinfo": `1 1 0:2 / / rw - rootfs none rw
25 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
26 25 0:22 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
30 26 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
`,
  "/proc/self/cgroup": "0::/user.slice/user-1000.slice/session-2.scope\n",
  [`${CG}/cgroup.controllers`]: "cpuset cpu io memory hugetlb pids rdma misc\n",
  [`${CG}/cgroup.subtree_control`]: "cpu memory pids\n",
  [`${CG}/cpuset.cpus.effective`]: "0-7\n",
  [`${CG}/cpuset.mems.effective`]: "0\n",
};

/** A hybrid host with systemd: v1 with mounts that share controllers, v2 without any, and no swap accounting. */
const SYSTEMD_HYBRID: Files = {
  "/proc/self/mountinfo": `22 0 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
19 22 0:18 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
27 19 0:23 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:9 - tmpfs tmpfs ro,mode=755
28 27 0:24 / /sys/fs/cgroup/unified rw,nosuid,nodev,noexec,relatime shared:10 - cgroup2 cgroup2 rw,nsdelegate
29 27 0:25 / /sys/fs/cgroup/systemd rw,nosuid,nodev,noexec,relatime shared:11 - cgroup cgroup rw,xattr,name=systemd
32 27 0:28 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid,nodev,noexec,relatime shared:15 - cgroup cgroup rw,cpu,cpuacct
33 27 0:29 / /sys/fs/cgroup/memory rw,nosuid,nodev,noexec,relatime shared:16 - cgroup cgroup rw,memory
34 27 0:30 / /sys/fs/cgroup/net_cls,net_prio rw,nosuid,nodev,noexec,relatime shared:17 - cgroup cgroup rw,net_cls,net_prio
36 27 0:32 / /sys/fs/cgroup/cpuset rw,nosuid,nodev,noexec,relatime shared:19 - cgroup cgroup rw,cpuset
`,
  "/proc/self/cgroup": `12:net_cls,net_prio:/
8:pids:/user.slice
6:cpuset:/
4:cpu,cpuacct:/user.slice
3:memory:/user.slice/user-0.slice
1:name=systemd:/user.slice/user-0.slice/session-1.scope
0::/user.slice/user-0.slice/session-1.scope
`,
  [`${CG}/unified/cgroup.controllers`]: "\n",
  [`${CG}/cpuset/cpuset.cpus`]: "0-1\n",
  [`${CG}/cpuset/cpuset.mems`]: "0\n",
};

/** A docker container on a v1 host, without a cgroup namespace: its part of each hierarchy is bind-mounted read-only. */
const IN_DOCKER: Files = {
  "/proc/self/mountinfo": `700 600 0:50 / / rw,relatime master:1 - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w
703 700 0:60 / /sys ro,nosuid,nodev,noexec,relatime - sysfs sysfs ro
704 703 0:61 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - tmpfs tmpfs rw,mode=755
705 704 0:25 /docker/abc /sys/fs/cgroup/systemd ro,nosuid,nodev,noexec,relatime master:11 - cgroup cgroup rw,name=systemd
706 704 0:28 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro,nosuid,nodev,noexec,relatime master:15 - cgroup cgroup rw,cpu,cpuacct
707 704 0:29 /docker/abc /sys/fs/cgroup/memory rw,nosuid,nodev,noexec,relatime master:16 - cgroup cgroup rw,memory
708 704 0:30 /docker/other /sys/fs/cgroup/pids rw,nosuid,nodev,noexec,relatime master:17 - cgroup cgroup rw,pids
`,
  "/proc/self/cgroup": `5:pids:/docker/abc
4:cpu,cpuacct:/docker/abc
3:memory:/docker/abc/init
1:name=systemd:/docker/abc
`,
};

const NONE: Files = {
  "/proc/self/mountinfo": "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n22 27 0:21 / /proc rw - proc proc rw\n",
  "/proc/self/cgroup": "",
};

function where(host: CgroupHost): Record<string, string> {
  return Object.fromEntries(host.controllers.entries().map(([name, h]) => [name, `${h.version} ${h.mount} ${h.own}`]));
}

Deno.test("each controller is found where it really lives", () => {
  const cases: [string, Files, string, Record<string, string>][] = [
    ["hybrid", HYBRID, "hybrid", {
      cpu: `1 ${CG}/cpu /`,
      cpuacct: `1 ${CG}/cpuacct /`,
      cpuset: `1 ${CG}/cpuset /`,
      memory: `1 ${CG}/memory /process_api/e7aa`,
      devices: `1 ${CG}/devices /`,
      freezer: `1 ${CG}/freezer /`,
      io: `1 ${CG}/blkio /`,
      pids: `1 ${CG}/pids /`,
    }],
    ["v2", V2, "v2", {
      ...Object.fromEntries(
        ["cpuset", "cpu", "io", "memory", "pids", "cpuacct", "freezer"]
          .map((name) => [name, `2 ${CG} /user.slice/user-1000.slice/session-2.scope`]),
      ),
    }],
    ["systemd hybrid", SYSTEMD_HYBRID, "hybrid", {
      cpu: `1 ${CG}/cpu,cpuacct /user.slice`,
      cpuacct: `1 ${CG}/cpu,cpuacct /user.slice`,
      cpuset: `1 ${CG}/cpuset /`,
      memory: `1 ${CG}/memory /user.slice/user-0.slice`,
      freezer: `2 ${CG}/unified /user.slice/user-0.slice/session-1.scope`,
    }],
    ["in docker", IN_DOCKER, "v1", {
      cpu: `1 ${CG}/cpu,cpuacct /`,
      cpuacct: `1 ${CG}/cpu,cpuacct /`,
      memory: `1 ${CG}/memory /init`,
      pids: `1 ${CG}/pids /`,
    }],
    ["none", NONE, "none", {}],
    ["not even proc", {}, "none", {}],
  ];
  for (const [name, files, layout, controllers] of cases) {
    const host = detect(files);
    assert.equal(host.layout, layout, name);
    assert.deepEqual(where(host), controllers, name);
  }
});

Deno.test("detection tells swap accounting, the host's cpuset, what v2 hands down, and read-only mounts", () => {
  assert.equal(detect(HYBRID).swapAccounting, true);
  assert.equal(detect(SYSTEMD_HYBRID).swapAccounting, false);
  assert.deepEqual(detect(HYBRID).cpuset, { cpus: "0-3", mems: "0" });
  assert.deepEqual(detect(SYSTEMD_HYBRID).cpuset, { cpus: "0-1", mems: "0" });
  assert.deepEqual(detect(V2).cpuset, { cpus: "0-7", mems: "0" });
  assert.equal(detect(IN_DOCKER).cpuset, undefined);
  assert.deepEqual(detect(V2).unified?.enabled, ["cpu", "memory", "pids"]);
  assert.deepEqual(detect(IN_DOCKER).hierarchies.map((h) => [h.name, h.readOnly]), [
    ["pids", false],
    ["cpu,cpuacct", true],
    ["memory", false],
    ["name=systemd", true],
  ]);
});

Deno.test("only mounts that a path reaches count, and the last on a path wins", () => {
  const line = (id: number, parent: number, point: string): string =>
    `${id} ${parent} 0:1 / ${point} rw - cgroup2 x rw`;
  const cases: [string, string[], number[]][] = [
    ["a later mount covers", [line(1, 0, "/"), line(2, 1, "/a"), line(3, 2, "/a")], [1, 3]],
    [
      "what was on the covered one is hidden",
      [line(1, 0, "/"), line(2, 1, "/a"), line(4, 2, "/a/b"), line(3, 2, "/a")],
      [
        1,
        3,
      ],
    ],
    ["a mount above hides", [line(1, 0, "/"), line(2, 1, "/a/b"), line(3, 1, "/a")], [1, 3]],
    ["a name that only starts alike does not", [line(1, 0, "/"), line(2, 1, "/ab"), line(3, 1, "/a")], [1, 2, 3]],
    ["the order of lines does not matter", [line(3, 2, "/a/b"), line(2, 1, "/a"), line(1, 0, "/")], [1, 2, 3]],
    ["siblings on one path: the last", [line(1, 0, "/"), line(2, 1, "/a"), line(3, 1, "/a")], [1, 3]],
  ];
  for (const [name, lines, ids] of cases) {
    const seen = visibleMounts(parseMountinfo(lines.join("\n"))).map(({ id }) => id).sort();
    assert.deepEqual(seen, ids, name);
  }
});

Deno.test("an escaped mount point is read as the path it is, and a remount replaces what is below", () => {
  const host = detect({
    "/proc/self/mountinfo": `1 0 8:1 / / rw - ext4 /dev/sda1 rw
2 1 0:2 / /sys/fs/cgroup rw - cgroup2 old rw
3 2 0:2 / /sys/fs/cgroup rw - tmpfs tmpfs rw
4 1 0:2 / /my\\040groups\\134\\011x rw shared:1 master:2 - cgroup2 none rw
`,
    "/proc/self/cgroup": "0::/\n",
    "/my groups\\\tx/cgroup.controllers": "pids\n",
  });
  assert.equal(host.controllers.get("pids")?.mount, "/my groups\\\tx");
});

Deno.test("of several mounts of a hierarchy the writable one that holds us is used", () => {
  const host = detect({
    "/proc/self/mountinfo": `1 0 8:1 / / rw - ext4 /dev/sda1 rw
2 1 0:2 / /ro ro - cgroup cgroup rw,memory
3 1 0:2 /lxc/other /other rw - cgroup cgroup rw,memory
4 1 0:2 /lxc/me/deep /deep rw - cgroup cgroup rw,memory
5 1 0:2 /lxc/me /me rw - cgroup cgroup rw,memory
`,
    "/proc/self/cgroup": "2:memory:/lxc/me/deep/er\n",
  });
  assert.deepEqual(where(host), { memory: "1 /me /deep/er" });
});

Deno.test("a group that is out of reach counts as the top of its mount", () => {
  for (const [root, path] of [["/..", "/"], ["/", "/../sibling"], ["/docker/abc", "/docker/abcd"]]) {
    const host = detect({
      "/proc/self/mountinfo": `1 0 8:1 / / rw - ext4 x rw\n2 1 0:2 ${root} /cg rw - cgroup2 none rw\n`,
      "/proc/self/cgroup": `0::${path}\n`,
    });
    assert.equal(host.unified?.own, "/", `${root} ${path}`);
  }
});

Deno.test("mountinfo that was escaped reads back, and garbage never throws", () => {
  const next = random(1);
  const alphabet = ["a", "/", " ", "\\", "\t", "\n", "-", "é", ",", ":", "0", "#"];
  const escape = (text: string): string =>
    text.replace(/[ \t\n\\#]/g, (c) => "\\" + c.charCodeAt(0).toString(8).padStart(3, "0"));
  for (let round = 0; round < 500; round++) {
    const text = (): string => "/" + Array.from({ length: next(8) }, () => alphabet[next(alphabet.length)]).join("");
    const [root, point] = [text(), text()];
    const optional = "shared:1 ".repeat(next(3));
    const line = `7 6 0:1 ${escape(root)} ${escape(point)} rw,nodev ${optional}- cgroup none rw,cpu`;
    assert.deepEqual(parseMountinfo(line), [{
      id: 7,
      parent: 6,
      root,
      point,
      options: ["rw", "nodev"],
      type: "cgroup",
      superOptions: ["rw", "cpu"],
    }]);
    const cut = line.slice(0, next(line.length)) + text() + "\n" + line.slice(next(line.length));
    visibleMounts(parseMountinfo(cut));
    const ids = Array.from({ length: 6 }, () => `${next(4)} ${next(4)} 0:1 / /${"ab"[next(2)]} rw - cgroup2 n rw`);
    assert.ok(visibleMounts(parseMountinfo(ids.join("\n"))).length <= 6);
  }
});

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

Deno.test("limits that make no sense are refused by name", () => {
  const bad: [Limits, string][] = [
    [{ cpuShares: 1 }, "--cpu-shares 1:"],
    [{ cpuShares: 262_145 }, "--cpu-shares"],
    [{ cpuShares: 2.5 }, "whole number"],
    [{ cpus: 0 }, "--cpus"],
    [{ cpus: 0.009 }, "--cpus"],
    [{ cpus: NaN }, "--cpus"],
    [{ cpus: Infinity }, "--cpus"],
    [{ memory: 6 * MiB - 1 }, "from 6 MiB"],
    [{ memory: -1 }, "--memory"],
    [{ memory: 8 * MiB + 0.5 }, "--memory"],
    [{ memorySwap: 8 * MiB }, "needs --memory"],
    [{ memory: 8 * MiB, memorySwap: 7 * MiB }, "cannot be less"],
    [{ memory: 8 * MiB, memorySwap: -2 }, "-1 for unlimited"],
    [{ memory: 8 * MiB, memoryReservation: 9 * MiB }, "cannot be more"],
    [{ memoryReservation: 1 }, "--memory-reservation"],
    [{ pids: 0 }, "--pids-limit"],
    [{ pids: -2 }, "--pids-limit"],
    [{ cpusetCpus: "" }, "--cpuset-cpus"],
    [{ cpusetCpus: "0-" }, "--cpuset-cpus"],
    [{ cpusetCpus: "3-1" }, "--cpuset-cpus"],
    [{ cpusetCpus: "0,,1" }, "--cpuset-cpus"],
    [{ cpusetCpus: "0\n1" }, "--cpuset-cpus"],
    [{ cpusetMems: "all" }, "--cpuset-mems"],
    [{ cpusetMems: "0-99999999999" }, "--cpuset-mems"],
  ];
  for (const [limits, text] of bad) throws(() => validateLimits(limits), InputError, "bad-limit", text);
  const good: Limits[] = [
    {},
    { cpuShares: 2, cpus: 0.01, memory: 6 * MiB, memorySwap: 6 * MiB, memoryReservation: 6 * MiB, pids: 1 },
    { cpuShares: 262_144, memory: 6 * MiB, memorySwap: -1, pids: -1, cpusetCpus: "0-1,3", cpusetMems: "0" },
    { memorySwap: -1 },
  ];
  for (const limits of good) validateLimits(limits);
  assert.deepEqual(parseCpuList("0-2,7,4-4"), [0, 1, 2, 7, 4]);
});

Deno.test("shares and weights map as in the kernel", () => {
  for (const [shares, weight] of [[1024, 100], [2, 1], [512, 50], [2048, 200], [102_400, 10_000], [262_144, 10_000]]) {
    assert.equal(sharesToWeight(shares ?? 0), weight);
  }
  for (let weight = 1; weight <= 10_000; weight++) assert.equal(sharesToWeight(weightToShares(weight)), weight);
});

Deno.test("sizes are read in powers of 1024", () => {
  const good: [string, number][] = [
    ["100000", 100_000],
    ["0", 0],
    ["1b", 1],
    ["2kb", 2048],
    ["2K", 2048],
    ["64m", 64 * MiB],
    ["10MiB", 10 * MiB],
    ["10 MiB", 10 * MiB],
    ["1.5g", 1536 * MiB],
    [".5g", 512 * MiB],
    ["0.1k", 102],
    ["1t", 1024 ** 4],
    ["7P", 7 * 1024 ** 5],
  ];
  for (const [text, bytes] of good) assert.equal(parseSize(text), bytes, text);
  const bad = ["", " ", "m", "1.", ".", "-1", "+1", "1e3", "0x10", "1 m ", " 1m", "1mm", "1ib", "1,5g", "1m\n", "8p"];
  for (const text of [...bad, "9".repeat(400), "NaN", "Infinity", "١"]) {
    throws(() => parseSize(text), InputError, "bad-size", JSON.stringify(text));
  }
});

Deno.test("sizes are shown in the largest unit that fits", () => {
  const cases: [number, string][] = [
    [0, "0 B"],
    [512, "512 B"],
    [1023, "1023 B"],
    [1024, "1 KiB"],
    [64 * MiB, "64 MiB"],
    [1536 * MiB, "1.5 GiB"],
    [1024 * MiB - 1, "1 GiB"],
    [Number.MAX_SAFE_INTEGER, "8 PiB"],
  ];
  for (const [bytes, text] of cases) assert.equal(formatSize(bytes), text);
});

Deno.test("random sizes read back near what was shown, and random text is a size or a bad-size", () => {
  const next = random(2);
  const alphabet = "0123456789.kKmMgGtTpPiIbB -e";
  for (let round = 0; round < 5000; round++) {
    const bytes = Math.floor(2 ** (next(52_000) / 1000));
    assert.ok(Math.abs(parseSize(formatSize(bytes)) - bytes) <= bytes * 0.005, String(bytes));
    const text = Array.from({ length: next(7) }, () => alphabet[next(alphabet.length)]).join("");
    try {
      const size = parseSize(text);
      assert.ok(Number.isSafeInteger(size) && size >= 0 && /^[.\d]/.test(text), text);
    } catch (error) {
      assert.ok(error instanceof InputError && error.code === "bad-size", text);
    }
  }
});

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

Deno.test("groups are removed with those below them, and missing ones are fine", () => {
  withTree({ "/keep/file": "" }, (root) => {
    Deno.mkdirSync(`${root}/a/b/c`, { recursive: true });
    Deno.mkdirSync(`${root}/a/d`);
    removeGroups([`${root}/a`, `${root}/gone`]);
    assert.deepEqual([...Deno.readDirSync(root)].map(({ name }) => name), ["keep"]);
    removeGroups([]);
  });
});

Deno.test("a group that stays busy is named with its processes, and the others are removed", () => {
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

Deno.test("a group with this process or process 1 in it is never killed", () => {
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
