import assert from "node:assert/strict";
import { COMMANDS, normalize, VERSION } from "../../cli/args/normalize.ts";
import { translateDockerAlias } from "../../cli/args/docker_aliases.ts";
import { EXEC_TABLE } from "../../cli/commands/exec.ts";
import { kebab } from "../../cli/args/flag_schema.ts";
import { FLAG_TABLE, FLAGS, SHORT } from "../../cli/args/container_flags.ts";
import { commandLine } from "../helpers/project.ts";
import { makeWorld } from "../helpers/world.ts";

// From what people type to what the parser reads

function words(line: string): string[] {
  return line === "" ? [] : line.split(" ");
}

/** What is typed, and what it means. */
const MEANINGS = [
  ["", "--help"],
  ["help", "--help"],
  ["help run", "run --help"],
  ["help images pull", "images pull --help"],
  ["help nothing", "--help"],
  ["-help", "--help"],
  ["-h", "--help"],
  ["--version", "--version"],
  // run is the command if none is named
  ["host /bin/sh", "run -- host /bin/sh"],
  ["run host /bin/sh", "run -- host /bin/sh"],
  ["explain host /bin/sh", "explain -- host /bin/sh"],
  ["--rm host true", "run --rm -- host true"],
  ["-- host true", "run -- host true"],
  ["run -- host true", "run -- host true"],
  ["--rm -- ps -a", "run --rm -- ps -a"],
  ["--rm ps -a", "run --rm -- ps -a"],
  // other commands are left alone
  ["ps -a", "ps -a"],
  ["rm --force one two", "rm --force one two"],
  ["gc --json", "gc --json"],
  // everything after IMAGE belongs to the command
  ["alpine ls --rm -v --help -cpu 7", "run -- alpine ls --rm -v --help -cpu 7"],
  ["-m 64m alpine sh -c echo -- --", "run --memory=64m -- alpine sh -c echo -- --"],
  ["run --name x run run", "run --name=x -- run run"],
  // the original's flags
  ["-cpu 200 -mem 64m host sh", "run --cpu=200 --mem=64m -- host sh"],
  ["-cpu=200 -mem=64m host sh", "run --cpu=200 --mem=64m -- host sh"],
  ["--cpu 200 --mem 64m host sh", "run --cpu=200 --mem=64m -- host sh"],
  ["-c box -i pics alpine sh", "run --containers=box --images=pics -- alpine sh"],
  ["-c=box -i=pics alpine sh", "run --containers=box --images=pics -- alpine sh"],
  ["-containers box -images pics alpine sh", "run --containers=box --images=pics -- alpine sh"],
  // one dash is as good as two
  ["-memory 64m -cpus 1.5 -rm host sh", "run --memory=64m --cpus=1.5 --rm -- host sh"],
  ["-read-only -tmpfs /tmp host sh", "run --read-only --tmpfs=/tmp -- host sh"],
  ["-name=web host sh", "run --name=web -- host sh"],
  ["-init host sh", "run --init -- host sh"],
  // short forms, glued and bundled
  ["-e A=1 -eB=2 host sh", "run --env=A=1 --env=B=2 -- host sh"],
  ["-m64m -u1000:50 host sh", "run --memory=64m --user=1000:50 -- host sh"],
  ["-v /a:/b:ro -w /b host sh", "run --volume=/a:/b:ro --workdir=/b -- host sh"],
  ["-h web host sh", "run --hostname=web -- host sh"],
  ["-t host sh", "run --tty -- host sh"],
  ["-it host sh", "run --interactive --tty -- host sh"],
  ["-ti host sh", "run --tty --interactive -- host sh"],
  ["-dit host sh", "run --detach --interactive --tty -- host sh"],
  ["-dp 8080:80 host sh", "run --detach --publish=8080:80 -- host sh"],
  ["-itv /a:/b host sh", "run --interactive --tty --volume=/a:/b -- host sh"],
  ["exec -itu alice web sh", "exec --interactive --tty --user=alice -- web sh"],
  ["-ip 10.10.10.9 host sh", "run --ip=10.10.10.9 -- host sh"],
  ["-itm=64m host sh", "run --interactive --tty --memory=64m -- host sh"],
  ["-d=false host sh", "run --detach=false -- host sh"],
  ["-pd host sh", "run --publish=d -- host sh"],
  ["exec -it -e A=1 web sh -c x", "exec --interactive --tty --env=A=1 -- web sh -c x"],
  ["--interactive --tty host sh", "run --interactive --tty -- host sh"],
  // a value is a value, whatever it looks like
  ["--memory-swap -1 --pids-limit -1 host sh", "run --memory-swap=-1 --pids-limit=-1 -- host sh"],
  ["-e -x=y host sh", "run --env=-x=y -- host sh"],
  ["--hostname --rm host sh", "run --hostname=--rm -- host sh"],
  ["--name -- host sh", "run --name=-- -- host sh"],
  ["-e A= host sh", "run --env=A= -- host sh"],
  ["-e  host sh", "run --env= -- host sh"],
  ["--env=A=b=c host sh", "run --env=A=b=c -- host sh"],
  // what is wrong is left for the parser to say
  ["--frob host sh", "run --frob -- host sh"],
  ["-frob host sh", "run -frob -- host sh"],
  ["--rm=yes host sh", "run --rm=yes -- host sh"],
  ["--memory", "run --memory"],
  // help of run, before the image only
  ["run --help", "run --help"],
  ["run -h", "run --help"],
  ["run --help=yes", "run --help"],
  ["--rm --help", "run --help"],
  ["explain --rm --help host", "explain --help"],
] as const;

Deno.test("what people type means what it should", () => {
  for (const [typed, meant] of MEANINGS) {
    const found = normalize(words(typed), { run: FLAG_TABLE, explain: FLAG_TABLE, exec: EXEC_TABLE });
    assert.deepEqual(found, words(meant), `sauropod ${typed}`);
  }
});

Deno.test("every long flag of run works with one dash and with two, glued and apart", () => {
  for (const name of Object.keys(FLAGS).map(kebab)) {
    const takesValue = FLAG_TABLE.takesValue(name);
    for (const dashes of ["-", "--"]) {
      const expected = ["run", takesValue ? `--${name}=-7` : `--${name}`, "--", "host", "sh"];
      const forms = takesValue ? [[`${dashes}${name}`, "-7"], [`${dashes}${name}=-7`]] : [[`${dashes}${name}`]];
      for (const form of forms) {
        assert.deepEqual(normalize([...form, "host", "sh"], { run: FLAG_TABLE }), expected, form.join(" "));
      }
    }
  }
});

Deno.test("every short flag of run stands for its long one", () => {
  for (const [letter, name] of Object.entries(SHORT).map(([letter, name]) => [letter, kebab(name)] as const)) {
    const takesValue = FLAG_TABLE.takesValue(name);
    const typed = takesValue ? [`-${letter}`, "x"] : [`-${letter}`];
    const expected = ["run", takesValue ? `--${name}=x` : `--${name}`, "--", "host", "sh"];
    assert.deepEqual(normalize([...typed, "host", "sh"], { run: FLAG_TABLE }), expected, letter);
  }
});

Deno.test("docker's names: aliases run Sauropod's commands, and unsupported commands are refused, not pulled", async () => {
  for (
    const [typed, meant] of [
      ["pull alpine", "images pull alpine"],
      ["build -t x .", "images build -t x ."],
      ["rmi -f x", "images rm -f x"],
      ["image ls -q", "images ls -q"],
      ["container ls -a", "ps -a"],
      ["container rm x", "rm x"],
      ["container --help", "--help"],
      ["info", "doctor"],
      ["run pull x", "run pull x"],
      ["constructor x", "constructor x"],
    ] as const
  ) assert.deepEqual(translateDockerAlias(words(typed)), words(meant));
  await using world = makeWorld();
  for (const word of ["search", "volume", "compose"]) {
    const { code, stdout, stderr } = await world.cli([word, "ls"]);
    assert.deepEqual([code, stdout], [125, ""]);
    assert.ok(
      stderr.startsWith(`sauropod: unknown command "${word}"; to run an image of that name: `),
      stderr,
    );
  }
  assert.match((await world.cli(["pull", "--help"])).stdout, /sauropod images pull/);
});

// Help and mistakes

Deno.test("every command has help with its usage, and run and explain with examples", async () => {
  await using world = makeWorld();
  const all = await world.cli(["--help"]);
  assert.equal(all.code, 0);
  await Promise.all([...COMMANDS].map(async (command) => {
    assert.match(all.stdout, new RegExp(`\\b${command}\\b`));
    const { code, stdout, stderr } = await world.cli([command, "--help"]);
    assert.deepEqual([code, stderr], [0, ""], command);
    assert.match(stdout, new RegExp(`sauropod ${command}`));
  }));
  const { stdout } = await world.cli(["run", "--help"]);
  assert.match(stdout, /sauropod alpine \/bin\/sh\n/);
  for (const name of Object.keys(FLAGS).map(kebab)) {
    if (name !== "json") assert.match(stdout, new RegExp(`--${name}\\b`));
  }
});

Deno.test("no words at all show the help, and --version the version", async () => {
  await using world = makeWorld();
  const nothing = await world.cli([]);
  assert.equal(nothing.code, 0);
  assert.match(nothing.stdout, /sauropod host \/bin\/sh/);
  assert.deepEqual(await world.cli(["--version"]), { code: 0, stdout: `${VERSION}\n`, stderr: "" });
});

const MISTAKES = [
  [["--frob", "busybox", "true"], /frob/],
  [["--memroy", "64m", "busybox", "true"], /memroy/],
  [["-frob", "busybox", "true"], /f/],
  [["run"], /image|argument/i],
  [["busybox"], /command required/],
  [["--rm=perhaps", "busybox", "true"], /rm/],
  [["--cpu-shares", "many", "busybox", "true"], /invalid --cpu-shares "many": expected a number/],
  [["--network", "moon", "busybox", "true"], /no such network: moon/],
  [["--memory"], /memory/],
  [["--name", "a/b", "busybox", "true"], /container name/],
  [["--security-opt", "magic", "busybox", "true"], /no-new-privileges/],
  [["--cap-add", "FLY", "busybox", "true"], /FLY/],
  [["ps", "--frob"], /frob/],
  [["rm"], /--all/],
  [["completions", "tcsh"], /bash, zsh or fish/],
] as const;

Deno.test("other commands read short flags with their values glued on, too", async () => {
  await using world = makeWorld();
  const typed = ["run", "-d", "--name", "three", "--network", "none", "busybox", "sh", "-c", "echo 1; echo 2; echo 3"];
  assert.equal((await world.cli(typed)).code, 0);
  assert.equal((await world.cli(["wait", "three"])).stdout, "0\n");
  for (const flags of [["-n1"], ["-fn1"], ["-n=1"], ["-n", "1"], ["--tail=1"]]) {
    assert.deepEqual(await world.cli(["logs", ...flags, "three"]), { code: 0, stdout: "3\n", stderr: "" });
  }
  assert.match((await world.cli(["ps", "-aqfname=three"])).stdout, /^[0-9a-f]{12}\n$/);
  assert.equal((await world.cli(["ps", "-aqf", "name=-n1"])).stdout, "");
  assert.match((await world.cli(["logs", "--since=", "three"])).stderr, /invalid time ""/);
});

Deno.test("a mistake ends with 125, says what is wrong and what is possible, and makes nothing", async () => {
  await using world = makeWorld();
  await Promise.all(MISTAKES.map(async ([typed, reason]) => {
    const { code, stdout, stderr } = await world.cli(typed);
    assert.deepEqual([code, stdout], [125, ""], typed.join(" "));
    assert.match(stderr, /^sauropod: /, typed.join(" "));
    assert.match(stderr, reason, typed.join(" "));
    assert(stderr.trim().split("\n").length > 1, `${typed.join(" ")} gives no hint: ${stderr}`);
    assert.doesNotMatch(stderr, /\bat .*\.ts:\d+/, "no stack trace");
  }));
  assert.deepEqual([...Deno.readDirSync(world.folders.containers)], []);
});

Deno.test("the original's flags run a command end to end", async () => {
  await using world = makeWorld();
  const elsewhere = `${world.home}/elsewhere`;
  const command = ["-cpu", "200", "-mem=64m", "-c", elsewhere, "-i", world.folders.images, "busybox", "echo", "-cpu"];
  assert.deepEqual(await world.cli(command), { code: 0, stdout: "-cpu\n", stderr: "" });
  const kept = [...Deno.readDirSync(elsewhere)].filter(({ name }) => /^[0-9a-f]{12}$/.test(name));
  assert.equal(kept.length, 1);
});

Deno.test("a reader that goes away early ends the program quietly", async () => {
  await using world = makeWorld();
  const script = `${commandLine(["explain", "host", "/bin/true"]).join(" ")} | head -n 1; echo \${PIPESTATUS[0]}`;
  const { stdout, stderr } = await new Deno.Command("bash", { args: ["-c", script], cwd: world.home }).output();
  const [text, complaints] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assert.deepEqual([text, complaints], ["On the host, unless it is set up already:\n0\n", ""]);
});

Deno.test("ps shows every command in one short line, whatever is in it", async () => {
  await using world = makeWorld();
  const script = `true; : '\n\t\x1b[2J' ${"and so on ".repeat(9)}`;
  await world.cli(["--network", "none", "busybox", "sh", "-c", script]);
  const { stdout } = await world.cli(["ps", "-a"]);
  const [, row = "", ...others] = stdout.trimEnd().split("\n");
  assert.deepEqual(others, []);
  assert.match(row, / {2}sh -c true; : ' \\x1b\[2J' and so on and … {2}/);
});
