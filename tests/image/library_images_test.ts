import assert from "node:assert/strict";
import {
  commitContainer,
  importImage,
  listImages,
  loadImages,
  output,
  pullImage,
  pushImage,
  removeImage,
  run,
  saveImages,
  tagImage,
} from "../../mod.ts";
import { text } from "../helpers/inside.ts";
import { startRegistry } from "../helpers/docker_registry.ts";
import { makeWorld } from "../helpers/world.ts";

const network = "none";

Deno.test("images: a script makes an image, pushes it, pulls it again and runs it", async () => {
  await using world = makeWorld();
  await using registry = await startRegistry();
  const { folders } = world, name = `${registry.host}/team/app:1`;
  const made = await importImage(world.image, "app", {
    ...folders,
    changes: { Cmd: ["/bin/echo", "it works"] },
  });
  assert.equal(made.name, "docker.io/library/app:latest");
  assert.equal((await tagImage("app", name, folders)).descriptor.digest, made.descriptor.digest);
  assert.equal(await pushImage(name, folders), made.descriptor.digest);
  for (const one of ["app", name]) await removeImage(one, folders);
  assert.deepEqual(await listImages(folders), []);

  const phases = new Set<string>();
  const pulled = await pullImage(name, { ...folders, onProgress: ({ phase }) => phases.add(phase) });
  assert.equal(pulled.descriptor.digest, made.descriptor.digest);
  assert.ok(["downloading", "unpacking", "done"].every((phase) => phases.has(phase)), [...phases].join());
  assert.equal(text((await output(name, [], { ...folders, network })).stdout), "it works\n");
});

Deno.test("images: a script commits a container, and sends its image to another folder through a stream", async () => {
  await using world = makeWorld();
  await using other = makeWorld();
  const { folders } = world;
  await using box = await run("busybox", ["sh", "-c", "echo changed >/note"], {
    ...folders,
    network,
    name: "box",
    keep: true,
  });
  assert.equal((await box.status).code, 0);
  const { descriptor: { digest } } = await commitContainer("box", "note:1", { ...folders, message: "a note" });
  const pipe = new TransformStream<Uint8Array, Uint8Array>();
  const [, loaded] = await Promise.all([
    saveImages(["note:1"], pipe.writable, { ...folders, format: "oci" }),
    loadImages(pipe.readable, other.folders),
  ]);
  assert.deepEqual(loaded.map(({ name, descriptor }) => [name, descriptor.digest]), [[
    "docker.io/library/note:1",
    digest,
  ]]);
  assert.equal(text((await output("note:1", ["cat", "/note"], { ...other.folders, network })).stdout), "changed\n");
  const [summary] = await listImages(other.folders);
  assert.equal(summary?.digest, digest);
});

Deno.test("images: what is wrong with an image is an error that a script can tell apart", async () => {
  await using world = makeWorld();
  const { folders } = world;
  await assert.rejects(pullImage("NO!", folders), { name: "InputError", code: "bad-reference" });
  await assert.rejects(pushImage("none", folders), { name: "ImageError", code: "image-not-found" });
  await assert.rejects(loadImages(`${world.home}/none`, folders), { name: "ImageError", code: "image-not-found" });
  await assert.rejects(commitContainer("none", "a", folders), { name: "ContainerError", code: "container-not-found" });
});
