/** /dev/stdin, /dev/stdout and /dev/stderr of commands whose user is not the owner of the caller's files. */

import assert from "node:assert/strict";
import { built, context } from "../../helpers/building.ts";
import { text } from "../../helpers/inside.ts";
import { commandLine, PROJECT } from "../../helpers/project.ts";
import { makeWorld } from "../../helpers/world.ts";

const world = makeWorld();
Deno.test.afterAll(async () => await world[Symbol.asyncDispose]());

const SAY = "echo out >/dev/stdout; echo err >/dev/stderr";

function quoted(words: readonly string[]): string {
  return words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
}

/** The words of a shell that run `script` in a new container as user 1234, or as `flags` say. */
function inBox(script: string, ...flags: string[]): string {
  return quoted(commandLine(["--rm", ...(flags.length ? flags : ["-u", "1234"]), "busybox", "sh", "-c", script]));
}

/** Runs a script of the caller's shell; what it writes, both streams in order. */
async function shell(script: string): Promise<string> {
  const { stdout } = await new Deno.Command("bash", {
    args: ["-c", `set -o pipefail; exec 2>&1; ${script}`],
    env: { SAUROPOD_HOME: world.home, NO_COLOR: "1" },
    cwd: world.home,
    stdin: "null",
  }).output();
  return text(stdout);
}

Deno.test("run -u 1234 sh -c 'echo a >/dev/stdout' | cat, and with 2>&1, --init and without capabilities", async () => {
  for (const flags of [["-u", "1234"], ["-u", "1234:0"], ["--init", "-u", "1234"], ["--cap-drop", "ALL"]]) {
    assert.equal(await shell(`{ ${inBox(SAY, ...flags)}; echo $?; } 2>&1 | cat`), "out\nerr\n0\n", flags.join(" "));
    assert.equal(await shell(`${inBox(SAY, ...flags)} 2>two | cat; cat two`), "out\nerr\n", flags.join(" "));
  }
});

Deno.test("run -u 1234 opens /dev/stdout that is the caller's file, which stays the caller's, also 2>&1 and >>", async () => {
  const many = "i=0; while [ $i -lt 200 ]; do echo o >/dev/stdout; echo e >/dev/stderr; i=$((i+1)); done";
  assert.equal(await shell(`${inBox(many)} >both 2>&1; stat -c '%u %a' both; uniq -c both | wc -l`), "0 644\n400\n");
  const append = `echo first >log; ${inBox("echo a >/dev/stdout; echo b >>/dev/stdout")} >>log; cat log`;
  assert.equal(await shell(append), "first\na\nb\n");
  assert.equal(await shell(`${inBox(SAY)} >one 2>two; cat two one`), "err\nout\n");
  assert.equal(await shell(`mkfifo f; cat f & ${inBox(SAY)} >f; wait; stat -c '%u %a' f`), "err\nout\n0 644\n");
});

Deno.test("run -u 1234 opens /dev/stdin: a pipe, a file, a here document; what it does not read stays to be read", async () => {
  assert.equal(await shell(`echo piped | ${inBox("cat /dev/stdin")}`), "piped\n");
  assert.equal(await shell(`umask 077; printf '1\\n2\\n3\\n' >in; ${inBox("cat /dev/stdin")} <in`), "1\n2\n3\n");
  assert.equal(await shell(`${inBox("cat /dev/stdin")} <<<here`), "here\n");
  assert.equal(await shell(`{ ${inBox("read a; echo $a")}; cat; } <in`), "1\n2\n3\n");
  assert.equal(await shell(`while read l; do echo $l; ${inBox("true")}; done <in`), "1\n2\n3\n");
  // More than a pipe holds.
  await shell("head -c 3000000 /dev/zero >large; chmod 600 large");
  assert.equal(await shell(`${inBox("wc -c </dev/stdin")} <large`), "3000000\n");
  // Its head reads a page at once.
  assert.equal(await shell(`{ ${inBox("head -c 1000 >/dev/null")}; wc -c; } <large`), "2995904\n");
});

Deno.test("exec -u 1234 opens its streams by name, through pipes and files", async () => {
  const { stdout: id } = await world.cli(["run", "-d", "--rm", "busybox", "sleep", "60"]);
  const exec = quoted(commandLine(["exec", "-i", "-u", "1234", id.trim(), "sh", "-c", `${SAY}; cat /dev/stdin`]));
  try {
    assert.equal(await shell(`echo in | ${exec} 2>&1 | cat`), "out\nerr\nin\n");
    assert.equal(await shell(`umask 077; echo in >from; ${exec} <from >to 2>&1; cat to`), "out\nerr\nin\n");
  } finally {
    await world.cli(["rm", "-f", id.trim()]);
  }
});

Deno.test("exec -u 1234 ends soon after its command, though what that left running holds its pipes", async () => {
  const { stdout: id } = await world.cli(["run", "-d", "--rm", "busybox", "sleep", "60"]);
  const exec = (script: string): string => quoted(commandLine(["exec", "-u", "1234", id.trim(), "sh", "-c", script]));
  try {
    const started = Date.now();
    const late = "echo now; { sleep 0.3; echo soon; sleep 30; echo never; } & exit 3";
    assert.equal(await shell(`${exec(late)} >log 2>&1; echo $?; cat log`), "3\nnow\nsoon\n");
    assert.ok(Date.now() - started < 20_000, "it waited for all");
  } finally {
    await world.cli(["rm", "-f", id.trim()]);
  }
});

Deno.test("an image's USER opens its streams by name: RUN in a build, run of it, and run -d with logs", async () => {
  const Dockerfile = `FROM busybox\nUSER 1234\nRUN ${SAY}\nCMD ["sh", "-c", "${SAY}"]\n`;
  const { stderr } = await built(world, "-t", "service", context(world, { Dockerfile }));
  assert.match(stderr, /^out$/m);
  assert.equal(await shell(`${quoted(commandLine(["run", "--rm", "service"]))} 2>&1 | cat`), "out\nerr\n");
  const { stdout: id } = await world.cli(["run", "-d", "service"]);
  assert.equal((await world.cli(["wait", id.trim()])).stdout, "0\n");
  assert.deepEqual(await world.cli(["logs", id.trim()]), { code: 0, stdout: "out\n", stderr: "err\n" });
  await world.cli(["rm", id.trim()]);
});

Deno.test("run -u 1234 without a terminal of its own writes to the caller's by name", async () => {
  await Deno.writeTextFile(`${world.home}/typed.sh`, `${inBox(SAY)} </dev/null\n`);
  assert.deepEqual((await shell("script -qec 'sh typed.sh' /dev/null")).split("\r\n").sort(), ["", "err", "out"]);
});

Deno.test("run: the caller's pipe stays the caller's own: nobody loses it when the command has ended", async () => {
  const code = `const own = Deno.statSync("/proc/self/fd/1"); console.log(own.uid, own.mode & 0o777);`;
  await Deno.writeTextFile(`${world.home}/look.ts`, code);
  assert.equal(await shell(`{ ${inBox("true")}; deno run -A look.ts; } | cat`), `0 ${0o622}\n`);
});

Deno.test("run: a socket as standard output can be opened by name, also by root, as under systemd and Node", async () => {
  const script = `
import os, socket, subprocess, sys
ours, theirs = socket.socketpair()
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs)
theirs.close()
written = b""
while chunk := ours.recv(65536): written += chunk
sys.stdout.write(f"{len(written)} {written[:8]!r} {child.wait()}")`;
  await Deno.writeTextFile(`${world.home}/peer.py`, script);
  for (const flags of [["-u", "0"], ["-u", "1234"]]) {
    const words = inBox(`${SAY}; head -c 1000000 /dev/zero >/dev/stdout`, ...flags);
    assert.equal(await shell(`python3 peer.py ${words}`), "1000008 b'out\\nerr\\n' 0");
  }
});

Deno.test('run() and prepare() with "inherit" open their streams by name', async () => {
  const script = `
    import { prepare, run } from "${PROJECT}/mod.ts";
    const options = { ...${JSON.stringify(world.folders)}, user: "1234", stdin: "inherit" } as const;
    const words = ["sh", "-c", "echo out >/dev/stdout; cat /dev/stdin"];
    if (Deno.args[0] === "run") {
      await using box = await run("busybox", words, options);
      await box.status;
    } else {
      await using ready = await prepare("busybox", options);
      await using box = await ready.run(words);
      await box.status;
    }`;
  await Deno.writeTextFile(`${world.home}/library.ts`, script);
  for (const how of ["run", "prepare"]) {
    const library = `deno run -A library.ts ${how}`;
    assert.equal(await shell(`echo in | ${library} | cat`), "out\nin\n");
    assert.equal(await shell(`umask 077; echo in >in; ${library} <in >to; cat to`), "out\nin\n");
  }
});

Deno.test("run: a command that writes to a pipe of its own finds it broken when the reader is gone", async () => {
  const words = inBox("yes >/dev/stdout; echo $? >&2");
  assert.match(await shell(`mkfifo gone; head -n 1 gone & ${words} >gone`), /^y\n(1|141)\n$/);
});
