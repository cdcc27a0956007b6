/** One more command in a running container: `exec`, from the library and from the command line. */

import assert from "node:assert/strict";
import * as call from "../../../ffi/program/calls.ts";
import { close, writeAll } from "../../../ffi/fs/fs.ts";
import { pipe } from "../../../ffi/process/process.ts";
import { step } from "../../../ffi/program/model.ts";
import { readReport } from "../../../lib/container/attached/report.ts";
import { exec, run, SpawnError } from "../../../mod.ts";
import { until } from "../../helpers/life.ts";
import { Terminal } from "../../helpers/terminal.ts";
import { assertUnchanged, lookAtMachine } from "../../helpers/leftovers.ts";
import { commandLine } from "../../helpers/project.ts";
import { makeWorld, type World } from "../../helpers/world.ts";

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

async function inBox(
  work: (box: Awaited<ReturnType<typeof run>>, world: World) => Promise<void>,
  options: Parameters<typeof run>[2] = {},
): Promise<void> {
  await using world = makeWorld();
  const before = lookAtMachine();
  {
    await using box = await run("busybox", ["sleep", "1000"], { ...world.folders, network: "none", ...options });
    await work(box, world);
  }
  assertUnchanged(before);
}

async function outputOf(process: Awaited<ReturnType<typeof exec>>): Promise<string> {
  return text((await process.output()).stdout);
}

const PIPED = { stdout: "piped", stderr: "piped" } as const;

Deno.test("exec is in all namespaces of the container, and sees its processes", async () => {
  await inBox(async (box) => {
    const kinds = ["cgroup", "ipc", "mnt", "net", "pid", "uts"];
    const script = kinds.map((kind) => `readlink /proc/self/ns/${kind}; readlink /proc/1/ns/${kind}`).join("; ");
    const lines = (await outputOf(await box.exec(["sh", "-c", script], PIPED))).trim().split("\n");
    for (const [i, kind] of kinds.entries()) {
      assert.equal(lines[i * 2], lines[i * 2 + 1], kind);
      assert.notEqual(lines[i * 2], Deno.readLinkSync(`/proc/self/ns/${kind}`), kind);
    }
    assert.match(await outputOf(await box.exec(["ps"], PIPED)), /1 root .*sleep 1000/);
  });
});

Deno.test("exec has the container's environment, directory, user, groups, capabilities and limits", async () => {
  const options = { env: { A: "1", B: "2" }, cwd: "/tmp", user: "alice", ulimits: ["nofile=77:99"] };
  await inBox(async (box) => {
    const script = "echo $A $B $HOME; pwd; id; ulimit -n; grep -E 'Cap(Prm|Bnd)|NoNew' /proc/self/status";
    const inside = await outputOf(await box.exec(["sh", "-c", script], { ...PIPED, env: { B: "3" } }));
    assert.match(
      inside,
      /^1 3 \/home\/alice\n\/tmp\nuid=1000\(alice\) gid=1000\(alice\) groups=50\(staff\)\n77\n/,
    );
    assert.match(inside, /CapPrm:\t0{16}\nCapBnd:\t00000000800405fb\nNoNewPrivs:\t1/);
  }, options);
});

Deno.test("an abort kills the command of exec, whenever it comes", async () => {
  await inBox(async (box) => {
    for (const turns of [0, 1, 2, 5]) {
      const controller = new AbortController();
      const starting = box.exec(["sleep", "1000"], { signal: controller.signal });
      for (let i = 0; i < turns; i++) await Promise.resolve();
      controller.abort();
      const started = await starting.catch((error: unknown) => error instanceof Error ? error.name : undefined);
      if (typeof started === "object") assert.equal((await started.status).signal, 9);
      else assert.equal(started, "AbortError");
    }
  });
});

Deno.test("exec takes another user, directory and all capabilities where asked", async () => {
  await inBox(async (box) => {
    const script = ["sh", "-c", "id -u; pwd; grep CapEff /proc/self/status"];
    const other = await outputOf(await box.exec(script, { ...PIPED, user: "1234:5", cwd: "/etc" }));
    assert.match(other, /^1234\n\/etc\nCapEff:\t0{16}\n$/);
    const all = await outputOf(await box.exec(script, { ...PIPED, privileged: true }));
    assert.doesNotMatch(all, /CapEff:\t00000000800405fb/);
  });
});

Deno.test("a user of exec is looked up in the container's own files, as they are now", async () => {
  await inBox(async (box) => {
    await (await box.exec(["sh", "-c", "echo new:x:4321:1::/:/bin/sh >>/etc/passwd"])).status;
    assert.equal(await outputOf(await box.exec(["id", "-u"], { ...PIPED, user: "new" })), "4321\n");
  });
});

Deno.test("exec passes bytes both ways, exit codes and signals", async () => {
  await inBox(async (box) => {
    const bytes = crypto.getRandomValues(new Uint8Array(60000));
    const cat = await box.exec(["cat"], { ...PIPED, stdin: "piped" });
    const writer = cat.stdin.getWriter();
    const written = writer.write(bytes).then(() => writer.close());
    assert.deepEqual((await cat.output()).stdout, bytes);
    await written;
    assert.equal((await (await box.exec(["sh", "-c", "exit 42"])).status).code, 42);
    const sleep = await box.exec(["sleep", "1000"]);
    assert(sleep.kill("SIGKILL"));
    assert.deepEqual(await sleep.status, { success: false, code: 137, signal: 9 });
    assert(!sleep.kill());
  });
});

Deno.test("what cannot be executed in a container is told as by a shell", async () => {
  await inBox(async (box) => {
    await Promise.all([[["nothing"], 127], [["/etc/passwd"], 126], [["/nothing"], 127]].map(async ([words, code]) => {
      await assert.rejects(
        box.exec(Array.isArray(words) ? words : []),
        (error) => error instanceof SpawnError && error.exitCode === code,
      );
    }));
    await assert.rejects(box.exec([]), { code: "no-command" });
    await assert.rejects(box.exec(["true"], { cwd: "/missing" }), /change to \/missing: ENOENT/);
    await assert.rejects(box.exec(["true"], { user: "nobody-here" }), { code: "unknown-user" });
  });
});

Deno.test("exec: a command that fails before it is said which process it is, is known all the same", () => {
  const word = (size: number, ...numbers: number[]): Uint8Array<ArrayBuffer> => {
    const bytes = new Uint8Array(size);
    bytes.set(new Uint8Array(Uint32Array.from(numbers).buffer));
    return bytes;
  };
  const program = [step("lead a new session", call.setsid)];
  const process = word(8, 0xffffffff, 4711), failure = word(4096, 0, 2, 77);
  const read = (...words: Uint8Array<ArrayBuffer>[]): ReturnType<typeof readReport> => {
    const [reading, writing] = pipe();
    for (const bytes of words) writeAll(writing, bytes);
    close(writing);
    const report = readReport(reading, { program, registers: ["a"] });
    close(reading);
    return report;
  };
  const failed = { step: program[0], errno: 2, registers: new Map([["a", 77]]) };
  assert.deepEqual(read(process, failure), { pid: 4711, failure: failed });
  assert.deepEqual(read(failure, process), { pid: 4711, failure: failed });
  assert.deepEqual(read(failure), { failure: failed });
  assert.deepEqual(read(process), { pid: 4711 });
  assert.deepEqual(read(), {});
  for (const size of [1, 3, 4, 7]) assert.deepEqual(read(new Uint8Array(size)), {}, `${size} bytes`);
  assert.deepEqual(read(process, new Uint8Array(5)), { pid: 4711 });
  assert.deepEqual(read(word(8, 99, 2)), {}, "a step that there is not");
});

Deno.test("exec in what does not run is refused by name", async () => {
  await using world = makeWorld();
  await assert.rejects(exec("missing", ["true"], world.folders), { code: "container-not-found" });
  await world.cli(["run", "--name", "done", "--network", "none", "busybox", "true"]);
  const { code, stderr } = await world.cli(["exec", "done", "true"]);
  assert.equal(code, 125);
  assert.match(stderr, /is not running: it is exited\n {2}sauropod start/);
});

Deno.test("an exec'd command has no descriptor but its streams, nor a terminal or session of its caller's", async () => {
  await inBox(async (box) => {
    const listing = await outputOf(await box.exec(["ls", "-l", "/proc/self/fd"], PIPED));
    const numbers = [...listing.matchAll(/ (\d+) -> (\S+)/g)].map(([, fd, to]) => `${fd} ${to?.replace(/\d+/g, "N")}`);
    assert.deepEqual(numbers, ["0 /dev/null", "1 pipe:[N]", "2 pipe:[N]"]);
    const session = await outputOf(await box.exec(["sh", "-c", "cut -d' ' -f1,6,7 /proc/self/stat"], PIPED));
    assert.match(session, /^\d+ \d+ 0\n$/);
  });
});

Deno.test("an exec'd command is in the control groups of its container", async () => {
  await inBox(async (box) => {
    const groups = await outputOf(await box.exec(["cat", "/proc/self/cgroup"], PIPED));
    const first = await outputOf(await box.exec(["cat", "/proc/1/cgroup"], PIPED));
    assert.equal(groups, first);
    const outside = Deno.readTextFileSync(`/proc/${box.pid}/cgroup`);
    assert.match(outside, /sauropod-/);
  }, { limits: { memory: 64 << 20, pids: 20 } });
});

Deno.test("exec gives a terminal of the container's own, with its size", async () => {
  await inBox(async (box) => {
    // What is typed is echoed at once; the command waits until it is there.
    const shell = await box.exec(["sh", "-c", "sleep 0.3; tty; stty size; echo to-stderr >&2; read a; echo got $a"], {
      ...PIPED,
      stdin: "piped",
      terminal: { columns: 77, rows: 33 },
    });
    const writer = shell.stdin.getWriter();
    await writer.write(new TextEncoder().encode("word\r"));
    assert.equal(await outputOf(shell), "word\r\n/dev/pts/0\r\n33 77\r\nto-stderr\r\ngot word\r\n");
  });
});

Deno.test("exec's terminal is not opened if the container has put something else in its place", async () => {
  await inBox(async (box) => {
    await (await box.exec(["sh", "-c", "umount /dev/pts; mkdir /dev/pts; mkfifo /dev/pts/ptmx"])).status;
    await assert.rejects(box.exec(["true"], { stdin: "null", stdout: "piped", terminal: { columns: 1, rows: 1 } }), {
      code: "no-terminals",
    });
  }, { capAdd: ["SYS_ADMIN"] });
});

Deno.test("exec on the command line connects a terminal, and ends with the command's code", async () => {
  await using world = makeWorld();
  await world.cli(["run", "-d", "--name", "box", "--network", "none", "busybox", "sleep", "1000"]);
  try {
    await using terminal = new Terminal(commandLine(["exec", "-it", "box", "sh"]), {
      env: { SAUROPOD_HOME: world.home },
    });
    await terminal.types("tty; exit 5\r");
    const code = await terminal.ended();
    const text = terminal.screen;
    assert.match(text, /\/dev\/pts\/0/);
    assert.equal(code, 5);
  } finally {
    await world.cli(["rm", "-f", "box"]);
  }
});

Deno.test("exec reads standard input only if asked to", async () => {
  await using world = makeWorld();
  await world.cli(["run", "-d", "--name", "box", "--network", "none", "busybox", "sleep", "1000"]);
  try {
    assert.equal((await world.cli(["exec", "box", "cat"], { stdin: "word" })).stdout, "");
    assert.equal((await world.cli(["exec", "-i", "box", "cat"], { stdin: "word" })).stdout, "word");
    assert.equal((await world.cli(["exec", "-d", "box", "touch", "/mark"])).code, 0);
    assert.equal((await world.cli(["exec", "box", "sh", "-c", "while [ ! -e /mark ]; do sleep 0.01; done"])).code, 0);
  } finally {
    await world.cli(["rm", "-f", "box"]);
  }
});

Deno.test("an exec'd command dies with its caller, unless it is detached", async () => {
  await using world = makeWorld();
  await world.cli(["run", "-d", "--name", "box", "--network", "none", "busybox", "sleep", "1000"]);
  try {
    const child = world.start(["exec", "box", "sh", "-c", "echo here; sleep 2000"]);
    await child.stdout.getReader().read();
    await world.cli(["exec", "-d", "box", "sleep", "3000"]);
    child.kill("SIGKILL");
    await child.status;
    let listing = "";
    for (let i = 0; i < 100 && /sleep 2000/.test(listing = (await world.cli(["exec", "box", "ps"])).stdout); i++);
    assert.doesNotMatch(listing, /echo here/);
    assert.match(listing, /sleep 3000/);
  } finally {
    await world.cli(["rm", "-f", "box"]);
  }
});

Deno.test("exec and health checks need no more room below a limit on processes than their command", async () => {
  await using world = makeWorld();
  const flags = ["-d", "--name", "box", "--network", "none", "-u", "31415", "--ulimit", "nproc=2"];
  const health = ["--health-cmd", "true", "--health-interval", "50ms", "--health-retries", "1"];
  await world.cli(["run", ...flags, ...health, "busybox", "sleep", "1000"]);
  try {
    await until("it is healthy", async () => /"healthy"/.test((await world.cli(["inspect", "box"])).stdout));
    await world.cli(["exec", "box", "true"]);
    const found = await world.cli(["exec", "box", "grep", "Max processes", "/proc/self/limits"]);
    assert.match(`${found.stdout}${found.stderr}`, /^Max processes +2 +2 +processes/);
  } finally {
    await world.cli(["rm", "-f", "box"]);
  }
});

Deno.test("while exec joins, nobody in the container can trace it, even with CAP_SYS_PTRACE over its own", async () => {
  await inBox(async (box) => {
    // Whatever else appears is ours on its way: it must not let itself be looked into before it is the command.
    const watcher = await box.exec([
      "sh",
      "-c",
      `while :; do for p in /proc/[0-9]*; do
        read name <$p/comm && case $name in true | sleep | sh) ;; *)
          : >/seen
          [ -e $p/fd/0 ] && read later <$p/comm && [ "$name" = "$later" ] && echo LEAK $name
        esac
      done 2>/dev/null; done`,
    ], { stdout: "piped" });
    for (let i = 0; i < 400; i++) await (await box.exec(["true"])).status;
    watcher.kill("SIGKILL");
    assert.equal((await (await box.exec(["test", "-e", "/seen"])).status).code, 0, "the watcher has seen none");
    assert.equal(text(await new Blob(await Array.fromAsync(watcher.stdout)).bytes()), "");
  });
});
