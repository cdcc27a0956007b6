/**
 * `deno task pack [FOLDER]`: packs the command line for a quick start, into `dist/` by default.
 *
 * Deno spends half a millisecond on each module of a program, at every start. So there are four: `sauropod.js` holds what
 * every `run` and `exec` needs, `usual.js` what networks and pulled images need, `often.js` what limits, `run --detach` and
 * the like need, `rest.js` everything else. Each is loaded when it is needed, after those before it, whose modules it
 * shares. Threads have a file each. `sauropod` runs them, where they are. What commands use of all but the last is kept compiled (`eager.ts`), which is found
 * out by running some (`train.ts`).
 *
 * @module
 */

import { compileEagerly } from "./eager.ts";
import { lean } from "./lean.ts";
import { train } from "./train.ts";

/** A file to be made, and where its modules are found. */
interface Part {
  readonly file: string;
  /** What it is made for: it holds these modules and those that they import, unless an earlier part does. */
  readonly roots: readonly string[];
}

const THREADS = ["store/layer_worker", "tar/inflate_worker"];
const OTHER = "cli/dispatch/main.ts";
const FIRST = ["lib/container/attached/exec.ts", "lib/container/state/names.ts", "lib/text/environment.ts"];
const USUAL = ["lib/network/reserve.ts", "lib/container/spec/image_settings.ts", "lib/store/stored.ts"];
const OFTEN = [
  "cli/commands/create.ts",
  ...["container/spec/parse", "container/attached/pump", "image/passwd"].map((path) => `lib/${path}.ts`),
  ...["host", "plan", "remove", "usage"].map((name) => `lib/cgroup/${name}.ts`),
];

/**
 * What the command is run with: else V8 collects garbage, and compiles what is called often to code that is a bit faster,
 * before most containers have started.
 */
export const V8_FLAGS = "--v8-flags=--min-semi-space-size=4,--no-sparkplug,--no-maglev";

/**
 * The command: Deno with the packed file `path`. Deno keeps what it has compiled in a folder of our own, as it reads more of
 * it at every start the more others have put there, and asks nobody for a newer version of itself.
 */
function launcher(path: string): string {
  return `#!/bin/sh
[ -z "\${HOME-}" ] || export DENO_DIR="\${DENO_DIR:-\${XDG_CACHE_HOME:-$HOME/.cache}/sauropod}"
export DENO_NO_UPDATE_CHECK=1
exec deno run -A --no-config --no-lock ${V8_FLAGS} ${quoted(path)} "$@"
`;
}

function quoted(path: string): string {
  return `'${path.replaceAll("'", "'\\''")}'`;
}

/** Where parts leave a function that returns the exports of a module, given its path. */
const SHARED = `globalThis[Symbol.for("sauropod")]`;

const project = new URL("../../", import.meta.url).pathname;

async function bundle(entry: string, output: string): Promise<string> {
  const args = ["bundle", "--quiet", "-o", output, entry];
  const { success } = await new Deno.Command(Deno.execPath(), { args, stdout: "null", stderr: "inherit" }).output();
  if (!success) throw new Error(`deno bundle ${entry} failed`);
  return Deno.readTextFileSync(output);
}

/** A file of many modules would load at once what any of them imports from Deno itself. */
function withoutBuiltins(text: string): string {
  return text.replace(/^import (\{.*\}) from "(node:.*)";$/gm, `const $1 = process.getBuiltinModule("$2");`);
}

function copyTree(from: string, to: string): void {
  Deno.mkdirSync(to, { recursive: true });
  for (const { name, isDirectory } of Deno.readDirSync(from)) {
    if (isDirectory) copyTree(`${from}/${name}`, `${to}/${name}`);
    else if (name.endsWith(".ts")) {
      Deno.writeTextFileSync(`${to}/${name}`, withoutBuiltins(Deno.readTextFileSync(`${from}/${name}`)));
    }
  }
}

function change(path: string, edit: (text: string) => string): void {
  const before = Deno.readTextFileSync(path), after = edit(before);
  if (after === before) throw new Error(`${path} is not what it was when tools/pack/pack.ts was written`);
  Deno.writeTextFileSync(path, after);
}

/** The paths of the project's modules in a bundle of `folder`, which names each before its code. */
function modulesIn(bundled: string, folder: string): string[] {
  const names = bundled.matchAll(/^\/\/ (\S+\.ts)$/gm).map(([, name = ""]) => name);
  return names.map((name) => name.slice(name.indexOf(folder) + folder.length + 1)).toArray();
}

async function exportsOf(path: string): Promise<string[]> {
  return Object.keys(await import(`${project}${path}`));
}

/** A module that an earlier part has. */
async function standIn(path: string): Promise<string> {
  return `export const { ${(await exportsOf(path)).join(", ")} } = ${SHARED}("${path}");\n`;
}

/** A module that leaves `paths` for later parts, in one function, which is not compiled before its call. */
async function sharing(paths: readonly string[]): Promise<string> {
  let imports = "", cases = "";
  for (const [i, path] of paths.entries()) {
    const names = await exportsOf(path);
    imports += `import { ${names.map((name) => `${name} as m${i}_${name}`).join(", ")} } from "./${path}";\n`;
    cases += `case "${path}": return { ${names.map((name) => `${name}: m${i}_${name}`).join(", ")} };\n`;
  }
  return `${imports}const before = ${SHARED};
function share(path) {
  switch (path) {
    ${cases}
  }
  return before(path);
}
${SHARED} = share;
`;
}

/** A module that loads others by their path, wherever they are. */
function loader(parts: readonly Part[]): string {
  const where = parts.flatMap(({ roots }, part) => roots.map((path) => `  "${path}": ${part},\n`));
  return `const FILES = ${JSON.stringify(parts.map(({ file }) => `./${file}`))};
const WHERE = {\n${where.join("")}};
export async function load(path) {
  const part = WHERE[path];
  let last;
  for (let i = 1; i <= part; i++) last = await import(FILES[i]);
  return part === FILES.length - 1 ? last.load(path) : ${SHARED}(path);
}
`;
}

/** Sources in which modules are loaded from `parts`. */
function prepare(sources: string, parts: readonly Part[]): void {
  for (const folder of ["ffi", "lib", "cli"]) copyTree(`${project}${folder}`, `${sources}/${folder}`);
  Deno.copyFileSync(`${project}cli.ts`, `${sources}/cli.ts`);
  Deno.writeTextFileSync(`${sources}/load.ts`, loader(parts));
  const loadFrom = (module: string, folder: string) => (text: string): string =>
    text.replace(
      /^const load = .*$/m,
      `import { load as loadFrom } from "${module}";\nconst load = (path) => loadFrom(path.startsWith("../") ? path.slice(3) : "${folder}" + path.slice(2));`,
    );
  change(`${sources}/lib/lazy.ts`, loadFrom("../load.ts", "lib/"));
  change(`${sources}/cli.ts`, (text) => `import "./shared.ts";\n${loadFrom("./load.ts", "")(text)}`);
  const threads = /"[./]+\/(?:tar\/)?(\w+_worker)\.ts"(?=[,\]])/g;
  change(`${sources}/lib/store/unpack_layer.ts`, (text) => text.replaceAll(threads, '"./$1.js"'));
}

/** Makes a part that others follow. Returns the modules in it. */
async function packShared(
  sources: string,
  output: string,
  { roots }: Part,
  known: ReadonlySet<string>,
): Promise<string[]> {
  const entry = roots.includes("cli.ts") ? `${sources}/cli.ts` : `${sources}/shared.ts`;
  Deno.writeTextFileSync(`${sources}/shared.ts`, await sharing(roots.filter((path) => path !== "cli.ts")));
  const found = modulesIn(await bundle(entry, output), sources.slice(sources.lastIndexOf("/") + 1));
  const own = found.filter((path) => path.includes("/") && !known.has(path));
  Deno.writeTextFileSync(`${sources}/shared.ts`, await sharing(own));
  Deno.writeTextFileSync(output, lean(await bundle(entry, output)));
  for (const path of own) Deno.writeTextFileSync(`${sources}/${path}`, await standIn(path));
  return own;
}

/** Makes the last part: its modules run when they are asked for. */
async function packRest(sources: string, output: string, { roots }: Part): Promise<void> {
  const loaders = roots.map((path) => `  "${path}": () => import("./${path}"),\n`).join("");
  const text = `const modules = {\n${loaders}};\nexport const load = (path) => modules[path]();\n`;
  Deno.writeTextFileSync(`${sources}/rest.ts`, text);
  Deno.writeTextFileSync(output, lean(await bundle(`${sources}/rest.ts`, output)));
}

async function pack(folder: string, room: string): Promise<void> {
  const lazies = Deno.readTextFileSync(`${project}lib/lazy.ts`).matchAll(/=>\s+load\("(.*)"\)/g)
    .map(([, path = ""]) => path.startsWith("../") ? path.slice(3) : `lib/${path.slice(2)}`);
  const early = new Set([...FIRST, ...USUAL, ...OFTEN]);
  const parts = [
    { file: "sauropod.js", roots: ["cli.ts", ...FIRST] },
    { file: "usual.js", roots: USUAL },
    { file: "often.js", roots: OFTEN },
    { file: "rest.js", roots: [OTHER, ...lazies.filter((path) => !early.has(path))] },
  ] as const;
  const sources = `${room}/sources`, [first, usual, often, rest] = parts, known = new Set<string>();
  prepare(sources, parts);
  for (const part of [first, usual, often]) {
    for (const path of await packShared(sources, `${folder}/${part.file}`, part, known)) known.add(path);
  }
  await packRest(sources, `${folder}/${rest.file}`, rest);
  for (const thread of THREADS) await bundle(`${project}lib/${thread}.ts`, `${folder}/${thread.split("/")[1]}.js`);
  const command = `${folder}/${first.file}`;
  const usedIn = await train(command, room);
  for (const path of [first, usual, often].map(({ file }) => `${folder}/${file}`)) {
    Deno.writeTextFileSync(path, compileEagerly(Deno.readTextFileSync(path), usedIn(path)));
  }
  Deno.writeTextFileSync(`${folder}/sauropod`, launcher(Deno.realPathSync(command)));
  Deno.chmodSync(`${folder}/sauropod`, 0o755);
}

if (import.meta.main) {
  const folder = Deno.args[0] ?? `${project}dist`;
  Deno.mkdirSync(folder, { recursive: true });
  const room = Deno.makeTempDirSync({ prefix: "sauropod-pack-" });
  try {
    await pack(folder, room);
  } finally {
    Deno.removeSync(room, { recursive: true });
  }
}
