import assert from "node:assert/strict";
import { limitsOf } from "../../cli/args/container_flags.ts";
import { kernelSettings, parseSysctls } from "../../lib/container/spec/kernel_settings.ts";
import { readMounts } from "../../lib/container/spec/mount_option.ts";
import { makeWorld } from "../helpers/world.ts";

// Options that docker has too: --mount, --group-add, --sysctl, --oom-score-adj, --stop-timeout, --cidfile

for (
  const [mount, volumes, tmpfs] of [
    ["type=bind,source=/a,target=/b", ["/a:/b"], []],
    ["type=bind,src=./a,dst=/b,readonly", ["./a:/b:ro"], []],
    ["type=bind,source=/a,destination=/b,ro=true", ["/a:/b:ro"], []],
    ["readonly=false,target=/b,source=/a,type=bind", ["/a:/b"], []],
    ["type=volume,target=/data", ["/data"], []],
    ["target=/data", ["/data"], []],
    ["type=tmpfs,target=/t", [], ["/t"]],
    ["type=tmpfs,dst=/t,tmpfs-size=16m,tmpfs-mode=1770", [], ["/t:size=16m,mode=1770"]],
  ] as const
) {
  Deno.test(`--mount ${mount} is ${JSON.stringify(volumes)} and ${JSON.stringify(tmpfs)}`, () => {
    assert.deepEqual(readMounts([mount]), { volumes, tmpfs });
  });
}

for (
  const mount of [
    "",
    "type=bind,target=/b",
    "type=bind,source=/a",
    "type=nfs,target=/b",
    "type=volume,source=name,target=/b",
    "type=bind,source=/a,target=/b,bind-propagation=shared",
    "type=bind,source=/a,target=/b,readonly=perhaps",
    "type=tmpfs,source=/a,target=/b",
    "type=bind,source=/a:b,target=/b",
    "type=bind,source=/a,target=/b:ro",
    "type=volume,target=/a:/b",
    "type=tmpfs,target=/a:size=1m",
  ]
) {
  Deno.test(`--mount ${JSON.stringify(mount)} is refused`, () => {
    assert.throws(() => readMounts([mount]), { code: "bad-mount" });
  });
}

Deno.test("settings of the kernel become files below /proc/sys", () => {
  const sysctls = { "net.core.somaxconn": "77", "net/ipv4/conf/eth0.1/forwarding": "1", "kernel.sem": "1 2 3 4" };
  assert.deepEqual(kernelSettings({ network: "none", sysctls, oomScoreAdj: -5 }), [
    { path: "/proc/sys/net/core/somaxconn", value: "77" },
    { path: "/proc/sys/net/ipv4/conf/eth0.1/forwarding", value: "1" },
    { path: "/proc/sys/kernel/sem", value: "1 2 3 4" },
    { path: "/proc/self/oom_score_adj", value: "-5" },
  ]);
});

for (
  const name of [
    "kernel.hostname",
    "kernel.core_pattern",
    "vm.swappiness",
    "net",
    "net..core",
    "net/../kernel/core_pattern",
    "kernel/../kernel/sem",
    "fs.file-max",
    "",
    "kernel.sem\n",
  ]
) {
  Deno.test(`run: the setting ${JSON.stringify(name)}, which is the whole machine's or none, is refused`, () => {
    assert.throws(() => kernelSettings({ network: "none", sysctls: { [name]: "1" } }), { code: "bad-sysctl" });
  });
}

Deno.test("run: settings of a network that is not the container's own are refused", () => {
  const sysctls = { "net.core.somaxconn": "77" };
  for (const network of ["host", "container:web"]) {
    assert.throws(() => kernelSettings({ network, sysctls }), { code: "bad-sysctl" }, network);
  }
  assert.throws(() => parseSysctls(["net.core.somaxconn"]), { code: "bad-sysctl" });
  for (const oomScoreAdj of [1001, -1001, 0.5, NaN]) {
    assert.throws(() => kernelSettings({ oomScoreAdj }), { code: "bad-oom-score" });
  }
});

Deno.test("a quota of CPU time is CPUs, and not said twice", () => {
  assert.equal(limitsOf({ cpuQuota: 50_000 }).cpus, 0.5);
  assert.equal(limitsOf({ cpuQuota: 30_000, cpuPeriod: 20_000 }).cpus, 1.5);
  assert.equal(limitsOf({ cpuQuota: -1, cpus: 2 }).cpus, 2);
  for (const bad of [{ cpuQuota: 1000, cpus: 1 }, { cpuQuota: 1000, cpuPeriod: 0 }]) {
    assert.throws(() => limitsOf(bad), { code: "bad-cpus" });
  }
});

Deno.test("run: lifting a restriction that is not there is no error", async () => {
  await using world = makeWorld();
  const lifted = ["seccomp=unconfined", "apparmor=unconfined", "label=disable", "no-new-privileges"];
  const words = lifted.flatMap((option) => ["--security-opt", option]);
  const { code, stdout } = await world.cli([
    "--rm",
    "--network",
    "none",
    ...words,
    "busybox",
    "grep",
    "NoNewPrivs",
    "/proc/self/status",
  ]);
  assert.deepEqual([code, stdout], [0, "NoNewPrivs:\t1\n"]);
});

Deno.test("groups, settings and mounts are there for the command and for those of exec, also after a new start", async () => {
  await using world = makeWorld();
  Deno.mkdirSync(`${world.home}/data`);
  const { code, stderr } = await world.cli([
    ...["run", "-d", "--name", "one", "--network", "none", "--group-add", "staff", "--group-add", "4242"],
    ...["--sysctl", "net.core.somaxconn=77", "--sysctl", "kernel.shmmax=123456", "--oom-score-adj", "321"],
    ...["--mount", "type=bind,src=data,dst=/data,readonly", "--mount", "type=tmpfs,target=/mem,tmpfs-size=1m"],
    ...["busybox", "sleep", "100"],
  ]);
  assert.equal(code, 0, stderr);
  try {
    const look = "id -G; cat /proc/sys/net/core/somaxconn /proc/sys/kernel/shmmax /proc/1/oom_score_adj; " +
      "touch /data/x 2>&1; df -m /mem | tail -1 | awk '{print $2}'";
    const expected = "0 50 4242\n77\n123456\n321\ntouch: /data/x: Read-only file system\n1\n";
    assert.equal((await world.cli(["exec", "one", "sh", "-c", look])).stdout, expected);
    await world.cli(["restart", "-t", "0", "one"]);
    assert.equal((await world.cli(["exec", "one", "sh", "-c", look])).stdout, expected);
  } finally {
    await world.cli(["rm", "-f", "one"]);
  }
});

Deno.test("run: a group that the image does not know and a setting that the kernel does not know are errors", async () => {
  await using world = makeWorld();
  const run = (...words: string[]) => world.cli(["run", "--rm", "--network", "none", ...words, "busybox", "true"]);
  const group = await run("--group-add", "nobodies");
  assert.equal(group.code, 125);
  assert.match(group.stderr, /unknown group "nobodies"/);
  const setting = await run("--sysctl", "net.core.no_such_setting=1");
  assert.equal(setting.code, 125);
  assert.match(setting.stderr, /no_such_setting.*ENOENT/);
  assert.equal((await world.cli(["ps", "-aq"])).stdout, "");
});

Deno.test("stop waits as long as the container was made with", async () => {
  await using world = makeWorld();
  const deaf = ["busybox", "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"];
  await world.cli(["run", "-d", "--name", "deaf", "--network", "none", "--stop-timeout", "1", ...deaf]);
  for (let i = 0; i < 100 && (await world.cli(["logs", "deaf"])).stdout === ""; i++);
  const before = performance.now();
  assert.equal((await world.cli(["stop", "deaf"])).code, 0);
  const seconds = (performance.now() - before) / 1000;
  assert.ok(seconds > 0.9 && seconds < 8, `${seconds} s`);
  assert.equal((await world.cli(["inspect", "-f", "{{.ended.code}}", "deaf"])).stdout, "137\n");
});

Deno.test("run: the file for the id gets it, is never replaced, and goes if nothing was made", async () => {
  await using world = makeWorld();
  const file = `${world.home}/id`, words = ["--cidfile", file, "--network", "none"];
  const { stdout } = await world.cli(["create", ...words, "busybox", "true"]);
  assert.equal(Deno.readTextFileSync(file), stdout.trim());
  const again = await world.cli(["run", ...words, "busybox", "true"]);
  assert.equal(again.code, 125);
  assert.match(again.stderr, /the file exists/);
  assert.equal(Deno.readTextFileSync(file), stdout.trim());
  Deno.removeSync(file);
  assert.equal((await world.cli(["run", ...words, "busybox", "no-such-command"])).code, 127);
  assert.throws(() => Deno.statSync(file), Deno.errors.NotFound);
  assert.equal((await world.cli(["run", ...words, "busybox", "true"])).code, 0);
  assert.match(Deno.readTextFileSync(file), /^[0-9a-f]{12}$/);
  const nowhere = await world.cli(["run", "--cidfile", `${world.home}/no/id`, "busybox", "true"]);
  assert.equal(nowhere.code, 125);
  assert.match(nowhere.stderr, /--cidfile .*no\/id: /);
});
