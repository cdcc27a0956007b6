/**
 * Hosts with control groups of all kinds, as trees of the files that tell of them.
 *
 * @module
 */

import assert from "node:assert/strict";
import { type CgroupHost, detectCgroups } from "../../lib/cgroup/host.ts";
import { CgroupError, InputError } from "../../lib/errors.ts";

/** A mebibyte. */
export const MiB = 1024 * 1024;
/** Where control groups are mounted. */
export const CG = "/sys/fs/cgroup";

/** Files by their paths. */
export type Files = Readonly<Record<string, string>>;

/** Calls `use` with a folder that holds the files. */
export function withTree<T>(files: Files, use: (root: string) => T): T {
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
export function detect(files: Files): CgroupHost {
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

/** Checks that `act` throws an error of that kind and code, with `text` in its message. */
export function throws(
  act: () => unknown,
  kind: typeof InputError | typeof CgroupError,
  code: string,
  text = "",
): void {
  assert.throws(act, (error) => {
    assert.ok(error instanceof kind, String(error));
    assert.equal(error.code, code);
    assert.ok(error.message.includes(text), error.message);
    return true;
  });
}

/** A hybrid host without systemd: what one of the build machines says. */
export const HYBRID: Files = {
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
export const V2: Files = {
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
export const SYSTEMD_HYBRID: Files = {
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
export const IN_DOCKER: Files = {
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

/** A host without control groups. */
export const NONE: Files = {
  "/proc/self/mountinfo": "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n22 27 0:21 / /proc rw - proc proc rw\n",
  "/proc/self/cgroup": "",
};
