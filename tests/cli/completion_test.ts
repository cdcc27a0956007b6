import assert from "node:assert/strict";
import { COMMANDS } from "../../cli/args/normalize.ts";
import { complete } from "../../cli/dispatch/complete.ts";
import { hasPython, Terminal } from "../helpers/terminal.ts";
import { commandLine } from "../helpers/project.ts";
import { makeWorld, type World } from "../helpers/world.ts";
import { skipWithout } from "../helpers/skip.ts";

function proposed(world: World, typed: readonly string[]): string[] {
  const before = Deno.env.get("SAUROPOD_HOME");
  Deno.env.set("SAUROPOD_HOME", world.home);
  try {
    const { words, files } = complete(typed);
    return [...words.map(({ word }) => word).sort(), ...files ? ["FILES"] : []];
  } finally {
    if (before === undefined) Deno.env.delete("SAUROPOD_HOME");
    else Deno.env.set("SAUROPOD_HOME", before);
  }
}

/** Runs `sauropod WORDS…`, which must succeed. */
async function did(world: World, ...words: string[]): Promise<void> {
  const { code, stderr } = await world.cli(words);
  assert.equal(code, 0, stderr);
}

/** A world with a container that runs, one that is frozen and one that has ended, an image of the store and a network. */
async function makeBusyWorld(): Promise<World> {
  const world = makeWorld(), { home } = world;
  const apart = ["--network", "none"], sleep = ["busybox", "sleep", "1000"];
  await did(world, "run", "-d", "--name", "web", ...apart, ...sleep);
  await did(world, "run", "-d", "--name", "frozen", ...apart, ...sleep);
  await did(world, "pause", "frozen");
  await did(world, "run", "--name", "done", ...apart, "busybox", "true");
  await did(world, "images", "import", world.image, "tool:3.20");
  await did(world, "network", "create", "backend");
  await Deno.writeTextFile(`${home}/zfile`, "");
  return {
    ...world,
    async [Symbol.asyncDispose](): Promise<void> {
      await did(world, "rm", "-f", "web", "frozen");
      await did(world, "network", "rm", "backend");
      await world[Symbol.asyncDispose]();
    },
  };
}

Deno.test("completions: completion proposes what can stand where the word is typed, and nothing else", async () => {
  await using world = await makeBusyWorld();
  const first = proposed(world, [""]);
  for (const word of [...COMMANDS, "host", "busybox", "tool:3.20"]) assert(first.includes(word), word);
  assert(!first.includes("FILES"));
  const table: [string, string[]][] = [
    // commands and images
    ["exp", ["explain", "export"]],
    ["bu", ["build", "busybox"]],
    ["help expo", ["export"]],
    ["network cr", ["create"]],
    ["images pu", ["pull", "push"]],
    ["run bu", ["busybox"]],
    ["explain ho", ["host"]],
    ["--memory 64m bu", ["busybox"]],
    ["run tool", ["tool:3.20"]],
    ["images rm ", ["tool:3.20"]],
    ["rmi to", ["tool:3.20"]],
    ["images build zf", ["FILES"]],
    ["zzz", []],
    // behind the image
    ["busybox ", []],
    ["run busybox --", []],
    ["host /et", ["FILES"]],
    ["exec web ", []],
    // flags, as they are spelled
    ["run --mem", ["--mem", "--memory", "--memory-reservation", "--memory-swap"]],
    ["--pids", ["--pids-limit"]],
    ["--rm --pids", ["--pids-limit"]],
    ["explain --js", ["--json"]],
    ["images build --no", ["--no-cache"]],
    ["images --js", ["--json"]],
    ["apply --dr", ["--dry-run"]],
    ["stop --he", ["--help"]],
    ["exec --wo", ["--workdir"]],
    ["rm -- --fo", []],
    // values
    ["run --pull ", ["always", "missing", "never"]],
    ["run --pull=al", ["--pull=always"]],
    ["images build --pull n", ["never"]],
    ["update --restart un", ["unless-stopped"]],
    ["run --network ", ["backend", "container:", "host", "none", "sauropod0"]],
    ["run --network container:", ["container:web"]],
    ["run -d --network=ba", ["--network=backend"]],
    ["ps --filter status=r", ["status=restarting", "status=running"]],
    ["ps -f na", ["name="]],
    ["events --filter action=di", ["action=die"]],
    ["kill -s HU", ["HUP"]],
    ["run --cap-drop AL", ["ALL"]],
    ["images save --format ", ["docker", "oci"]],
    ["inspect --format ", []],
    ["run --cidfile ", ["FILES"]],
    ["run --env-file ", ["FILES"]],
    ["run -v ", ["FILES"]],
    ["run --name we", []],
    ["completions z", ["zsh"]],
    // containers, in a state that is of use
    ["exec ", ["web"]],
    ["stop ", ["frozen", "web"]],
    ["stop web ", ["frozen"]],
    ["unpause ", ["frozen"]],
    ["start ", ["done"]],
    ["apply ", ["done"]],
    ["apply done ", ["FILES"]],
    ["logs ", ["done", "frozen", "web"]],
    ["rm -f ", ["done", "frozen", "web"]],
    ["stats -a we", ["web"]],
    ["port web ", []],
    ["rename web ", []],
    ["cp we", ["web:", "FILES"]],
    ["cp web:/etc/", ["FILES"]],
    ["commit web ", []],
    // networks
    ["network rm ", ["backend", "sauropod0"]],
    ["network create ", []],
  ];
  for (const [typed, expected] of table) assert.deepEqual(proposed(world, typed.split(" ")), expected, typed);
});

Deno.test("completions: __complete prints a word and its meaning on each line, and whether files can stand there", async () => {
  await using world = makeWorld();
  const said = "explain\tPrint every system call that run would make, and why\n";
  assert.deepEqual(await world.cli(["__complete", "expl"]), { code: 0, stdout: said, stderr: "" });
  assert.equal((await world.cli(["__complete", "busybox", "l"])).stdout, "");
  assert.equal((await world.cli(["__complete", "cp", "."])).stdout, ":files\n");
  assert.match((await world.cli(["__complete", "pus"])).stdout, /^push\tdocker's name for images push\n$/);
});

// In the shells themselves

const SHELLS: Readonly<Record<string, { start: string[]; prepare: (script: string) => string }>> = {
  bash: { start: ["bash", "--norc", "--noprofile", "-i"], prepare: (script) => `source ${script}` },
  zsh: { start: ["zsh", "-f", "-i"], prepare: (script) => `autoload -U compinit; compinit -D -u; source ${script}` },
  fish: { start: ["fish", "--no-config", "-i"], prepare: (script) => `source ${script}` },
};

/** What is typed, and the words that the shell makes of it. */
const TYPED: readonly (readonly [typed: string, words: string])[] = [
  ["expl\t", "explain"],
  ["stop we\t", "stop|web"],
  ["stop zf\t", "stop|zf"],
  ["start we\t", "start|we"],
  ["network inspect zf\t", "network|inspect|zf"],
  ["network rm back\t", "network|rm|backend"],
  ["run to\ttrue", "run|tool:3.20|true"],
  ["run tool:3\ttrue", "run|tool:3.20|true"],
  ["run --rm tool:\t", "run|--rm|tool:3.20"],
  ["cp we\tetc/hosts .", "cp|web:etc/hosts|."],
  ["cp zf\tx", "cp|zfile|x"],
  ["run --env-file zf\thost", "run|--env-file|zfile|host"],
  ["run --env-file=zf\thost", "run|--env-file=zfile|host"],
  ["run --pull=al\thost", "run|--pull=always|host"],
  ["run --pull al\thost", "run|--pull|always|host"],
  ["images build --no-c\t.", "images|build|--no-cache|."],
  ["ps --filter status=run\t-a", "ps|--filter|status=running|-a"],
  ["ps --filter na\tx", "ps|--filter|name=x"],
  ["run --network container:we\thost", "run|--network|container:web|host"],
  ["run --name 'a b' -p 80:80 --pull al\thost", "run|--name|a b|-p|80:80|--pull|always|host"],
];

/** Names that would do something if a shell took them as they are. */
const HOSTILE = [
  "qq$(touch PWNED)",
  "rr`touch PWNED`",
  "ss;touch PWNED",
  "tt'a \"b\\\\c",
  "uu&touch PWNED",
  "vv\ttouch",
  "xx\x1b]0;a",
];
/** What is typed of them, and the words that the shell makes of it. */
const HOSTILE_TYPED: readonly (readonly [typed: string, words: string])[] = [
  ["explain qq\t", "explain|qq$(touch PWNED)"],
  ["explain rr\t", "explain|rr`touch PWNED`"],
  ["explain ss\t", "explain|ss;touch PWNED"],
  ["explain tt\t", "explain|tt'a \"b\\\\c"],
  ["explain uu\t", "explain|uu&touch PWNED"],
  ["explain vv\t", "explain|vv"],
  ["explain xx\t", "explain|xx"],
  ["qq\t", "qq$(touch PWNED)"],
  ["cp yy\tx", "cp|yy$(touch PWNED)|x"],
  ["run --env-file=yy\thost", "run|--env-file=yy$(touch PWNED)|host"],
  ["run --env-file yy\thost", "run|--env-file|yy$(touch PWNED)|host"],
];

async function isInstalled(program: string): Promise<boolean> {
  return (await new Deno.Command("sh", { args: ["-c", `command -v ${program}`], stdout: "null" }).output()).success;
}

for (const [name, { start, prepare }] of Object.entries(SHELLS)) {
  Deno.test({
    name: `${name} completes words with its script, and files only where they make sense`,
    ignore: skipWithout(`python3 or ${name}`, hasPython() && await isInstalled(name)),
    fn: async () => {
      await using world = await makeBusyWorld();
      const bin = `${world.home}/bin`, script = `${world.home}/script`;
      await Deno.mkdir(bin);
      for (const image of HOSTILE) await Deno.mkdir(`${world.folders.images}/${image}`);
      await Deno.writeTextFile(`${world.home}/yy$(touch PWNED)`, "");
      // It completes words as the command does, and shows all others that it is given.
      await Deno.writeTextFile(
        `${bin}/sauropod`,
        `#!/bin/sh\n[ "$1" != __complete ] || exec ${commandLine(['"$@"']).join(" ")}\n` +
          `IFS='|'; printf 'GIVEN[%s]\\n' "$*"\n`,
        { mode: 0o755 },
      );
      await Deno.writeTextFile(script, (await world.cli(["completions", name])).stdout);
      const { PATH = "" } = Deno.env.toObject();
      await using terminal = new Terminal(start, {
        cwd: world.home,
        env: { PATH: `${bin}:${PATH}`, SAUROPOD_HOME: world.home, HISTFILE: "", fish_history: "", TERM: "dumb" },
      });
      await terminal.types(`${prepare(script)}; echo RE""ADY\n`);
      await terminal.shows(/READY/);
      for (const [typed, words] of [...TYPED, ...HOSTILE_TYPED]) {
        await terminal.types(`sauropod ${typed}\n`);
        const [, given] = await terminal.shows(/GIVEN\[(.*)\]/);
        assert.equal(given, words, `${typed}: ${terminal.screen}`);
      }
      assert.deepEqual([...Deno.readDirSync(world.home)].filter(({ name }) => /PWNED$/.test(name)), []);
      await terminal.types("exit\n");
      await terminal.ended();
    },
  });
}
