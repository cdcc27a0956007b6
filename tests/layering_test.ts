import assert from "node:assert/strict";
import { PROJECT } from "./helpers/world.ts";

// The rooms of the house from the ground up: a file may import from its own room and from those before it.
const ROOMS = [
  "ffi",
  "lib/text/printable.ts",
  "lib/errors.ts",
  "lib/lazy.ts",
  "lib/host",
  "lib/text",
  "lib/tar",
  "lib/oci.ts",
  "lib/registry",
  "lib/cgroup",
  "lib/program",
  "lib/network",
  "lib/store",
  "lib/image",
  "lib/container/state",
  "lib/container/stats",
  "lib/container/spec",
  "lib/container/files",
  "lib/container/attached",
  "lib/container/detached",
  "lib/build",
  "lib/api",
  "lib/preload.ts",
  "mod.ts",
  "cli/output",
  "cli/args",
  "cli/terminal",
  "cli/commands",
  "cli/definitions",
  "cli/dispatch",
  "cli.ts",
  "tools",
];

/** Loose files beside the rooms, and how many files a folder may have on one level. */
const LOOSE = ["ffi/errno.ts", "ffi/native.ts", "lib/errors.ts", "lib/lazy.ts", "lib/oci.ts", "lib/preload.ts"];
const MOST_FILES = 27;

/** An import of one file by another, both from the project's folder. */
interface Import {
  readonly from: string;
  readonly to: string;
}

function sources(folder: string): string[] {
  return [...Deno.readDirSync(`${PROJECT}/${folder}`)].flatMap(({ name, isDirectory }) => {
    if (isDirectory) return sources(`${folder}/${name}`);
    return name.endsWith(".ts") ? [`${folder}/${name}`] : [];
  });
}

/** Returns the static imports of a file; what `lazy.ts` loads later is not among them. */
function importsOf(from: string, text: string): Import[] {
  return [...text.matchAll(/^(?:import|export)\s[^"';=(]*"(\.[^"]+)"/gm)].map(([, specifier = ""]) => ({
    from,
    to: new URL(specifier, `file:///${from}`).pathname.slice(1),
  }));
}

/** Returns where the room of a file stands; -1 if it is in none. The longest name counts: lib/text/printable.ts is below lib/text. */
function floorOf(path: string): number {
  const rooms = ROOMS.filter((room) => path === room || path.startsWith(`${room}/`));
  const own = rooms.reduce((longest, room) => room.length > longest.length ? room : longest, "");
  return ROOMS.indexOf(own);
}

function upward({ from, to }: Import): boolean {
  return floorOf(from) < floorOf(to);
}

const files = [...["ffi", "lib", "cli", "tools"].flatMap(sources), "mod.ts", "cli.ts"];

// To be cut; none may be added.
const REMAINING: readonly string[] = [
  "lib/network/hosts_files.ts -> lib/container/state/record.ts",
  "lib/network/request.ts -> lib/container/spec/options.ts",
  "lib/network/publication.ts -> lib/container/spec/options.ts",
  "lib/network/name_files.ts -> lib/container/spec/options.ts",
  "lib/network/leases.ts -> lib/container/state/record.ts",
  "lib/network/manage.ts -> lib/container/state/record.ts",
  "lib/network/reserve.ts -> lib/container/spec/options.ts",
  "lib/network/reserve.ts -> lib/container/state/record.ts",
  "lib/network/reserve.ts -> lib/container/state/ownership.ts",
  "lib/network/definition.ts -> lib/container/state/ownership.ts",
  "lib/image/manage.ts -> lib/container/state/names.ts",
  "lib/image/manage.ts -> lib/container/state/record.ts",
  "lib/image/manage.ts -> lib/build/cache.ts",
  "lib/store/verify_layer.ts -> lib/image/exchange/problems.ts",
  "lib/store/stored.ts -> lib/container/spec/options.ts",
  "lib/store/stored.ts -> lib/image/resolve.ts",
  "lib/container/state/record.ts -> lib/container/spec/recorded_options.ts",
];

Deno.test("no file imports from a room above its own", () => {
  const imports = files.flatMap((path) => importsOf(path, Deno.readTextFileSync(`${PROJECT}/${path}`)));
  assert(imports.length > 500, `only ${imports.length} imports were found`);
  const found = imports.filter(upward).map(({ from, to }) => `${from} -> ${to}`);
  assert.deepEqual(found.filter((one) => !REMAINING.includes(one)), []);
});

Deno.test("an import from a room above is noticed, also of types and of what is passed on", () => {
  const wrong = [
    'import { run } from "../api/containers.ts";',
    'import type {\n  Run,\n  Other,\n} from "../container/attached/run.ts";',
    'export { run } from "' + "../../cli/commands/" + 'run.ts";',
    'import "../preload.ts";',
  ];
  for (const text of wrong) {
    const found = importsOf("lib/host/clock.ts", text);
    assert.equal(found.length, 1, text);
    assert(found.every(upward), text);
  }
  assert(!importsOf("lib/host/clock.ts", 'import { close } from "../ffi/fs/fs.ts";').some(upward));
});

Deno.test("every file is in a room, and no room is a drawer", () => {
  assert.deepEqual(files.filter((path) => floorOf(path) < 0), []);
  const loose = files.filter((path) => /^(ffi|lib|cli)\/[^/]+$/.test(path));
  assert.deepEqual(loose.sort(), [...LOOSE].sort());
  const folders = Map.groupBy(files, (path) => path.slice(0, path.lastIndexOf("/")));
  for (const [folder, { length }] of folders) assert(length <= MOST_FILES, `${folder} has ${length} files`);
});

Deno.test("only ffi names native memory", () => {
  const unsafe = files.filter((path) => !path.startsWith("ffi/")).filter((path) =>
    /Deno\.(Unsafe\w+|dlopen)/.test(Deno.readTextFileSync(`${PROJECT}/${path}`))
  );
  assert.deepEqual(unsafe, []);
});
