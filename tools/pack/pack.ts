/**
 * `deno task pack [DIRECTORY]`: packs the command line for a quick start, into `dist/` by default.
 *
 * Deno spends half a millisecond on each module of a program, at every start. There are therefore three files: `sauropod.js`
 * holds what every `run` and `exec` load, `more.js` what usual commands load beside it, `rest.js` everything else. Worker
 * threads have a file each. Functions that commands use are kept compiled
 * (`eager.ts`); `train.ts` finds out which modules and functions these are. `sauropod` starts the command.
 *
 * @module
 */

import { compileEagerly } from "./eager.ts";
import { lean } from "./lean.ts";
import { type Part, PARTS, train } from "./train.ts";

const WORKERS = ["lib/store/layer_worker.ts", "lib/tar/inflate_worker.ts"];

/** V8 flags of the command: collect no garbage and optimize no functions before most containers have started. */
export const V8_FLAGS = "--v8-flags=--min-semi-space-size=4,--no-sparkplug,--no-maglev";

const project = new URL("../../", import.meta.url).pathname;

/**
 * Returns the script that runs the packed file `path`. It has a cache directory of its own, since Deno reads more of a
 * cache at every start the more programs share it, and does not check for newer versions of Deno.
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

async function bundle(entries: readonly string[], directory: string): Promise<void> {
  const args = ["bundle", "--quiet", "--code-splitting", "--outdir", directory, ...entries];
  const { success } = await new Deno.Command(Deno.execPath(), { args, stdout: "null", stderr: "inherit" }).output();
  if (!success) throw new Error(`deno bundle ${entries.join(" ")} failed`);
}

/** Returns a module whose Node built-ins are loaded by the first call, not together with everything else in its file. */
function withLazyBuiltins(text: string): string {
  return text.replace(
    /^import \{ (\w+) \} from "(node:.*)";$/gm,
    (_, name, module) => `const ${name} = (...args) => process.getBuiltinModule("${module}").${name}(...args);`,
  );
}

/** Returns the module `path` with modules loaded by `load.ts`, and adds their paths to `loaded`. */
function withLoader(path: string, text: string, loaded: Set<string>): string {
  const here = new URL(path, "file:///"), up = "../".repeat(path.split("/").length - 1) || "./";
  const after = text.replaceAll(/(?<!typeof )\b(?:import|load)\("(\.[^"]+)"\)/g, (_, specifier) => {
    const target = new URL(specifier, here).pathname.slice(1);
    loaded.add(target);
    return `loadModule("${target}")`;
  });
  if (after === text) return text;
  return `import { loadModule } from "${up}load.ts";\n${after.replace(/^const load = .*import\(specifier\);$/m, "")}`;
}

/** Returns a module that imports at once what it loads: both architectures' shims. */
function withStaticImports(text: string): string {
  let imports = "";
  const after = text.replaceAll(/\bimport\((".[^"]+\.ts")\)/g, (_, specifier) => {
    const name = `static${imports.length}`;
    imports += `import * as ${name} from ${specifier};\n`;
    return name;
  });
  return imports + after;
}

/** Copies the sources, ready to be bundled. Returns the paths of the modules that they load later. */
function copySources(sources: string): string[] {
  const loaded = new Set<string>();
  const copy = (path: string): void => {
    if (Deno.statSync(`${project}${path}`).isDirectory) {
      Deno.mkdirSync(`${sources}/${path}`, { recursive: true });
      for (const { name } of Deno.readDirSync(`${project}${path}`)) copy(`${path}/${name}`);
    } else if (path.endsWith(".ts")) {
      const text = withLazyBuiltins(Deno.readTextFileSync(`${project}${path}`));
      const edited = path === "ffi/native.ts" ? withStaticImports(text) : withLoader(path, text, loaded);
      Deno.writeTextFileSync(
        `${sources}/${path}`,
        edited.replaceAll(/"[./\w]*\/(\w+_worker)\.ts"(?=[,\]])/g, '"./$1.js"'),
      );
    }
  };
  for (const path of ["ffi", "lib", "cli", "cli.ts"]) copy(path);
  return [...loaded];
}

// No literal in the import: Deno would read the other files at every start.
const LOADER = `const known = {}, files = ["./more.js", "./rest.js"];
export const add = (modules) => Object.assign(known, modules);
export async function loadModule(path) {
  for (const file of files) if (!Object.hasOwn(known, path)) await import(file);
  return known[path];
}
`;

/** Returns the entry point of a part: a module that adds `paths` to what can be loaded. */
function entryOf(paths: readonly string[], before: string, after: string): string {
  const imports = paths.map((path, i) => `import * as m${i} from "./${path}";\n`).join("");
  const modules = paths.map((path, i) => `"${path}": m${i}`).join(", ");
  return `import { add } from "./load.ts";\n${before}${imports}add({ ${modules} });\n${after}`;
}

/** Bundles the sources in parts. Each imports the one before, so that the bundler makes that a chunk which both share. */
async function bundleParts(sources: string, directory: string, parts: Record<Part, readonly string[]>): Promise<void> {
  const write = (name: string, text: string): void => Deno.writeTextFileSync(`${sources}/${name}.ts`, text);
  const start = "main(Deno.args).then((code) => Deno.exit(code));\n";
  write("load", LOADER);
  write("sauropod", entryOf(parts.sauropod, `import { main } from "./cli.ts";\n`, start));
  write("more", entryOf(parts.more, `import "./sauropod.ts";\n`, ""));
  write("rest", entryOf(parts.rest, `import "./more.ts";\n`, ""));
  await bundle(PARTS.map((part) => `${sources}/${part}.ts`), directory);
  const read = (name: string): string => Deno.readTextFileSync(`${directory}/${name}`);
  const chunksOf = (part: Part): string[] => read(`${part}.js`).match(/chunk-\w+\.js/g) ?? [];
  // What is left of the first two parts imports their chunks, which take its place.
  const [first = ""] = chunksOf("sauropod"), second = chunksOf("more").find((name) => name !== first) ?? "";
  const named = (text: string): string => text.replaceAll(first, "sauropod.js").replaceAll(second, "more.js");
  for (const [name, file] of [[first, "sauropod.js"], [second, "more.js"], ["rest.js", "rest.js"]] as const) {
    Deno.writeTextFileSync(`${directory}/${file}`, lean(named(read(name))));
    if (name !== file) Deno.removeSync(`${directory}/${name}`);
  }
}

async function pack(directory: string, room: string): Promise<void> {
  const sources = `${room}/sources`, loaded = copySources(sources), fromSources = await train(`${project}cli.ts`, room);
  const parts = Object.groupBy(loaded, (path) => fromSources?.partOf(`${project}${path}`) ?? "rest");
  await bundleParts(sources, directory, { sauropod: [], more: [], rest: [], ...parts });
  for (const path of WORKERS) await bundle([`${sources}/${path}`], directory);
  const packed = fromSources && await train(`${directory}/sauropod.js`, room);
  for (const path of ["sauropod", "more"].map((part) => `${directory}/${part}.js`)) {
    Deno.writeTextFileSync(path, compileEagerly(Deno.readTextFileSync(path), packed?.isUsed(path)));
  }
  Deno.writeTextFileSync(`${directory}/sauropod`, launcher(Deno.realPathSync(`${directory}/sauropod.js`)));
  Deno.chmodSync(`${directory}/sauropod`, 0o755);
}

if (import.meta.main) {
  const directory = Deno.args[0] ?? `${project}dist`;
  Deno.mkdirSync(directory, { recursive: true });
  const room = Deno.makeTempDirSync({ prefix: "sauropod-pack-" });
  try {
    await pack(directory, room);
  } finally {
    Deno.removeSync(room, { recursive: true });
  }
}
