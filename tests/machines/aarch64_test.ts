import assert from "node:assert/strict";
import { V8_FLAGS } from "../../tools/pack/pack.ts";
import { obstacle, runSections, type Section, sectionScript } from "../helpers/machine.ts";
import { PROJECT } from "../helpers/project.ts";
import { skipHere } from "../helpers/skip.ts";

// Boots an emulated aarch64 machine with Linux 6.1 and control groups v2, and uses the packed command line there.

const MACHINE = `${PROJECT}/tests/tools/aarch64.sh`;
const PATIENCE_MS = 400_000;

const reason = Deno.build.arch === "x86_64" ? obstacle(MACHINE) : "the emulator is Debian's for x86_64";
const ignore = skipHere(`tests on an aarch64 machine: ${reason}`, reason !== "");

const PREPARE = `
sauropod() { deno run -A --no-config --no-lock ${V8_FLAGS} /work/packed/sauropod.js "$@"; }
export SAUROPOD_HOME=/work
root=/work/images/busybox
mkdir -p $root/bin $root/etc /work/containers
cp /bin/busybox $root/bin
for name in $(busybox --list); do [ $name = busybox ] || ln -s busybox $root/bin/$name; done
echo root:x:0:0:root:/root:/bin/sh >$root/etc/passwd`;

const SECTIONS = {
  first: `sauropod --rm --network none busybox /bin/sh -c 'uname -m; echo $$; hostname | wc -c; ls /dev; exit 7'`,
  init: `sauropod --rm --network none --init busybox /bin/sh -c 'kill -9 $$'`,
  limits: `sauropod --rm --network none --memory 64m --pids-limit 20 --ulimit nofile=50 busybox /bin/sh -c '
    cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max; ulimit -n; grep -E "^(CapEff|NoNewPrivs)" /proc/self/status'`,
  detached: `sauropod run -d --name web busybox /bin/sh -c 'echo begun; exec httpd -f -h /etc'`,
  published: `sauropod run -d --name far --publish 8080:80 busybox httpd -f -h /etc && wget -qO- 127.0.0.1:8080/passwd`,
  sibling: `sauropod --rm busybox wget -qO- http://web/passwd`,
  exec: `sauropod exec web ps -o pid,args`,
  logs: `sauropod logs web`,
  fork: `sauropod exec web touch /own && sauropod fork --rm web ls /own`,
  terminal: `sauropod exec -it web tty </dev/ptmx`,
  stop: `sauropod stop -t 0 web far && sauropod rm web far`,
  host: `sauropod --rm --network none host /bin/sh -c 'touch /new && ls /new'; ls /new`,
  doctor: `sauropod doctor`,
  left: `sauropod gc; ls /work/containers; ls /sys/fs/cgroup | grep sauropod; grep -c /work/containers /proc/mounts;
    ls /sys/class/net | grep veth`,
} as const;

let booted: Promise<ReadonlyMap<string, Section>> | undefined;

/** Runs every section in one machine. */
async function boot(): Promise<ReadonlyMap<string, Section>> {
  const folder = await Deno.makeTempDir({ prefix: "sauropod-aarch64-" });
  try {
    const pack = ["run", "-A", `${PROJECT}/tools/pack/pack.ts`, `${folder}/packed`];
    assert((await new Deno.Command(Deno.execPath(), { args: pack }).output()).success);
    return await runSections(MACHINE, {
      args: [folder, `${PREPARE}\n${sectionScript(SECTIONS)}`],
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function section(name: keyof typeof SECTIONS): Promise<Section> {
  booted ??= boot();
  return (await booted).get(name) ?? assert.fail(`the machine did not come to ${name}`);
}

function onAarch64(name: string, fn: () => Promise<void>): void {
  Deno.test({ name: `on an aarch64 machine ${name}`, ignore, fn });
}

onAarch64("a container runs apart, and its exit code is passed on", async () => {
  const { code, output } = await section("first");
  const devices = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero";
  assert.deepEqual(output.split(/\s+/), ["aarch64", "1", "13", ...devices.split(" "), ""]);
  assert.equal(code, 7);
});

onAarch64("init passes on how its command ended", async () => {
  assert.deepEqual(await section("init"), { code: 137, output: "" });
});

onAarch64("limits and privileges are what was asked for", async () => {
  const capabilities = "CapEff:\t00000000800405fb\nNoNewPrivs:\t1\n";
  assert.deepEqual(await section("limits"), { code: 0, output: `${64 * 2 ** 20}\n20\n50\n${capabilities}` });
});

const PASSWD = "root:x:0:0:root:/root:/bin/sh\n";

onAarch64("containers on a bridge run in the background, publish ports and know each other", async () => {
  for (const name of ["detached", "published", "sibling"] as const) {
    const { code, output } = await section(name);
    assert.equal(code, 0, output);
    assert.equal(output.replace(/^[0-9a-f]{12}\n/, ""), name === "detached" ? "" : PASSWD);
  }
});

onAarch64("a running container can be joined, also with a terminal, forked, and stopped", async () => {
  assert.match((await section("exec")).output, /^ +1 httpd -f -h \/etc\n +\d+ ps -o pid,args$/m);
  assert.deepEqual(await section("logs"), { code: 0, output: "begun\n" });
  assert.deepEqual(await section("fork"), { code: 0, output: "/own\n" });
  assert.deepEqual(await section("terminal"), { code: 0, output: "/dev/pts/0\r\n" });
  assert.deepEqual(await section("stop"), { code: 0, output: "web\nfar\nweb\nfar\n" });
});

onAarch64("changes to host stay in the container", async () => {
  assert.deepEqual(await section("host"), { code: 1, output: "/new\nls: /new: No such file or directory\n" });
});

onAarch64("doctor finds everything", async () => {
  const { code, output } = await section("doctor");
  assert.equal(code, 0, output);
  assert.doesNotMatch(output, /^--/m);
  assert.match(output, /^ok {2}a container of host +runs/m);
});

onAarch64("nothing is left", async () => {
  assert.deepEqual(await section("left"), { code: 1, output: "0\n" });
});
