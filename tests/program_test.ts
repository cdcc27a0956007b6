import assert from "node:assert/strict";
import * as call from "../ffi/calls.ts";
import { encode } from "../ffi/encode.ts";
import { execute, shimFd } from "../ffi/execute.ts";
import { flags } from "../ffi/flags.ts";
import { type Argument, type Call, callerStep, type Program, register, step } from "../ffi/program.ts";
import { CAPABILITIES, DEFAULT_CAPABILITIES } from "../lib/capabilities.ts";
import type { ContainerOptions } from "../lib/container/options.ts";
import { prepare } from "../lib/container/prepare.ts";
import { explain, formatCall, formatProgram } from "../lib/explain.ts";
import { compileView } from "../lib/program/view.ts";
import { compile } from "../lib/program/compile.ts";
import { initCommand } from "../lib/program/process.ts";
import type { Wiring } from "../lib/program/wiring.ts";
import type { ContainerSpec } from "../lib/spec.ts";
import { randomFrom } from "./helpers/tar.ts";
import { hasAlpine, makeWorld } from "./helpers/world.ts";

// From options to steps

const SPEC: ContainerSpec = {
  id: "0123456789ab",
  hostname: "box",
  rootfs: {
    folder: "/containers/0123456789ab",
    lower: ["/images/one"],
    mode: 0o755,
    uid: 0,
    gid: 0,
    readOnly: false,
    volatile: false,
  },
  mounts: [],
  devices: [],
  network: { mode: "own", interfaces: [] },
  files: [],
  shmSize: 65536,
  cgroups: { groups: [] },
  cgroupMounts: [],
  settings: [],
  privileged: false,
  process: {
    args: ["/bin/true"],
    env: ["PATH=/bin:/sbin"],
    cwd: "/",
    identity: { uid: 0, gid: 0, groups: [] },
    capabilities: DEFAULT_CAPABILITIES,
    ambient: [],
    noNewPrivileges: true,
    rlimits: [],
    init: false,
  },
};

const WIRING: Wiring = {
  streams: [{ fd: 0, owned: false }, { fd: 1, owned: false }, { fd: 2, owned: false }],
  shim: 10,
  hostNetwork: 12,
  initProgram: 11,
  report: 13,
};

type ProcessChange = Partial<ContainerSpec["process"]>;

function specOf(change: Partial<ContainerSpec>, process: ProcessChange = {}): ContainerSpec {
  return { ...SPEC, ...change, process: { ...SPEC.process, ...process } };
}

/** The steps of a container as lines: who, why, what. */
function linesOf(spec: ContainerSpec, wiring: Partial<Wiring> = {}): string[] {
  return explain(compile(spec, { ...WIRING, ...wiring })).map(({ actor, label, call }) =>
    `${actor}: ${label}: ${call}`
  );
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

Deno.test("the program of a plain container does its work in the safe order", () => {
  assertOrder(PLAIN, [
    /^caller: make the container's upper folder/,
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
    /hide \/proc\/kcore/,
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
    /go on only if it is inside of the container/,
    /close_range\(3, ~0, CLOSE_RANGE_CLOEXEC\)/,
    /execve\("\/bin\/true", \["\/bin\/true"(, NULL)?\], \["PATH=\/bin:\/sbin"(, NULL)?\]\)/,
  ]);
});

Deno.test("every path is resolved after the pivot but the image's and the container's own", () => {
  const mount = { kind: "bind", source: "/data", target: "/in", directory: true, readOnly: false } as const;
  const program = compile(specOf({ mounts: [mount] }), WIRING);
  const pivot = program.findIndex(({ call }) => call === "pivot_root");
  const container = program.slice(0, pivot).filter(({ actor }) => actor === "container");
  const paths = container.flatMap(({ args }) => args).filter((argument) => typeof argument === "string");
  const known = ["/", "/data", SPEC.rootfs.folder, "overlay", "merged", "."];
  assert.deepEqual(paths.filter((path) => !known.includes(path) && !path.startsWith("lowerdir=")), []);
});

Deno.test("nothing between the clone and the command is left to chance: the same spec gives the same program and bytes", () => {
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
  enable: [],
  writes: [{ file: "/sys/fs/cgroup/memory/sauropod-x/memory.limit_in_bytes", value: "65536" }],
  join: "write",
} as const;
const GROUP_V2 = {
  version: 2,
  hierarchy: "unified",
  path: "/sys/fs/cgroup/sauropod-x",
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
  wiring?: Partial<Wiring>;
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
      /errors in words/,
      /in short/,
      /set lo up/,
      /let every group ping/,
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
      /mkdirat\(AT_FDCWD, "\/a"/,
      /mkdirat\(AT_FDCWD, "\/a\/b"/,
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
    added: [/mkdirat\(AT_FDCWD, "\/t"/, /mount\("tmpfs", "\/t", "tmpfs", MS_NOSUID\|MS_NODEV\|MS_NOEXEC, "size=1m"\)/],
  },
  {
    name: "a device",
    spec: { devices: [{ path: "/dev/net/tun", kind: "c", major: 10, minor: 200, mode: 0o600 }] },
    added: [/mkdirat\(AT_FDCWD, "\/dev\/net"/, /mknodat\(.*"\/dev\/net\/tun", .*0?600/],
  },
  {
    name: "a v1 group, joined by the container itself",
    spec: { cgroups: { groups: [GROUP_V1] } },
    added: [
      /^caller: make the memory control group: mkdirat\(/,
      /^caller: set memory.limit_in_bytes to 65536: openat\(/,
      /^caller: set memory.limit_in_bytes to 65536: write\(.*"65536", 5\)/,
      /^container: join the memory control group: openat\(.*cgroup.procs/,
      /^container: join the memory control group: write\(<group>, "0", 1\)/,
    ],
  },
  {
    name: "a v2 group, into which the container is born",
    spec: { cgroups: { groups: [GROUP_V2] } },
    added: [
      /^caller: set cgroup.subtree_control to \+memory: openat/,
      /write\(.*"\+memory"/,
      /^caller: make the unified control group/,
      /memory.swap.max/,
      /write\(.*"0", 1\)/,
      /^caller: open the control group: openat\(.*"\/sys\/fs\/cgroup\/sauropod-x", O_PATH\|O_DIRECTORY/,
      /clone3\(.*CLONE_INTO_CGROUP.*cgroup=cgroup/,
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
    name: "a user with a pipe of ours, which becomes the user's",
    process: { identity: { uid: 1000, gid: 0, groups: [] } },
    wiring: { streams: [{ fd: 0, owned: false }, { fd: 7, owned: true }, { fd: 2, owned: false }] },
    added: [/give standard output to the user: fchown\(7, 1000/, /dup3\(7, 1, 0\)/, /setresuid\(1000/, /capset/],
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
    added: [/mkdirat\(AT_FDCWD, "\/a"/, /mkdirat\(AT_FDCWD, "\/a\/b"/, /chdir\("\/a\/b"\)/],
    gone: [/go to \/: chdir/],
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
      /give it to the user: fchown\(<slave>, 0/,
      /\/dev\/console/,
      /mount\("\/dev\/pts\/0", "\/dev\/console"/,
      /^caller: take the terminal's other side: pidfd_getfd/,
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

Deno.test("a privileged container keeps every capability and hides nothing", () => {
  const lines = linesOf(specOf({ privileged: true }, { capabilities: CAPABILITIES, noNewPrivileges: false }));
  assert.deepEqual(lines.filter((line) => /: hide |read-only|PR_SET_NO_NEW_PRIVS/.test(line)), []);
  assert(lines.some((line) => line.includes("drop_bounding(0)")));
  assert(lines.some((line) => /mount\("sysfs", (?!.*RDONLY)/.test(line)));
});

Deno.test("with init the container executes init, and init's program closes what the command must not have", () => {
  const lines = linesOf(specOf({}, { init: true }));
  assertOrder(lines, [
    /close_range\(3/,
    /execveat\(10, "", \["sauropod-init", "11", "13"/,
  ]);
  assert.deepEqual(lines.filter((line) => line.includes("execve(")), []);
  const inner = explain(initCommand(SPEC.process, WIRING)).map(({ call }) => call);
  assertOrder(inner, [/^setsid/, /^close_range\(3, ~0, CLOSE_RANGE_CLOEXEC\)/, /^execve\("\/bin\/true"/]);
});

Deno.test("lower folders with the characters that overlay reads as its own are escaped", () => {
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

// For people

const OPTIONS: readonly (readonly [flags: readonly string[], options: ContainerOptions, shows: RegExp])[] = [
  [["--hostname", "web"], { hostname: "web" }, /sethostname\("web", 3\)/],
  [["-e", "COLOUR=red"], { env: { COLOUR: "red" } }, /execve\(.*"COLOUR=red"/],
  [["-w", "/var/x"], { cwd: "/var/x" }, /chdir\("\/var\/x"\)/],
  [["-u", "alice"], { user: "alice" }, /setresuid\(1000, 1000, 1000\)/],
  [["--init"], { init: true }, /"sauropod-init"/],
  [["--cpu", "200"], { limits: { cpuShares: 200 } }, /cpu\.(shares to 200|weight to 20)/],
  [["--cpus", "1.5"], { limits: { cpus: 1.5 } }, /150000/],
  [["--memory", "64m"], { limits: { memory: 67_108_864 } }, /67108864/],
  [
    ["--memory", "64m", "--memory-swap", "128m"],
    { limits: { memory: 67_108_864, memorySwap: 134_217_728 } },
    /swap|memsw/,
  ],
  [["--pids-limit", "9"], { limits: { pids: 9 } }, /set pids\.max to 9/],
  [["--ulimit", "nofile=64:128"], { ulimits: ["nofile=64:128"] }, /RLIMIT_NOFILE, \{64, 128\}/],
  [["--network", "none"], { network: "none" }, /CLONE_NEWNET/],
  [["-v", "/etc:/in:ro"], { volumes: ["/etc:/in:ro"] }, /open_tree\(AT_FDCWD, "\/etc"/],
  [["--tmpfs", "/run:size=16m"], { tmpfs: ["/run:size=16m"] }, /"size=16m"/],
  [["--device", "/dev/null:/dev/other"], { devices: ["/dev/null:/dev/other"] }, /"\/dev\/other"/],
  [["--read-only"], { readOnly: true }, /make the root read-only/],
  [["--shm-size", "1m"], { shmSize: 1_048_576 }, /size=1048576/],
  [["--cap-add", "NET_ADMIN"], { capAdd: ["NET_ADMIN"] }, /effective=.*CAP_NET_ADMIN/],
  [["--cap-drop", "CHOWN"], { capDrop: ["CHOWN"] }, /drop_bounding\(.*CAP_CHOWN/],
  [["--privileged"], { privileged: true }, /effective=.*CAP_SYS_ADMIN/],
];

Deno.test("explain shows every option as text and as JSON that agree, and makes nothing", async () => {
  await using world = makeWorld();
  const lower = [`${world.folders.images}/busybox`];
  for (const [, options, shows] of OPTIONS) {
    const spec = await prepare(
      SPEC.id,
      { name: "busybox", kind: "folder", lower },
      ["true"],
      options,
      SPEC.rootfs.folder,
    );
    const program = compile(spec, WIRING);
    const text = formatProgram(program);
    assert.match(text, shows);
    for (const { label, call } of explain(program)) assert(text.includes(`# ${label}\n`) && text.includes(call), call);
    assert.equal(text.split("\n").filter((line) => /^ +\d+ {2}/.test(line)).length, program.length);
    assert.deepEqual(JSON.parse(JSON.stringify(explain(program))), explain(program));
  }
  assert.deepEqual([...Deno.readDirSync(world.folders.containers)], []);
});

Deno.test("the command explain prints what run would do, for all options at once, and makes nothing", async () => {
  await using world = makeWorld();
  const words = OPTIONS.filter(([[flag]]) => flag !== "--privileged").flatMap(([flags]) => flags)
    .filter((word, i, all) =>
      !(word === "--memory" && all.indexOf(word) < i) && !(word === "64m" && all.indexOf(word) < i)
    );
  const text = await world.cli(["explain", ...words, "busybox", "true"]);
  assert.deepEqual([text.code, text.stderr], [0, ""]);
  for (const [flags, , shows] of OPTIONS) {
    if (flags[0] !== "--privileged" && flags[0] !== "--cap-add") assert.match(text.stdout, shows, flags.join(" "));
  }
  const json = await world.cli(["explain", "--json", ...words, "busybox", "true"]);
  assert.equal(json.code, 0, json.stderr);
  const parsed: { steps: unknown[]; init: unknown[] } = JSON.parse(json.stdout);
  assert(parsed.steps.length > 100 && parsed.init.length > 3);
  assert.deepEqual([...Deno.readDirSync(world.folders.containers)], []);
});

Deno.test({
  name: "explain of an archive names the unpacked image",
  ignore: !hasAlpine(),
  fn: async () => {
    await using world = makeWorld();
    const { code, stdout } = await world.cli(["explain", "alpine", "/bin/sh"]);
    assert.equal(code, 0);
    assert.match(stdout, /lowerdir=.*\/images\/\.unpacked\//);
  },
});

// Encoding and execution; all steps below are the caller's: they run in this process.

function pseudo(name: Call["call"], ...args: Argument[]): Call {
  return { call: name, args };
}

function here(call: Call, options: { save?: string; when?: string; ignore?: readonly ("ENOENT" | "EBADF")[] } = {}) {
  return callerStep("", call, options);
}

const missing = call.open("/no/such/file", flags("O", "RDONLY"));

Deno.test("a register keeps what a step returned, errors included, and is -EBADF before", () => {
  const outcome = execute([
    here(call.getpid, { save: "pid" }),
    here(missing, { save: "missing", ignore: ["ENOENT"] }),
    here(call.getpid, { save: "never", when: "missing" }),
  ]);
  assert(outcome.ok);
  assert.deepEqual(Object.fromEntries(outcome.registers), { pid: Deno.pid, missing: -2, never: -9 });
});

Deno.test("a step with a condition runs only if its register holds no error", () => {
  const outcome = execute([
    here(call.getpid, { save: "yes" }),
    here(missing, { save: "no", ignore: ["ENOENT"] }),
    here(call.getpid, { save: "after-yes", when: "yes" }),
    here(missing, { when: "no" }),
    here(call.getpid, { save: "last" }),
  ]);
  assert(outcome.ok);
  assert.equal(outcome.registers.get("after-yes"), Deno.pid);
  assert.equal(outcome.registers.get("last"), Deno.pid);
});

Deno.test("the first failing step is reported with its errno, and none runs after it", () => {
  const program = [
    here(call.getpid, { save: "before" }),
    callerStep("open what is missing", missing, { save: "fd", ignore: ["EBADF"] }),
    here(call.getpid, { save: "after" }),
  ];
  const outcome = execute(program);
  assert(!outcome.ok);
  assert.deepEqual([outcome.step.label, outcome.errno], ["open what is missing", 2]);
  assert.deepEqual([outcome.registers.get("fd"), outcome.registers.get("after")], [-2, -9]);
});

Deno.test("a failure is reported for the program's own step although structures take hidden ones", () => {
  const words = { words: [register("pid"), register("pid"), register("pid")] };
  const outcome = execute([
    here(call.getpid, { save: "pid" }),
    callerStep("the one with a structure", pseudo("expect", words, 0n, 1n, 7)),
  ]);
  assert(!outcome.ok);
  assert.deepEqual([outcome.step.label, outcome.errno], ["the one with a structure", 7]);
});

Deno.test("structures hold immediates, registers with what is added, and pointers", () => {
  const pid = BigInt(Deno.pid);
  const all = 0xffff_ffff_ffff_ffffn;
  const wanted: [Argument, bigint][] = [[42, 42n], [all, all], [register("pid"), pid], [
    { register: "pid", plus: 1n << 32n },
    pid + (1n << 32n),
  ]];
  for (const [argument, value] of wanted) {
    const outcome = execute([
      here(call.getpid, { save: "pid" }),
      here(pseudo("expect", { words: [argument] }, all, value, 33)),
    ]);
    assert(outcome.ok, String(value));
  }
});

Deno.test("store writes where another step reads, and the same bytes in two steps are the same memory", () => {
  const memory = { bytes: new Uint8Array(16) };
  const program = [
    here(pseudo("store", memory, 0x1234n, 1n)),
    here(pseudo("expect", memory, 0xffffn, 0x1235n, 5)),
    here(pseudo("expect", { bytes: new Uint8Array(16) }, 0xffffn, 0n, 6)),
    here(pseudo("expect", memory, 0xffffn, 0x1234n, 7)),
  ];
  const outcome = execute(program);
  assert(!outcome.ok);
  assert.equal(outcome.errno, 7);
  assert.deepEqual(memory.bytes, new Uint8Array(16), "the program works on its own copy");
});

Deno.test("a system call can write into a register", async () => {
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(path, "\x01\x02\x03\x04\x05\x06\x07\x00");
    const outcome = execute([
      here(call.open(path, flags("O", "RDONLY")), { save: "fd" }),
      here({ call: "read", args: [register("fd"), { cell: "value" }, 8] }),
    ]);
    assert(outcome.ok);
    assert.equal(outcome.registers.get("value"), 0x07060504030201);
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("descriptors that the program opened are closed again, except those to keep", () => {
  const count = (): number => [...Deno.readDirSync("/proc/self/fd")].length;
  const open = call.open("/dev/null", flags("O", "WRONLY"));
  const before = count();
  const program = [here(open, { save: "one" }), here(open, { save: "two" })];
  assert(execute(program).ok);
  assert.equal(count(), before);
  assert(!execute([...program, here(missing)], ["one"]).ok);
  assert.equal(count(), before, "a failure keeps nothing");
  const kept = execute(program, ["two"]);
  assert(kept.ok);
  assert.equal(count(), before + 1);
  assert(execute([here(call.close(kept.registers.get("two") ?? -1))]).ok);
});

Deno.test("long texts, many steps and programs beyond 64 KiB arrive whole", async () => {
  const path = await Deno.makeTempFile();
  try {
    const texts = Array.from({ length: 1200 }, (_, i) => `${i}:${"ä€𐍈x".repeat(i % 90)}\n`);
    const long = "y".repeat(200_000);
    const program = [
      here(call.open(path, flags("O", "WRONLY")), { save: "fd" }),
      ...[...texts, long].map((text) => here(call.write(register("fd"), text))),
    ];
    assert(encode(program).bytes.length > 4 * 65536);
    assert(execute(program).ok);
    assert.equal(await Deno.readTextFile(path), texts.join("") + long);
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("a program after a large one is not disturbed by what that left in the buffer", () => {
  const large = Array.from({ length: 500 }, () => here(call.umask(0o22)));
  const tiny = [here(call.getpid, { save: "pid" })];
  const bytes = encode(tiny).bytes.slice();
  assert(execute(large).ok);
  assert.deepEqual(encode(tiny).bytes.slice(), bytes);
});

Deno.test("thousands of registers fit, and a NUL in a text is refused", () => {
  const many = (count: number): Program =>
    Array.from({ length: count }, (_, i) => here(call.getpid, { save: `r${i}` }));
  const outcome = execute(many(5000));
  assert(outcome.ok);
  assert.equal(outcome.registers.get("r4999"), Deno.pid);
  assert.throws(() => execute(many(65535)), RangeError);
  assert.throws(() => encode([here(call.open("/etc\0/passwd", flags("O", "RDONLY")))]), TypeError);
});

Deno.test("the container's steps run in a process of their own, and a failure of theirs ends it", () => {
  const cloned = callerStep("", call.clone3(flags("CLONE", "PIDFD"), "pidfd"), { save: "pid" });
  const outcome = execute([
    here(call.getpid, { save: "caller" }),
    cloned,
    step("look who it is", call.getpid, { save: "child" }),
    step("fail", missing),
    here(call.getpid, { save: "later" }),
  ]);
  assert(!outcome.ok);
  assert.deepEqual([outcome.step.label, outcome.errno], ["fail", 2]);
  const { caller, child, pid, later } = Object.fromEntries(outcome.registers);
  assert.equal(caller, Deno.pid);
  assert.equal(child, pid);
  assert.notEqual(child, caller);
  assert.equal(later, -9, "the caller's steps behind the failure did not run");
  assert.throws(() => Deno.statSync(`/proc/${pid}`), Deno.errors.NotFound);
});

Deno.test("a failing step of the caller ends the container's process", () => {
  const outcome = execute([
    callerStep("", call.clone3(flags("CLONE", "PIDFD"), "pidfd"), { save: "pid" }),
    step("", call.getpid, { save: "child" }),
    callerStep("fail", missing),
    step("", call.execveFd(shimFd, ["never"], [])),
  ]);
  assert(!outcome.ok);
  assert.deepEqual([outcome.step.label, outcome.errno], ["fail", 2]);
  assert.throws(() => Deno.statSync(`/proc/${outcome.registers.get("pid")}`), Deno.errors.NotFound);
});

// A model of the shim in TypeScript, against which random programs are run

const SEED = 9_052_026, PROGRAMS = 400;
const U64 = 0xffff_ffff_ffff_ffffn;
const NAMES = ["a", "b", "c", "d"] as const;
const EINVAL = 22, ENOENT = 2, EBADF = 9;

interface ModelStep {
  step: ReturnType<typeof here>;
  /** What the step returns; the registers are those before it. */
  result: (registers: Map<string, number>, memory: bigint[]) => number;
}

function randomStep(random: () => number, memories: readonly Uint8Array[]): ModelStep {
  const below = (n: number): number => Math.floor(random() * n);
  const name = (): string => NAMES[below(NAMES.length)] ?? "a";
  const cell = below(memories.length);
  const memory = { bytes: memories[cell] ?? new Uint8Array(8) };
  const [value, mask] = [BigInt(below(4)), BigInt(below(4))];
  const errno = 1 + below(100);
  const other = name();
  const text = "é".repeat(below(6));
  const makers: (() => [Call, ModelStep["result"]])[] = [
    () => [call.getpid, () => Deno.pid],
    () => [pseudo("umask", 0o22), () => 0o22],
    () => [missing, () => -ENOENT],
    () => [pseudo("readlinkat", -1, "missing", memory, 8), () => -EBADF],
    () => [call.close(-1), () => -EBADF],
    () => [call.write(1 << 20, text), () => -EBADF],
    () => [pseudo("lseek", 1 << 20, 0, 0), () => -EBADF],
    () => [pseudo("prctl", -1, 0, 0, 0, 0), () => -EINVAL],
    () => [pseudo("expect", memory, mask, value, errno), (_, m) => ((m[cell] ?? 0n) & mask) === value ? 0 : -errno],
    () => [pseudo("store", memory, value, mask), (_, m) => (m[cell] = value + mask, 0)],
    () => [pseudo("store", memory, register(other), value), (registers, m) => {
      m[cell] = (BigInt(registers.get(other) ?? -EBADF) + value) & U64;
      return 0;
    }],
    () => [
      pseudo("expect", { words: [register(other)] }, 1n, value & 1n, errno),
      (registers) => (BigInt(registers.get(other) ?? -EBADF) & 1n) === (value & 1n) ? 0 : -errno,
    ],
  ];
  const [made, result] = makers[below(makers.length)]?.() ?? assert.fail();
  const options = {
    // What store returns is not kept, as structures are stored in the name of their step; and a register of openat's
    // is closed at the end, whatever a later step has put there.
    ...(made.call !== "store" && made !== missing && below(2) ? { save: name() } : {}),
    ...(below(4) ? {} : { when: name() }),
    ignore: ([["ENOENT", "EBADF"], ["EBADF"], ["ENOENT"], []] as const)[below(8) ? 0 : below(4)],
  };
  return { step: here(made, options), result };
}

/** What the shim must do with a program: the index of the failing step, its errno, the registers. */
function model(program: readonly ModelStep[], cells: number): { failed: number; errno: number; registers: unknown } {
  const registers = new Map<string, number>();
  for (const { step } of program) for (const name of [step.save, step.when]) if (name) registers.set(name, -EBADF);
  const memory = Array.from({ length: cells }, () => 0n);
  for (const [i, { step, result }] of program.entries()) {
    if (step.when !== undefined && (registers.get(step.when) ?? 0) < 0) continue;
    const returned = result(registers, memory);
    if (step.save !== undefined) registers.set(step.save, returned);
    const ignored = (returned === -ENOENT && step.ignore?.includes("ENOENT")) ||
      (returned === -EBADF && step.ignore?.includes("EBADF"));
    if (returned < 0 && !ignored) return { failed: i, errno: -returned, registers: Object.fromEntries(registers) };
  }
  return { failed: -1, errno: 0, registers: Object.fromEntries(registers) };
}

Deno.test("random programs of harmless calls do what a model of the interpreter says", () => {
  const before = Deno.umask(0o22);
  try {
    const random = randomFrom(SEED);
    let [whole, failing] = [0, 0];
    for (let n = 0; n < PROGRAMS; n++) {
      const memories = Array.from({ length: 3 }, () => new Uint8Array(8));
      const steps = Array.from({ length: 1 + Math.floor(random() * 30) }, () => randomStep(random, memories));
      const program = steps.map(({ step }) => step);
      const outcome = execute(program);
      const found = {
        failed: outcome.ok ? -1 : program.indexOf(outcome.step),
        errno: outcome.ok ? 0 : outcome.errno,
        registers: Object.fromEntries(outcome.registers),
      };
      const expected = model(steps, memories.length);
      const reads = new Set(steps.flatMap(({ step }) => step.args.map(registerIn)).filter((name) => name !== ""));
      for (const name of reads) {
        if (!(name in Object(expected.registers))) Reflect.deleteProperty(found.registers, name);
      }
      assert.deepEqual(found, expected, `program ${n} of seed ${SEED}:\n${program.map(formatCall).join("\n")}`);
      if (outcome.ok) whole++;
      else failing++;
    }
    assert(whole > 40 && failing > 40, `${whole} went through, ${failing} failed`);
  } finally {
    Deno.umask(before);
  }
});

/** The register that an argument reads, also inside of a structure; empty if none. */
function registerIn(argument: Argument): string {
  if (argument === null || typeof argument !== "object") return "";
  if ("register" in argument) return argument.register;
  return "words" in argument ? argument.words.map(registerIn).join("") : "";
}

Deno.test("the process that shows a container's files dies with its caller, from its first step on", () => {
  const view = { folder: "/c", lower: ["/a", "/b"], shows: "container", writable: "all", volumes: [] } as const;
  const labels = compileView(view).map(({ label }) => label);
  const born = labels.indexOf("start a process in its own mount namespace");
  assert.deepEqual(labels.slice(born - 1, born + 4), [
    "hold on to ourselves",
    "start a process in its own mount namespace",
    "die when the caller dies",
    "look whether the caller still lives",
    "go on only if it does",
  ]);
});
