import assert from "node:assert/strict";
import { output, run } from "../../mod.ts";
import { commandLine, PROJECT } from "../helpers/project.ts";
import { makeWorld, type World } from "../helpers/world.ts";

const silent = { stdin: "null", stdout: "null", stderr: "null" } as const;

function shell(script: string, world: World): Promise<Deno.CommandOutput> {
  const args = ["-c", script];
  return new Deno.Command("bash", {
    args,
    cwd: world.home,
    env: { SAUROPOD_HOME: world.home, PATH: Deno.env.get("PATH") ?? "" },
  })
    .output();
}

function quoted(words: readonly string[]): string {
  return words.map((word) => `'${word}'`).join(" ");
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

async function isGone(pid: number): Promise<boolean> {
  for (let i = 0; i < 200; i++) {
    try {
      if (/^State:\s*Z/m.test(await Deno.readTextFile(`/proc/${pid}/status`))) return true;
    } catch {
      return true;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return false;
}

Deno.test("device files of an image are dead, with a read-only root too", async () => {
  await using world = makeWorld({ ownImage: true });
  const node = `${world.image}/node`;
  assert.ok((await new Deno.Command("mknod", { args: [node, "c", "1", "3"] }).output()).success);
  for (const flags of [[], ["--read-only"]]) {
    const { code, stderr } = await world.cli([...flags, "--rm", "busybox", "cat", "/node"]);
    assert.equal(code, 1, flags.join());
    assert.match(stderr, /Permission denied/);
  }
});

Deno.test("run: a tree of folders of any depth is removed and harms nobody", async () => {
  await using world = makeWorld();
  // In memory: some disks take a millisecond for each folder.
  const containers = await Deno.makeTempDir({ dir: "/dev/shm" });
  try {
    const deep = `${containers}/0123456789ab`;
    await Deno.mkdir(deep);
    const python = "import os\nfor i in range(60000): os.mkdir('d'); os.chdir('d')";
    assert.ok((await new Deno.Command("python3", { args: ["-c", python], cwd: deep }).output()).success);
    // As if a container had made it and been abandoned.
    const gc = await world.cli(["gc", "-c", containers]);
    assert.deepEqual(gc, { code: 0, stdout: "removed 0123456789ab\n", stderr: "" });
    assert.deepEqual([...Deno.readDirSync(containers)].filter(({ name }) => !name.startsWith(".")), []);
  } finally {
    await new Deno.Command("rm", { args: ["-rf", containers] }).output();
  }
});

Deno.test("run: what is written to a container that has ended reaches nobody else", async () => {
  await using world = makeWorld();
  await using first = await run("busybox", ["true"], {
    ...world.folders,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
    terminal: true,
  });
  await Array.fromAsync(first.stdout);
  await first.status;
  const others = await Promise.all(
    Array.from(
      { length: 6 },
      () => run("busybox", ["cat"], { ...world.folders, ...silent, stdin: "piped", stdout: "piped" }),
    ),
  );
  const writer = first.stdin.getWriter();
  await assert.rejects(writer.write(new TextEncoder().encode("INJECTED")), Deno.errors.BrokenPipe);
  first.resize({ columns: 10, rows: 10 });
  for (const other of others) {
    await other.stdin.close();
    assert.equal(text((await Array.fromAsync(other.stdout))[0] ?? new Uint8Array()), "");
    await other[Symbol.asyncDispose]();
  }
});

Deno.test("run: a pending read that is cancelled reads no other file", async () => {
  await using world = makeWorld();
  await using container = await run("busybox", ["sleep", "60"], { ...world.folders, ...silent, stdout: "piped" });
  const reader = container.stdout.getReader();
  const pending = reader.read();
  await reader.cancel();
  using file = await Deno.open("/etc/passwd");
  assert.equal((await pending).done, true);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(await file.seek(0, Deno.SeekMode.Current), 0);
});

Deno.test("run: a command with file capabilities dies with its caller", async () => {
  await using world = makeWorld({ ownImage: true });
  const program = `${world.image}/bin/busybox-caps`;
  await Deno.copyFile("/bin/busybox", program);
  const set = `import struct, os; os.setxattr(${
    JSON.stringify(program)
  }, "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0))`;
  assert.ok((await new Deno.Command("python3", { args: ["-c", set] }).output()).success);
  const child = world.start(["--rm", "-u", "1000", "busybox", "/bin/busybox-caps", "sh", "-c", "echo up; sleep 61"]);
  const reader = child.stdout.getReader();
  assert.equal(text((await reader.read()).value ?? new Uint8Array()), "up\n");
  const [container] = JSON.parse((await world.cli(["ps", "--json"])).stdout);
  child.kill("SIGKILL");
  await child.status;
  assert.ok(await isGone(container.pid), "it survived its caller");
  await reader.cancel();
  await child.stderr.cancel();
});

Deno.test("run: the caller's umask is not the container's, and the root is the image's", async () => {
  await using world = makeWorld({ ownImage: true });
  await Deno.chmod(world.image, 0o1755);
  const words = quoted(commandLine(["--rm", "-u", "1000", "busybox", "stat", "-c", "%a %u", "/"]));
  const { code, stdout, stderr } = await shell(`umask 077; exec ${words}`, world);
  assert.deepEqual({ code, out: text(stdout), err: text(stderr) }, { code: 0, out: "1755 0\n", err: "" });
});

Deno.test("run: a working directory that the image links to a descriptor makes nothing on the host", async () => {
  await using world = makeWorld({ ownImage: true });
  await Deno.symlink("/proc/self/fd/9", `${world.image}/w`);
  await Deno.mkdir(`${world.home}/victim`);
  const words = quoted(commandLine(["--rm", "-w", "/w/made", "busybox", "true"]));
  await shell(`exec ${words} 9<victim`, world);
  assert.deepEqual([...Deno.readDirSync(`${world.home}/victim`)], []);
});

Deno.test("run: root in a container with init cannot take the shim away from others", async () => {
  await using world = makeWorld();
  const options = { ...world.folders, init: true };
  await output("busybox", ["chmod", "0", "/proc/1/exe"], options);
  await output("busybox", ["sh", "-c", "echo x > /proc/1/exe"], options);
  assert.equal((await output("busybox", ["true"], options)).code, 0);
});

Deno.test("run: a terminal for piped input ends when the input ends", async () => {
  await using world = makeWorld();
  const { code, stdout } = await world.cli(["--rm", "-t", "busybox", "cat"], { stdin: "typed\n" });
  assert.equal(code, 0);
  assert.match(stdout, /typed\r\n/);
});

Deno.test("run: capabilities that are added and dropped are dropped, for other users too", async () => {
  await using world = makeWorld();
  const { code, stdout } = await world.cli(
    [
      "--rm",
      "-u",
      "1000",
      "--cap-add",
      "ALL",
      "--cap-drop",
      "SYS_ADMIN",
      "busybox",
      "grep",
      "CapEff",
      "/proc/self/status",
    ],
  );
  assert.equal(code, 0);
  assert.equal(BigInt(`0x${stdout.split(/\s+/)[1]}`) >> 21n & 1n, 0n);
  const none = await world.cli([
    "--rm",
    "--privileged",
    "--cap-drop",
    "ALL",
    "busybox",
    "grep",
    "CapEff",
    "/proc/self/status",
  ]);
  assert.match(none.stdout, /\t0+\n/);
});

Deno.test("run: an interrupted unpacking ends at once and leaves nothing", async () => {
  await using world = makeWorld();
  const big = `${world.home}/big`;
  await Deno.mkdir(big);
  assert.ok((await new Deno.Command("truncate", { args: ["-s", "400M", `${big}/zeros`] }).output()).success);
  const args = ["-C", big, "-cf", `${world.folders.images}/big.tar`, "zeros"];
  assert.ok((await new Deno.Command("tar", { args }).output()).success);
  const child = world.start(["--rm", "big", "true"]);
  const store = `${world.folders.images}/.unpacked`;
  for (let i = 0; i < 500; i++) {
    if (await Deno.stat(store).then(() => true, () => false)) break;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  child.kill("SIGINT");
  const { code, stdout, stderr } = await child.output();
  assert.deepEqual({ code, out: text(stdout), err: text(stderr) }, { code: 130, out: "", err: "" });
  assert.deepEqual([...Deno.readDirSync(store)], []);
});

Deno.test("with init the exit codes are the same", async () => {
  await using world = makeWorld({ ownImage: true });
  await Deno.writeTextFile(`${world.image}/bin/data`, "no program");
  for (const flags of [[], ["--init"]]) {
    assert.equal((await world.cli([...flags, "--rm", "busybox", "data"])).code, 126, `data ${flags}`);
    assert.equal((await world.cli([...flags, "--rm", "busybox", "nothing"])).code, 127, `nothing ${flags}`);
    assert.equal(
      (await world.cli([...flags, "--rm", "busybox", "sh", "-c", "kill -9 $$"])).code,
      flags.length ? 137 : 0,
    );
  }
});

Deno.test("run: what is too long to be executed is said to be too long", async () => {
  await using world = makeWorld();
  await assert.rejects(output("busybox", ["echo", "x".repeat(200_000)], world.folders), { hint: /more than 128 KiB/ });
});

Deno.test("run: a folder of the host as standard input is refused", async () => {
  await using world = makeWorld();
  const { code, stderr } = await shell(`exec ${quoted(commandLine(["--rm", "busybox", "true"]))} < .`, world);
  assert.equal(code, 125);
  assert.match(text(stderr), /cannot use a directory as standard input/);
});

Deno.test("an uncaught error beside a running container ends the script with 1", async () => {
  await using world = makeWorld();
  const script = `import { run } from "${PROJECT}/mod.ts";
    const container = await run("busybox", ["sleep", "60"], ${JSON.stringify({ ...world.folders, ...silent })});
    setTimeout(() => { container.kill("SIGKILL"); throw new Error("on purpose"); }, 5);`;
  for (let i = 0; i < 5; i++) {
    const { code, signal } = await new Deno.Command(Deno.execPath(), { args: ["eval", script] }).output();
    assert.deepEqual({ code, signal }, { code: 1, signal: null });
  }
});
