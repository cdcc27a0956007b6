import assert from "node:assert/strict";
import { commandLine, PROJECT } from "../helpers/project.ts";
import { makeWorld } from "../helpers/world.ts";

/** What is typed, what is wrong with it, and what to try. */
const WRONG = [
  // flags that are none
  [
    "images build --no-cach .",
    "unknown flag --no-cach",
    "did you mean --no-cache? run sauropod images build --help",
  ],
  ["images build --noCache .", "unknown flag --noCache", "did you mean --no-cache? run sauropod images build --help"],
  ["ps --al", "unknown flag --al", "did you mean --all? run sauropod ps --help"],
  ["ps --zzzzzz", "unknown flag --zzzzzz", "run sauropod ps --help"],
  ["ps -ax", "unknown flag -ax", "run sauropod ps --help"],
  ["run --nam x host", "unknown flag --nam", "did you mean --name? run sauropod run --help"],
  ["--memroy 64m host", "unknown flag --memroy", "did you mean --memory? run sauropod run --help"],
  ["exec --usr x web sh", "unknown flag --usr", "did you mean --user? run sauropod exec --help"],
  ["network --frob", "unknown flag --frob", "run sauropod network --help"],
  ["pull --quite x", "unknown flag --quite", "did you mean --quiet? run sauropod images pull --help"],
  ["ps --=x", "unknown flag --", "run sauropod ps --help"],
  ["ps --a\x1b[2J\n", "unknown flag --a\\x1b[2J\\n", "run sauropod ps --help"],
  // values
  ["stop --time= web", `invalid --time "": expected a number`, "Time before it is killed; …"],
  ["stop --time=\n web", `invalid --time "\\n": expected a number`, "Time before it is killed; …"],
  ["logs web --tail", "--tail requires a value: N", "Number of lines from the end [default: all]"],
  ["logs -n", "--tail requires a value: N", "Number of lines from the end [default: all]"],
  [
    "create -i --name web alpine",
    `invalid --images "--name": expected a directory`,
    "write docker's -i as --interactive, or as -it",
  ],
  ["run --memory", "--memory requires a value: SIZE", "Limit memory, with b, k, m or g"],
  ["logs --follow=perhaps web", `invalid --follow "perhaps": expected true or false`, "Follow the log while …"],
  ["run --rm=perhaps host", `invalid --rm "perhaps": expected true or false`, "Remove the container when it exits"],
  ["stop -t x web", `invalid --time "x": expected a number`, "Time before it is killed; …"],
  ["run --cpus x host", `invalid --cpus "x": expected a number`, "Limit CPU time to N CPUs"],
  [
    "update --memory x web",
    `invalid --memory "x": invalid size "x"`,
    "use a number and a unit, such as 512k, 64m or 1.5g",
  ],
  [
    "run --memory x host",
    `invalid --memory "x": invalid size "x"`,
    "use a number and a unit, such as 512k, 64m or 1.5g",
  ],
  [
    "build --pull maybe .",
    `invalid --pull "maybe": expected always, missing or never`,
    "Pull the image: always, …",
  ],
  ["save --format zip x", `invalid --format "zip": expected oci or docker`, "oci or docker …"],
  [
    "network create --mtu x a",
    `invalid --mtu "x": expected a number of bytes`,
    "Largest packet [default: the uplink's]",
  ],
  [
    "stats --interval 0",
    `invalid --interval "0": expected seconds from 0.1 to 86400`,
    "Time between two samples [default: 1]",
  ],
  // words
  ["cp", "cp requires SOURCE and DESTINATION", "for example: sauropod cp ./src web:/srv"],
  ["cp web:/x", "cp requires DESTINATION", "for example: sauropod cp ./src web:/srv"],
  ["cp a b c", `too many arguments for cp: "c"`, "usage: sauropod cp [OPTIONS] SOURCE DESTINATION"],
  ["stop", "stop requires CONTAINER", "for example: sauropod stop web"],
  ["stop -t 1", "stop requires CONTAINER", "for example: sauropod stop web"],
  ["apply", "apply requires CONTAINER", "for example: sauropod apply --dry-run try"],
  ["images build", "images build requires CONTEXT", "for example: sauropod images build -t app:1 ."],
  ["build a b", `too many arguments for images build: "b"`, "usage: sauropod images build [OPTIONS] CONTEXT"],
  ["gc now", `too many arguments for gc: "now"`, "usage: sauropod gc [OPTIONS]"],
  ["ps web", `too many arguments for ps: "web"`, "usage: sauropod ps [OPTIONS]"],
  ["run", "run requires IMAGE", "for example: sauropod run --rm alpine ls -l /"],
  ["fork", "fork requires CONTAINER", "for example: sauropod fork -d --name web2 -p 8081:80 web"],
  ["exec", "exec requires CONTAINER and COMMAND", "for example: sauropod exec -it web sh"],
  ["exec web", "exec requires COMMAND", "for example: sauropod exec -it web sh"],
  [
    "completions tcsh",
    `invalid argument "tcsh" of completions: expected bash, zsh or fish`,
    "usage: sauropod completions bash|zsh|fish",
  ],
  // commands
  ["network creat x", 'unknown command "network creat"', "did you mean create? run sauropod network --help"],
  ["images pul x", 'unknown command "images pul"', "did you mean pull? run sauropod images --help"],
  ["images zzz", 'unknown command "images zzz"', "run sauropod images --help"],
  ["container prune", 'unknown command "container prune"', "run sauropod container --help"],
  [
    "container exce web sh",
    'unknown command "container exce"',
    "did you mean exec? run sauropod container --help",
  ],
  ["images zzz --help", 'unknown command "images zzz"', "run sauropod images --help"],
] as const;

/** How a line of stderr is expected to look, `…` standing for anything. */
function like(expected: string): RegExp {
  return new RegExp(`^${RegExp.escape(expected).replace("…", ".*")}$`);
}

Deno.test("usage errors: every command reports them alike, with a hint", async () => {
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

Deno.test("run: an unknown image whose name is nearly a command's suggests that command", async () => {
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

Deno.test("run, exec, images, export, cp: an error names the file that is missing or cannot be read", async () => {
  await using world = makeWorld();
  const missing = `${world.home}/missing`, folder = world.home;
  const rows: [string[], string][] = [
    [["run", "--env-file", missing, "busybox", "true"], `cannot read --env-file ${missing}: no such file or directory`],
    [["run", "--env-file", folder, "busybox", "true"], `cannot read --env-file ${folder}: it is a directory`],
    [["exec", "--env-file", missing, "web", "true"], `cannot read --env-file ${missing}: no such file or directory`],
    [["images", "load", "-i", missing], `${missing}: no such file or directory`],
    [["images", "import", missing, "x"], `${missing}: no such file or directory`],
    [["images", "save", "-o", `${missing}/x.tar`, "kept"], `${missing}/x.tar: no such file or directory`],
    [["export", "-o", `${missing}/x.tar`, "web"], `${missing}/x.tar: no such file or directory`],
    [["export", "-o", folder, "web"], `${folder}: it is a directory`],
    [["images", "build", "-f", missing, folder], `there is no ${missing}`],
    [["cp", missing, "web:/"], `no such file or directory: "${missing}"`],
    [["images", "build", "-f", folder, folder], `cannot read ${folder}: it is a directory`],
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

Deno.test("--help: the usage line lists arguments in order", async () => {
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

Deno.test("--help: every command has an example, and lines fit on a screen", async () => {
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
  for (const name of ["dispatch/main", "dispatch/usage_error", "args/command", "dispatch/help", "definitions/app"]) {
    assert.ok(Deno.statSync(`${PROJECT}/cli/${name}.ts`).isFile);
    assert.ok(!text.includes(`cli/${name}.ts`), name);
  }
});
