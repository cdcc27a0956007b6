/** Programs that containers are made by, as data. */

import assert from "node:assert/strict";
import { encode } from "../../ffi/program/encode.ts";
import { CAPABILITIES, DEFAULT_CAPABILITIES } from "../../lib/host/capabilities.ts";
import { explain } from "../../lib/program/explain.ts";
import { compileView } from "../../lib/program/detached_mount.ts";
import { compile, compileAhead, compileLast } from "../../lib/program/compile.ts";
import type { LaunchFds } from "../../lib/program/launch_fds.ts";
import type { ContainerSpec } from "../../lib/program/spec.ts";
import { SPEC, WIRING } from "../helpers/spec.ts";

type ProcessChange = Partial<ContainerSpec["process"]>;

function specOf(change: Partial<ContainerSpec>, process: ProcessChange = {}): ContainerSpec {
  return { ...SPEC, ...change, process: { ...SPEC.process, ...process } };
}

/** The steps of a container and of its command as lines: who, why, what. */
function linesOf(spec: ContainerSpec, wiring: Partial<LaunchFds> = {}): string[] {
  const complete = { ...WIRING, ...wiring };
  return explain([...compile(spec, complete), ...compileLast(spec.process, complete)], { showEnv: true }).map((
    { actor, label, call },
  ) => `${actor}: ${label}: ${call}`);
}

const PLAIN = linesOf(SPEC);

/** Which lines a change adds and which it takes away, in order. */
function changes(lines: readonly string[]): { added: string[]; gone: string[] } {
  return {
    added: lines.filter((line) => !PLAIN.includes(line)),
    gone: PLAIN.filter((line) => !lines.includes(line)),
  };
}

function assertOrder(lines: readonly string[], patterns: readonly RegExp[]): void {
  let from = 0;
  for (const pattern of patterns) {
    const at = lines.findIndex((line, i) => i >= from && pattern.test(line));
    assert(at >= 0, `${pattern} is not behind step ${from} of\n${lines.join("\n")}`);
    from = at + 1;
  }
}

Deno.test("compile: the program of a plain container does its work in the safe order", () => {
  assertOrder(PLAIN, [
    /^caller: make the container's upper directory/,
    /^caller: .*clone3\(\{flags=CLONE_PIDFD\|CLONE_NEWNS\|CLONE_NEWPID\|CLONE_NEWUTS\|CLONE_NEWIPC\|CLONE_NEWNET/,
    /^container: reset all signals/,
    /^container: die when the caller dies/,
    /^container: .*unshare\(CLONE_NEWCGROUP\)/,
    /^container: make every mount private: mount\(NULL, "\/", NULL, MS_REC\|MS_PRIVATE, NULL\)/,
    /mount\("overlay", .*, "overlay", .*"lowerdir=\/images\/one,upperdir=upper,workdir=work/,
    /pivot_root\("\.", "\."\)/,
    /umount2\("\.", MNT_DETACH\)/,
    /mount\("tmpfs", "\.", "tmpfs", MS_NOSUID/,
    /mount\("proc", "\.", "proc", MS_NOSUID\|MS_NODEV\|MS_NOEXEC, NULL\)/,
    /mount\("sysfs", "\.", "sysfs", .*MS_RDONLY/,
    /mask \/proc\/kcore/,
    /sethostname\("box", 3\)/,
    /set lo up/,
    /keyctl\(KEYCTL_JOIN_SESSION_KEYRING/,
    /drop_bounding\(.*CAP_SYS_ADMIN/,
    /setgroups\(0, \[\]\)/,
    /setresgid\(0, 0, 0\)/,
    /setresuid\(0, 0, 0\)/,
    /capset\(/,
    /prctl\(PR_SET_NO_NEW_PRIVS, 1/,
    /die when the caller dies/,
    /chdir\("\/"\)/,
    /require it to be inside the container/,
    /close_range\(3, ~0, CLOSE_RANGE_CLOEXEC\)/,
    /execveat\(10, "", \["sauropod-join", "11", "13"(, NULL)?\], \[(NULL)?\], AT_EMPTY_PATH\)/,
    /close_range\(3, ~0, CLOSE_RANGE_CLOEXEC\)/,
    /execve\("\/bin\/true", \["\/bin\/true"(, NULL)?\], \["PATH=\/bin:\/sbin"(, NULL)?\]\)/,
  ]);
});

Deno.test("compile: every path is resolved after the pivot but the image's and the container's own", () => {
  const mount = { kind: "bind", source: "/data", target: "/in", directory: true, readOnly: false } as const;
  const program = compile(specOf({ mounts: [mount] }), WIRING);
  const pivot = program.findIndex(({ call }) => call === "pivot_root");
  const container = program.slice(0, pivot).filter(({ actor }) => actor === "container");
  const paths = container.flatMap(({ args }) => args).filter((argument) => typeof argument === "string");
  const known = ["/", "/data", SPEC.rootfs.folder, "overlay", "merged", "."];
  assert.deepEqual(paths.filter((path) => !known.includes(path) && !path.startsWith("lowerdir=")), []);
});

Deno.test("compile: nothing between the clone and the command is left to chance: the same spec gives the same program and bytes", () => {
  for (
    const spec of [
      SPEC,
      specOf({}, { init: true, args: ["sh"] }),
      specOf({ privileged: true, network: { mode: "host" } }),
    ]
  ) {
    assert.deepEqual(compile(spec, WIRING), compile(structuredClone(spec), structuredClone(WIRING)));
    const bytes = encode(compile(spec, WIRING)).bytes.slice();
    assert.deepEqual(encode(compile(spec, WIRING)).bytes.slice(), bytes);
  }
});

Deno.test("compile changes nothing of its input", () => {
  const spec = specOf({}, { init: true });
  const before = structuredClone(spec);
  compile(spec, WIRING);
  assert.deepEqual(spec, before);
});

const GROUP_V1 = {
  version: 1,
  hierarchy: "memory",
  path: "/sys/fs/cgroup/memory/sauropod-x",
  limited: true,
  enable: [],
  writes: [{ file: "/sys/fs/cgroup/memory/sauropod-x/memory.limit_in_bytes", value: "65536" }],
  join: "write",
} as const;
const GROUP_V2 = {
  version: 2,
  hierarchy: "unified",
  path: "/sys/fs/cgroup/sauropod-x",
  limited: true,
  inner: {
    path: "/sys/fs/cgroup/sauropod-x/inner",
    enable: [{ file: "/sys/fs/cgroup/sauropod-x/cgroup.subtree_control", value: "+memory" }],
    writes: [],
  },
  enable: [{ file: "/sys/fs/cgroup/cgroup.subtree_control", value: "+memory" }],
  writes: [{ file: "/sys/fs/cgroup/sauropod-x/memory.swap.max", value: "0", optional: true }],
  join: "clone",
} as const;
const TERMINAL = ["terminal", "terminal", "terminal"] as const;

/** What each choice adds to the plain program, and what it takes away. */
const CHOICES: readonly {
  name: string;
  spec?: Partial<ContainerSpec>;
  process?: ProcessChange;
  wiring?: Partial<LaunchFds>;
  added?: readonly RegExp[];
  gone?: readonly RegExp[];
}[] = [
  { name: "a host name", spec: { hostname: "other" }, added: [/sethostname\("other", 5\)/], gone: [/sethostname/] },
  {
    name: "the host's network",
    spec: { network: { mode: "host" } },
    added: [/clone3\((?!.*NEWNET)/],
    gone: [
      /clone3\(.*NEWNET/,
      /configure the network/,
      /extended error messages/,
      /short error replies/,
      /set lo up/,
      /let every group ping/,
      /let every user listen/,
    ],
  },
  { name: "a size of /dev/shm", spec: { shmSize: 4096 }, added: [/size=4096/], gone: [/size=65536"/] },
  {
    name: "a read-only root",
    spec: { rootfs: { ...SPEC.rootfs, readOnly: true } },
    added: [/mount\(NULL, "\/", NULL, MS_REMOUNT\|MS_BIND\|MS_RDONLY\|MS_NODEV\|MS_NOSUID, NULL\)/],
  },
  {
    name: "a root that need not outlive a crash of the machine",
    spec: { rootfs: { ...SPEC.rootfs, volatile: true } },
    added: [/mount\("overlay", .*,volatile"/],
    gone: [/mount\("overlay"/],
  },
  {
    name: "a folder of the host",
    spec: { mounts: [{ kind: "bind", source: "/s", target: "/a/b", directory: true, readOnly: false }] },
    added: [
      /open_tree\(AT_FDCWD, "\/s", /,
      /open_target\("\/a\/b", S_IFDIR\|0755\)/,
      /mount_setattr\(.*NOSUID/,
      /move_mount\(/,
    ],
  },
  {
    name: "a file of the host, read-only",
    spec: { mounts: [{ kind: "bind", source: "/s", target: "/f", directory: false, readOnly: true }] },
    added: [
      /open_tree\(/,
      /make \/f: /,
      /umount2\("\/f", UMOUNT_NOFOLLOW\)/,
      /mount_setattr\(.*MOUNT_ATTR_RDONLY/,
      /move_mount\(/,
    ],
  },
  {
    name: "a folder in memory",
    spec: { mounts: [{ kind: "tmpfs", target: "/t", data: "size=1m", executable: false }] },
    added: [
      /open_target\("\/t", S_IFDIR/,
      /fchdir\(<target:\/t>/,
      /mount\("tmpfs", ".", "tmpfs", MS_NOSUID\|MS_NODEV\|MS_NOEXEC, "size=1m"\)/,
    ],
  },
  {
    name: "a device",
    spec: { devices: [{ path: "/dev/net/tun", kind: "c", major: 10, minor: 200, mode: 0o600, access: "rwm" }] },
    added: [/mkdirat\(AT_FDCWD, "\/dev\/net"/, /mknodat\(.*"\/dev\/net\/tun", .*0?600/],
  },
  {
    name: "a v1 group, joined by the container itself",
    spec: { cgroups: { groups: [GROUP_V1] } },
    added: [
      /^caller: make the memory control group: mkdirat\(/,
      /^caller: open memory.limit_in_bytes: openat\(/,
      /^caller: set memory.limit_in_bytes to 65536: write\(.*"65536", 5\)/,
      /^container: join the memory control group: openat\(.*"\/sys\/fs\/cgroup\/memory\/sauropod-x\/tasks"/,
      /^container: join the memory control group: write\(<group:memory>, "0", 1\)/,
    ],
  },
  {
    name: "a v2 group, into which the container is born",
    spec: { cgroups: { groups: [GROUP_V2] } },
    added: [
      /^caller: open cgroup.subtree_control: openat/,
      /write\(.*"\+memory"/,
      /^caller: make the unified control group: mkdirat\(.*\/sauropod-x"/,
      /^caller: make the unified control group: mkdirat\(.*\/sauropod-x\/inner"/,
      /memory.swap.max/,
      /write\(.*"0", 1\)/,
      /^caller: open the control group: openat\(.*"\/sys\/fs\/cgroup\/sauropod-x\/inner", O_PATH\|O_DIRECTORY/,
      /clone3\(.*CLONE_INTO_CGROUP.*cgroup=cgroup/,
    ],
    gone: [/clone3\(/],
  },
  {
    name: "a v2 group whose devices a program decides about",
    spec: {
      cgroups: {
        groups: [{
          ...GROUP_V2,
          enable: [],
          writes: [],
          deviceFilter: { instructions: new Uint8Array(16), required: true },
        }],
      },
    },
    added: [
      /^caller: make the unified control group/,
      /subtree_control/,
      /^caller: open the control group: openat\(.*\/sauropod-x", O_RDONLY\|O_DIRECTORY/,
      /bpf\(BPF_PROG_LOAD, \{prog_type=BPF_PROG_TYPE_CGROUP_DEVICE, insns=\[2 instructions\]\}, 72\)/,
      /bpf\(BPF_PROG_ATTACH, \{target_fd=limited-group, attach_bpf_fd=device-filter, attach_type=BPF_CGROUP_DEVICE/,
      /O_PATH\|O_DIRECTORY/,
      /clone3\(/,
    ],
    gone: [/clone3\(/],
  },
  {
    name: "a user",
    process: { identity: { uid: 1000, gid: 100, groups: [5, 6] } },
    added: [
      /setgroups\(2, \[5, 6\]\)/,
      /setresgid\(100, 100, 100\)/,
      /setresuid\(1000, 1000, 1000\)/,
      /capset\(.*effective=0/,
    ],
    gone: [/setgroups/, /setresgid/, /setresuid/, /capset\(/],
  },
  {
    name: "a user with a pipe, which the user may open by name",
    process: { identity: { uid: 1000, gid: 0, groups: [] } },
    wiring: { streams: [{ fd: 0 }, { fd: 7, mode: 0o622 }, { fd: 2 }] },
    added: [
      /let the user open standard output by name: fchmod\(7, 0622/,
      /dup3\(7, 1, 0\)/,
      /setresuid\(1000/,
      /capset/,
    ],
    gone: [/setresuid/, /capset/],
  },
  {
    name: "a capability for a user who is not root",
    process: {
      identity: { uid: 1000, gid: 0, groups: [] },
      capabilities: [...DEFAULT_CAPABILITIES, "NET_ADMIN"],
      ambient: ["NET_ADMIN"],
    },
    added: [
      /drop_bounding\((?!.*NET_ADMIN)/,
      /PR_SET_KEEPCAPS/,
      /setresuid\(1000/,
      /capset\(.*effective=CAP_NET_ADMIN/,
      /PR_CAP_AMBIENT.*CAP_NET_ADMIN/,
    ],
    gone: [/drop_bounding\(.*NET_ADMIN/, /setresuid/, /capset\(/],
  },
  {
    name: "no capability",
    process: { capabilities: [] },
    added: [/drop_bounding\(CAP_CHOWN\|.*CAP_SYS_ADMIN/, /capset\(.*effective=0/],
    gone: [/drop_bounding\((?!CAP_CHOWN)/, /capset\(/],
  },
  {
    name: "new privileges",
    process: { noNewPrivileges: false },
    added: [/mount\("overlay", .*MS_NODEV, /],
    gone: [/PR_SET_NO_NEW_PRIVS/, /mount\("overlay", .*MS_NODEV\|MS_NOSUID, /],
  },
  {
    name: "a resource limit",
    process: { rlimits: [{ resource: "nofile", soft: 64, hard: -1 }] },
    added: [/limit nofile to 64:-1: prlimit64\(0, RLIMIT_NOFILE, \{64, 18446744073709551615\}, NULL\)/],
  },
  {
    name: "a working directory",
    process: { cwd: "/a/b" },
    added: [/open_target\("\/a\/b", S_IFDIR/, /chdir\("\/a\/b"\)/],
    gone: [/change to \/: chdir/],
  },
  {
    name: "a command to find",
    process: { args: ["sh", "-c", "x y"] },
    added: [
      /execve\("\/bin\/sh", \["sh", "-c", "x y"/,
      /execve\("\/sbin\/sh", \["sh", "-c", "x y"/,
      /find the command in PATH/,
    ],
    gone: [/execve\("\/bin\/true"/],
  },
  {
    name: "a terminal",
    wiring: { streams: TERMINAL, terminalSize: { columns: 100, rows: 30 } },
    added: [
      /open a pseudo-terminal/,
      /TIOCSPTLCK/,
      /TIOCGPTPEER/,
      /TIOCSWINSZ, \{30 rows, 100 columns\}/,
      /give the terminal to the user: fchown\(<slave>, 0/,
      /\/dev\/console/,
      /mount\("\/dev\/pts\/0", "\/dev\/console"/,
      /^caller: fetch the terminal's master: pidfd_getfd/,
      /dup3\(<slave>, 0, 0\)/,
      /dup3\(<slave>, 1, 0\)/,
      /dup3\(<slave>, 2, 0\)/,
      /TIOCSCTTY/,
    ],
  },
  {
    name: "a v1 hierarchy to see",
    spec: { cgroupMounts: [{ name: "memory", type: "cgroup", data: "memory" }] },
    added: [
      /mount\("tmpfs", "\/sys\/fs\/cgroup"/,
      /mkdirat\(.*"\/sys\/fs\/cgroup\/memory"/,
      /mount\("cgroup", "\/sys\/fs\/cgroup\/memory", "cgroup", .*MS_RDONLY, "memory"\)/,
      /make \/sys\/fs\/cgroup read-only/,
    ],
  },
  {
    name: "the v2 hierarchy to see",
    spec: { cgroupMounts: [{ name: "", type: "cgroup2", data: "" }] },
    added: [/mount\("cgroup", "\/sys\/fs\/cgroup", "cgroup2", .*MS_RDONLY/],
  },
];

for (const { name, spec = {}, process = {}, wiring = {}, added = [], gone = [] } of CHOICES) {
  Deno.test(`${name} changes just the steps that it must`, () => {
    const found = changes(linesOf(specOf(spec, process), wiring));
    for (const [what, lines, patterns] of [["added", found.added, added], ["gone", found.gone, gone]] as const) {
      for (const pattern of patterns) assert(lines.some((line) => pattern.test(line)), `${what} ${pattern}: ${lines}`);
      const rest = lines.filter((line) => !patterns.some((pattern) => pattern.test(line)));
      assert.deepEqual(rest, [], what);
    }
  });
}

Deno.test("compile: a privileged container keeps every capability and hides nothing", () => {
  const lines = linesOf(specOf({ privileged: true }, { capabilities: CAPABILITIES, noNewPrivileges: false }));
  assert.deepEqual(lines.filter((line) => /: mask |read-only|PR_SET_NO_NEW_PRIVS/.test(line)), []);
  assert(lines.some((line) => line.includes("drop_bounding(0)")));
  assert(lines.some((line) => /mount\("sysfs", (?!.*RDONLY)/.test(line)));
});

Deno.test("compile: with init the container executes init, and init's program closes what the command must not have", () => {
  const spec = specOf({}, { init: true });
  const lines = explain(compile(spec, WIRING)).map(({ call }) => call);
  assertOrder(lines, [
    /close_range\(3/,
    /execveat\(10, "", \["sauropod-init", "11", "13"/,
  ]);
  const inner = explain(compileLast(spec.process, WIRING)).map(({ call }) => call);
  assertOrder(inner, [/^setsid/, /^close_range\(3, ~0, CLOSE_RANGE_CLOEXEC\)/, /^execve\("\/bin\/true"/]);
});

Deno.test("no program that is walked by Deno itself executes a path: what run, output, a build and prepare end in is the shim", () => {
  for (const init of [false, true]) {
    const spec = specOf({}, { init, args: ["sh"] });
    for (const program of [compile(spec, WIRING), compileAhead(spec, WIRING)]) {
      assert.deepEqual(program.filter(({ call }) => call.startsWith("execve")).map(({ args: [fd] }) => fd), [
        WIRING.shim,
      ]);
      assert.equal(program.at(-1)?.call, "execveat");
    }
  }
});

Deno.test("compile: lower folders with the characters that overlay reads as its own are escaped", () => {
  const lower = ["/a:b", "/c,d", "/e\\f"];
  const [line = ""] = linesOf(specOf({ rootfs: { ...SPEC.rootfs, lower } })).filter((line) =>
    line.includes("lowerdir")
  );
  const [, data = ""] = /"(lowerdir=.*)"\)/.exec(line) ?? [];
  assert.match(
    JSON.parse(`"${data}"`),
    /^lowerdir=a\\:b:c\\,d:e\\\\f,upperdir=\/containers\/0123456789ab\/upper,workdir=\/containers\//,
  );
});

Deno.test("compile: the process that shows a container's files dies with its caller, from its first step on", () => {
  const view = { folder: "/c", lower: ["/a", "/b"], shows: "container", writable: "all", volumes: [] } as const;
  const labels = compileView(view).map(({ label }) => label);
  const born = labels.indexOf("start a process in its own mount namespace");
  assert.deepEqual(labels.slice(born - 1, born + 4), [
    "open a pidfd of the caller",
    "start a process in its own mount namespace",
    "die when the caller dies",
    "check whether the caller is alive",
    "require that it is alive",
  ]);
});
