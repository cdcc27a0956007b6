import assert from "node:assert/strict";
import type { CgroupHost } from "../../lib/cgroup/host.ts";
import { parseMountinfo, visibleMounts } from "../../lib/cgroup/mountinfo.ts";
import { CG, detect, type Files, HYBRID, IN_DOCKER, NONE, SYSTEMD_HYBRID, V2 } from "../helpers/cgroup_hosts.ts";
import { randomFrom } from "../helpers/random.ts";

function where(host: CgroupHost): Record<string, string> {
  return Object.fromEntries(host.controllers.entries().map(([name, h]) => [name, `${h.version} ${h.mount} ${h.own}`]));
}

Deno.test("cgroup host: each controller is found where it really lives", () => {
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

Deno.test("cgroup host: only mounts that a path reaches count, and the last on a path wins", () => {
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

Deno.test("cgroup host: an escaped mount point is read as the path it is, and a remount replaces what is below", () => {
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

Deno.test("cgroup host: of several mounts of a hierarchy the writable one that holds us is used", () => {
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

Deno.test("cgroup host: mountinfo that was escaped reads back, and garbage never throws", () => {
  const random = randomFrom(1), next = (below: number): number => Math.floor(random() * below);
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
