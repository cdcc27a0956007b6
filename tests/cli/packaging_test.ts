import assert from "node:assert/strict";
import { V8_FLAGS } from "../../tools/pack/pack.ts";
import { text } from "../helpers/inside.ts";
import { PROJECT } from "../helpers/project.ts";
import { makeWorld } from "../helpers/world.ts";

async function deno(
  args: readonly string[],
  options: Deno.CommandOptions = {},
): Promise<{ code: number; text: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd: PROJECT,
    ...options,
  })
    .output();
  return { code, text: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr) };
}

/** The commands `deno compile` of the task `compile`, without their first word. */
function compileCommands(): string[][] {
  const { tasks } = JSON.parse(Deno.readTextFileSync(`${PROJECT}/deno.json`));
  const [pack, ...commands]: string[] = tasks.compile.split(" && ");
  assert.equal(pack, "deno task pack");
  return commands.map((command) => command.split(" ").slice(1));
}

function filesOf(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
}

async function pack(folder: string): Promise<void> {
  const { code, text } = await deno(["run", "-A", "tools/pack/pack.ts", folder]);
  assert.deepEqual({ code, text }, { code: 0, text: "" });
}

Deno.test("the task compile packs the command line for both architectures", () => {
  const commands = compileCommands();
  const targets = commands.map((words) => words[words.indexOf("--target") + 1]);
  assert.deepEqual(targets, ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"]);
  for (const words of commands) {
    assert.equal(words.at(-1), "dist/sauropod.js");
    assert(words.includes(V8_FLAGS));
  }
});

Deno.test("compiling succeeds up to the base that Deno appends programs to, and takes every packed file along", async () => {
  await using world = makeWorld();
  const folder = world.home;
  await pack(`${folder}/dist`);
  const [words = []] = compileCommands();
  const without = words.filter((_, i) => words[i] !== "--target" && words[i - 1] !== "--target");
  const files = without.filter((word) => word.endsWith(".js")).map((word) => word.replace("dist/", ""));
  assert.deepEqual(files.sort(), filesOf(`${folder}/dist`).filter((name) => name.endsWith(".js")));
  // The base cannot be fetched here; Deno itself stands for it, as the program is only appended.
  const { code, text } = await deno(without, { cwd: folder, env: { DENORT_BIN: Deno.execPath() } });
  assert.equal(code, 0, text);
  const packed = new TextDecoder("latin1").decode(await Deno.readFile(`${folder}/dist/sauropod-x86_64`));
  for (
    const part of ["sauropod-", "start the terminal pump", "unknown command", "check what this machine can do"]
  ) {
    assert.ok(packed.toLowerCase().includes(part.toLowerCase()), `${part} is not packed`);
  }
});

Deno.test("the packed command line is whole: it needs nothing but its own files, wherever they lie", async () => {
  await using world = makeWorld();
  const elsewhere = `${world.home}/elsewhere`;
  await pack(`${world.home}/packed`);
  Deno.renameSync(`${world.home}/packed`, elsewhere);
  for (const name of filesOf(elsewhere)) {
    const imports = Deno.readTextFileSync(`${elsewhere}/${name}`).match(/(?<=^import ?|^} ?from ?)"[^"]*"/gm) ?? [];
    const expected = name === "more.js" ? ["sauropod.js"] : name === "rest.js" ? ["more.js", "sauropod.js"] : [];
    assert.deepEqual([name, imports.sort()], [name, expected.map((file) => `"./${file}"`)]);
  }
  const sauropod = (...args: string[]): Promise<{ code: number; text: string }> =>
    deno(["run", "-A", "--no-remote", "--no-npm", `${elsewhere}/sauropod.js`, ...args], {
      cwd: elsewhere,
      env: { SAUROPOD_HOME: world.home, NO_COLOR: "1" },
    });
  const says = async (expected: string | RegExp, ...args: string[]): Promise<void> => {
    const { code, text } = await sauropod(...args);
    assert.equal(code, 0, text);
    if (typeof expected === "string") assert.equal(text, expected);
    else assert.match(text, expected);
  };
  await says("hello\n", "--rm", "--init", "--network", "none", "busybox", "echo", "hello");
  await says("hello\n", "--rm", "--user", "root", "--pids-limit", "20", "busybox", "echo", "hello");
  await says(/^[0-9a-f]{12}\n$/, "run", "-d", "--name", "one", "--network", "none", "busybox", "sleep", "1000");
  await says("0\n", "exec", "one", "id", "-u");
  await says(/ running .* one\n/, "ps");
  await says("one\n", "rm", "-f", "one");
  await says(/mount overlay on \//, "explain", "busybox", "true");
  await says(/^usage|^USAGE/im, "run", "--help");
  await says(/^images\t/m, "__complete", "im");
  // Large enough for threads of their own.
  Deno.mkdirSync(`${world.home}/root/bin`, { recursive: true });
  Deno.writeFileSync(`${world.home}/root/bin/noise`, crypto.getRandomValues(new Uint8Array(1 << 16)));
  for (let i = 0; i < 64; i++) Deno.copyFileSync(`${world.home}/root/bin/noise`, `${world.home}/root/bin/noise${i}`);
  await says(/./, "images", "import", `${world.home}/root`, "noise");
  await says("", "images", "save", "-o", `${world.home}/noise.tar`, "noise");
  await says(/./, "images", "rm", "noise");
  await says(/noise/, "images", "load", "--input", `${world.home}/noise.tar`);
  await says(/^docker\.io\/library\/noise|noise/m, "images");
  const { code, text } = await sauropod("--rm", "--pull", "never", "nosuch");
  assert.equal(code, 125, text);
  assert.match(text, /^sauropod: no image "nosuch"/);
  const unknown = await sauropod("run", "--rm", "--network", "nosuch", "busybox", "true");
  assert.equal(unknown.code, 125, "an error of a part that is loaded later is known as one of ours");
  assert.match(unknown.text, /^sauropod: .*nosuch/);
});

Deno.test("pack: the installed command is a link, and keeps what Deno compiles in a folder of its own", async () => {
  await using world = makeWorld();
  const folder = `${world.home}/it's here`, link = `${world.home}/sauropod`;
  await pack(folder);
  Deno.symlinkSync(`${folder}/sauropod`, link);
  const sauropod = async (env: Record<string, string>): Promise<void> => {
    const { PATH = "" } = Deno.env.toObject();
    const options = { args: ["--rm", "--network", "none", "busybox", "echo", "a  b"], clearEnv: true };
    const { code, stdout, stderr } = await new Deno.Command(link, {
      ...options,
      env: { PATH, SAUROPOD_HOME: world.home, ...env },
    }).output();
    assert.deepEqual([code, text(stdout), text(stderr)], [0, "a  b\n", ""]);
  };
  await sauropod({ HOME: `${world.home}/me` });
  assert.ok(filesOf(`${world.home}/me/.cache/sauropod`).some((name) => name.startsWith("v8_code_cache")));
  await sauropod({ HOME: `${world.home}/me`, XDG_CACHE_HOME: `${world.home}/cache` });
  assert.deepEqual(filesOf(`${world.home}/cache`), ["sauropod"]);
  await sauropod({ HOME: `${world.home}/me`, DENO_DIR: `${world.home}/deno` });
  assert.ok(filesOf(`${world.home}/deno`).length > 0);
});

function* sources(folder: string): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    if (isDirectory) yield* sources(`${folder}/${name}`);
    else if (name.endsWith(".ts")) yield `${folder}/${name}`;
  }
}

Deno.test("pack: the product never takes its executable for Deno", () => {
  for (
    const file of ["cli.ts", "mod.ts", ...sources("cli"), ...sources("lib"), ...sources("ffi")].filter((path) =>
      !path.endsWith("build.ts") && !path.startsWith("cli/pack/")
    )
  ) {
    const text = Deno.readTextFileSync(`${PROJECT}/${file}`);
    assert.doesNotMatch(text, /Deno\.execPath|import\.meta\.(dirname|filename)/, file);
    // Credential helpers are programs of the user's.
    if (file !== "lib/registry/credential_helper.ts") assert.doesNotMatch(text, /\bDeno\.Command\b(?!`|-)/, file);
  }
});

Deno.test("pack: what is loaded when it is needed is what preload loads, and none of it is read before", async () => {
  const specifiers = (file: string, pattern: RegExp): string[] =>
    [...Deno.readTextFileSync(`${PROJECT}/${file}`).matchAll(pattern)].map(([, name]) => name ?? "").sort();
  const loaded = specifiers("lib/lazy.ts", /=>\s+load\("(.*)"\)/g);
  assert.ok(loaded.length > 5);
  assert.deepEqual(loaded, specifiers("lib/lazy.ts", /typeof import\("(.*?)"\)/g));
  assert.deepEqual(loaded, specifiers("lib/preload.ts", /^import "(.*)";$/gm));
  const script = `import { preload } from "${PROJECT}/mod.ts"; await preload(); console.log("loaded");`;
  const { text } = await deno(["eval", script]);
  assert.equal(text, "loaded\n");
});

Deno.test("pack: folders come from flags, then SAUROPOD_HOME, then a checkout, then the system", async () => {
  await using world = makeWorld();
  const place = `${world.home}/place`;
  for (const name of ["images", "containers"]) await Deno.mkdir(`${place}/${name}`, { recursive: true });
  const rows = [
    { env: { SAUROPOD_HOME: "" }, cwd: place, flags: ["-i", "/a", "-c", "/b"], images: "/a", rule: "options" },
    { env: { SAUROPOD_HOME: "/h" }, cwd: place, flags: [], images: "/h/images", rule: "SAUROPOD_HOME" },
    { env: { SAUROPOD_HOME: "" }, cwd: place, flags: [], images: `${place}/images`, rule: "checkout" },
    {
      env: { SAUROPOD_HOME: "" },
      cwd: `${place}/images`,
      flags: [],
      images: "/var/lib/sauropod/images",
      rule: "system",
    },
  ];
  for (const { env, cwd, flags, images, rule } of rows) {
    // Asked through the library, as doctor would make a container in each.
    const script = `import { findFolders } from ${JSON.stringify(`${PROJECT}/lib/host/folders.ts`)};
      const [, images, , containers] = Deno.args;
      console.log(JSON.stringify(findFolders({ images, containers })));`;
    await Deno.writeTextFile(`${world.home}/ask.ts`, script);
    const { text } = await deno(["run", "-A", `${world.home}/ask.ts`, ...flags], { cwd, env });
    const found = JSON.parse(text);
    assert.deepEqual([found.images, found.rule], [images, rule]);
  }
});
