import assert from "node:assert/strict";
import { makeWorld, PROJECT } from "./helpers/world.ts";

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

/** What `deno task compile` runs, without the output's name. */
function compileCommands(): string[][] {
  const { tasks } = JSON.parse(Deno.readTextFileSync(`${PROJECT}/deno.json`));
  const commands: string[] = tasks.compile.split(" && ");
  return commands.map((command) => command.split(" ").slice(1));
}

Deno.test("the task compile packs the command line for both architectures", () => {
  const commands = compileCommands();
  const targets = commands.map((words) => words[words.indexOf("--target") + 1]);
  assert.deepEqual(targets, ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"]);
  for (const words of commands) assert.equal(words.at(-1), "cli.ts");
});

Deno.test("packing succeeds up to the base that Deno appends programs to", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const [words = []] = compileCommands();
    const without = words.filter((_, i) => words[i] !== "--target" && words[i - 1] !== "--target");
    const output = `${folder}/sauropod`;
    without[without.indexOf("-o") + 1] = output;
    // The base cannot be fetched here; Deno itself stands for it, as the program is only appended.
    const { code, text } = await deno(without, { env: { DENORT_BIN: Deno.execPath() } });
    assert.equal(code, 0, text);
    const packed = new TextDecoder("latin1").decode(await Deno.readFile(output));
    for (const part of ["sauropod-init", "start the terminal pump", "buildRouteMap", "say what this kernel"]) {
      assert.ok(packed.toLowerCase().includes(part.toLowerCase()), `${part} is not packed`);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a single file in an empty folder runs containers: nothing beside it is needed", async () => {
  await using world = makeWorld();
  const empty = `${world.home}/empty`;
  await Deno.mkdir(empty);
  const bundled = await deno(["bundle", "-q", "cli.ts", "-o", `${empty}/sauropod.js`]);
  assert.equal(bundled.code, 0, bundled.text);
  const { code, text } = await deno([
    "run",
    "-A",
    "--no-remote",
    "sauropod.js",
    "--rm",
    "--init",
    "--network",
    "none",
    "busybox",
    "echo",
    "hello",
  ], {
    cwd: empty,
    env: { SAUROPOD_HOME: world.home },
  });
  assert.deepEqual({ code, text }, { code: 0, text: "hello\n" });
});

function* sources(folder: string): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    if (isDirectory) yield* sources(`${folder}/${name}`);
    else if (name.endsWith(".ts")) yield `${folder}/${name}`;
  }
}

Deno.test("the product never takes its executable for Deno", () => {
  for (
    const file of ["cli.ts", "mod.ts", ...sources("cli"), ...sources("lib"), ...sources("ffi")].filter((path) =>
      !path.endsWith("build.ts")
    )
  ) {
    const text = Deno.readTextFileSync(`${PROJECT}/${file}`);
    assert.doesNotMatch(text, /Deno\.execPath|import\.meta\.(dirname|filename)/, file);
    // Credential helpers are programs of the user's.
    if (file !== "lib/registry/credentials.ts") assert.doesNotMatch(text, /\bDeno\.Command\b(?!`|-)/, file);
  }
});

Deno.test("what is loaded when it is needed is what preload loads, and none of it is read before", async () => {
  const specifiers = (file: string, pattern: RegExp): string[] =>
    [...Deno.readTextFileSync(`${PROJECT}/${file}`).matchAll(pattern)].map(([, name]) => name ?? "").sort();
  const loaded = specifiers("lib/lazy.ts", /=> load\("(.*)"\)/g);
  assert.ok(loaded.length > 5);
  assert.deepEqual(loaded, specifiers("lib/lazy.ts", /typeof import\("(.*?)"\)/g));
  assert.deepEqual(loaded, specifiers("lib/preload.ts", /^import "(.*)";$/gm));
  const script = `import { preload } from "${PROJECT}/mod.ts"; await preload(); console.log("loaded");`;
  const { text } = await deno(["eval", script]);
  assert.equal(text, "loaded\n");
});

Deno.test("folders come from flags, then SAUROPOD_HOME, then a checkout, then the system", async () => {
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
    const script = `import { findFolders } from ${JSON.stringify(`${PROJECT}/lib/folders.ts`)};
      const [, images, , containers] = Deno.args;
      console.log(JSON.stringify(findFolders({ images, containers })));`;
    await Deno.writeTextFile(`${world.home}/ask.ts`, script);
    const { text } = await deno(["run", "-A", `${world.home}/ask.ts`, ...flags], { cwd, env });
    const found = JSON.parse(text);
    assert.deepEqual([found.images, found.rule], [images, rule]);
  }
});
