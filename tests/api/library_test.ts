import assert from "node:assert/strict";
import {
  ContainerError,
  ImageError,
  InputError,
  output,
  run,
  type RunOptions,
  SauropodError,
  SpawnError,
} from "../../mod.ts";
import { lineReader, text, until } from "../helpers/inside.ts";
import { assertUnchanged, lookAtMachine } from "../helpers/leftovers.ts";
import { PROJECT } from "../helpers/project.ts";
import { makeWorld } from "../helpers/world.ts";

const world = makeWorld();
Deno.test.afterAll(async () => await world[Symbol.asyncDispose]());

const piped = { stdin: "piped", stdout: "piped", stderr: "piped" } as const;

function options(more: RunOptions = {}): RunOptions {
  return { ...world.folders, ...more };
}

function containers(): string[] {
  return [...Deno.readDirSync(world.folders.containers)].map(({ name }) => name).filter((name) =>
    !name.startsWith(".")
  );
}

function openDescriptors(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

/** The state of a process, or that there is none. */
function isRunning(pid: number): boolean {
  try {
    return !/^State:\s*[ZX]/m.test(Deno.readTextFileSync(`/proc/${pid}/status`));
  } catch {
    return false;
  }
}

const SLEEP = ["sh", "-c", "echo ready; exec sleep 20"];

Deno.test("output() collects both streams and the exit code", async () => {
  const result = await output("busybox", ["sh", "-c", "echo out; echo err >&2; exit 3"], options());
  const { stdout, stderr, ...status } = result;
  assert.deepEqual([text(stdout), text(stderr)], ["out\n", "err\n"]);
  assert.deepEqual(status, { success: false, code: 3, signal: null, oomKilled: false });
});

Deno.test("mod.ts: a container has the shape of Deno.ChildProcess", async () => {
  await using box = await run("busybox", ["sh", "-c", "read line; echo got $line; echo err >&2"], options(piped));
  assert.match(box.id, /^[0-9a-f]{12}$/);
  assert.ok(isRunning(box.pid));
  assert.ok(box.stdin instanceof WritableStream);
  assert.ok(box.stdout instanceof ReadableStream);
  assert.ok(box.stderr instanceof ReadableStream);
  assert.ok(box.status instanceof Promise);
  const writer = box.stdin.getWriter();
  await writer.write(new TextEncoder().encode("it\n"));
  await writer.close();
  const [out, err] = await Promise.all([new Response(box.stdout).text(), new Response(box.stderr).text()]);
  assert.deepEqual([out, err], ["got it\n", "err\n"]);
  assert.deepEqual(await box.status, { success: true, code: 0, signal: null, oomKilled: false });
});

Deno.test("mod.ts: output() of a container reads what is left and can be asked for once it has ended", async () => {
  await using box = await run("busybox", ["sh", "-c", "echo out; echo err >&2"], options(piped));
  await until("it has ended", () => !isRunning(box.pid));
  const { stdout, stderr, success } = await box.output();
  assert.deepEqual([text(stdout), text(stderr), success], ["out\n", "err\n", true]);
});

Deno.test("mod.ts: streams that are not piped throw a TypeError that names them", async () => {
  await using box = await run("busybox", ["true"], options({ stdout: "null", stderr: "null" }));
  assert.throws(() => box.stdin, { name: "TypeError", message: /stdin/ });
  assert.throws(() => box.stdout, { name: "TypeError", message: /stdout/ });
  assert.throws(() => box.stderr, { name: "TypeError", message: /stderr/ });
  assert.throws(() => box.resize({ columns: 1, rows: 1 }), { name: "TypeError", message: /terminal/ });
  await assert.rejects(box.output(), TypeError);
  await using half = await run("busybox", ["true"], options({ stdout: "piped", stderr: "null" }));
  await assert.rejects(half.output(), TypeError);
});

Deno.test("mod.ts: what is written to a command that reads no more meets a BrokenPipe, as with Deno.ChildProcess", async () => {
  await using box = await run("busybox", ["true"], options({ stdin: "piped" }));
  await box.status;
  await assert.rejects(box.stdin.getWriter().write(new Uint8Array(1)), Deno.errors.BrokenPipe);
});

Deno.test("mod.ts: the end of a scope kills the container that it uses and waits until nothing is left of it", async () => {
  const before = lookAtMachine();
  let pid = 0, status;
  {
    await using box = await run("busybox", SLEEP, options({ stdout: "piped", limits: { pids: 10 } }));
    pid = box.pid;
    status = box.status;
    assert.equal(await lineReader(box.stdout)(), "ready");
    assert.deepEqual(containers(), [box.id]);
  }
  assert.ok(!isRunning(pid));
  assert.deepEqual([(await status).signal, containers()], [9, []]);
  assertUnchanged(before);
});

Deno.test("mod.ts: the end of a scope by an exception kills too", async () => {
  let pid = 0;
  await assert.rejects(async () => {
    await using box = await run("busybox", SLEEP, options({ stdout: "null" }));
    pid = box.pid;
    throw new RangeError("of the caller");
  }, RangeError);
  assert.ok(pid > 0 && !isRunning(pid));
});

Deno.test("kill sends signals by name and number, and says when there is nobody left", async () => {
  const script = "trap 'echo HUP' HUP; trap 'echo USR2' USR2; echo ready; for i in $(seq 20); do read -t 1 line; done";
  await using box = await run("busybox", ["sh", "-c", script], options({ stdin: "piped", stdout: "piped" }));
  const next = lineReader(box.stdout);
  assert.equal(await next(), "ready");
  assert.ok(box.kill("SIGHUP"));
  assert.equal(await next(), "HUP");
  assert.ok(box.kill(12));
  assert.equal(await next(), "USR2");
  for (const wrong of [0, 65, -1, 1.5]) assert.throws(() => box.kill(wrong), InputError);
  assert.ok(box.kill("SIGKILL"));
  assert.deepEqual(await box.status, { success: false, code: 137, signal: 9, oomKilled: false });
  assert.equal(box.kill("SIGKILL"), false);
});

Deno.test("kill does no harm while the ends of containers are being dealt with, and says no to those that were", async () => {
  const boxes = await Promise.all(
    Array.from({ length: 8 }, () => run("busybox", ["true"], options({ stdout: "null" }))),
  );
  // All have ended before this program hears of the first, so that their ends are dealt with side by side.
  while (boxes.some(({ pid }) => isRunning(pid)));
  const own = await Promise.all(boxes.map(async ({ status }, i) => {
    await status;
    return boxes.map((box) => box.kill("SIGCONT"))[i];
  }));
  assert.deepEqual(own, Array(8).fill(false));
});

Deno.test("mod.ts: an abort kills the container", async () => {
  const controller = new AbortController();
  await using box = await run("busybox", SLEEP, options({ stdout: "piped", signal: controller.signal }));
  assert.equal(await lineReader(box.stdout)(), "ready");
  controller.abort();
  assert.equal((await box.status).signal, 9);
});

Deno.test("mod.ts: with a signal that is aborted already, or before the launch, nothing is made", async () => {
  await assert.rejects(run("busybox", ["true"], options({ signal: AbortSignal.abort() })), { name: "AbortError" });
  const controller = new AbortController();
  const starting = run("busybox", ["sleep", "3"], options({ stdout: "null", signal: controller.signal }));
  controller.abort();
  const outcome = await starting.then((box) => box.status, (error: unknown) => error);
  const aborted = outcome instanceof Error ? outcome.name === "AbortError" : outcome !== null &&
    typeof outcome === "object" && "signal" in outcome && outcome.signal === 9;
  assert.ok(aborted, Deno.inspect(outcome));
  assert.deepEqual(containers(), []);
});

Deno.test("mod.ts: a container with a terminal of a given size has one stream, and can be resized", async () => {
  const script =
    "stty size; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo all; trap 'stty size' WINCH; echo ready; for i in $(seq 20); do read -t 1 l; done";
  const terminal = { columns: 123, rows: 45 };
  await using box = await run("busybox", ["sh", "-c", script], options({ ...piped, terminal }));
  const next = lineReader(box.stdout);
  const line = async (): Promise<string | undefined> => (await next())?.replace(/\r$/, "");
  assert.deepEqual([await line(), await line(), await line()], ["45 123", "all", "ready"]);
  box.resize({ columns: 80, rows: 25 });
  assert.equal(await line(), "25 80");
  assert.throws(() => box.stderr, TypeError);
});

Deno.test("mod.ts: a terminal edits lines, echoes, and turns ^C and ^D into a signal and an end", async () => {
  const send = async (keys: string, script: string): Promise<[string, number]> => {
    const terminal = { columns: 80, rows: 24 };
    await using box = await run(
      "busybox",
      ["sh", "-c", script],
      options({ stdin: "piped", stdout: "piped", terminal }),
    );
    const next = lineReader(box.stdout);
    assert.equal(await next(), "ready\r");
    await box.stdin.getWriter().write(new TextEncoder().encode(keys));
    let said = "";
    for (let line; (line = await next()) !== undefined;) said += line + "\n";
    return [said, (await box.status).code];
  };
  assert.deepEqual(await send("ab\x7fc\n", "echo ready; read line; echo got $line"), [
    "ac\r\ngot ac\r\n".replace("ac", "ab\b \bc"),
    0,
  ]);
  const [, interrupted] = await send(
    "\x03",
    "trap 'exit 7' INT; echo ready; for i in $(seq 20); do read -t 1 line; done",
  );
  assert.equal(interrupted, 7);
  assert.deepEqual(await send("\x04", "echo ready; cat; echo end"), ["end\r\n", 0]);
});

// What is asked for wrongly, the type and code of the error, and the exit code that a shell would see, if it has one.
const WRONG: readonly (readonly [
  string,
  readonly string[],
  RunOptions,
  new (...words: never[]) => SauropodError,
  string,
  number?,
])[] = [
  ["busybox", [], {}, InputError, "no-command"],
  ["busybox", ["true"], { name: "a/b" }, InputError, "bad-name"],
  ["busybox", ["true"], { name: "x".repeat(256) }, InputError, "bad-name"],
  ["busybox", ["true"], { hostname: "-x" }, InputError, "bad-name"],
  ["busybox", ["true"], { hostname: "x".repeat(65) }, InputError, "bad-name"],
  ["busybox", ["true"], { cwd: "relative" }, InputError, "bad-cwd"],
  ["busybox", ["true"], { env: { "": "x" } }, InputError, "bad-env"],
  ["busybox", ["true"], { env: { "A=B": "x" } }, InputError, "bad-env"],
  ["busybox", ["true"], { shmSize: -1 }, InputError, "bad-size"],
  ["busybox", ["true"], { shmSize: 1.5 }, InputError, "bad-size"],
  ["busybox", ["true"], { user: "mallory" }, InputError, "unknown-user"],
  ["busybox", ["true"], { volumes: ["/no/such:/x"] }, InputError, "mount-source-missing"],
  ["busybox", ["true"], { ulimits: ["x"] }, InputError, "bad-ulimit"],
  ["busybox", ["true"], { capAdd: ["x"] }, InputError, "unknown-capability"],
  ["../busybox", ["true"], {}, InputError, "invalid-image-name"],
  ["/busybox", ["true"], {}, InputError, "invalid-image-name"],
  ["missing", ["true"], {}, ImageError, "image-not-found"],
  ["busybox", ["no-such-command"], {}, SpawnError, "command-not-found", 127],
  ["busybox", ["no-such-command"], { init: true }, SpawnError, "command-not-found", 127],
  ["busybox", ["/etc"], {}, SpawnError, "not-executable", 126],
  ["busybox", ["/etc/passwd"], { user: "alice" }, SpawnError, "not-executable", 126],
  ["busybox", ["true"], { cwd: "/etc/passwd" }, SpawnError, "step-failed", 125],
];

Deno.test("mod.ts: errors are typed, have a code, and leave nothing", async () => {
  const before = lookAtMachine();
  const descriptors = openDescriptors();
  for (const [image, command, more, type, code, exitCode] of WRONG) {
    const what = `${image} ${command} ${Deno.inspect(more)}`;
    const error: unknown = await run(image, command, options(more)).then(() => undefined, (error) => error);
    assert.ok(error instanceof type, `${what}: ${error}`);
    assert.ok(error instanceof SauropodError && error instanceof Error);
    assert.deepEqual([error.code, error.name], [code, type.name], what);
    assert.ok(error.message.length > 10 && !error.message.includes("\n"), error.message);
    if (error instanceof SpawnError) assert.equal(error.exitCode, exitCode, what);
  }
  assert.deepEqual([containers(), openDescriptors()], [[], descriptors]);
  assertUnchanged(before);
});

Deno.test("mod.ts: the hint for a name says how long it may be, and one that long can be had", async () => {
  const hint = (more: RunOptions): Promise<string> =>
    run("busybox", ["true"], options(more)).then(() => "", (error) => error.hint);
  assert.match(await hint({ hostname: "x".repeat(65) }), /at most 64/);
  assert.match(await hint({ name: "x".repeat(256) }), /at most 255/);
  assert.ok((await output("busybox", ["true"], options({ name: "x".repeat(255), hostname: "x".repeat(64) }))).success);
});

Deno.test("mod.ts: an error of a step names the step, its call and its error number in words", async () => {
  const error: unknown = await run("busybox", ["true"], options({ cwd: "/etc/passwd" })).catch((error) => error);
  assert.ok(error instanceof SpawnError);
  assert.match(error.message, /^change to \/etc\/passwd: ENOTDIR \(Not a directory\)$/);
  assert.match(`${error.facts.call}`, /^chdir\("\/etc\/passwd"\)/);
  assert.equal(error.facts.errno, "ENOTDIR");
});

Deno.test("mod.ts: a name that is taken is a ContainerError", async () => {
  await using box = await run("busybox", SLEEP, options({ name: "taken", stdout: "null" }));
  await assert.rejects(
    run("busybox", ["true"], options({ name: "taken" })),
    (error) => error instanceof ContainerError && error.code === "name-taken" && error.facts.holder === box.id,
  );
  assert.deepEqual(containers(), [box.id]);
});

Deno.test("mod.ts: twenty containers at once, each with its own streams", async () => {
  const before = lookAtMachine();
  const script = "read line; echo $line $HOSTNAME; head -c 200000 /dev/zero | tr '\\0' $line; echo >&2 $line";
  const results = await Promise.all(Array.from({ length: 20 }, async (_, i) => {
    const letter = String.fromCharCode(97 + i);
    await using box = await run("busybox", ["sh", "-c", script], options({ ...piped, init: i % 2 === 1 }));
    const writer = box.stdin.getWriter();
    await writer.write(new TextEncoder().encode(`${letter}\n`));
    const { code, stdout, stderr } = await box.output();
    return [code, text(stdout) === `${letter} ${box.id}\n${letter.repeat(200_000)}`, text(stderr) === `${letter}\n`];
  }));
  assert.deepEqual(results, Array(20).fill([0, true, true]));
  assert.deepEqual(containers(), []);
  assertUnchanged(before);
});

Deno.test("containers that wait do not keep the program from reading files", async () => {
  const boxes = await Promise.all(Array.from({ length: 40 }, () => run("busybox", ["cat"], options(piped))));
  const reads = boxes.map(({ stdout }) => stdout.getReader().read());
  assert.ok((await Deno.readTextFile(`${PROJECT}/mod.ts`)).length > 0);
  await Promise.all(boxes.map((box) => box.stdin.close()));
  for (const { done } of await Promise.all(reads)) assert.ok(done);
  for (const box of boxes) assert.equal((await box.status).code, 0);
});

Deno.test("mod.ts: fifty runs leave no descriptor, container or process behind", async () => {
  const once = async (i: number): Promise<void> => {
    const more: RunOptions = i % 5 === 0
      ? { ...piped, terminal: { columns: 80, rows: 24 } }
      : i % 5 === 1
      ? { init: true, stdout: "null" }
      : i % 5 === 2
      ? { ...piped, volumes: [`${world.home}:/data`] }
      : { stdin: "piped", stdout: "piped" };
    await using box = await run("busybox", i % 7 === 0 ? ["no-such-command"] : ["echo", "hello"], options(more));
    if (more.stdout === "piped" && i % 3 === 0) assert.ok(await lineReader(box.stdout)());
    if (i % 2 === 0) await box.status;
  };
  for (let i = 0; i < 4; i++) await once(i).catch((error) => assert.ok(error instanceof SpawnError));
  const before = lookAtMachine();
  const descriptors = openDescriptors();
  for (let i = 0; i < 50; i++) await once(i).catch((error) => assert.ok(error instanceof SpawnError));
  assert.deepEqual([openDescriptors(), containers()], [descriptors, []]);
  assertUnchanged(before);
});

Deno.test("mod.ts: streams that nobody reads or closes are closed at the end of the scope", async () => {
  await output("busybox", ["true"], options());
  const descriptors = openDescriptors();
  {
    await using box = await run("busybox", ["sh", "-c", "echo never read; echo never read >&2"], options(piped));
    await box.status;
  }
  assert.equal(openDescriptors(), descriptors);
});

Deno.test("mod.ts: a container is killed by the kernel when the program that made it is", async () => {
  const script = `import { run } from "${PROJECT}/mod.ts";
    const box = await run("busybox", ["sleep", "1000"], { stdout: "null", stderr: "null" });
    console.log(box.pid);
    await box.status;`;
  Deno.writeTextFileSync(`${world.home}/main.ts`, script);
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "main.ts"],
    cwd: world.home,
    env: { SAUROPOD_HOME: world.home },
    stdout: "piped",
  }).spawn();
  const pid = Number(await lineReader(child.stdout)());
  assert.ok(isRunning(pid));
  child.kill("SIGKILL");
  await child.status;
  await until("the container is gone", () => !isRunning(pid));
  assert.equal((await world.cli(["gc"])).code, 0);
  assert.deepEqual(containers(), []);
});

Deno.test("mod.ts: a program ends by itself when its containers have, also when it never looks at them", async () => {
  const script = `import { run } from "${PROJECT}/mod.ts";
    await run("busybox", ["echo", "said"], {});
    const box = await run("busybox", ["cat"], { stdin: "piped", stdout: "piped" });
    await box.stdin.close();`;
  Deno.writeTextFileSync(`${world.home}/ends.ts`, script);
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "ends.ts"],
    cwd: world.home,
    env: { SAUROPOD_HOME: world.home },
  }).output();
  assert.deepEqual([code, text(stdout), text(stderr)], [0, "said\n", ""]);
});

Deno.test("mod.ts can be imported by URL into an empty folder, with no import map and no flag but -A", async () => {
  const served: string[] = [];
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const { pathname } = new URL(request.url);
    served.push(pathname);
    const body = await Deno.readTextFile(PROJECT + pathname).catch(() => undefined);
    if (body === undefined) return new Response("not there", { status: 404 });
    return new Response(body, { headers: { "content-type": "application/typescript" } });
  });
  const url = `http://127.0.0.1:${server.addr.port}/mod.ts`;
  const folder = `${world.home}/empty`;
  Deno.mkdirSync(folder);
  const script = `import { output } from "${url}";
    const { stdout, code } = await output("busybox", ["echo", "from afar"]);
    console.log(code, new TextDecoder().decode(stdout));`;
  Deno.writeTextFileSync(`${folder}/main.ts`, script);
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "main.ts"],
    cwd: folder,
    env: { SAUROPOD_HOME: world.home, DENO_DIR: `${world.home}/deno`, NO_COLOR: "1" },
  }).output();
  assert.deepEqual([code, text(stdout)], [0, "0 from afar\n\n"], text(stderr));
  assert.ok(
    served.includes("/mod.ts") && served.every((path) => /^\/(mod\.ts$|lib\/|ffi\/)/.test(path)),
    served.join(" "),
  );
  assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["main.ts"]);
});
