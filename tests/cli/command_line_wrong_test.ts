import assert from "node:assert/strict";
import { commandLine } from "../helpers/project.ts";
import { makeWorld } from "../helpers/world.ts";

/** What is typed, what is wrong with it, and what to try. */
const WRONG = [
  // flags that are none
  [
    "images build --no-cach .",
    "there is no flag --no-cach",
    "did you mean --no-cache? sauropod images build --help lists all flags",
  ],
  ["images build --noCache .", "there is no flag --noCache", "did you mean --no-cache? sauropod images build --help …"],
  ["ps --al", "there is no flag --al", "did you mean --all? sauropod ps --help lists all flags"],
  ["ps --zzzzzz", "there is no flag --zzzzzz", "sauropod ps --help lists all flags"],
  ["ps -ax", "there is no flag -ax", "sauropod ps --help lists all flags"],
  ["run --nam x host", "there is no flag --nam", "did you mean --name? sauropod run --help lists all flags"],
  ["--memroy 64m host", "there is no flag --memroy", "did you mean --memory? sauropod run --help lists all flags"],
  ["exec --usr x web sh", "there is no flag --usr", "did you mean --user? sauropod exec --help lists all flags"],
  ["network --frob", "there is no flag --frob", "sauropod network --help lists all flags"],
  ["pull --quite x", "there is no flag --quite", "did you mean --quiet? sauropod images pull --help lists all flags"],
  ["ps --=x", "there is no flag --", "sauropod ps --help lists all flags"],
  ["ps --a\x1b[2J\n", "there is no flag --a\\x1b[2J\\n", "sauropod ps --help lists all flags"],
  // values
  ["stop --time= web", `--time "": "" is not a number`, "Time before it is killed; …"],
  ["stop --time=\n web", `--time \\n: "\\n" is not a number`, "Time before it is killed; …"],
  ["logs web --tail", "--tail needs a value: N", "Number of lines from the end [default: all]"],
  ["logs -n", "--tail needs a value: N", "Number of lines from the end [default: all]"],
  ["create -i --name web alpine", "--images --name: that is no folder", "docker's -i is --interactive here, or -it"],
  ["run --memory", "--memory needs a value: SIZE", "Memory at most, with b, k, m or g"],
  ["logs --follow=perhaps web", `--follow perhaps: "perhaps" is not true or false`, "Follow the log while …"],
  ["run --rm=perhaps host", `--rm perhaps: "perhaps" is not true or false`, "Remove the container when it has ended"],
  ["stop -t x web", `--time x: "x" is not a number`, "Time before it is killed; …"],
  ["run --cpus x host", `--cpus x: "x" is not a number`, "CPU time at most, in CPUs"],
  ["update --memory x web", `--memory x: "x" is not a size`, "Write a number and a unit, like 512k, 64m or 1.5g."],
  ["run --memory x host", `--memory x: "x" is not a size`, "Write a number and a unit, like 512k, 64m or 1.5g."],
  ["build --pull maybe .", `--pull maybe: "maybe" is not always, missing or never`, "Pull the image: always, …"],
  ["save --format zip x", `--format zip: "zip" is not oci or docker`, "oci or docker …"],
  ["network create --mtu x a", `--mtu x: "x" is not a number of bytes`, "Largest packet [default: the uplink's]"],
  [
    "stats --interval 0",
    `--interval 0: "0" is not a number of seconds from 0.1 to 86400`,
    "Time between two samples [default: 1]",
  ],
  // words
  ["cp", "cp needs SOURCE and DESTINATION", "for example: sauropod cp ./src web:/srv"],
  ["cp web:/x", "cp needs DESTINATION", "for example: sauropod cp ./src web:/srv"],
  ["cp a b c", `one argument too many for cp: "c"`, "usage: sauropod cp [OPTIONS] SOURCE DESTINATION"],
  ["stop", "stop needs CONTAINER", "for example: sauropod stop web"],
  ["stop -t 1", "stop needs CONTAINER", "for example: sauropod stop web"],
  ["apply", "apply needs CONTAINER", "for example: sauropod apply --dry-run try"],
  ["images build", "images build needs CONTEXT", "for example: sauropod images build -t app:1 ."],
  ["build a b", `one argument too many for images build: "b"`, "usage: sauropod images build [OPTIONS] CONTEXT"],
  ["gc now", `one argument too many for gc: "now"`, "usage: sauropod gc [OPTIONS]"],
  ["ps web", `one argument too many for ps: "web"`, "usage: sauropod ps [OPTIONS]"],
  ["run", "run needs IMAGE", "for example: sauropod run --rm alpine ls -l /"],
  ["fork", "fork needs CONTAINER", "for example: sauropod fork -d --name web2 -p 8081:80 web"],
  ["exec", "exec needs CONTAINER and COMMAND", "for example: sauropod exec -it web sh"],
  ["exec web", "exec needs COMMAND", "for example: sauropod exec -it web sh"],
  [
    "completions tcsh",
    `completions tcsh: "tcsh" is not bash, zsh or fish`,
    "usage: sauropod completions bash|zsh|fish",
  ],
  // commands
  ["network creat x", "there is no command network creat", "did you mean create? sauropod network --help lists all"],
  ["images pul x", "there is no command images pul", "did you mean pull? sauropod images --help lists all"],
  ["images zzz", "there is no command images zzz", "sauropod images --help lists all"],
  ["container prune", "there is no command container prune", "sauropod container --help lists all"],
  [
    "container exce web sh",
    "there is no command container exce",
    "did you mean exec? sauropod container --help lists all",
  ],
  ["images zzz --help", "there is no command images zzz", "sauropod images --help lists all"],
] as const;

/** How a line of stderr is expected to look, `…` standing for anything. */
function like(expected: string): RegExp {
  return new RegExp(`^${RegExp.escape(expected).replace("…", ".*")}$`);
}

Deno.test("cli: wrong words are answered in one voice, whichever command they are for", async () => {
  await using world = makeWorld();
  for (const [typed, message, hint] of WRONG) {
    const { code, stdout, stderr } = await world.cli(typed.split(" "));
    assert.deepEqual([code, stdout], [125, ""], typed);
    const [first = "", second = "", ...rest] = stderr.trimEnd().split("\n");
    assert.equal(first, `sauropod: ${message}`, typed);
    assert.match(second, like(`  ${hint}`), typed);
    assert.deepEqual(rest, [], typed);
  }
  assert.deepEqual([...Deno.readDirSync(world.folders.containers)], []);
});

Deno.test("cli: a command that is misspelled is taken for an image, and what may be meant is said", async () => {
  await using world = makeWorld();
  const { code, stderr } = await world.cli(["--pull", "never", "stp", "web"]);
  assert.equal(code, 125);
  assert.doesNotMatch(stderr, /did you mean/, "with flags of run before it, it is none");
  const typed = await world.cli(["stp", "web"], { env: { SAUROPOD_REGISTRIES: offline(world.home) } });
  assert.match(typed.stderr, /^sauropod: no image "stp"/);
  assert.match(typed.stderr, /did you mean the command stop\?/);
});

/** A file of registries with which nothing is asked outside this machine. */
function offline(folder: string): string {
  const path = `${folder}/registries.json`;
  Deno.writeTextFileSync(path, JSON.stringify({ mirrors: { "docker.io": ["127.0.0.1:9"] } }));
  return path;
}

Deno.test("cli: a file that is not there or cannot be read is named, with why", async () => {
  await using world = makeWorld();
  const missing = `${world.home}/missing`, folder = world.home;
  const rows: [string[], string][] = [
    [["run", "--env-file", missing, "busybox", "true"], `--env-file ${missing}: there is no such file or folder`],
    [["run", "--env-file", folder, "busybox", "true"], `--env-file ${folder}: it is a folder`],
    [["exec", "--env-file", missing, "web", "true"], `--env-file ${missing}: there is no such file or folder`],
    [["images", "load", "-i", missing], `${missing}: there is no such file or folder`],
    [["images", "import", missing, "x"], `${missing}: there is no such file or folder`],
    [["images", "save", "-o", `${missing}/x.tar`, "kept"], `${missing}/x.tar: there is no such file or folder`],
    [["export", "-o", `${missing}/x.tar`, "web"], `${missing}/x.tar: there is no such file or folder`],
    [["export", "-o", folder, "web"], `${folder}: it is a folder`],
    [["images", "build", "-f", missing, folder], `there is no ${missing}`],
    [["cp", missing, "web:/"], `there is no "${missing}"`],
    [["images", "build", "-f", folder, folder], `${folder} cannot be read: it is a folder`],
  ];
  assert.equal((await world.cli(["--name", "web", "--network", "none", "busybox", "true"])).code, 0);
  assert.equal((await world.cli(["images", "import", world.image, "kept"])).code, 0);
  for (const [typed, message] of rows) {
    const { code, stdout, stderr } = await world.cli(typed);
    assert.deepEqual([code, stdout], [125, ""], typed.join(" "));
    assert.ok(stderr.startsWith(`sauropod: ${message}`), `${typed.join(" ")}: ${stderr}`);
    assert.doesNotMatch(stderr, /os error|readfile|open '/, typed.join(" "));
  }
});

// Help

Deno.test("cli: usage lines say what a command takes, in the order in which it takes it", async () => {
  await using world = makeWorld();
  const rows = [
    ["run", "[OPTIONS] IMAGE [COMMAND…]"],
    ["create", "[OPTIONS] IMAGE [COMMAND…]"],
    ["explain", "[OPTIONS] IMAGE [COMMAND…]"],
    ["fork", "[OPTIONS] CONTAINER [COMMAND…]"],
    ["exec", "[OPTIONS] CONTAINER COMMAND…"],
    ["stats", "[OPTIONS] [CONTAINER…]"],
    ["stop", "[OPTIONS] CONTAINER…"],
    ["apply", "[OPTIONS] CONTAINER [PATH…]"],
    ["port", "[OPTIONS] CONTAINER [PORT]"],
    ["cp", "[OPTIONS] SOURCE DESTINATION"],
    ["login", "[OPTIONS] [REGISTRY]"],
    ["logout", "[REGISTRY]"],
    ["completions", "bash|zsh|fish"],
    ["images", "[COMMAND]"],
    ["network", "COMMAND"],
  ];
  for (const [command = "", takes] of rows) {
    const { stdout } = await world.cli([command, "--help"]);
    assert.equal(stdout.split("\n")[1], `  sauropod ${command} ${takes}`);
  }
  assert.equal((await world.cli(["--help"])).stdout.split("\n")[1], "  sauropod [OPTIONS] IMAGE [COMMAND…]");
});

Deno.test("cli: the help of every command has an example, and lines that fit on a screen", async () => {
  await using world = makeWorld();
  const commands = async (path: string[]): Promise<string[][]> => {
    const { stdout } = await world.cli([...path, "--help"]);
    const list = stdout.split("\nCOMMANDS\n")[1]?.matchAll(/^ {2}(\S+)/gm) ?? [];
    const below = await Promise.all([...list].map(([, name = ""]) => commands([...path, name])));
    return below.length > 0 ? below.flat() : [path];
  };
  const all = await commands([]);
  assert.ok(all.length > 50, `${all.length}`);
  for (const path of all) {
    const { code, stdout, stderr } = await world.cli([...path, "--help"]);
    assert.deepEqual([code, stderr], [0, ""], path.join(" "));
    assert.match(stdout, /\n {2}(.*\| |\w+ .*)?sauropod .*\n/, `${path.join(" ")} has no example`);
    const [, ...described] = stdout.split("\n\n");
    assert.match(described.join("\n\n"), /^ {2}\S.*sauropod |^ {2}sauropod /m, `${path.join(" ")} has no example`);
    for (const line of stdout.split("\n")) assert.ok(line.length <= 120, line);
  }
});

Deno.test("what only wrong words and other commands need is not loaded by run and exec", async () => {
  await using world = makeWorld();
  const [program = "", , ...args] = commandLine(["--rm", "--network", "none", "busybox", "true"]);
  const { stderr, code } = await new Deno.Command(program, {
    args: ["run", "--log-level=debug", ...args],
    env: { SAUROPOD_HOME: world.home },
    stdin: "null",
  }).output();
  const text = new TextDecoder().decode(stderr);
  assert.equal(code, 0, text);
  assert.match(text, /cli\/args\/flag_schema\.ts/);
  for (const name of ["other", "wrong", "command", "help", "app", "complete"]) {
    assert.doesNotMatch(text, new RegExp(`cli/${name}\\.ts`), name);
  }
});
