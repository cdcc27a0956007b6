import assert from "node:assert/strict";
import { ContainerError, InputError, output, run, SpawnError } from "../mod.ts";
import { converse, inside, lineReader, say, text, until } from "./helpers/inside.ts";
import { commandLine, makeWorld, type World } from "./helpers/world.ts";

const world = makeWorld();
Deno.test.afterAll(async () => await world[Symbol.asyncDispose]());

const SIZE = 5_000_000;

/** Five megabytes in which every byte value occurs, also every one after every other. */
function manyBytes(): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(SIZE);
  let state = 1;
  for (let i = 0; i < SIZE; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = i < 256 ? i : state >>> 24;
  }
  return bytes;
}

async function digest(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return `${bytes.length} ${new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex()}`;
}

async function feed(stream: WritableStream<Uint8Array>, bytes: Uint8Array): Promise<void> {
  const writer = stream.getWriter();
  for (let at = 0; at < bytes.length; at += 300_000) await writer.write(bytes.subarray(at, at + 300_000));
  await writer.close();
}

/** Feeds a command line and collects what it writes, as bytes. */
async function throughCli(words: readonly string[], bytes: Uint8Array): Promise<Deno.CommandOutput> {
  const child = world.start(words, { stdin: "" });
  const [, result] = await Promise.all([feed(child.stdin, bytes), child.output()]);
  return result;
}

/** Whether the process has a handler for the signal. */
function catches(pid: number, signal: number): boolean {
  const mask = /^SigCgt:\s*([0-9a-f]+)$/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1] ?? "0";
  return (BigInt(`0x${mask}`) >> BigInt(signal - 1) & 1n) === 1n;
}

function containersIn(place: World): string[] {
  return [...Deno.readDirSync(place.folders.containers)].map(({ name }) => name).filter((name) =>
    !name.startsWith(".")
  );
}

const ODD = [
  "",
  " ",
  "a b",
  "-x",
  "--",
  "--rm",
  "'",
  '"',
  "$HOME",
  "`id`",
  "\\",
  "\n",
  "\t",
  "*",
  "é€😀",
  "x".repeat(100_000),
  "",
];

Deno.test("arguments arrive byte for byte, the empty and odd ones too", async () => {
  const args = ["/bin/sh", "-c", "cat /proc/$$/cmdline; true", ...ODD];
  assert.deepEqual((await say(world, args)).split("\0").slice(0, -1), args);
  const { code, stdout } = await world.cli(["--rm", "busybox", ...args]);
  assert.equal(code, 0);
  assert.deepEqual(stdout.split("\0").slice(0, -1), args);
});

Deno.test("what follows IMAGE belongs to the command, also what looks like Sauropod's own flags", async () => {
  const words = ["--rm", "busybox", "echo", "--rm", "-e", "A=1", "--", "--help", "-v"];
  assert.equal((await world.cli(words)).stdout, "--rm -e A=1 -- --help -v\n");
  assert.equal((await world.cli(["run", ...words])).stdout, "--rm -e A=1 -- --help -v\n");
});

Deno.test("the working directory is / unless asked, and made if it is missing", async () => {
  assert.equal(await say(world, ["pwd"]), "/\n");
  assert.equal(
    await say(world, "pwd; stat -c '%a %u' . ..", { cwd: "/made/new/here" }),
    "/made/new/here\n755 0\n755 0\n",
  );
  assert.equal(await say(world, ["pwd"], { cwd: "/etc/", user: "alice" }), "/etc\n");
  assert.equal((await world.cli(["--rm", "-w", "/a b", "busybox", "pwd"])).stdout, "/a b\n");
});

Deno.test("a working directory that is relative, climbs, or is a file is refused", async () => {
  for (const cwd of ["etc", "", "./x", "/a/../../etc"]) {
    await assert.rejects(
      inside(world, "pwd", { cwd }),
      (error) => error instanceof InputError && error.code === "bad-cwd",
    );
  }
  await assert.rejects(inside(world, "pwd", { cwd: "/etc/passwd" }), SpawnError);
});

// What --user says, then uid, gid and groups inside, and who HOME and USER say it is.
const USERS = [
  [undefined, "0 0 [0]", "/root root"],
  ["root", "0 0 [0]", "/root root"],
  ["alice", "1000 1000 [50 1000]", "/home/alice alice"],
  ["1000", "1000 1000 [50 1000]", "/home/alice alice"],
  ["alice:staff", "1000 50 [50]", "/home/alice alice"],
  ["alice:0", "1000 0 [0]", "/home/alice alice"],
  ["12345", "12345 0 [0]", "/ 12345"],
  ["12345:54321", "12345 54321 [54321]", "/ 12345"],
  ["0:staff", "0 50 [50]", "/root root"],
] as const;

for (const [user, ids, names] of USERS) {
  Deno.test(`a command run as user ${user ?? "(nobody said)"} is ${ids}`, async () => {
    const script = `set -- $(sed -n 's/^\\(Uid\\|Gid\\|Groups\\)://p' /proc/self/status | tr '\\n\\t' '  '); echo "$@"
      echo "$HOME $USER"`;
    const [line = "", who] = (await say(world, script, { user })).trim().split("\n");
    const [u1, u2, u3, u4, g1, g2, g3, g4, ...groups] = line.split(" ");
    assert.deepEqual([new Set([u1, u2, u3, u4]).size, new Set([g1, g2, g3, g4]).size], [1, 1], line);
    const all = [...new Set([g1, ...groups])].sort((a, b) => Number(a) - Number(b));
    assert.deepEqual([`${u1} ${g1} [${all.join(" ")}]`, who], [ids, names]);
  });
}

Deno.test("supplementary groups are the image's and none of the caller's", async () => {
  const groups = "sed -n 's/^Groups:[ \\t]*//p' /proc/self/status";
  const line = async (user: string): Promise<string> => (await say(world, groups, { user })).trim();
  assert.deepEqual([await line("alice"), await line("alice:staff"), await line("root")], ["50", "", ""]);
  const { stdout } = await new Deno.Command("setpriv", {
    args: ["--groups", "4242", ...commandLine(["--rm", "busybox", "sh", "-c", groups])],
    env: { SAUROPOD_HOME: world.home },
  }).output();
  assert.equal(text(stdout).trim(), "");
});

Deno.test("a user or group that the image does not know is refused by name", async () => {
  const before = containersIn(world);
  for (
    const [user, code] of [["mallory", "unknown-user"], ["alice:wheel", "unknown-group"], [
      "4294967295",
      "unknown-user",
    ]]
  ) {
    await assert.rejects(inside(world, "id", { user }), (error) => error instanceof InputError && error.code === code);
  }
  const { code, stderr } = await world.cli(["-u", "mallory", "busybox", "id"]);
  assert.equal(code, 125);
  assert.match(stderr, /unknown user "mallory"/);
  assert.deepEqual(containersIn(world), before);
});

const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const ENVIRON = ["cat", "/proc/self/environ"];

function environment(stdout: string): string[] {
  return stdout.split("\0").slice(0, -1).sort();
}

Deno.test("the environment is exactly PATH, HOME, USER, HOSTNAME, TERM and PS1", async () => {
  const { stdout } = await world.cli(["--rm", "--hostname", "box", "-u", "alice", "busybox", ...ENVIRON], {
    env: { TERM: "screen", SECRET: "of the caller", LD_PRELOAD: "", HTTP_PROXY: "http://proxy" },
  });
  assert.deepEqual(environment(stdout), [
    "HOME=/home/alice",
    "HOSTNAME=box",
    `PATH=${PATH}`,
    "PS1=alice@box$ ",
    "TERM=screen",
    "USER=alice",
  ]);
});

Deno.test("-e and --env-file add and replace variables, -e last", async () => {
  Deno.writeTextFileSync(
    `${world.home}/env`,
    "# comment\n\nA=file\nB=from file\nC=x=y # no comment\n  D=indented\nE\nF=\nNOT_SET\n",
  );
  const flags = ["--env-file", "env", "-e", "A=flag", "-e", "E2", "-eG=1=2", "--env=HOME=/elsewhere", "-e", "TERM="];
  const { stdout } = await world.cli(["--rm", "--hostname", "box", ...flags, "busybox", ...ENVIRON], {
    env: { E: "caller", E2: "caller's\ntoo" },
  });
  assert.deepEqual(environment(stdout), [
    "A=flag",
    "B=from file",
    "C=x=y # no comment",
    "D=indented",
    "E2=caller's\ntoo",
    "E=caller",
    "F=",
    "G=1=2",
    "HOME=/elsewhere",
    "HOSTNAME=box",
    `PATH=${PATH}`,
    "PS1=root@box$ ",
    "TERM=",
    "USER=root",
  ]);
});

Deno.test("variables without a name and missing files of variables are refused", async () => {
  for (const flags of [["-e", "=1"], ["--env-file", "missing"]]) {
    const { code, stderr } = await world.cli([...flags, "busybox", "true"]);
    assert.equal(code, 125);
    assert.match(stderr, flags[0] === "-e" ? /is not NAME=VALUE/ : /missing/);
  }
});

Deno.test("a file of variables that has a bad line, or is no text, is refused by its name", async () => {
  Deno.writeTextFileSync(`${world.home}/lines`, "A=1\nexport B=2\n");
  Deno.writeFileSync(`${world.home}/bytes`, Uint8Array.of(65, 61, 0xff));
  for (const [name, why] of [["lines", `"export B=2" is not NAME=VALUE`], ["bytes", "it is not UTF-8 text"]] as const) {
    const { code, stderr } = await world.cli(["--env-file", name, "busybox", "true"]);
    assert.equal(code, 125);
    assert.ok(stderr.includes(`--env-file ${name}: ${why}`), stderr);
  }
});

Deno.test("a command is looked up in the PATH of the container", async () => {
  await using own = makeWorld();
  const image = `${own.folders.images}/busybox`;
  for (const name of ["opt/a", "opt/b", "opt/c/tool"]) Deno.mkdirSync(`${image}/${name}`, { recursive: true });
  Deno.writeTextFileSync(`${image}/opt/a/tool`, "#!/bin/sh\necho not executable\n", { mode: 0o644 });
  Deno.writeTextFileSync(`${image}/opt/b/tool`, "#!/bin/sh\necho found $0\n", { mode: 0o755 });
  const find = (path: string, words: readonly string[] = ["tool"]): ReturnType<typeof inside> =>
    inside(own, words, { env: { PATH: path } });
  assert.equal((await find("/opt/a:/missing:/etc/passwd:/opt/b")).stdout, "found /opt/b/tool\n");
  assert.equal((await inside(own, ["./tool"], { cwd: "/opt/b" })).stdout, "found ./tool\n");
  const failed = async (path: string, words?: readonly string[]): Promise<[string, number]> => {
    const error: unknown = await find(path, words).catch((error) => error);
    assert.ok(error instanceof SpawnError);
    return [error.code, error.exitCode];
  };
  assert.deepEqual(await failed("/opt/a:/missing"), ["not-executable", 126]);
  assert.deepEqual(await failed("/missing:/etc"), ["command-not-found", 127]);
  assert.deepEqual(await failed(PATH, ["deno"]), ["command-not-found", 127]);
  assert.deepEqual(await failed(PATH, ["/opt/c/tool"]), ["not-executable", 126]);
  assert.deepEqual(containersIn(own), []);
});

Deno.test("a command of PATH whose interpreter is missing may be there, which the hint says", async () => {
  await using own = makeWorld();
  const path = `${own.folders.images}/busybox/bin/odd`;
  Deno.writeTextFileSync(path, "#!/missing\n", { mode: 0o755 });
  const error: unknown = await inside(own, ["odd"]).catch((error) => error);
  assert.ok(error instanceof SpawnError);
  assert.deepEqual([error.code, error.exitCode], ["command-not-found", 127]);
  assert.match(`${error.hint}`, /PATH=.*interpreter that it needs is missing/);
});

Deno.test("every exit code from 0 to 255 is passed through", async () => {
  const all = Array.from({ length: 256 }, (_, code) => code);
  const codes: number[] = [];
  for (let at = 0; at < all.length; at += 16) {
    const batch = all.slice(at, at + 16).map((code) => output("busybox", ["sh", "-c", `exit ${code}`], world.folders));
    for (const { code, success, signal } of await Promise.all(batch)) {
      assert.deepEqual([success, signal], [code === 0, null]);
      codes.push(code);
    }
  }
  assert.deepEqual(codes, all);
});

const UNUSUAL: readonly (readonly [what: string, code: number, words: readonly string[], said: RegExp])[] = [
  ["of the command", 42, ["busybox", "sh", "-c", "exit 42"], /^$/],
  ["of a command behind --init", 43, ["--init", "busybox", "sh", "-c", "exit 43"], /^$/],
  [
    "for a command that is not found",
    127,
    ["busybox", "no-such-command"],
    /command not found in the container: no-such-command/,
  ],
  ["for a path that is not there", 127, ["busybox", "/no/such/command"], /\/no\/such\/command/],
  ["for a file without execute permission", 126, ["busybox", "/etc/passwd"], /\/etc\/passwd/],
  ["for a folder", 126, ["busybox", "/etc"], /\/etc/],
  ["for a command that is not found behind --init", 127, ["--init", "busybox", "no-such-command"], /no-such-command/],
  ["for a folder behind --init", 126, ["--init", "busybox", "/etc"], /\/etc/],
  ["for an unknown image", 125, ["no-such-image", "true"], /no-such-image/],
  ["for an unknown flag", 125, ["--no-such-flag", "busybox", "true"], /no-such-flag/],
  ["for a command killed by SIGKILL", 137, ["--init", "busybox", "sh", "-c", "kill -9 $$"], /^$/],
  ["for a command killed by SIGSEGV", 139, ["--init", "busybox", "sh", "-c", "kill -SEGV $$"], /^$/],
  ["for a command that aborts", 134, ["--init", "busybox", "sh", "-c", "kill -ABRT $$"], /^$/],
];

for (const [what, code, words, said] of UNUSUAL) {
  Deno.test(`the command line ends with ${code} ${what}`, async () => {
    const result = await world.cli(["--rm", ...words]);
    assert.deepEqual([result.code, result.stdout], [code, ""], result.stderr);
    assert.match(result.stderr, said);
  });
}

Deno.test("a PID 1 that is killed by a signal ends with 128 plus its number", async () => {
  await using box = await converse(world, "echo; read");
  await box.ask();
  assert.ok(box.container.kill("SIGKILL"));
  const { code, signal, success } = await box.container.status;
  assert.deepEqual({ code, signal, success }, { code: 137, signal: 9, success: false });
});

Deno.test("with --init another process is PID 1, holds none of the streams, and the command is its child", async () => {
  const script =
    "cat /proc/1/comm; tr '\\0' ' ' < /proc/1/cmdline; echo; echo $$ $PPID; ls /proc/1/fd | wc -l; wc -c < /proc/1/environ";
  const { stdout } = await world.cli(["--rm", "--init", "busybox", "sh", "-c", script]);
  const [, cmdline, pids, fds, environ] = stdout.trim().split("\n");
  assert.match(cmdline ?? "", /^sauropod-init /);
  assert.deepEqual([pids, fds, environ], ["2 1", "0", "0"]);
});

Deno.test("init reaps orphans", async () => {
  const script = `for i in 1 2 3 4 5; do (sleep 0.01 & exec true); done
    tries=0; while [ $tries -lt 200 ]; do
      left=$(cat /proc/[0-9]*/stat 2>/dev/null | grep -c -e '(sleep)' -e ' Z '); [ $left = 0 ] && break
      tries=$((tries + 1)); sleep 0.02
    done; echo $left left`;
  assert.equal(await say(world, `(${script})`, { init: true }), "0 left\n");
});

Deno.test("init's end is the command's end, and takes what the command left with it", async () => {
  const { code } = await inside(world, "sleep 1000 > /dev/null 2>&1 & exit 5", { init: true });
  assert.equal(code, 5);
});

const TRAP =
  `trap 'echo got TERM; exit 7' TERM; trap 'echo got USR1' USR1; echo ready; for i in $(seq 20); do read -t 1 line; done`;

for (const init of [false, true]) {
  Deno.test(`kill() reaches the command's handlers ${init ? "through init" : "as PID 1"}`, async () => {
    await using box = await converse(world, TRAP, { init });
    assert.equal(await box.ask(), "ready");
    assert.ok(box.container.kill("SIGUSR1"));
    assert.equal(await box.ask(), "got USR1");
    assert.ok(box.container.kill());
    assert.equal(await box.ask(), "got TERM");
    assert.equal((await box.container.status).code, 7);
    assert.equal(box.container.kill(), false);
  });

  Deno.test(`a TERM for the command line reaches the command ${init ? "through init" : "as PID 1"}`, async () => {
    const child = world.start(["--rm", ...(init ? ["--init"] : []), "busybox", "sh", "-c", TRAP], { stdin: "" });
    const next = lineReader(child.stdout);
    assert.equal(await next(), "ready");
    await until("the command line forwards signals", () => catches(child.pid, 15) && catches(child.pid, 10));
    child.kill("SIGUSR1");
    assert.equal(await next(), "got USR1");
    child.kill("SIGTERM");
    assert.equal(await next(), "got TERM");
    assert.equal(await next(), undefined);
    assert.equal((await child.status).code, 7);
    await Promise.all([child.stdin.abort(), child.stderr.cancel()]);
  });
}

Deno.test("a USR1 for the command line reaches the command, and opens no debugger of Deno's", async () => {
  const child = world.start(["--rm", "busybox", "sh", "-c", TRAP], { stdin: "" });
  const next = lineReader(child.stdout);
  assert.equal(await next(), "ready");
  // Deno listens for it half a second after its start.
  for (let i = 0; i < 15; i++) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    child.kill("SIGUSR1");
    assert.equal(await next(), "got USR1");
  }
  child.kill("SIGTERM");
  assert.equal(await next(), "got TERM");
  assert.equal((await child.status).code, 7);
  assert.equal(await new Response(child.stderr).text(), "");
  await child.stdin.abort();
});

Deno.test("a USR1 ends a command that follows something, and opens no debugger of Deno's", async () => {
  for (const [command, ...args] of [["events"], ["stats"]] as const) {
    const child = world.start([command, ...args], { stdin: "" });
    await until("it can be signalled", () => catches(child.pid, 10));
    child.kill("SIGUSR1");
    const { code, stderr } = await child.output();
    assert.deepEqual([command, code, text(stderr)], [command, 138, ""]);
  }
});

Deno.test("a command behind init that does not handle TERM dies of it, with 143", async () => {
  await using box = await converse(world, "echo ready; exec sleep 20", { init: true });
  await box.ask();
  box.container.kill("SIGTERM");
  assert.equal((await box.container.status).code, 143);
});

Deno.test("a command as PID 1 that ignores TERM is killed by the third request", async () => {
  const child = world.start([
    "--rm",
    "busybox",
    "sh",
    "-c",
    "trap 'echo ignored' TERM; echo ready; for i in $(seq 20); do read -t 1 line; done",
  ], {
    stdin: "",
  });
  const next = lineReader(child.stdout);
  assert.equal(await next(), "ready");
  await until("the command line forwards signals", () => catches(child.pid, 15));
  for (let i = 0; i < 2; i++) {
    child.kill("SIGTERM");
    assert.equal(await next(), "ignored");
  }
  child.kill("SIGTERM");
  assert.equal((await child.status).code, 137);
  await Promise.all([child.stdin.abort(), child.stderr.cancel()]);
});

Deno.test("a command starts with no signal ignored or blocked", async () => {
  for (const init of [false, true]) {
    const masks = await say(world, ["sed", "-n", "s/^Sig\\(Blk\\|Ign\\|Cgt\\)://p", "/proc/self/status"], { init });
    assert.deepEqual(masks.trim().split(/\s+/), Array(3).fill("0".repeat(16)), `init: ${init}`);
  }
});

Deno.test("a command has the usual umask and leads a session of its own", async () => {
  assert.equal(
    await say(world, "umask; cut -d ' ' -f 5,6 /proc/self/stat; cut -d ' ' -f 5,6 /proc/1/stat"),
    "0022\n1 1\n1 1\n",
  );
});

for (const init of [false, true]) {
  const flags = init ? ["--rm", "--init"] : ["--rm"];
  Deno.test(`five megabytes go through the command line unchanged, both ways${init ? ", with init" : ""}`, async () => {
    const bytes = manyBytes();
    const { code, stdout, stderr } = await throughCli([...flags, "busybox", "cat"], bytes);
    assert.deepEqual([code, text(stderr), await digest(stdout)], [0, "", await digest(bytes)]);
  });

  Deno.test(`standard error is a stream of its own, byte for byte${init ? ", with init" : ""}`, async () => {
    const bytes = manyBytes();
    const { code, stdout, stderr } = await throughCli([...flags, "busybox", "sh", "-c", "echo out; cat >&2"], bytes);
    assert.deepEqual([code, text(stdout), await digest(stderr)], [0, "out\n", await digest(bytes)]);
  });

  Deno.test(`five megabytes go through the library unchanged, both ways at once${init ? ", with init" : ""}`, async () => {
    const bytes = manyBytes();
    const piped = { stdin: "piped", stdout: "piped", stderr: "piped" } as const;
    await using box = await run("busybox", ["sh", "-c", "tee /dev/stderr"], { ...world.folders, ...piped, init });
    const [, result] = await Promise.all([feed(box.stdin, bytes), box.output()]);
    const expected = await digest(bytes);
    assert.deepEqual([result.code, await digest(result.stdout), await digest(result.stderr)], [0, expected, expected]);
  });
}

Deno.test("the end of input reaches the command through the command line", async () => {
  const { code, stdout } = await throughCli(["--rm", "busybox", "wc", "-c"], new Uint8Array(1234));
  assert.deepEqual([code, text(stdout)], [0, "1234\n"]);
});

for (const init of [false, true]) {
  const how = init ? ", with init" : "";
  Deno.test(`the end of input reaches the command, and its end of output us while it still runs${how}`, async () => {
    const piped = { stdin: "piped", stdout: "piped" } as const;
    const words = ["sh", "-c", "wc -c; exec >&-; exec sleep 20"];
    await using box = await run("busybox", words, { ...world.folders, ...piped, init });
    await feed(box.stdin, new Uint8Array(1234));
    assert.equal(await new Response(box.stdout).text(), "1234\n");
    assert.ok(box.kill("SIGKILL"), "it still ran");
  });
}

Deno.test("without input a command reads its end at once", async () => {
  assert.equal(await say(world, "wc -c; readlink /proc/self/fd/0"), "0\n/dev/null\n");
  assert.equal((await world.cli(["--rm", "busybox", "wc", "-c"])).stdout, "0\n");
});

for (const [flags, codes] of [[["--init"], [141]], [[], [1, 141]]] as const) {
  Deno.test(`a reader that goes away ends the command${flags.length ? ", by SIGPIPE behind init" : ""}`, async () => {
    const child = world.start(["--rm", ...flags, "busybox", "yes"]);
    const reader = child.stdout.getReader();
    assert.equal(text((await reader.read()).value ?? new Uint8Array()).slice(0, 4), "y\ny\n");
    await reader.cancel();
    const { code } = await child.status;
    assert.ok(codes.some((expected) => expected === code), `it ended with ${code}`);
    await child.stderr.cancel();
  });
}

Deno.test("streams can be null", async () => {
  const null_ = { stdin: "null", stdout: "null", stderr: "null" } as const;
  await using box = await run("busybox", ["sh", "-c", "echo lost; echo lost >&2; [ -c /proc/self/fd/1 ]"], {
    ...world.folders,
    ...null_,
  });
  assert.equal((await box.status).code, 0);
});

Deno.test("a command whose user is not root can open its own streams by name", async () => {
  const script = "echo out > /dev/stdout; echo err > /dev/stderr; cat /dev/stdin";
  const piped = { stdin: "piped", stdout: "piped", stderr: "piped" } as const;
  for (const init of [false, true]) {
    await using box = await run("busybox", ["sh", "-c", script], { ...world.folders, ...piped, user: "alice", init });
    const [, { stdout, stderr }] = await Promise.all([feed(box.stdin, new TextEncoder().encode("in")), box.output()]);
    assert.deepEqual([text(stdout), text(stderr)], ["out\nin", "err\n"]);
  }
});

Deno.test("a command must be named, and words must not hold NUL", async () => {
  for (const command of [[], [""]]) {
    await assert.rejects(output("busybox", command, world.folders), InputError);
  }
  await assert.rejects(output("busybox", ["echo", "a\0b"], world.folders), InputError);
  await assert.rejects(output("busybox", ["env"], { ...world.folders, env: { A: "\0" } }), InputError);
});

Deno.test("a name is the container's own while it is there", async () => {
  await using box = await converse(world, "echo; read", { name: "box" });
  await box.ask();
  assert.equal(box.container.name, "box");
  await assert.rejects(
    inside(world, "true", { name: "box" }),
    (error) => error instanceof ContainerError && error.code === "name-taken",
  );
  await box.container[Symbol.asyncDispose]();
  assert.equal(await say(world, "echo ran", { name: "box" }), "ran\n");
});
