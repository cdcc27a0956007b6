import assert from "node:assert/strict";
import { listContainers } from "../../lib/container/state/names.ts";
import { findImage, inspectImage, listSummaries, tagImage, verifyImages } from "../../lib/image/manage.ts";
import { pruneStore, removeImage } from "../../lib/build/remove_images.ts";
import { pullImage } from "../../lib/image/pull.ts";
import { pushImage } from "../../lib/image/push.ts";
import { mapConcurrent } from "../../lib/store/ensure_layers.ts";
import { saveImages } from "../../lib/image/exchange/save.ts";
import { blobPath, removeNames, storeFolder } from "../../lib/store/store.ts";
import { output, run } from "../../mod.ts";
import { text } from "../helpers/inside.ts";
import { openTestRegistry } from "../helpers/store.ts";
import { makeWorld, type World } from "../helpers/world.ts";

const registry = await openTestRegistry();
addEventListener("unload", () => registry.close());

async function pulled(world: World, name = "app:1"): Promise<string> {
  const reference = `${registry.address}/${name}`;
  await pullImage(reference, world.folders.images);
  return reference;
}

async function say(world: World, image: string, command: readonly string[], options = {}): Promise<string> {
  const { code, stdout, stderr } = await output(image, command, { ...world.folders, network: "none", ...options });
  assert.deepEqual([code, text(stderr)], [0, ""]);
  return text(stdout);
}

function namesIn(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
}

Deno.test("run pulls what is missing and does as the image says", async () => {
  await using world = makeWorld();
  const image = `${registry.address}/app:1`;
  const shown = await say(world, image, []);
  assert.equal(shown, "entry hello from 1000 in /srv with blue\n");
  assert.equal(await say(world, image, ["other"]), "entry other from 1000 in /srv with blue\n");
  assert.equal(await say(world, image, ["-c", "echo $COLOUR"], { entrypoint: "/bin/sh" }), "blue\n");
  assert.equal(await say(world, image, ["id", "-u"], { entrypoint: "", user: "0" }), "0\n");
  assert.equal(
    await say(world, image, ["sh", "-c", "echo $COLOUR; pwd"], { entrypoint: "", env: { COLOUR: "red" }, cwd: "/" }),
    "red\n/\n",
  );
});

Deno.test("images: upper layers hide what is below: whiteouts and opaque folders", async () => {
  await using world = makeWorld();
  const image = await pulled(world);
  assert.equal(
    await say(world, image, ["sh", "-c", "ls /data /gone 2>&1 | sort"], { entrypoint: "" }),
    "/data:\nls: /gone: No such file or directory\nnew\n",
  );
});

Deno.test("images: never pulls nothing, and says where it looked", async () => {
  await using world = makeWorld();
  const { code, stderr } = await world.cli(["--rm", "--pull", "never", `${registry.address}/app:1`]);
  assert.equal(code, 125);
  assert.match(stderr, /no image/);
  const kept = await pulled(world);
  const near = await world.cli(["--rm", "--pull", "never", kept.replace("app", "apps")]);
  assert.ok(near.stderr.includes(JSON.stringify(kept)), near.stderr);
  await removeImage(world.folders.images, kept);
  const missing = await world.cli(["--rm", `${registry.address}/app:none`]);
  assert.equal(missing.code, 125);
  assert.match(missing.stderr, /could not be pulled/);
});

Deno.test("images: twenty pulls at once make one copy, and it is verified", async () => {
  await using world = makeWorld();
  const before = registry.requests();
  await Promise.all(Array.from({ length: 20 }, () => pulled(world)));
  const store = storeFolder(world.folders.images);
  const blobs = registry.requests().slice(before.length).filter((line) =>
    line.includes("/blobs/") && line.includes("GET")
  );
  assert.equal(blobs.length, new Set(blobs).size, "each blob is asked for once");
  assert.deepEqual(namesIn(`${store}/partial`), []);
  assert.deepEqual(await verifyImages(world.folders.images), []);
});

Deno.test("--pull always downloads nothing while the name stands for the same image, and the new one when it does not", async () => {
  await using world = makeWorld();
  const methods = async (work: () => Promise<unknown>): Promise<string[]> => {
    const before = registry.requests().length;
    await work();
    return registry.requests().slice(before).map((line) =>
      /"(GET|HEAD|PUT|POST|PATCH) \/v2\/\S+/.exec(line)?.[1] ?? ""
    );
  };
  for (const name of ["app:1", "multi:1"]) {
    const image = await pulled(world, name);
    const again = () =>
      world.cli(["--rm", "--pull", "always", "--network", "none", "--entrypoint", "/bin/ls", image, "/"]);
    assert.deepEqual(await methods(() => pulled(world, name)), ["HEAD"], name);
    assert.deepEqual(await methods(async () => assert.equal((await again()).code, 0)), ["HEAD"], name);
    const { descriptor } = findImage(world.folders.images, image);
    const digested = `${image.replace(/:1$/, "")}@${descriptor.digest}`;
    await pullImage(digested, world.folders.images);
    assert.deepEqual(await methods(() => pullImage(digested, world.folders.images)), [], name);
  }
  const moved = `${registry.address}/moved:1`;
  await pushImage(await pulled(world, "app:1"), world.folders.images, { to: moved });
  const old = await pullImage(moved, world.folders.images);
  await pushImage(await pulled(world, "tall:1"), world.folders.images, { to: moved });
  const { descriptor: { digest } } = await pullImage(moved, world.folders.images);
  assert.notEqual(digest, old.descriptor.digest);
  assert.equal(digest, findImage(world.folders.images, `${registry.address}/tall:1`).descriptor.digest);
  const other = await pullImage(`${registry.address}/multi:1`, world.folders.images, { platform: "linux/arm64" });
  const own = await pulled(world, "multi:1");
  assert.notEqual(findImage(world.folders.images, own).descriptor.digest, other.descriptor.digest);
});

Deno.test("images: a damaged blob is found, and pulled again", async () => {
  await using world = makeWorld();
  const image = await pulled(world);
  const { descriptor } = findImage(world.folders.images, image);
  const path = blobPath(storeFolder(world.folders.images), descriptor.digest);
  const whole = Deno.readTextFileSync(path);
  Deno.writeTextFileSync(path, whole.replace("sha256", "sha265"));
  const [damage] = await verifyImages(world.folders.images);
  assert.match(damage?.problem ?? "", /holds something else/);
  assert.equal((await world.cli(["images", "verify"])).code, 1);
  await pulled(world);
  assert.deepEqual(await verifyImages(world.folders.images), []);
});

Deno.test("images: a wrong byte in a layer is found and named when it is saved and read again, and only damage is", async () => {
  await using world = makeWorld();
  const image = await pulled(world), { images } = world.folders;
  assert.equal((await world.cli(["images", "import", world.image, "own:1"])).code, 0);
  const fresh = await world.cli(["images", "verify"]);
  assert.deepEqual([fresh.code, fresh.stdout], [0, ""], "that a layer is not unpacked yet is no damage");
  const [layer] = inspectImage(images, image).manifest.layers;
  assert.ok(layer);
  const path = blobPath(storeFolder(images), layer.digest), bytes = Deno.readFileSync(path);
  bytes[100] = (bytes[100] ?? 0) ^ 0xff;
  Deno.writeFileSync(path, bytes);
  for (const format of ["docker", "oci"]) {
    const { code, stderr } = await world.cli(["images", "save", "--format", format, "-o", "saved.tar", image]);
    assert.equal(code, 125);
    assert.ok(stderr.includes(layer.digest), stderr);
  }
  const verified = await world.cli(["images", "verify"]);
  assert.deepEqual([verified.code, verified.stdout.includes(layer.digest)], [1, true]);
});

Deno.test("images: an image that a container is made of is not removed, and what another image needs stays", async () => {
  await using world = makeWorld();
  const image = await pulled(world), { images, containers } = world.folders;
  const store = storeFolder(images);
  {
    await using box = await run(image, ["sleep", "60"], {
      ...world.folders,
      entrypoint: "",
      network: "none",
      user: "0",
    });
    await assert.rejects(removeImage(images, image), { code: "image-in-use" });
    assert.deepEqual((await pruneStore(images)).layers, []);
    assert.equal(listContainers(containers)[0]?.id, box.id);
  }
  tagImage(images, image, "mine:2");
  await removeImage(images, image);
  assert.equal(await say(world, "mine:2", ["echo", "still"], { entrypoint: "", pull: "never" }), "still\n");
  await removeImage(images, "mine:2");
  assert.deepEqual([namesIn(`${store}/layers`), namesIn(`${store}/blobs/sha256`), listSummaries(images)], [[], [], []]);
});

Deno.test("images: a container can be committed after its image has lost its name, whatever is pruned", async () => {
  await using world = makeWorld();
  const image = await pulled(world), { images } = world.folders, store = storeFolder(images);
  const made = await world.cli(["create", "--name", "box", "--network", "none", image]);
  assert.equal(made.code, 0, made.stderr);
  await removeImage(images, image, true);
  assert.deepEqual((await pruneStore(images)).blobs, []);
  const committed = await world.cli(["commit", "box", "mine:1"]);
  assert.equal(committed.stdout, "mine:1\n", committed.stderr);
  assert.match(await say(world, "mine:1", []), /^entry hello/);
  await removeImage(images, "mine:1", true);
  assert.equal((await world.cli(["rm", "box"])).code, 0);
  await pruneStore(images);
  assert.deepEqual([namesIn(`${store}/layers`), namesIn(`${store}/blobs/sha256`)], [[], []]);
});

Deno.test("an image for another kind of machine is chosen by --platform, and refused where there is none", async () => {
  await using world = makeWorld();
  const { images } = world.folders;
  await pullImage(`${registry.address}/multi:1`, images, { platform: "linux/arm64" });
  assert.equal(listSummaries(images)[0]?.platform, "linux/arm64");
  await assert.rejects(pullImage(`${registry.address}/multi:1`, images, { platform: "linux/riscv64" }), {
    code: "image-not-found",
    hint: /linux\/arm64/,
  });
});

Deno.test("images: what is pushed can be pulled by another, with the same digest", async () => {
  await using world = makeWorld();
  await using other = makeWorld();
  const image = await pulled(world);
  const to = `${registry.address}/copy:new`;
  const digest = await pushImage(image, world.folders.images, { to });
  const { descriptor } = await pullImage(to, other.folders.images);
  assert.equal(descriptor.digest, digest);
  assert.match(await say(other, to, []), /^entry hello/);
});

Deno.test("a pull that is killed goes on from what is there", async () => {
  await using world = makeWorld();
  for (let round = 0; round < 5; round++) {
    const child = world.start(["images", "pull", `${registry.address}/app:1`]);
    await new Promise((resolve) => setTimeout(resolve, 60 + round * 25));
    try {
      child.kill("SIGKILL");
    } catch {
      // It was quicker.
    }
    await child.output();
  }
  assert.match(await say(world, `${registry.address}/app:1`, []), /^entry hello/);
  assert.deepEqual(await verifyImages(world.folders.images), []);
  await pruneStore(world.folders.images);
  assert.deepEqual(namesIn(`${storeFolder(world.folders.images)}/partial`), []);
});

Deno.test("images: an image of 120 layers runs", async () => {
  await using world = makeWorld();
  const image = `${registry.address}/tall:1`;
  assert.equal(await say(world, image, ["sh", "-c", "ls /layers | wc -l"]), "120\n");
});

Deno.test("an image for another kind of machine is not the one that --platform asks for", async () => {
  await using world = makeWorld();
  const image = `${registry.address}/multi:1`, { images } = world.folders;
  await pullImage(image, images, { platform: "linux/arm64" });
  await assert.rejects(run(image, ["true"], { ...world.folders, platform: "linux/amd64", pull: "never" }), {
    code: "image-not-found",
  });
  const shown = await say(world, image, ["sh", "-c", "ls -d /amd64"], { platform: "linux/amd64" });
  assert.deepEqual([shown, listSummaries(images)[0]?.platform], ["/amd64\n", "linux/amd64"]);
});

Deno.test("explain pulls nothing unless it is told to", async () => {
  await using world = makeWorld();
  const words = ["explain", "--network", "none", `${registry.address}/app:1`];
  assert.equal((await world.cli(words)).code, 125);
  assert.deepEqual(listSummaries(world.folders.images), []);
  const { code, stdout } = await world.cli([...words.slice(0, -1), "--pull", "missing", ...words.slice(-1)]);
  assert.equal(code, 0);
  assert.match(stdout, /execve\("\/entry", \["\/entry", "hello"\]/);
});

Deno.test("images: nothing is pruned while a container's record cannot be read", async () => {
  await using world = makeWorld();
  const image = await pulled(world), { images, containers } = world.folders;
  await using box = await run(image, ["sleep", "60"], { ...world.folders, entrypoint: "", network: "none", user: "0" });
  const record = `${containers}/${box.id}/container.json`, whole = Deno.readTextFileSync(record);
  Deno.writeTextFileSync(record, "{");
  await assert.rejects(pruneStore(images), { code: "store-damaged" });
  Deno.writeTextFileSync(record, whole);
  assert.deepEqual((await pruneStore(images)).layers, []);
});

Deno.test("images: the command line pushes, saves and imports through pipes, and refuses words that are none", async () => {
  await using world = makeWorld();
  const image = await pulled(world), to = `${registry.address}/cli:1`;
  assert.match((await world.cli(["images", "push", image, to])).stdout, /^sha256:[0-9a-f]{64}\n$/);
  const pulling = await world.cli(["images", "pull", "-q", to]);
  assert.match(pulling.stdout, /^sha256:[0-9a-f]{64}\n$/);
  assert.equal((await world.cli(["images", "save", "-o", "saved.tar", image])).code, 0);
  const archive = await Deno.readFile(`${world.home}/saved.tar`);
  const loaded = await world.cli(["images", "load"], { stdin: archive });
  assert.deepEqual([loaded.code, loaded.stdout], [0, `${image}\n`]);
  const imported = await world.cli(["images", "import", "--cmd", '["echo","imported"]', "-", "own:1"], {
    stdin: archive,
  });
  assert.deepEqual([imported.code, imported.stdout], [0, "own:1\n"]);
  const { code, stderr } = await world.cli(["images", "import", "--cmd", "[1]", "saved.tar", "bad:1"]);
  assert.deepEqual([code, /expected a JSON list of strings/.test(stderr)], [125, true]);
});

Deno.test("images rm removes all that it can of what it is told, and ends with 1 if that is not all", async () => {
  await using world = makeWorld();
  const image = await pulled(world), { images } = world.folders;
  tagImage(images, image, "second:1");
  const short = findImage(images, image).descriptor.digest.slice(7, 19);
  assert.equal((await world.cli(["images", "-q"])).stdout, `${short}\n${short}\n`);
  const { code, stdout, stderr } = await world.cli(["images", "rm", image, "missing", "second:1"]);
  assert.deepEqual([code, stdout], [1, `${image}\nsecond:1\n`]);
  assert.match(stderr, /there is no image missing/);
  assert.deepEqual(listSummaries(images), []);
});

Deno.test("images: when work on one layer fails, that on the others ends before the error is told", async () => {
  const log: string[] = [];
  const work = mapConcurrent(["wrong", "slow", "never"], async (item, signal) => {
    log.push(`${item} begins`);
    if (item === "wrong") throw new Error("wrong");
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    log.push(`${item} ends`);
    signal.throwIfAborted();
  });
  await assert.rejects(work, /^Error: wrong$/);
  assert.deepEqual(
    log.filter((line) => line.endsWith("begins")).length,
    log.filter((line) => line.endsWith("ends")).length + 1,
  );
  const stop = new AbortController();
  const stopped = mapConcurrent([1, 2], (_, signal) =>
    new Promise((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
    }), stop.signal);
  stop.abort(new Error("stopped"));
  await assert.rejects(stopped, /stopped/);
});

Deno.test("images: an image is told by its digest or the beginning of it, and all of it where it has no name", async () => {
  await using world = makeWorld();
  const image = await pulled(world), { images } = world.folders, store = storeFolder(images);
  const { digest } = findImage(images, image).descriptor, short = digest.slice(7, 19);
  const hello = (name: string, pull: "never" | "always" = "never") => say(world, name, [], { pull });
  for (const name of [short, digest, digest.slice(7), `${registry.address}/app@${digest}`]) {
    assert.match(await hello(name), /^entry hello/);
  }
  removeNames(store, [image]);
  assert.match(await hello(digest, "always"), /^entry hello/);
  await assert.rejects(hello(short), { code: "image-not-found" });
  await assert.rejects(hello(`sha256:${"0".repeat(64)}`), { code: "image-not-found" });
  const { manifest } = inspectImage(images, digest);
  assert.throws(() => findImage(images, manifest.config.digest), { code: "image-not-found" });

  await saveImages(images, [digest], `${world.home}/saved.tar`, "docker");
  const { stdout } = await new Deno.Command("tar", { args: ["-xOf", `${world.home}/saved.tar`, "manifest.json"] })
    .output();
  assert.deepEqual(JSON.parse(text(stdout))[0].RepoTags, []);
  const removed = await world.cli(["images", "rm", digest]);
  assert.deepEqual([removed.stdout, namesIn(`${store}/blobs/sha256`)], [`${digest}\n`, []]);

  const loaded = await world.cli(["images", "load", "-i", "saved.tar"]);
  const name = loaded.stdout.trim();
  assert.match(name, /^sha256:/);
  tagImage(images, name, "mine:1");
  assert.match(await hello("mine:1"), /^entry hello/);
});

Deno.test("images prune --all also takes away images that no container is made of, and names them", async () => {
  await using world = makeWorld();
  const { images } = world.folders;
  for (const name of ["used", "unused"]) {
    Deno.mkdirSync(`${world.home}/${name}`);
    Deno.writeTextFileSync(`${world.home}/${name}/which`, name);
    await world.cli(["images", "import", `${world.home}/${name}`, name]);
  }
  await world.cli(["images", "tag", "unused", "again"]);
  await world.cli(["create", "--name", "one", "--network", "none", "used", "/which"]);
  assert.equal((await pruneStore(images)).names.length, 0);
  const { code, stdout, stderr } = await world.cli(["images", "prune", "--all"]);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^again:latest\nunused:latest\n0 layers and 3 blobs, /);
  assert.match((await world.cli(["images", "ls"])).stdout, /^used:latest/m);
  assert.equal((await world.cli(["start", "one"])).code, 126);
  await world.cli(["rm", "one"]);
  assert.match((await world.cli(["images", "prune", "-a"])).stdout, /^used:latest\n/);
});
