import assert from "node:assert/strict";
import { obstacle, runSections, type Section, sectionScript } from "../helpers/machine.ts";
import { PROJECT } from "../helpers/project.ts";
import { skipHere } from "../helpers/skip.ts";

// Boots one machine whose only control groups are v2, and looks at what Sauropod does there.

const MACHINE = `${PROJECT}/tests/tools/v2.sh`;
const PATIENCE_MS = 800_000;

const reason = Deno.build.arch === "x86_64" ? obstacle(MACHINE) : "user-mode-linux runs on x86_64 only";
const ignore = skipHere(`tests on a pure cgroup v2 machine: ${reason}`, reason !== "");

const SECTIONS = {
  limits: `"$deno" test -A --no-check --quiet tests/cgroup/limits_test.ts`,
  update: `"$deno" test -A --no-check --quiet tests/container/detached/update_test.ts`,
  // What depends on the kind of control groups.
  pause:
    `"$deno" test -A --no-check --quiet --filter '/^(pause: )?(a|pausing|processes|freezing) /' tests/container/detached/pause_test.ts`,
  stats:
    `"$deno" test -A --no-check --quiet --filter '/^(stats: )?(a|CPU|memory|processes|what) /' tests/container/stats/stats_test.ts`,
  groups: `"$deno" test -A --no-check --quiet tests/cgroup/attacks_test.ts`,
  session: `"$deno" test -A --no-check --quiet tests/container/attached/session_test.ts`,
  group: `sauropod --rm --memory 64m --pids-limit 20 host /bin/sh -c '
    cat /proc/self/cgroup; ls -d /sys/fs/cgroup/memory.max; cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max'`,
  unlimited: `sauropod --rm host /bin/sh -c 'cat /proc/self/cgroup; ls /sys/fs/cgroup/cgroup.procs'`,
  readonly: `sauropod --rm --memory 64m host /bin/sh -c 'echo max > /sys/fs/cgroup/memory.max'`,
  init: `sauropod --rm --init host /bin/sh -c 'exit 7'`,
  cpuset: `sauropod --rm --cpuset-cpus 0 host /bin/true`,
  doctor: `sauropod doctor`,
  explain: `sauropod explain --memory 64m --cpu-shares 200 host /bin/true`,
  left:
    `sauropod gc; ls "$SAUROPOD_HOME/containers"; ls /sys/fs/cgroup | grep sauropod; grep -c /tmp/home /proc/mounts`,
} as const;

let booted: Promise<ReadonlyMap<string, Section>> | undefined;

/** Runs every section in one machine. */
async function boot(): Promise<ReadonlyMap<string, Section>> {
  const script = [
    `deno='${Deno.realPathSync(Deno.execPath())}'`,
    `sauropod() { "$deno" run -A --no-check cli.ts "$@"; }`,
    `export SAUROPOD_HOME=/tmp/home`,
    // The kernel of user-mode-linux has no bridges.
    `export SAUROPOD_NETWORK=none`,
    `mkdir -p /tmp/home/images /tmp/home/containers`,
    sectionScript(SECTIONS),
  ].join("\n");
  return await runSections(MACHINE, {
    args: ["sh", "-c", script],
    cwd: PROJECT,
    env: { NO_COLOR: "1" },
    signal: AbortSignal.timeout(PATIENCE_MS),
  });
}

async function section(name: keyof typeof SECTIONS): Promise<Section> {
  booted ??= boot();
  return (await booted).get(name) ?? assert.fail(`the machine did not come to ${name}`);
}

function onV2(name: string, fn: () => Promise<void>): void {
  Deno.test({ name: `on a pure cgroup v2 machine ${name}`, ignore, fn });
}

for (
  const [name, least] of [["limits", 15], ["groups", 8], ["update", 12], ["pause", 8], ["stats", 6], [
    "session",
    4,
  ]] as const
) {
  onV2(`every test of ${name} passes`, async () => {
    const { code, output } = await section(name);
    assert.equal(code, 0, output);
    const [, passed] = /ok \| (\d+) passed/.exec(output) ?? [];
    assert(Number(passed) >= least, output);
  });
}

onV2("a container sees its own group as the top, with its limits", async () => {
  assert.deepEqual(await section("group"), {
    code: 0,
    output: `0::/\n/sys/fs/cgroup/memory.max\n${64 * 1024 * 1024}\n20\n`,
  });
});

onV2("a container without limits has a group of its own too", async () => {
  assert.deepEqual(await section("unlimited"), { code: 0, output: "0::/\n/sys/fs/cgroup/cgroup.procs\n" });
});

onV2("a container cannot lift its own limits", async () => {
  const { code, output } = await section("readonly");
  assert.notEqual(code, 0);
  assert.match(output, /Read-only file system/);
});

onV2("init passes the exit code on", async () => {
  assert.deepEqual(await section("init"), { code: 7, output: "" });
});

onV2("a limit of the missing cpuset controller is an error that says where it looked", async () => {
  const { code, output } = await section("cpuset");
  assert.equal(code, 125);
  assert.match(output, /cannot apply --cpuset-cpus: .*cpuset controller.*\/sys\/fs\/cgroup\/cgroup.controllers/);
});

onV2("doctor knows the layout and what is missing", async () => {
  const { code, output } = await section("doctor");
  assert.equal(code, 0, output);
  assert.match(output, /cgroup layout +\S* *v2/);
  assert.match(output, /cgroup cpuset.*--cpuset-cpus and --cpuset-mems are errors/);
});

onV2("explain shows that the process is born in its group, with the weight of the shares", async () => {
  const { code, output } = await section("explain");
  assert.equal(code, 0, output);
  assert.match(output, /CLONE_INTO_CGROUP/);
  assert.match(output, /memory\.max/);
  assert.match(output, /# set cpu\.weight to 20\n/);
});

onV2("nothing is left", async () => {
  assert.deepEqual(await section("left"), { code: 1, output: "0\n" });
});
