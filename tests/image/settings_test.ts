import assert from "node:assert/strict";
import { listContainers } from "../../lib/container/state/names.ts";
import { signalNumber } from "../../lib/host/signals.ts";
import { importImage, output } from "../../mod.ts";
import { built, context } from "../helpers/building.ts";
import { makeWorld, type World } from "../helpers/world.ts";

const network = "none";

/** What a container's record keeps of the signal. */
async function keptSignal({ folders }: World, image: string, stopSignal?: string | number) {
  await output(image, ["true"], {
    ...folders,
    network,
    keep: true,
    ...(stopSignal === undefined ? {} : { stopSignal }),
  });
  return listContainers(folders.containers).at(-1)?.options.stopSignal;
}

Deno.test("run: signals are named in all of Docker's ways", () => {
  const rows: readonly (readonly [string | number, number])[] = [
    ["SIGTERM", 15],
    ["term", 15],
    ["15", 15],
    [9, 9],
    ["SIGRTMIN", 34],
    ["RTMIN+3", 37],
    ["rtmax-2", 62],
    ["SIGRTMAX", 64],
  ];
  for (const [signal, number] of rows) assert.equal(signalNumber(signal), number, String(signal));
  for (const signal of ["", "NONE", "0", "65", "RTMIN+31", "RTMIN-1", "RTMINX", "RTMAX-99"]) {
    assert.throws(() => signalNumber(signal), { code: "unknown-signal" }, signal);
  }
});

Deno.test("run: the signal that stops a container is the user's, else the image's", async () => {
  await using world = makeWorld();
  await importImage(world.image, "web", { ...world.folders, changes: { StopSignal: "SIGQUIT" } });
  await importImage(world.image, "bad", { ...world.folders, changes: { StopSignal: "SIGNONE" } });
  assert.equal(await keptSignal(world, "busybox"), undefined);
  assert.equal(await keptSignal(world, "web"), "SIGQUIT");
  assert.equal(await keptSignal(world, "web", 12), 12);
  await assert.rejects(keptSignal(world, "bad"), { name: "InputError", code: "unknown-signal" });
  assert.equal(await keptSignal(world, "bad", "TERM"), "TERM");

  const { code, stdout } = await world.cli([
    ...["run", "--name", "asked", "--network", "none", "--stop-signal", "INT", "web", "true"],
  ]);
  assert.deepEqual([code, stdout], [0, ""]);
  const [asked] = JSON.parse((await world.cli(["inspect", "asked"])).stdout);
  assert.equal(asked.options.stopSignal, "INT");
  const refused = await world.cli(["run", "--stop-signal", "NONE", "web", "true"]);
  assert.equal(refused.code, 125);
  assert.match(refused.stderr, /unknown signal NONE/);
});

Deno.test("entries of an image's environment without a name are left out, in runs, builds and forks", async () => {
  await using world = makeWorld();
  const Env = ["A=1", "B", "=x"];
  await importImage(world.image, "odd", { ...world.folders, changes: { Env } });
  const [odd] = JSON.parse((await world.cli(["images", "inspect", "odd"])).stdout);
  assert.ok(JSON.stringify(odd).includes('"=x"'), "the image lost it before");
  const words = ["sh", "-c", 'echo "$A-$B"; env | grep -c ^=; true'];
  for (const flags of [["--rm"], ["--rm", "--init"], ["--name", "first"]]) {
    const result = await world.cli(["run", "--network", "none", ...flags, "odd", ...words]);
    assert.deepEqual(result, { code: 0, stdout: "1-\n0\n", stderr: "" });
  }
  assert.equal((await world.cli(["fork", "--rm", "first", ...words])).stdout, "1-\n0\n");
  await built(world, "-t", "more", context(world, { Dockerfile: "FROM odd\nRUN echo $A >/a\nENV C=2\n" }));
  const more = await world.cli(["run", "--network", "none", "--rm", "more", "sh", "-c", "echo $A$C; cat /a"]);
  assert.deepEqual(more, { code: 0, stdout: "12\n1\n", stderr: "" });
});

Deno.test("run: a container has the labels of its image, under the user's", async () => {
  await using world = makeWorld();
  const changes = { Labels: { vendor: "them", tier: "web" } };
  await importImage(world.image, "labelled", { ...world.folders, changes });
  await world.cli(["create", "--name", "one", "--network", "none", "-l", "tier=db", "labelled", "true"]);
  const { stdout } = await world.cli(["inspect", "-f", "{{json .options.labels}}", "one"]);
  assert.deepEqual(JSON.parse(stdout), { vendor: "them", tier: "db" });
});

Deno.test("completion proposes stored images by their short names, where they can stand", async () => {
  await using world = makeWorld();
  await importImage(world.image, "stored/app:2", world.folders);
  for (const words of [["stor"], ["run", "sto"], ["images", "rm", "sto"], ["images", "tag", "sto"]]) {
    const { code, stdout } = await world.cli(["__complete", ...words]);
    assert.deepEqual([code, stdout], [0, "stored/app:2\tstored image\n"], words.join(" "));
  }
  assert.equal((await world.cli(["__complete", "images", "rm", "busy"])).stdout, "");
});
