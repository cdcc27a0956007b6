/** Images that are built of Dockerfiles. */

import assert from "node:assert/strict";
import { buildImage, listImages, output } from "../../mod.ts";
import { storeFolder } from "../../lib/store/store.ts";
import { assertNothingLeft, leftIn } from "../helpers/life.ts";
import { openTestRegistry } from "../helpers/store.ts";
import { tar } from "../helpers/tar.ts";
import { makeWorld } from "../helpers/world.ts";
import { build, built, cached, configOf, context, layersOf, namesIn, say } from "../helpers/building.ts";

Deno.test("build: a Dockerfile with stages becomes an image that runs, is saved and has a history", async () => {
  await using world = makeWorld();
  await using other = makeWorld();
  const folder = context(world, {
    "src/main": "echo main\n",
    Dockerfile: [
      "ARG BASE=nothing",
      "FROM $BASE AS make",
      "ARG VERSION=0",
      'ENV GREETING="hello you"',
      "WORKDIR /src",
      "COPY src .",
      'RUN echo "echo $GREETING $VERSION" | cat main - > out; echo on stdout; echo on stderr >&2',
      "FROM busybox AS unneeded",
      "RUN exit 1",
      "FROM busybox",
      'LABEL one=1 two="2 3"',
      "COPY --from=make --chown=alice:staff --chmod=750 /src/out /app/run",
      "RUN <<END",
      "set -e",
      "cd app",
      "echo made > made",
      "END",
      'ENTRYPOINT ["/bin/sh"]',
      'CMD ["/app/run"]',
    ].join("\n"),
  });
  const { stdout, stderr } = await built(
    world,
    ...["-t", "app:1", "-t", "app:latest", "--build-arg", "BASE=busybox", "--build-arg", "VERSION=7", folder],
  );
  assert.match(stdout, /^sha256:[0-9a-f]{64}\n$/);
  assert.match(stderr, /^\[1\/12\] FROM busybox AS make$/m);
  assert.match(stderr, /^\[6\/12\] RUN echo .*\n(on stdout\non stderr|on stderr\non stdout)\n\[7\/12\] FROM busybox$/m);
  assert.doesNotMatch(stderr, /exit 1/);

  const run = await world.cli(["run", "--rm", "--network", "none", "app"]);
  assert.deepEqual([run.stdout, run.stderr], ["main\nhello you 7\n", ""]);
  assert.equal(await say(world, "app:1", "stat -c '%a %u:%g' /app/run; cat /app/made"), "750 1000:50\nmade\n");
  assert.deepEqual(configOf(world, "app:1").config?.Labels, { one: "1", two: "2 3" });
  const history = await world.cli(["images", "history", "--json", "app:1"]);
  const lines: { created_by: string; empty_layer?: boolean }[] = JSON.parse(history.stdout);
  assert.deepEqual(lines.map(({ created_by, empty_layer = false }) => [created_by, empty_layer]), [
    ['CMD ["/app/run"]', true],
    ['ENTRYPOINT ["/bin/sh"]', true],
    ["RUN /bin/sh -c set -e\ncd app\necho made > made\n", false],
    ["COPY --from=make --chown=alice:staff --chmod=750 /src/out /app/run", false],
    ["LABEL one=1 two=2 3", true],
  ]);

  await world.cli(["images", "save", "-o", `${world.home}/app.tar`, "app:1"]);
  await other.cli(["images", "load", "-i", `${world.home}/app.tar`]);
  assert.equal((await other.cli(["run", "--rm", "--network", "none", "app:1"])).stdout, "main\nhello you 7\n");
  const verified = await world.cli(["images", "verify"]);
  assert.deepEqual([verified.code, verified.stdout], [0, ""]);
  assertNothingLeft(world);
});

Deno.test("what is said on standard output is the digest, or JSON", async () => {
  await using world = makeWorld();
  const folder = context(world, { Containerfile: "FROM busybox\nRUN echo loud\n" });
  const quiet = await built(world, "-q", "-t", "a", folder);
  assert.deepEqual([quiet.stdout.length, quiet.stderr], ["sha256:".length + 65, ""]);
  const { stdout } = await built(world, "--json", "-t", "a", folder);
  assert.deepEqual(JSON.parse(stdout), { names: ["docker.io/library/a:latest"], digest: quiet.stdout.trim() });
  const piped = await world.cli(["images", "build", "-q", "-f", "-", folder], { stdin: "FROM busybox\nENV A=1\n" });
  assert.match(piped.stdout, /^sha256:/, piped.stderr);
  assert.equal((await listImages(world.folders)).length, 1);
});

Deno.test("build: steps are done again when something that they depend on has changed, and only then", async () => {
  await using world = makeWorld({ ownImage: true });
  const folder = context(world, {
    Dockerfile: "FROM busybox\nARG A=1\nCOPY d /d\nRUN date +%N > /made; echo $A\nWORKDIR /w\n",
    "d/file": "1",
    "d/sub/other": "2",
  });
  const steps = ["COPY d /d", "RUN date +%N > /made; echo $A", "WORKDIR /w"];
  const first = await built(world, "-t", "a", folder);
  assert.deepEqual(cached(first), []);
  const second = await built(world, "-t", "a", folder);
  assert.deepEqual([cached(second), second.stdout], [steps, first.stdout]);

  Deno.utimeSync(`${folder}/d/file`, 1, 1);
  assert.deepEqual(cached(await built(world, "-t", "a", folder)), steps, "times do not count");
  assert.deepEqual(cached(await built(world, "--build-arg", "A=1", folder)), steps, "nor where a value comes from");
  assert.deepEqual(cached(await built(world, "--build-arg", "A=2", folder)), steps.slice(0, 1));
  assert.deepEqual(cached(await built(world, "--build-arg", "https_proxy=x", folder)), steps, "nor proxies");
  Deno.chmodSync(`${folder}/d/sub/other`, 0o600);
  assert.deepEqual(cached(await built(world, folder)), [], "modes do");
  Deno.chmodSync(`${folder}/d/sub/other`, 0o644);
  Deno.writeTextFileSync(`${folder}/d/sub/other`, "3");
  assert.deepEqual(cached(await built(world, folder)), []);
  Deno.writeTextFileSync(`${folder}/d/sub/other`, "2");
  assert.deepEqual(cached(await built(world, folder)), steps);
  const again = await built(world, "--no-cache", folder);
  assert.deepEqual(cached(again), []);
  assert.notEqual(again.stdout, first.stdout);
  Deno.writeTextFileSync(`${world.image}/new`, "");
  assert.deepEqual(cached(await built(world, folder)), [], "another base");
});

Deno.test("build: the same files give the same image anywhere, with SOURCE_DATE_EPOCH whenever", async () => {
  const digests: string[] = [], layers: (readonly string[])[] = [];
  for (const wait of [0, 1100]) {
    await using world = makeWorld();
    await new Promise((resolve) => setTimeout(resolve, wait));
    Deno.mkdirSync(`${world.folders.images}/base`);
    Deno.utimeSync(`${world.folders.images}/base`, 1e9, 1e9);
    const folder = context(world, {
      Dockerfile: "FROM base\nCOPY d/ /a/b/\nCOPY d/one /a/c/\nWORKDIR /a/w\nADD t.tar /t/\nCOPY <<X /x\nx\nX\n",
      "d/one": "1",
      "d/two/three": "2",
    });
    Deno.writeFileSync(`${folder}/t.tar`, tar({ name: "in/tar", body: "x" }));
    for (const name of ["d/one", "d/two/three", "d/two", "d"]) Deno.utimeSync(`${folder}/${name}`, 1.6e9, 1.6e9);
    await built(world, "-t", "plain", folder);
    layers.push(layersOf(world, "plain"));
    const { folders } = world;
    const { descriptor } = await buildImage(folder, { ...folders, names: ["timed"], sourceDateEpoch: 1.5e9 });
    digests.push(descriptor.digest);
    assert.equal(configOf(world, "timed").created, "2017-07-14T02:40:00.000Z");
  }
  assert.deepEqual(layers[0], layers[1]);
  assert.equal(digests[0], digests[1]);
});

Deno.test("build: nothing is made before everything is checked, and errors name the line", async () => {
  await using world = makeWorld();
  const folder = context(world, { f: "" });
  const cases: [string, RegExp][] = [
    ["FROM busybox\nRUN true\nRUNN x", /^sauropod: Dockerfile:3: unknown instruction "RUNN"\n {2}FROM, RUN,/],
    ["FROM busybox\nRUN true\nCOPY missing /", /^sauropod: Dockerfile:3: "missing" is not in the context\n/],
    [
      "FROM busybox\nRUN true\nENV N=missing\nCOPY f $N /x/",
      /^sauropod: Dockerfile:4: "missing" is not in the context/,
    ],
    ["FROM busybox\nRUN true\nCOPY *.none /", /^sauropod: Dockerfile:3: nothing in the context is called \*\.none/],
    [
      "FROM busybox\nRUN true\nHEALTHCHECK CMD x",
      /^sauropod: Dockerfile:3: HEALTHCHECK is not supported\n {2}say it when/,
    ],
    ["FROM busybox\nRUN true\nCOPY --from=2 / /", /^sauropod: Dockerfile:3: there is no stage 2 before this one/],
    ["FROM busybox\nRUN true\nCOPY * /x", /^sauropod: Dockerfile:3: several files go into a folder: \/x must end/],
    ["FROM busybox\nRUN true\nADD http://x/y /", /^sauropod: Dockerfile:3: ADD of http:\/\/x\/y is not supported/],
    ["FROM none.invalid/x\nRUN true", /^sauropod: Dockerfile:1: no image "none.invalid\/x"/],
    ["FROM host\nRUN true", /^sauropod: Dockerfile:1: host is this machine's own file system/],
  ];
  for (const [text, message] of cases) {
    Deno.writeTextFileSync(`${folder}/Dockerfile`, text);
    const { code, stdout, stderr } = await build(world, "--pull", "never", "-t", "a", folder);
    assert.deepEqual([code, stdout], [125, ""], text);
    assert.match(stderr, message);
  }
  assert.match((await build(world, "--target", "x", folder)).stderr, /there is no stage x\n {2}there is: 0/);
  assert.match(
    (await build(world, `${folder}/none`)).stderr,
    /none is no folder that an image can be built of\n {2}name the folder/,
  );
  assert.match(
    (await build(world, "--build-arg", "1=2", folder)).stderr,
    /invalid --build-arg "1…": expected NAME=VALUE/,
  );
  assert.match((await build(world, "-t", "NO!", folder)).stderr, /NO!/);
  assert.match((await build(world, "--platform", "arm64", folder)).stderr, /invalid platform "arm64"/);
  const network = await world.cli(["images", "build", "--network", "a:b", folder]);
  assert.match(network.stderr, /^sauropod: .*a:b/);
  assert.deepEqual(namesIn(`${storeFolder(world.folders.images)}/build`), []);
  assert.deepEqual(await listImages(world.folders), []);
  assertNothingLeft(world);
});

Deno.test("build: what was pulled is built on, with all its layers and settings, and can be pushed", async () => {
  await using world = makeWorld();
  const registry = await openTestRegistry();
  try {
    const folder = context(world, {
      Dockerfile:
        `FROM ${registry.address}/app:1\nUSER 0\nRUN ["/bin/busybox", "sh", "-c", "pwd > /data/more; echo $COLOUR"]\nCOPY f /data/f\n`,
      f: "f",
    });
    const { stderr } = await built(world, "-t", `${registry.address}/own:1`, folder);
    assert.match(stderr, /\] RUN .*\nblue\n/);
    const { config } = configOf(world, `${registry.address}/own:1`);
    assert.deepEqual(config, {
      Entrypoint: ["/entry"],
      Cmd: ["hello"],
      Env: ["COLOUR=blue"],
      WorkingDir: "/srv",
      User: "0",
    });
    assert.equal((await world.cli(["images", "push", `${registry.address}/own:1`])).code, 0);
    await using other = makeWorld();
    const script = "ls /data; echo; ls /gone 2>/dev/null; cat /data/more";
    const words = ["run", "--rm", "--network", "none", "--entrypoint", "/bin/sh", `${registry.address}/own:1`, "-c"];
    assert.equal(
      (await other.cli([...words, script.replaceAll("cat", "busybox cat")])).stdout,
      "f\nmore\nnew\n\n/srv\n",
    );
    const missing = await build(world, "--pull", "never", "--platform", "linux/s390x", folder);
    assert.match(missing.stderr, /Dockerfile:1: no image/);
  } finally {
    registry.close();
  }
});

Deno.test("a script builds, hears of it and can give up", async () => {
  await using world = makeWorld();
  const heard: string[] = [], warnings: string[] = [];
  const folder = context(world, { f: "f" }), { folders } = world;
  const text = "FROM busybox\nARG A\nRUN echo $A\n";
  const { names, descriptor } = await buildImage(folder, {
    ...folders,
    text,
    names: ["a:1"],
    network: "none",
    buildArgs: { A: "given", B: "unused" },
    limits: { memory: 64 * 1024 * 1024 },
    onProgress: ({ step, steps, text, cached }) => heard.push(`${step}/${steps} ${text} ${cached}`),
    onOutput: (bytes) => heard.push(new TextDecoder().decode(bytes)),
    onWarning: (message) => warnings.push(message),
  });
  assert.deepEqual(heard, ["1/3 FROM busybox false", "2/3 ARG A false", "3/3 RUN echo $A false", "given\n"]);
  assert.deepEqual(warnings, ["no ARG asks for B"]);
  assert.deepEqual(names, ["docker.io/library/a:1"]);
  assert.equal((await listImages(folders))[0]?.digest, descriptor.digest);
  const controller = new AbortController();
  const given = buildImage(folder, {
    ...folders,
    text: "FROM busybox\nRUN echo begun; sleep 1000",
    names: ["b"],
    network: "none",
    signal: controller.signal,
    onOutput: () => controller.abort(new Error("enough")),
  });
  await assert.rejects(given, /enough/);
  await assert.rejects(buildImage(folder, { ...folders, text: "FROM busybox\nRUN exit 3", network: "none" }), {
    name: "ImageError",
    code: "run-failed",
    facts: { file: "Dockerfile", line: 2, step: "[2/2] RUN exit 3", exitCode: 3 },
  });
  assert.equal((await listImages(folders)).length, 1);
  assert.deepEqual(leftIn(world), []);
});

Deno.test("build: an image of nothing has what is copied to it, and a layer that is made twice counts once", async () => {
  await using world = makeWorld();
  const folder = context(world, { Dockerfile: 'FROM scratch\nRUN ["/none"]\n', f: "f" });
  const failed = await build(world, folder);
  assert.deepEqual([failed.code, /Dockerfile:2: .*\/none/.test(failed.stderr)], [127, true], failed.stderr);
  Deno.writeTextFileSync(
    `${folder}/Dockerfile`,
    "FROM scratch AS a\nCOPY f /f\nCOPY f /g\nCOPY f /f\nLABEL a=b\nFROM busybox\nCOPY --from=a / /a\nCOPY f /f\nCOPY f /f\nRUN cat /f",
  );
  await built(world, "-t", "b", folder);
  await built(world, "-t", "a", "--target", "a", folder);
  const layers = layersOf(world, "a");
  assert.deepEqual([layers.length, new Set(layers).size], [3, 2]);
  assert.equal(await say(world, "b", "ls /a; cat /f"), "f\ng\nf");
});

Deno.test("build: an image without layers runs what is mounted into it", async () => {
  await using world = makeWorld();
  await built(world, "-t", "none", context(world, { Dockerfile: 'FROM scratch\nCMD ["/busybox", "ls", "/"]\n' }));
  const options = { ...world.folders, network: "none", volumes: ["/bin/busybox:/busybox:ro"] };
  const { code, stdout } = await output("none", [], options);
  assert.deepEqual([code, new TextDecoder().decode(stdout)], [0, "busybox\ndev\netc\nproc\nsys\n"]);
});
