import assert from "node:assert/strict";
import { flags } from "../../../ffi/program/flags.ts";
import { AT_FDCWD, close, openAt, read as readBytes } from "../../../ffi/fs/fs.ts";
import { pipe, reapNow } from "../../../ffi/process/process.ts";
import { launch } from "../../../lib/container/attached/launch.ts";
import { prepare, thermalFolders } from "../../../lib/container/spec/spec.ts";
import { InputError } from "../../../mod.ts";
import { host, inside, type InsideOptions, parseMounts, parseStatus, say, text } from "../../helpers/inside.ts";
import { commandLine } from "../../helpers/project.ts";
import { makeWorld } from "../../helpers/world.ts";

const world = makeWorld();
Deno.test.afterAll(async () => await world[Symbol.asyncDispose]());

// capability.h numbers of Podman's default: CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP
// NET_BIND_SERVICE SYS_CHROOT SETFCAP.
const ELEVEN = [0, 1, 3, 4, 5, 6, 7, 8, 10, 18, 31];
const NET_ADMIN = 12, NET_RAW = 13, CHOWN = 0, SYS_TIME = 25;
const NONE: number[] = [];

interface Sets {
  bounding: number[];
  permitted: number[];
  effective: number[];
  inheritable: number[];
  ambient: number[];
}

function bits(mask: string | undefined): number[] {
  const value = BigInt(`0x${mask ?? "0"}`);
  return Array.from({ length: 64 }, (_, i) => i).filter((i) => value >> BigInt(i) & 1n);
}

function setsIn(status: string): Sets {
  const field = parseStatus(status);
  return {
    bounding: bits(field.get("CapBnd")),
    permitted: bits(field.get("CapPrm")),
    effective: bits(field.get("CapEff")),
    inheritable: bits(field.get("CapInh")),
    ambient: bits(field.get("CapAmb")),
  };
}

/** The capability sets of PID 1 as the kernel shows them. */
async function capabilities(options: InsideOptions = {}): Promise<Sets> {
  return setsIn(await say(world, ["cat", "/proc/self/status"], options));
}

function ofRoot(list: readonly number[]): Sets {
  const sorted = [...list].sort((a, b) => a - b);
  return { bounding: sorted, permitted: sorted, effective: sorted, inheritable: NONE, ambient: NONE };
}

const OURS = setsIn(Deno.readTextFileSync("/proc/self/status")).permitted;

Deno.test("run --cap-add: root in a container has exactly Podman's eleven capabilities, none of them inheritable or ambient", async () => {
  assert.deepEqual(await capabilities(), ofRoot(ELEVEN));
  assert.deepEqual(await capabilities({ init: true }), ofRoot(ELEVEN));
});

Deno.test("run --cap-add: init has no more capabilities than the command", async () => {
  const status = await say(world, "cat /proc/1/status", { init: true });
  assert.deepEqual([setsIn(status), parseStatus(status).get("NoNewPrivs")], [ofRoot(ELEVEN), "1"]);
});

const CHOICES: readonly (readonly [what: string, options: InsideOptions, expected: readonly number[]])[] = [
  ["one can be added", { capAdd: ["NET_ADMIN"] }, [...ELEVEN, NET_ADMIN]],
  ["in any spelling", { capAdd: ["cap_net_admin", "Net_Raw"] }, [...ELEVEN, NET_ADMIN, NET_RAW]],
  ["one can be dropped", { capDrop: ["CHOWN"] }, ELEVEN.filter((number) => number !== CHOWN)],
  ["all can be dropped", { capDrop: ["ALL"] }, []],
  ["all but one can be dropped", { capDrop: ["all"], capAdd: ["CHOWN"] }, [CHOWN]],
  ["all can be added", { capAdd: ["ALL"] }, OURS],
  ["all but one can be added", { capAdd: ["ALL"], capDrop: ["SYS_TIME"] }, OURS.filter((n) => n !== SYS_TIME)],
  ["privileged is all", { privileged: true }, OURS],
  ["privileged minus one", { privileged: true, capDrop: ["SYS_TIME"] }, OURS.filter((n) => n !== SYS_TIME)],
];

for (const [what, options, expected] of CHOICES) {
  Deno.test(`run --cap-add: capabilities: ${what}`, async () => {
    assert.deepEqual(await capabilities(options), ofRoot(expected));
  });
}

Deno.test("run --cap-add: capabilities can be chosen on the command line", async () => {
  const words = ["--rm", "--cap-drop", "ALL", "--cap-add=NET_ADMIN", "busybox", "cat", "/proc/self/status"];
  const { stdout } = await world.cli(words);
  assert.deepEqual(setsIn(stdout), ofRoot([NET_ADMIN]));
});

Deno.test("run --cap-add: an unknown capability is refused", async () => {
  for (const options of [{ capAdd: ["FLY"] }, { capDrop: ["FLY"] }]) {
    await assert.rejects(
      inside(world, "true", options),
      (error) => error instanceof InputError && error.code === "unknown-capability",
    );
  }
});

Deno.test("run --cap-add: a user who is not root has no capability, but the bounding set stays", async () => {
  for (const options of [{}, { init: true }]) {
    const sets = await capabilities({ user: "alice", ...options });
    assert.deepEqual(sets, { ...ofRoot([]), bounding: ELEVEN });
  }
  assert.deepEqual(await capabilities({ user: "alice", capDrop: ["ALL"] }), ofRoot([]));
});

Deno.test("run --cap-add: a user who is not root keeps a capability that is added by name, also across another execve", async () => {
  const only = [NET_ADMIN];
  const expected = {
    ...ofRoot(only),
    inheritable: only,
    ambient: only,
    bounding: [...ELEVEN, NET_ADMIN].sort((a, b) => a - b),
  };
  const options = { user: "alice", capAdd: ["NET_ADMIN"] };
  for (const more of [{}, { init: true }]) {
    assert.deepEqual(await capabilities({ ...options, ...more }), expected);
    assert.deepEqual(setsIn(await say(world, "cat /proc/self/status; true", { ...options, ...more })), expected);
  }
  assert.equal(await say(world, "ip link set lo mtu 1400 && cat /sys/class/net/lo/mtu", options), "1400\n");
});

Deno.test("run --cap-add: the capabilities hold: what needs another one is refused", async () => {
  const refusals = [
    "ip link set lo mtu 1400",
    "mount -t tmpfs x /tmp",
    "mknod /node c 1 3",
    "hostname x",
  ];
  for (const words of refusals) assert.notEqual((await inside(world, words)).code, 0, words);
  const allowed = ["chown 1000 /tmp", "chroot / true", "touch /f; chmod 4755 /f", "su alice -s /bin/sh -c true"];
  for (const words of allowed) await say(world, words);
});

// A set-user-id program that shows who it is, executed by a user who is not root.
const SUID =
  "cp -L $(command -v cat) /tmp/suid && chmod 4755 /tmp/suid && chroot --userspec=1000:1000 / /tmp/suid /proc/self/status";

Deno.test("a set-user-id program gains nothing: no_new_privs is set", async () => {
  const fields = parseStatus(await say(world, SUID, { image: "host" }));
  assert.deepEqual([fields.get("NoNewPrivs"), fields.get("Uid")], ["1", "1000 1000 1000 1000"]);
  for (const options of [{ user: "alice" }, { init: true }]) {
    const { stdout } = await inside(world, ["cat", "/proc/self/status"], options);
    assert.equal(parseStatus(stdout).get("NoNewPrivs"), "1");
  }
});

Deno.test("with --security-opt no-new-privileges=false a set-user-id program gains its owner's rights", async () => {
  const words = ["--rm", "--security-opt", "no-new-privileges=false", "host", "/bin/sh", "-c", SUID];
  const { stdout, stderr } = await world.cli(words);
  const fields = parseStatus(stdout);
  assert.deepEqual([fields.get("NoNewPrivs"), fields.get("Uid"), stderr], ["0", "1000 0 0 0", ""]);
  assert.deepEqual(setsIn(stdout).bounding, ELEVEN);
});

Deno.test("other values of --security-opt are refused", async () => {
  const { code, stderr } = await world.cli(["--security-opt", "seccomp=profile.json", "busybox", "true"]);
  assert.equal(code, 125);
  assert.match(stderr, /invalid --security-opt "seccomp=profile.json"/);
});

const MASKED = {
  files: ["interrupts", "kcore", "keys", "latency_stats", "sched_debug", "timer_list", "timer_stats"].map((name) =>
    `/proc/${name}`
  ),
  folders: ["/proc/acpi", "/proc/asound", "/proc/scsi", "/sys/devices/virtual/powercap", "/sys/firmware"],
};

function onHost(paths: readonly string[]): string[] {
  return paths.filter((path) => {
    try {
      return Deno.lstatSync(path) !== undefined;
    } catch {
      return false;
    }
  });
}

Deno.test("run --cap-add: masked paths are empty, and cannot be filled", async () => {
  const files = onHost(MASKED.files), folders = onHost(MASKED.folders);
  assert.ok(files.length > 0 && folders.length > 0);
  for (const capAdd of [[], ["SYS_RAWIO", "SYSLOG", "DAC_READ_SEARCH"]]) {
    const script = `for f in ${files.join(" ")}; do echo $(wc -c < $f); done
      for d in ${
      folders.join(" ")
    }; do echo $(ls -A $d | wc -l); { echo > $d/new; } 2>/dev/null && echo wrote $d; done; true`;
    assert.deepEqual((await say(world, script, { capAdd })).trim().split("\n"), [...files, ...folders].map(() => "0"));
  }
});

Deno.test("run --cap-add: thermal_throttle of all possible processors is masked where a machine has it", async () => {
  const processors = `${world.home}/cpu`;
  Deno.mkdirSync(processors);
  Deno.writeTextFileSync(`${processors}/possible`, "0-1,4\n");
  assert.deepEqual(thermalFolders(processors), []);
  Deno.mkdirSync(`${processors}/cpu0/thermal_throttle`, { recursive: true });
  const folders = [0, 1, 4].map((number) => `${processors}/cpu${number}/thermal_throttle`);
  assert.deepEqual(thermalFolders(processors), folders);

  // Virtual machines have none: another folder stands for it, and one that is missing is no error.
  const folder = `${world.folders.containers}/0123456789ab`, seen = "/sys/devices/system/cpu/cpu0/topology";
  const image = { name: "busybox", kind: "folder", lower: [world.image] } as const;
  const script = `ls -A ${seen}; { echo > ${seen}/new; } 2>/dev/null || echo masked`;
  const spec = await prepare("0123456789ab", image, ["sh", "-c", script], { network: "none" }, folder);
  Deno.mkdirSync(folder);
  const [read, write] = pipe();
  const silent = openAt(AT_FDCWD, "/dev/null", flags("O", "RDWR"));
  const masked = [...spec.masked, seen, "/sys/devices/system/cpu/cpu9999/thermal_throttle"];
  const { pidfd } = await launch({ ...spec, masked }, [{ fd: silent }, { fd: write }, { fd: silent }]);
  close(write);
  reapNow(pidfd);
  const buffer = new Uint8Array(4096);
  assert.equal(text(buffer.subarray(0, readBytes(read, buffer))), "masked\n");
  [read, silent].forEach(close);
  Deno.removeSync(folder, { recursive: true });
});

Deno.test("run -u 1000 listens on port 80, unless --sysctl says otherwise or the network is the host's", async () => {
  const script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start; timeout 1 httpd -f -p 80 2>&1; echo $?";
  const listen = (...flags: string[]) => world.cli(["--rm", "-u", "1000", ...flags, "busybox", "sh", "-c", script]);
  for (const network of ["none", "bridge"]) {
    const { stdout } = await listen("--network", network);
    assert.equal(stdout, "0\nTerminated\n143\n", network);
  }
  const own = await listen("--network", "none", "--sysctl", "net.ipv4.ip_unprivileged_port_start=1024");
  assert.match(own.stdout, /^1024\n.*Permission denied\n1\n$/);
  const hosts = Deno.readTextFileSync("/proc/sys/net/ipv4/ip_unprivileged_port_start");
  assert.equal((await listen("--network", "host")).stdout.split("\n")[0], hosts.trim());
});

Deno.test("run --cap-add: what the container may only read it cannot write, whatever the mode of the file says", async () => {
  const paths = onHost([
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sysrq-trigger",
    "/proc/irq/default_smp_affinity",
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/sys/kernel/profiling",
    "/sys/class/net/lo/mtu",
  ]);
  assert.ok(paths.length > 4);
  const script = `for path in ${paths.join(" ")}; do { : >> $path; } 2>&1 | sed 's/.*: //'; done`;
  const { stdout, stderr } = await inside(world, script, { capAdd: ["SYS_ADMIN", "NET_ADMIN"] });
  assert.deepEqual([stdout.trim().split("\n"), stderr], [paths.map(() => "Read-only file system"), ""]);
  for (const folder of onHost(["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"])) {
    const mounts = parseMounts(await say(world, "cat /proc/self/mountinfo"));
    assert.ok(mounts.find(({ target }) => target === folder)?.options.includes("ro"), folder);
  }
});

Deno.test("run --cap-add: a privileged container sees all of /proc and /sys, and the host's devices", async () => {
  const mounts = parseMounts(await say(world, "cat /proc/self/mountinfo", { privileged: true }));
  assert.deepEqual(
    mounts.filter(({ target, type }) => target.startsWith("/proc/") || type === "sysfs" && target !== "/sys"),
    [],
  );
  const script =
    "wc -c < /proc/timer_list; echo 1 > /proc/sys/net/ipv4/ip_forward; cat /proc/sys/net/ipv4/ip_forward; ls /dev";
  const [size, forward, ...devices] = (await say(world, script, { privileged: true })).trim().split("\n");
  assert.ok(Number(size) > 0);
  assert.equal(forward, "1");
  const ours = [...Deno.readDirSync("/dev")].map(({ name }) => name).filter((name) => {
    const { isCharDevice, isBlockDevice } = Deno.lstatSync(`/dev/${name}`);
    return (isCharDevice || isBlockDevice) && name !== "console";
  });
  assert.deepEqual(ours.filter((name) => !devices.includes(name)), []);
});

for (const init of [false, true]) {
  Deno.test(`run --cap-add: a command has no descriptor but the three streams, whatever the caller holds${init ? ", also behind init" : ""}`, async () => {
    Deno.writeTextFileSync(`${world.home}/secret`, "of the host");
    // The shell of the list itself must not have to open anything.
    const script = "(ls /proc/$$/fd > /list); cat /list";
    const words = commandLine(["--rm", ...(init ? ["--init"] : []), "busybox", "sh", "-c", script]);
    const { stdout, stderr } = await new Deno.Command("bash", {
      args: ["-c", 'exec 9< "$0" 33>> "$0" 99< / 255<> "$0"; exec "$@"', `${world.home}/secret`, ...words],
      env: { SAUROPOD_HOME: world.home },
      stdin: "null",
    }).output();
    assert.deepEqual([text(stdout), text(stderr)], ["0\n1\n2\n", ""]);
    assert.equal(await say(world, script, { init }), "0\n1\n2\n");
  });
}

Deno.test("run --cap-add: nothing of the caller's environment is in the container's memory of it", async () => {
  const secret = `secret-${crypto.randomUUID()}`;
  for (const init of [[], ["--init"]]) {
    const script = "cat /proc/1/environ /proc/$$/environ /proc/1/cmdline | tr '\\0' '\\n'";
    const { stdout } = await world.cli(["--rm", ...init, "busybox", "sh", "-c", script], {
      env: { SECRET: secret, [secret]: "1" },
    });
    assert.match(stdout, /^PATH=/m);
    assert.ok(!stdout.includes(secret));
  }
});

function sessionKeyrings(keys: string): string[] {
  return keys.split("\n").filter((line) => /\bkeyring +_ses\b/.test(line)).map((line) => line.slice(0, 8));
}

Deno.test("run --cap-add: a container has a session keyring of its own", async () => {
  const ours = new Set(sessionKeyrings(Deno.readTextFileSync("/proc/keys")));
  const theirs = sessionKeyrings(await say(world, ["cat", "/proc/keys"], { privileged: true }));
  assert.equal(theirs.filter((serial) => !ours.has(serial)).length, 1);
});

Deno.test("run --cap-add: no process in a container is an executable of the host, and init cannot be written", async () => {
  assert.equal(await say(world, "readlink /proc/1/exe"), "/bin/busybox\n");
  const script = "readlink /proc/1/exe; wc -c < /proc/1/exe; { echo evil >> /proc/1/exe; } 2>/dev/null || echo refused";
  assert.match(
    (await inside(world, script, { init: true })).stderr,
    /^\/bin\/sh: can't open \/proc\/1\/exe: Permission denied$/m,
  );
  const tracing = { init: true, capAdd: ["SYS_PTRACE"] };
  const [link = "", size, refused] = (await say(world, script, tracing)).trim().split("\n");
  assert.match(link, /^\/memfd:.* \(deleted\)$/);
  assert.ok(Number(size) < 100_000, `${size} bytes`);
  assert.equal(refused, "refused");
  const privileged = { init: true, privileged: true };
  assert.match(await say(world, "{ echo > /proc/1/exe; } 2>/dev/null || echo refused", privileged), /^refused$/m);
});

Deno.test("run --cap-add: the libraries and files of the host's Deno are not mapped into any process of a container", async () => {
  for (const init of [false, true]) {
    const maps = await say(world, "cat /proc/1/maps /proc/$$/maps", { init, capAdd: ["SYS_PTRACE"] });
    assert.doesNotMatch(maps, /deno|\.so/);
  }
});

Deno.test("--device gives a device under its name or another, and the command can use it", async () => {
  const script =
    "stat -c '%F %t:%T %a' /dev/deep/zero /dev/nothing; head -c 3 /dev/deep/zero | wc -c; echo x > /dev/nothing";
  const words = ["--device", "/dev/zero:/dev/deep/zero", "--device=/dev/null:/dev/nothing"];
  const { code, stdout, stderr } = await world.cli(["--rm", "-u", "alice", ...words, "busybox", "sh", "-c", script]);
  const mode = (path: string): string => ((Deno.statSync(path).mode ?? 0) & 0o777).toString(8);
  assert.deepEqual([code, stderr], [0, ""]);
  assert.equal(
    stdout,
    `character special file 1:5 ${mode("/dev/zero")}\ncharacter special file 1:3 ${mode("/dev/null")}\n3\n`,
  );
});

Deno.test("run --cap-add: a device that every container has can be asked for as well", async () => {
  assert.equal(
    await say(world, "head -c 1 /dev/zero | wc -c", { devices: ["/dev/zero", "/dev/null", "/dev/null"] }),
    "1\n",
  );
});

Deno.test("run --cap-add: what is no device, or has no place below /dev, is refused", async () => {
  Deno.writeTextFileSync(`${world.home}/file`, "");
  for (
    const device of [
      "/dev/missing",
      `${world.home}/file:/dev/file`,
      "/dev/zero:/zero",
      "/dev/zero:/dev/../zero",
      "/dev/zero:/dev/a:r:w",
    ]
  ) {
    await assert.rejects(
      inside(world, "true", { devices: [device] }),
      (error) => error instanceof InputError && error.code === "bad-device",
      device,
    );
  }
});

async function limit(name: string, options: InsideOptions = {}): Promise<string> {
  const line = (await say(world, "cat /proc/self/limits", options)).split("\n").find((line) => line.startsWith(name));
  return (line ?? "").slice(26, 68).trim().split(/\s+/).join(":");
}

Deno.test("run --cap-add: a command has the usual soft limit of 1024 open files, and may raise it to ours", async () => {
  const [, hard] = (await host("sh", "-c", "ulimit -Sn; ulimit -Hn")).trim().split("\n");
  assert.equal(await limit("Max open files"), `1024:${hard}`);
  assert.equal(await limit("Max open files", { init: true }), `1024:${hard}`);
});

Deno.test("run --cap-add: of several limits for one resource the last holds, also on a host where none can be raised", async () => {
  const options = { ulimits: ["nofile=10", "core=0", "nofile=20:30"], capDrop: ["ALL"] };
  assert.equal(await limit("Max open files", options), "20:30");
  const { stdout } = await world.cli([
    "explain",
    "--ulimit",
    "nofile=10",
    "--ulimit",
    "nofile=20:30",
    "busybox",
    "true",
  ]);
  assert.equal(stdout.match(/# limit nofile/g)?.length, 1);
});

Deno.test("--ulimit sets soft and hard limits", async () => {
  const words = [
    "--ulimit",
    "nofile=100:200",
    "--ulimit",
    "core=0",
    "--ulimit=nproc=50",
    "busybox",
    "cat",
    "/proc/self/limits",
  ];
  const { stdout } = await world.cli(["--rm", ...words]);
  assert.match(stdout, /^Max open files +100 +200 /m);
  assert.match(stdout, /^Max core file size +0 +0 /m);
  assert.match(stdout, /^Max processes +50 +50 /m);
  assert.equal(await limit("Max file size", { ulimits: ["fsize=4096"] }), "4096:4096");
  assert.equal(await limit("Max data size", { ulimits: ["data=4096000:-1"] }), "4096000:unlimited");
  const { code } = await inside(world, "head -c 100000 /dev/zero > /large", { ulimits: ["fsize=4096"], init: true });
  assert.notEqual(code, 0);
});

Deno.test("run --cap-add: limits that make no sense are refused", async () => {
  for (
    const ulimit of ["nofile", "nofile=", "nofile=a", "nofile=2:1", "nofile=-1:5", "flights=1", "nofile=1:2:3", "=1"]
  ) {
    await assert.rejects(
      inside(world, "true", { ulimits: [ulimit] }),
      (error) => error instanceof InputError && error.code === "bad-ulimit",
      ulimit,
    );
  }
});

Deno.test("doctor says of who may not make namespaces that networks are not permitted, not that something is broken", async () => {
  const without = ["--bounding-set=-sys_admin", "--inh-caps=-sys_admin"];
  const { code, stdout } = await new Deno.Command("setpriv", {
    args: [...without, ...commandLine(["doctor", "--json"])],
    env: { SAUROPOD_HOME: world.home },
  }).output();
  assert.equal(code, 1);
  const findings: { what: string; found: string }[] = JSON.parse(new TextDecoder().decode(stdout));
  const found = (name: string): string | undefined => findings.find(({ what }) => what === name)?.found;
  assert.deepEqual(["bridge", "veth", "nf_tables"].map(found), ["EPERM", "EPERM", "EPERM"]);
});
