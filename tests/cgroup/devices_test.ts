import assert from "node:assert/strict";
import { type AllowedDevices, deviceFilter } from "../../ffi/program/device_filter.ts";
import { formatRule, USUAL_DEVICES } from "../../lib/cgroup/devices.ts";
import { parseDeviceRule } from "../../lib/container/spec/parse.ts";
import { has, host } from "../helpers/groups.ts";
import { host as run } from "../helpers/inside.ts";
import { commandLine } from "../helpers/project.ts";
import { until } from "../helpers/until.ts";
import { makeWorld, type Result, type World } from "../helpers/world.ts";

// The same tests run with the devices controller of v1, without it where v2 is mounted, and, by v2_test.ts, on a pure v2
// machine.

/** A block device of the test's own: a file, and a node for it in a folder. */
interface Disk extends AsyncDisposable {
  readonly path: string;
  readonly minor: number;
}

const SECRET = "what only the host may read";

async function makeDisk({ home }: World): Promise<Disk> {
  const file = `${home}/disk`;
  Deno.writeTextFileSync(file, SECRET);
  Deno.truncateSync(file, 1 << 20);
  const path = (await run("losetup", "--find", "--show", file)).trim();
  return {
    path,
    minor: Number(path.slice("/dev/loop".length)),
    [Symbol.asyncDispose]: async () => void await run("losetup", "-d", path),
  };
}

/** How devices are kept from containers here. */
const KINDS = [
  ...(has("devices") ? [{ by: "the devices controller", hide: "true" }] : []),
  ...(host.unified ? [{ by: "a program of the kernel's", hide: hidden() }] : []),
];

function hidden(): string {
  const v1 = host.controllers.get("devices");
  return v1 ? `umount ${v1.mount}` : "true";
}

/** Runs the command line where `hide` has been done, in a mount namespace of its own. */
async function cli(world: World, hide: string, ...words: string[]): Promise<Result> {
  const { code, stdout, stderr } = await new Deno.Command("unshare", {
    args: [
      "--mount",
      "--propagation",
      "private",
      "sh",
      "-c",
      `${hide} && exec "$@"`,
      "sh",
      ...commandLine(["--rm", "--network", "none", ...words]),
    ],
    env: { SAUROPOD_HOME: world.home },
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

const READ = `head -c ${SECRET.length} `, DENIED = /Operation not permitted/;

for (const { by, hide } of KINDS) {
  Deno.test(`a container run --cap-add MKNOD cannot read or write a disk of the host (${by})`, async () => {
    await using world = makeWorld();
    await using disk = await makeDisk(world);
    const script = `mknod /d b 7 ${disk.minor} && [ -b /d ] && { ${READ} /d; echo x >/d; }`;
    const { code, stdout, stderr } = await cli(world, hide, "--cap-add", "MKNOD", "busybox", "sh", "-c", script);
    assert.deepEqual({ code, stdout }, { code: 1, stdout: "" });
    assert.equal(stderr.match(new RegExp(DENIED, "g"))?.length, 2, stderr);
    assert.equal(Deno.readTextFileSync(`${world.home}/disk`).slice(0, SECRET.length), SECRET);
  });

  Deno.test(`run --device: the devices that every container has work, with and without a terminal of its own (${by})`, async () => {
    await using world = makeWorld();
    const script =
      "for i in null zero full random urandom; do head -c 1 /dev/$i; done | wc -c; echo x >/dev/null && echo ok";
    const { stdout, stderr } = await cli(world, hide, "busybox", "sh", "-c", script);
    assert.deepEqual({ stdout, stderr }, { stdout: "4\nok\n", stderr: "" });
    const terminal = await cli(world, hide, "-t", "busybox", "sh", "-c", "echo x >/dev/tty && echo y >/dev/console");
    assert.deepEqual(terminal.stdout.match(/[xy]/g), ["x", "y"], terminal.stderr);
  });

  Deno.test(`--device PATH:TARGET:r lets a container read and not write, --device PATH do both (${by})`, async () => {
    await using world = makeWorld();
    await using disk = await makeDisk(world);
    const script = `${READ} /dev/mine && printf y | dd of=/dev/mine conv=notrunc 2>/dev/null && echo written`;
    const said = async (access: string): Promise<string> =>
      (await cli(world, hide, "--device", `${disk.path}:/dev/mine${access}`, "busybox", "sh", "-c", script)).stdout;
    assert.equal(await said(":r"), SECRET);
    assert.equal(await said(""), `${SECRET}written\n`);
    assert.equal(await said(":rw"), `y${SECRET.slice(1)}written\n`);
    const named = await cli(world, hide, "--device", `${disk.path}:r`, "busybox", "sh", "-c", `${READ} ${disk.path}`);
    assert.equal(named.stdout, `y${SECRET.slice(1)}`);
  });

  Deno.test(`--device-cgroup-rule lets a container use devices that it makes, as far as the rule goes (${by})`, async () => {
    await using world = makeWorld();
    await using disk = await makeDisk(world);
    const script = `mknod /d b 7 ${disk.minor}; ${READ} /d && echo x >/d`;
    const said = (rule: string): Promise<Result> =>
      cli(world, hide, "--cap-add", "MKNOD", "--device-cgroup-rule", rule, "busybox", "sh", "-c", script);
    const reading = await said(`b 7:${disk.minor} r`);
    assert.deepEqual([reading.code, reading.stdout], [1, SECRET], reading.stderr);
    assert.match(reading.stderr, DENIED);
    assert.equal((await said("b 7:* rwm")).code, 0);
    assert.equal((await said(`b 7:${disk.minor + 1} rwm`)).stdout, "");
    assert.equal((await said("c *:* rwm")).stdout, "");
    assert.equal((await said("a *:* rwm")).code, 0);
  });

  Deno.test(`run --device: a privileged container uses any device that it makes (${by})`, async () => {
    await using world = makeWorld();
    await using disk = await makeDisk(world);
    const script = `mknod /d b 7 ${disk.minor} && ${READ} /d`;
    assert.equal(
      (await cli(world, hide, "--privileged", "busybox", "sh", "-c", script)).stdout.slice(1),
      SECRET.slice(1),
    );
  });
}

Deno.test("a device node in a volume is dead, unless it is the volume or --device-cgroup-rule is given", async () => {
  await using world = makeWorld();
  await run("mknod", "-m", "666", `${world.home}/node`, "c", "1", "3");
  const folder = (words: readonly string[]): Promise<Result> =>
    cli(world, "true", "-v", `${world.home}:/v`, ...words, "busybox", "sh", "-c", "echo x >/v/node");
  for (const words of [[], ["--cap-add", "MKNOD"], ["--device", "/dev/zero"]]) {
    const { code, stderr } = await folder(words);
    assert.equal(code, 1, words.join(" "));
    assert.match(stderr, /Permission denied/);
  }
  assert.equal((await folder(["--device-cgroup-rule", "c 1:3 rw"])).code, 0);
  assert.equal((await folder(["--privileged"])).code, 0);
  const own = await cli(
    world,
    "true",
    "--cap-add",
    "MKNOD",
    "-v",
    "/v",
    "busybox",
    "sh",
    "-c",
    "mknod /v/n c 1 3; echo x >/v/n",
  );
  assert.match(own.stderr, /Permission denied/);
  const alone = await cli(
    world,
    "true",
    "-v",
    "/dev/null:/empty:ro",
    "busybox",
    "sh",
    "-c",
    "cat /empty && echo x >/empty",
  );
  assert.equal(alone.code, 0, alone.stderr);
});

Deno.test("a command that joins a container later, by exec or as a health check, has its devices and no more", async () => {
  await using world = makeWorld();
  await using disk = await makeDisk(world);
  const id = (await world.cli(["run", "-d", "--network", "none", "--cap-add", "MKNOD", "busybox", "sleep", "100"]))
    .stdout.trim();
  const { stderr } = await world.cli(["exec", id, "sh", "-c", `mknod /d b 7 ${disk.minor}; ${READ} /d`]);
  assert.match(stderr, DENIED);
  const health = `[ -e /h ] || mknod /h b 7 ${disk.minor}; ${READ} /h && echo read >/read; echo >>/times`;
  const checked = ["--health-cmd", health, "--health-interval", "100ms"];
  const asked =
    (await world.cli(["run", "-d", "--network", "none", "--cap-add", "MKNOD", ...checked, "busybox", "sleep", "100"]))
      .stdout.trim();
  const script = "[ $(wc -l </times) -ge 2 ]";
  await until("asked twice", async () => (await world.cli(["exec", asked, "sh", "-c", script])).code === 0);
  assert.deepEqual(
    (await world.cli(["exec", asked, "sh", "-c", "ls -d /h; ls /read"])).stdout,
    "/h\n",
  );
  await world.cli(["rm", "-f", id, asked]);
});

Deno.test("--device and --device-cgroup-rule that make no sense are refused by name, before anything is made", async () => {
  await using world = makeWorld();
  const cases = [
    ["--device", "/dev/null:/dev/x:q", /invalid --device "\/dev\/null:\/dev\/x:q": use PATH\[:TARGET\]\[:ACCESS\]/],
    ["--device", "/dev/null:/dev/x:rr", /use PATH/],
    ["--device", "/dev/null:/dev/x:r:w", /use PATH/],
    ["--device-cgroup-rule", "c 1:3", /invalid --device-cgroup-rule ".*"\n.*TYPE MAJOR:MINOR ACCESS/],
    ["--device-cgroup-rule", "x 1:3 r", /invalid --device-cgroup-rule ".*"\n.*TYPE MAJOR:MINOR ACCESS/],
    ["--device-cgroup-rule", "c 1:3 rwx", /invalid --device-cgroup-rule ".*"\n.*TYPE MAJOR:MINOR ACCESS/],
    ["--device-cgroup-rule", "c 1:3 r\nc 1:1 r", /invalid --device-cgroup-rule ".*"\n.*TYPE MAJOR:MINOR ACCESS/],
  ] as const;
  for (const [flag, value, message] of cases) {
    const { code, stderr } = await world.cli(["run", flag, value, "busybox", "true"]);
    assert.equal(code, 125, `${flag} ${value}`);
    assert.match(stderr, message);
  }
  assert.deepEqual([...Deno.readDirSync(world.folders.containers)].filter(({ name }) => !name.startsWith(".")), []);
});

/** What the instructions of a filter answer, executed here. */
function allows(instructions: Uint8Array, kind: "b" | "c", major: number, minor: number, access: string): boolean {
  const bits = { m: 1, r: 2, w: 4 }, wanted = [...access].reduce((sum, letter) => sum | bits[letter as "m"], 0);
  const context = [wanted << 16 | (kind === "b" ? 1 : 2), major, minor];
  const registers = new Array<number>(11).fill(0), view = new DataView(instructions.buffer);
  const known: Record<number, (to: number, value: number) => number> = {
    0x57: (to, value) => to & value,
    0x77: (to, value) => to >>> value,
    0xb7: (_, value) => value,
  };
  for (let at = 0; at < instructions.length; at += 8) {
    const code = view.getUint8(at), to = view.getUint8(at + 1) & 15, from = view.getUint8(at + 1) >> 4;
    const offset = view.getInt16(at + 2, true), value = view.getInt32(at + 4, true);
    const left = registers[to] ?? 0, right = registers[from] ?? 0;
    if (code === 0x95) return registers[0] === 1;
    else if (code === 0x61) registers[to] = context[offset / 4] ?? NaN;
    else if (code === 0xbf) registers[to] = right;
    else if (code === 0x55) at += left === value ? 0 : offset * 8;
    else if (code === 0x5d) at += left === right ? 0 : offset * 8;
    else registers[to] = (known[code] ?? assert.fail(`no instruction ${code}`))(left, value);
  }
  return assert.fail("it has no end");
}

Deno.test("run --device: the program that decides about devices allows what its rules allow, and nothing else", () => {
  const usual = deviceFilter(USUAL_DEVICES);
  for (
    const [kind, major, minor, access, expected] of [
      ["c", 1, 3, "rwm", true],
      ["c", 1, 3, "w", true],
      ["b", 1, 3, "r", false],
      ["c", 1, 1, "r", false],
      ["c", 1, 1, "m", true],
      ["b", 8, 0, "m", true],
      ["b", 8, 0, "rm", false],
      ["c", 136, 77, "rw", true],
      ["c", 10, 200, "rw", false],
    ] as const
  ) {
    assert.equal(allows(usual, kind, major, minor, access), expected, `${kind} ${major}:${minor} ${access}`);
  }
  const rules: AllowedDevices[] = ["b 7:1 r", "b 7:1 w", "c 5:* m", "a *:9 rwm"].map(parseDeviceRule);
  assert.deepEqual(rules.map(formatRule), ["b 7:1 r", "b 7:1 w", "c 5:* m", "a *:9 rwm"]);
  const own = deviceFilter(rules);
  assert.equal(allows(own, "b", 7, 1, "rw"), true, "two rules for one device are one");
  assert.equal(allows(own, "b", 7, 1, "m"), false);
  assert.equal(allows(own, "c", 5, 4, "m"), true);
  assert.equal(allows(own, "c", 5, 4, "r"), false);
  assert.equal(allows(own, "b", 250, 9, "rwm"), true);
  assert.equal(allows(deviceFilter([]), "c", 1, 3, "r"), false);
  const everything = deviceFilter([...rules, parseDeviceRule("a *:* rwm"), ...USUAL_DEVICES]);
  assert.equal(allows(everything, "b", 8, 0, "rwm"), true);
});
