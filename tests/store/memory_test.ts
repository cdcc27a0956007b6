import assert from "node:assert/strict";
import { startRegistry } from "../helpers/docker_registry.ts";
import { succeed } from "../helpers/host_program.ts";
import { commandLine } from "../helpers/project.ts";
import { makeWorld } from "../helpers/world.ts";

const MOST = 200, LAYERS = 4, LAYER_MB = 80;

/** Runs a command and writes the most memory that it used, in MiB. */
const MEASURE = `
import os, resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
sys.exit(code)`;

/** Bytes that compress to a few percent. */
async function makeContent(path: string): Promise<void> {
  using file = await Deno.open(path, { write: true, create: true });
  const block = new Uint8Array(1 << 16);
  for (let i = 0; i < LAYER_MB * 16; i++) {
    crypto.getRandomValues(block.subarray(0, 1 << 12));
    await file.write(block);
  }
}

Deno.test(`an image of ${LAYERS * LAYER_MB} MB is made, pushed, pulled, saved and loaded in less than ${MOST} MiB`, async (t) => {
  await using world = makeWorld();
  await using registry = await startRegistry();
  const { home } = world, file = `${home}/content/file`;
  const peak = async (...words: string[]): Promise<void> => {
    const [program = "", ...rest] = commandLine(words);
    const output = await succeed(["python3", "-c", MEASURE, program, ...rest], { SAUROPOD_HOME: home });
    const used = Number(output.trim().split("\n").at(-1));
    assert.ok(used > 20 && used < MOST, `${words.join(" ")}: ${used} MiB`);
  };
  const step = (name: string, ...words: string[]) => t.step(name, () => peak(...words));
  const name = `${registry.host}/large:1`, archive = `${home}/layers.tar`;

  Deno.mkdirSync(`${home}/content`);
  await makeContent(file);
  await succeed(["tar", "-cf", `${home}/plain.tar`, "-C", `${home}/content`, "file"]);
  await step("import of an archive", "images", "import", `${home}/plain.tar`, "plain:1");
  Deno.removeSync(`${home}/plain.tar`);
  await step("import of a folder", "images", "import", `${home}/content`, "folder:1");
  await step(
    "a run that writes",
    "run",
    "--name",
    "box",
    "--network",
    "none",
    "busybox",
    "sh",
    "-c",
    `
    for i in 1 2 3; do dd if=/dev/urandom of=/bin/$i bs=1M count=40 2>/dev/null; done`,
  );
  await step("commit", "commit", "box", "committed:1");

  // Several layers, each of another compression than its neighbours.
  const layout = `${home}/layout`;
  await succeed(["umoci", "init", "--layout", layout]);
  await succeed(["umoci", "new", "--image", `${layout}:1`]);
  for (let i = 0; i < LAYERS; i++) {
    await makeContent(file);
    Deno.renameSync(file, `${home}/content/${i}`);
    const layer = `${home}/layer.tar`;
    await succeed(["tar", "-cf", layer, "-C", `${home}/content`, `${i}`]);
    await succeed(["umoci", "raw", "add-layer", "--image", `${layout}:1`, layer]);
    Deno.removeSync(layer);
  }
  await succeed(["skopeo", "--insecure-policy", "copy", "-q", `oci:${layout}:1`, `oci-archive:${archive}:${name}`]);
  await step("load", "images", "load", "-i", archive);
  await step("push", "images", "push", name);
  for (const again of ["images", "containers"]) await Deno.remove(`${home}/${again}`, { recursive: true });
  await step("pull", "images", "pull", "-q", name);
  for (const format of ["oci", "docker"]) {
    await step(`save as ${format}`, "images", "save", "--format", format, "-o", archive, name);
  }
});
