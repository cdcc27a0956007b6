/** Who is not root may not go through what holds unpacked files: there are set-user-id programs (CVE-2021-41091). */

import assert from "node:assert/strict";
import { cli, leftIn } from "../../helpers/life.ts";
import { makeWorld, type World } from "../../helpers/world.ts";

const NONE = ["--network", "none"] as const;
/** Where a plain user could execute the program if he knew or guessed the path. */
function pathsBelow(folder: string): string[] {
  const { stdout } = new Deno.Command("find", { args: [folder, "-name", "as-root"] }).outputSync();
  return new TextDecoder().decode(stdout).trim().split("\n").filter(Boolean);
}

function runsFor(path: string): boolean {
  try {
    // By a shell: setpriv itself still has its capabilities when it executes something.
    const args = ["--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", '"$0" -u', path];
    return new Deno.Command("setpriv", { args }).outputSync().success;
  } catch {
    return false;
  }
}

async function makeImages(world: World): Promise<void> {
  const { home, folders } = world;
  // In the way of all that is above the folders of ours.
  for (const path of [home, folders.images, folders.containers]) Deno.chmodSync(path, 0o755);
  const root = `${home}/tree`;
  for (const name of ["bin", "etc"]) Deno.mkdirSync(`${root}/${name}`, { recursive: true });
  Deno.copyFileSync("/usr/bin/id", `${root}/bin/as-root`);
  Deno.copyFileSync("/bin/busybox", `${root}/bin/sh`);
  Deno.chmodSync(`${root}/bin/as-root`, 0o4755);
  Deno.chmodSync(root, 0o755);
  new Deno.Command("tar", { args: ["-C", root, "-cf", `${folders.images}/archive.tar`, "."] }).outputSync();
  await cli(world, "images", "import", root, "stored:1");
  Deno.removeSync(root, { recursive: true });
  for (const image of ["archive", "stored:1"]) await cli(world, "run", "--rm", ...NONE, image, "sh", "-c", "true");
  await cli(
    world,
    "run",
    "--name",
    "kept",
    ...NONE,
    "stored:1",
    "sh",
    "-c",
    ": >>/bin/as-root; chmod 4755 /bin/as-root",
  );
  await cli(world, "run", "--name", "fork", ...NONE, "container:kept", "sh", "-c", "true");
}

Deno.test("a plain user can execute no set-user-id program of images, containers and forks, in new and old stores", async () => {
  await using world = makeWorld();
  const { images, containers } = world.folders;
  await makeImages(world);
  const paths = [images, containers].flatMap(pathsBelow);
  assert(paths.length >= 3, paths.join());
  assert.deepEqual(paths.filter(runsFor), []);
  // As stores were made before.
  const old = [`${images}/.store/layers`, `${images}/.store/partial`, `${images}/.unpacked`];
  const inside = [...Deno.readDirSync(`${images}/.store/layers`)].map(({ name }) => `${images}/.store/layers/${name}`);
  const entries = [...Deno.readDirSync(`${images}/.unpacked`)].map(({ name }) => `${images}/.unpacked/${name}`);
  [...old, ...inside, ...entries].forEach((path) => Deno.chmodSync(path, 0o755));
  assert(paths.some(runsFor), "they are open now");
  for (const image of ["archive", "stored:1"]) await cli(world, "run", "--rm", ...NONE, image, "sh", "-c", "true");
  assert.deepEqual(paths.filter(runsFor), []);
  assert.deepEqual(old.map((path) => (Deno.statSync(path).mode ?? 0) & 0o7777), [0o700, 0o700, 0o700]);
  await cli(world, "rm", "-f", "--all");
  assert.deepEqual(leftIn(world).filter((path) => !path.startsWith(".layers")), []);
});
