import assert from "node:assert/strict";
import { hasPython, Terminal, type TerminalOptions } from "../../helpers/terminal.ts";
import { assertUnchanged, lookAtMachine } from "../../helpers/leftovers.ts";
import { commandLine } from "../../helpers/project.ts";
import { makeWorld, type World } from "../../helpers/world.ts";
import { SIGKILL, SIGTERM } from "../../../ffi/process/process.ts";
import { skipWithout } from "../../helpers/skip.ts";

const withoutPython = skipWithout("python3", hasPython());

function onTerminal(name: string, fn: (world: World) => Promise<void>, ignore = false): void {
  Deno.test({
    name,
    ignore: ignore || withoutPython,
    fn: async () => {
      await using world = makeWorld();
      const before = lookAtMachine();
      await fn(world);
      // A command line that was killed leaves its container's groups to the next one.
      await world.cli(["gc"]);
      assertUnchanged(before);
    },
  });
}

/** `sauropod --rm WORDS…` on a terminal. */
function open(world: World, words: readonly string[], options: TerminalOptions = {}): Terminal {
  const [deno = "", run = "", ...rest] = commandLine(["--rm", ...words]);
  // Deno itself draws on terminals unless it is to be quiet.
  return new Terminal([deno, run, "--quiet", ...rest], {
    cwd: world.home,
    env: { SAUROPOD_HOME: world.home },
    ...options,
  });
}

onTerminal("run -t: the container's terminal is the first of its own", async (world) => {
  const script = "tty; ls /dev/pts; test -t 0 -a -t 1 -a -t 2 && echo all; test -c /dev/console && echo console";
  await using terminal = open(world, ["busybox", "sh", "-c", script]);
  assert.equal(await terminal.ended(), 0);
  await terminal.shows(/^\/dev\/pts\/0\r\n0 +ptmx\r\nall\r\nconsole\r\n$/);
});

onTerminal("run -t: it has the size of the user's terminal and follows it", async (world) => {
  const script = "trap 'stty size' WINCH; stty size; while :; do sleep 0.05; done";
  await using terminal = open(world, ["busybox", "sh", "-c", script], { size: [91, 27] });
  await terminal.shows(/27 91\r\n/);
  await terminal.resize(120, 40);
  await terminal.shows(/40 120\r\n/);
  await terminal.resize(20, 10);
  await terminal.shows(/10 20\r\n/);
});

onTerminal("run -t: Ctrl-C reaches the foreground job and nothing else", async (world) => {
  await using terminal = open(world, ["busybox", "sh"]);
  await terminal.shows(/root@[0-9a-f]{12}\$ /);
  await terminal.types("sh -c 'echo begun; exec sleep 1000'\r");
  await terminal.shows(/\nbegun\r\n/);
  await terminal.types("\x03");
  await terminal.shows(/root@[0-9a-f]{12}\$ /);
  await terminal.types("echo it was $?\r");
  await terminal.shows(/\nit was 130\r\n/);
  await terminal.types("exit 7\r");
  assert.equal(await terminal.ended(), 7);
});

onTerminal("run -t: Ctrl-Z and fg work as in any shell", async (world) => {
  await using terminal = open(world, ["busybox", "sh"]);
  await terminal.shows(/\$ /);
  await terminal.types("sh -c 'echo begun; exec cat'\r");
  await terminal.shows(/\nbegun\r\n/);
  await terminal.types("\x1a");
  await terminal.shows(/Stopped/);
  await terminal.types("fg\r");
  await terminal.shows(/fg\r\n[^]*exec cat['"]\r\n$/);
  // A line that meets cat as it wakes up is read with the next one, also without a container.
  await terminal.types("once\r");
  await terminal.shows(/^once\r\n/);
  await terminal.types("twice\r");
  await terminal.shows(/(twice\r\n[^]*){2}/);
  await terminal.types("\x04");
  await terminal.shows(/\$ /);
  await terminal.types("exit\r");
  assert.equal(await terminal.ended(), 0);
});

onTerminal("run -t: what is typed is echoed once, and Ctrl-D is the end of input", async (world) => {
  await using terminal = open(world, ["--init", "busybox", "sh", "-c", "echo ready; cat; echo end"]);
  await terminal.shows(/ready\r\n/);
  await terminal.types("héllo\r");
  await terminal.shows(/^héllo\r\nhéllo\r\n/);
  await terminal.types("\x04");
  await terminal.shows(/^end\r\n$/);
  assert.equal(await terminal.ended(), 0);
});

onTerminal("run -t: the last output of a command that ends at once arrives whole", async (world) => {
  await using terminal = open(world, ["busybox", "sh", "-c", "seq 1 20000"]);
  assert.equal(await terminal.ended(), 0);
  await terminal.shows(/\r\n20000\r\n$/);
  assert.equal(terminal.screen, Array.from({ length: 20_000 }, (_, i) => `${i + 1}\r\n`).join(""));
});

const ENDS: readonly (readonly [how: string, words: readonly string[], signal: number | undefined, code: number])[] = [
  ["exit", ["busybox", "sh", "-c", "echo ready; read line; exit 7"], undefined, 7],
  ["exit with init", ["--init", "busybox", "sh", "-c", "echo ready; read line; exit 7"], undefined, 7],
  ["SIGTERM", ["--init", "busybox", "sh", "-c", "echo ready; exec sleep 1000"], SIGTERM, 143],
  [
    "SIGTERM that the command handles",
    [
      "busybox",
      "sh",
      "-c",
      "trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done",
    ],
    SIGTERM,
    3,
  ],
  ["kill -9 of the command line", ["busybox", "sh", "-c", "echo ready; exec sleep 1000"], SIGKILL, -9],
  ["kill -9 with init", ["--init", "busybox", "sh", "-c", "echo ready; exec sleep 1000"], SIGKILL, -9],
];

for (const [how, words, signal, code] of ENDS) {
  onTerminal(`the user's terminal is raw while the container runs and as before after ${how}`, async (world) => {
    await using terminal = open(world, words);
    const before = await terminal.modes();
    await terminal.shows(/ready/);
    await terminal.untilModes(before, false);
    if (signal === undefined) await terminal.types("\r");
    else await terminal.kill(signal);
    assert.equal(await terminal.ended(), code);
    await terminal.untilModes(before, true);
    assert.equal((await world.cli(["gc"])).code, 0);
  });
}

onTerminal("run -t: the user's terminal is as before when the container is removed by force", async (world) => {
  await using terminal = open(world, ["--name", "doomed", "busybox", "sh", "-c", "echo ready; exec sleep 1000"]);
  const before = await terminal.modes();
  await terminal.shows(/ready/);
  await terminal.untilModes(before, false);
  assert.equal((await world.cli(["rm", "--force", "doomed"])).code, 0);
  assert.equal(await terminal.ended(), 137);
  await terminal.untilModes(before, true);
});

onTerminal("run -t: the user's terminal is as before after an error, which it shows in whole lines", async (world) => {
  for (const init of [[], ["--init"]]) {
    await using terminal = open(world, [...init, "busybox", "no-such-command"]);
    const before = await terminal.modes();
    assert.equal(await terminal.ended(), 127);
    await terminal.shows(/^sauropod: command not found in the container: no-such-command\r\n/);
    assert.equal(await terminal.modes(), before);
  }
});

onTerminal("with input from a terminal, output to a file is byte-exact", async (world) => {
  const bytes = new Uint8Array(100_000).map((_, i) => (i * 7 + (i >> 8)) & 0xff);
  await Deno.writeFile(`${world.home}/bytes`, bytes);
  const words = ["-v", `${world.home}/bytes:/bytes:ro`, "busybox", "sh", "-c", "cat /bytes; test -t 0 && echo in >&2"];
  await using terminal = open(world, words, { stdout: `${world.home}/copy` });
  await terminal.shows(/^in\r\n/);
  assert.equal(await terminal.ended(), 0);
  assert.deepEqual(await Deno.readFile(`${world.home}/copy`), bytes);
});

onTerminal("run -t: with input from a file, the command has no terminal at all", async (world) => {
  await Deno.writeTextFile(`${world.home}/input`, "a\nb\n");
  const script = "cat; tty; test -t 1 || test -t 2 || echo none; (echo x > /dev/tty) 2>/dev/null || echo no tty";
  await using terminal = open(world, ["busybox", "sh", "-c", script], { stdin: `${world.home}/input` });
  assert.equal(await terminal.ended(), 0);
  await terminal.shows(/^a\r\nb\r\nnot a tty\r\nnone\r\nno tty\r\n$/);
});

Deno.test("without a terminal the command gets none, unless --tty asks", async () => {
  await using world = makeWorld();
  const script = "test -t 0 || test -t 1 || test -t 2 || echo none";
  const piped = await world.cli(["--rm", "busybox", "sh", "-c", script], { stdin: "" });
  assert.deepEqual(piped, { code: 0, stdout: "none\n", stderr: "" });
  const asked = await world.cli(["--rm", "--tty", "busybox", "tty"]);
  assert.deepEqual(asked, { code: 0, stdout: "/dev/pts/0\r\n", stderr: "" });
});

onTerminal("run -t: a user who is not root can use the terminal", async (world) => {
  const script = "echo to the terminal > /dev/tty; echo to standard error > /dev/stderr; id -u";
  await using terminal = open(world, ["-u", "alice", "busybox", "sh", "-c", script]);
  assert.equal(await terminal.ended(), 0);
  await terminal.shows(/to the terminal\r\nto standard error\r\n1000\r\n/);
});

// CVE-2017-5226: a process types into the terminal that it shares with its caller.
const ATTACK = `
import fcntl, glob, os, termios
paths = glob.glob("/dev/pts/*") + glob.glob("/proc/[0-9]*/fd/*") + ["/dev/tty", "/dev/console", "/dev/stdin"]
fds = list(range(0, 256))
for path in paths:
    try: fds.append(os.open(path, os.O_RDWR | os.O_NOCTTY))
    except OSError: pass
done = 0
for fd in fds:
    for request, argument in ((termios.TIOCSTI, b"#"), (termios.TIOCSTI | 1 << 32, b"#")):
        try: fcntl.ioctl(fd, request, argument); done += 1
        except (OSError, OverflowError, ValueError): pass
print("attacked", done > 0)
`;

function sysctl(path: string): string {
  try {
    return Deno.readTextFileSync(`/proc/sys/${path}`).trim();
  } catch {
    return "1"; // Kernels before 6.2 always let processes type.
  }
}

/** Python itself: what is in PATH may be a script that looks for it. */
function pythonPath(): string {
  const { stdout } = new Deno.Command("python3", { args: ["-c", "import sys; print(sys.executable)"] }).outputSync();
  return Deno.realPathSync(new TextDecoder().decode(stdout).trim());
}

onTerminal(
  "run -t: the attack by which a process types into its caller's terminal works where nothing prevents it",
  async () => {
    await using terminal = new Terminal([pythonPath(), "-c", ATTACK]);
    assert.equal(await terminal.ended(), 0);
    await terminal.shows(/attacked True/);
    assert.match(await terminal.pending(), /^#+/);
  },
  sysctl("dev/tty/legacy_tiocsti") !== "1",
);

onTerminal(
  "run -t: a container cannot type into its caller's terminal, whichever of its streams that is",
  async (world) => {
    const places: TerminalOptions[] = [{}, { stdin: "/dev/null" }, { stdout: "/dev/null" }];
    for (const place of places) {
      await using terminal = open(world, ["host", pythonPath(), "-c", ATTACK], place);
      assert.equal(await terminal.ended(), 0, terminal.screen);
      if (place.stdout === undefined) await terminal.shows(/attacked (True|False)/);
      assert.equal(await terminal.pending(), "", JSON.stringify(place));
    }
  },
);

onTerminal("run -t: a container's descriptors lead to no terminal of the host", async (world) => {
  const script =
    "for n in 0 1 2; do readlink /proc/self/fd/$n; done; ls /proc/self/fd | wc -l; stat -c %t:%T -L /dev/stdin";
  await using terminal = open(world, ["busybox", "sh", "-c", script]);
  assert.equal(await terminal.ended(), 0);
  await terminal.shows(/^(\/dev\/pts\/0\r\n){3}4\r\n88:0\r\n$/);
});
