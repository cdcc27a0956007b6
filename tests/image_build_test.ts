/** `images build`: images of Dockerfiles, as a user sees them. */

import assert from "node:assert/strict";
import { buildImage, listImages, output } from "../mod.ts";
import { ImageError } from "../lib/errors.ts";
import { inspectImage, pruneStore, verifyImages } from "../lib/image/manage.ts";
import { storeFolder } from "../lib/image/store.ts";
import { assertApart, assertNothingLeft, leftIn, lookApart, processesWith, until } from "./helpers/life.ts";
import { host } from "./helpers/inside.ts";
import { openTestRegistry } from "./helpers/store.ts";
import { bytesOf, concat, item, randomFrom, tar } from "./helpers/tar.ts";
import { makeWorld, type Result, type World } from "./helpers/world.ts";

type Content = string | { text: string; mode?: number } | { link: string };

/** Makes the files of a context; a name that ends with a slash is a folder. Returns its path. */
function context(world: World, files: Record<string, Content>, name = "context"): string {
  const folder = `${world.home}/${name}`;
  Deno.mkdirSync(folder, { recursive: true });
  for (const [path, content] of Object.entries(files)) {
    const file = `${folder}/${path}`;
    Deno.mkdirSync(file.slice(0, file.lastIndexOf("/")), { recursive: true });
    if (path.endsWith("/")) continue;
    if (typeof content !== "string" && "link" in content) Deno.symlinkSync(content.link, file);
    else {
      const { text, mode = 0o644 } = typeof content === "string" ? { text: content, mode: undefined } : content;
      Deno.writeTextFileSync(file, text);
      Deno.chmodSync(file, mode);
    }
  }
  return folder;
}

function build(world: World, ...words: string[]): Promise<Result> {
  return world.cli(["images", "build", "--network", "none", ...words], { env: { SOURCE_DATE_EPOCH: "" } });
}

async function built(world: World, ...words: string[]): Promise<Result> {
  const result = await build(world, ...words);
  assert.equal(result.code, 0, result.stderr);
  return result;
}

async function say(world: World, image: string, script: string): Promise<string> {
  const { stdout } = await output(image, ["-c", script], {
    ...world.folders,
    network: "none",
    entrypoint: "/bin/sh",
  });
  return new TextDecoder().decode(stdout);
}

/** The steps that were not done again. */
function cached({ stderr }: Result): string[] {
  return [...stderr.matchAll(/^\[\d+\/\d+\] (.*) \(cached\)$/gm)].map(([, text = ""]) => text);
}

function namesIn(folder: string): string[] {
  try {
    return [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

function blobs({ folders }: World): string[] {
  return namesIn(`${storeFolder(folders.images)}/blobs/sha256`);
}

function configOf({ folders }: World, name: string) {
  return inspectImage(folders.images, name).config;
}

function layersOf({ folders }: World, name: string): readonly string[] {
  return inspectImage(folders.images, name).config.rootfs.diff_ids;
}

Deno.test("a Dockerfile with stages becomes an image that runs, is saved and has a history", async () => {
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

Deno.test("steps are done again when something that they depend on has changed, and only then", async () => {
  await using world = makeWorld();
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
  Deno.writeTextFileSync(`${world.folders.images}/busybox/new`, "");
  assert.deepEqual(cached(await built(world, folder)), [], "another base");
});

Deno.test("the same files give the same image anywhere, with SOURCE_DATE_EPOCH whenever", async () => {
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

Deno.test("COPY and ADD put files where docker does", async () => {
  await using world = makeWorld();
  const folder = context(world, {
    Dockerfile: [
      "FROM busybox",
      "WORKDIR /w",
      "COPY d d1",
      "COPY d/ /d2/",
      "COPY f one",
      "COPY f g dir/",
      'COPY ["with blank", "./"]',
      "COPY *.txt t?/ txt/",
      "ENV WHERE=where",
      "COPY f $WHERE/${WHERE:+in}/",
      "COPY f /tmp",
      "COPY link .",
      "COPY <<'A' <<B docs/",
      "$WHERE",
      "A",
      "$WHERE",
      "B",
      "ADD t.tgz un",
      "ADD --chown=5:6 t.tgz /un2",
      "COPY t.tgz packed",
      "ADD f plain",
      "COPY --chown=1000 f owned",
      "COPY --from=busybox /etc/passwd /etc/group etc/",
      "COPY d d1/sub",
    ].join("\n"),
    "d/a": { text: "a", mode: 0o640 },
    "d/sub/b": "b",
    "d/dangling": { link: "nowhere" },
    f: "f",
    g: "g",
    "with blank": "",
    "1.txt": "",
    "2.txt": "",
    "t1/x": "",
    link: { link: "f" },
  });
  Deno.chmodSync(`${folder}/d/sub`, 0o700);
  const archive = new Blob([tar({ name: "x/y", body: "y", uid: 3, mode: 0o600 })]).stream();
  Deno.writeFileSync(`${folder}/t.tgz`, await new Response(archive.pipeThrough(new CompressionStream("gzip"))).bytes());
  await built(world, "-t", "a", folder);
  const found = await say(
    world,
    "a",
    "cd /; find w d2 tmp un2 | sort | while read f; do stat -c '%N %A %u:%g' $f; done",
  );
  const expected = [
    "d2 drwxr-xr-x 0:0",
    "d2/a -rw-r----- 0:0",
    "d2/dangling -> nowhere lrwxrwxrwx 0:0",
    "d2/sub drwx------ 0:0",
    "d2/sub/b -rw-r--r-- 0:0",
    "tmp drwxrwxrwt 0:0",
    "tmp/f -rw-r--r-- 0:0",
    "un2 drwxr-xr-x 5:6",
    "un2/x drwxr-xr-x 0:0",
    "un2/x/y -rw------- 5:6",
    "w drwxr-xr-x 0:0",
    "w/d1 drwxr-xr-x 0:0",
    "w/d1/a -rw-r----- 0:0",
    "w/d1/dangling -> nowhere lrwxrwxrwx 0:0",
    "w/d1/sub drwx------ 0:0",
    "w/d1/sub/a -rw-r----- 0:0",
    "w/d1/sub/b -rw-r--r-- 0:0",
    "w/d1/sub/dangling -> nowhere lrwxrwxrwx 0:0",
    "w/d1/sub/sub drwx------ 0:0",
    "w/d1/sub/sub/b -rw-r--r-- 0:0",
    "w/dir drwxr-xr-x 0:0",
    "w/dir/f -rw-r--r-- 0:0",
    "w/dir/g -rw-r--r-- 0:0",
    "w/docs drwxr-xr-x 0:0",
    "w/docs/A -rw-r--r-- 0:0",
    "w/docs/B -rw-r--r-- 0:0",
    "w/etc drwxr-xr-x 0:0",
    "w/etc/group -rw-r--r-- 0:0",
    "w/etc/passwd -rw-r--r-- 0:0",
    "w/link -rw-r--r-- 0:0",
    "w/one -rw-r--r-- 0:0",
    "w/owned -rw-r--r-- 1000:1000",
    "w/packed -rw-r--r-- 0:0",
    "w/plain -rw-r--r-- 0:0",
    "w/txt drwxr-xr-x 0:0",
    "w/txt/1.txt -rw-r--r-- 0:0",
    "w/txt/2.txt -rw-r--r-- 0:0",
    "w/txt/x -rw-r--r-- 0:0",
    "w/un drwxr-xr-x 0:0",
    "w/un/x drwxr-xr-x 0:0",
    "w/un/x/y -rw------- 3:0",
    "w/where drwxr-xr-x 0:0",
    "w/where/in drwxr-xr-x 0:0",
    "w/where/in/f -rw-r--r-- 0:0",
  ];
  const lines = found.replaceAll(/['`]/g, "").trim().split("\n").filter((line) => !line.startsWith("w/with"));
  assert.deepEqual(lines, expected);
  assert.equal(
    await say(world, "a", "ls /w/with*; cat /w/docs/A /w/docs/B /w/link"),
    "/w/with blank\n$WHERE\nwhere\nf",
  );
});

Deno.test(".dockerignore leaves out what docker leaves out", async () => {
  await using world = makeWorld();
  const folder = context(world, {
    ".dockerignore": "# not needed\n*.log\n**/secret\nnode_modules\n!node_modules/kept/*.js\nempty/*\n",
    Dockerfile: "FROM busybox\nCOPY . /c/\n",
    "a.log": "",
    "sub/a.log": "",
    "sub/secret": "",
    "sub/secrets": "",
    "node_modules/x/index.js": "",
    "node_modules/kept/index.js": "",
    "node_modules/kept/readme": "",
    "empty/file": "",
    alias: { link: "sub/secret" },
  });
  await built(world, "-t", "a", folder);
  const found = await say(world, "a", "cd /c; find . | sort | tr '\\n' ' '");
  assert.equal(
    found,
    ". ./.dockerignore ./Dockerfile ./alias ./empty ./node_modules ./node_modules/kept ./node_modules/kept/index.js ./sub " +
      "./sub/a.log ./sub/secrets ",
  );
  for (const source of ["sub/secret", "a.log", "alias", "*.log"]) {
    Deno.writeTextFileSync(`${folder}/Dockerfile`, `FROM busybox\n\nCOPY ${source} /c/\n`);
    const { code, stderr } = await build(world, folder);
    assert.equal(code, 125);
    assert.match(stderr, /^sauropod: Dockerfile:3: .* is left out by \.dockerignore\n {2}a line with ! takes it back/);
  }
  Deno.writeTextFileSync(`${folder}/Other`, "FROM busybox\nCOPY sub/secret /\n");
  Deno.writeTextFileSync(`${folder}/Other.dockerignore`, "a.log\n");
  await built(world, "-f", `${folder}/Other`, folder);
});

Deno.test("nothing is made before everything is checked, and errors name the line", async () => {
  await using world = makeWorld();
  const folder = context(world, { f: "" });
  const cases: [string, RegExp][] = [
    ["FROM busybox\nRUN true\nRUNN x", /^sauropod: Dockerfile:3: "RUNN" is no instruction\n {2}FROM, RUN,/],
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
  assert.match((await build(world, "--build-arg", "1=2", folder)).stderr, /--build-arg 1=2 is not NAME=VALUE/);
  assert.match((await build(world, "-t", "NO!", folder)).stderr, /NO!/);
  assert.match((await build(world, "--platform", "arm64", folder)).stderr, /"arm64" is not a platform/);
  const network = await world.cli(["images", "build", "--network", "a:b", folder]);
  assert.match(network.stderr, /^sauropod: .*a:b/);
  assert.deepEqual(namesIn(`${storeFolder(world.folders.images)}/build`), []);
  assert.deepEqual(await listImages(world.folders), []);
  assertNothingLeft(world);
});

Deno.test("a context cannot show more than itself, nor an image lead a copy out of it", async () => {
  await using world = makeWorld();
  Deno.writeTextFileSync(`${world.home}/secret`, "secret");
  Deno.mkdirSync(`${world.home}/outside`);
  Deno.writeTextFileSync(`${world.home}/outside/file`, "secret");
  const folder = context(world, {
    "d/up": { link: "../../secret" },
    "d/abs": { link: `${world.home}/secret` },
    "d/folder": { link: `${world.home}/outside` },
    "d/proc": { link: "/proc/self/root/etc/passwd" },
    away: { link: `${world.home}/outside` },
    climbing: { link: "../outside" },
    loop: { link: "loop" },
    f: "f",
  });
  await new Deno.Command("mkfifo", { args: [`${folder}/d/fifo`] }).output();
  const socket = Deno.listen({ transport: "unix", path: `${folder}/d/socket` });
  const dockerfile = (...lines: string[]): void =>
    Deno.writeTextFileSync(`${folder}/Dockerfile`, ["FROM busybox", ...lines].join("\n"));

  dockerfile("COPY d /d", "COPY ../f ../../f /up/");
  await built(world, "-t", "a", folder);
  const links = await say(world, "a", "cd /d; for f in *; do stat -c '%F' $f; readlink $f; done; ls -A /up");
  const { home } = world;
  assert.equal(
    links,
    `symbolic link\n${home}/secret\nfifo\nsymbolic link\n${home}/outside\nsymbolic link\n/proc/self/root/etc/passwd\n` +
      "symbolic link\n../../secret\nf\n",
  );
  Deno.removeSync(`${folder}/Dockerfile`);
  Deno.symlinkSync(`${world.home}/secret`, `${folder}/Dockerfile`);
  assert.match((await build(world, folder)).stderr, /there is no .*\/Dockerfile and no .*\/Containerfile/);
  await new Deno.Command("mkfifo", { args: [`${folder}/Containerfile`] }).output();
  assert.match((await build(world, folder)).stderr, /Containerfile in .* is no file/);
  for (const name of ["Dockerfile", "Containerfile"]) Deno.removeSync(`${folder}/${name}`);
  for (const source of ["away", "climbing", "d/up", "d/proc", "away/file", "loop", "d/folder/file", "away/*"]) {
    dockerfile(`COPY ${source} /x/`);
    const { code, stderr } = await build(world, folder);
    assert.equal(code, 125, source);
    assert.match(stderr, /Dockerfile:2: .*(is not in the context|nothing in the context)/, source);
  }
  socket.close();

  await new Deno.Command("mknod", { args: [`${folder}/d/disk`, "b", "7", "0"] }).output();
  dockerfile("COPY d /d");
  const device = await build(world, folder);
  assert.match(device.stderr, /Dockerfile:2: "d\/disk" of the context is a device\n {2}name it in \.dockerignore/);
  Deno.removeSync(`${folder}/d/disk`);

  // Links of the image: as roots have them, absolute and climbing, to what is there and to what is not.
  const host = `${world.home}/host`;
  Deno.mkdirSync(host);
  dockerfile(
    `RUN ln -s ${host} /app; ln -s ../../../..${host} /app2; mkdir /real /new; ln -s /real /app3; ln -s /new/deep /app4; ` +
      `ln -s ${host}/file /app5; mkdir /m; ln -s ${host} /m/sub`,
    "COPY f /app/",
    "COPY f /app2/",
    "COPY f /app3",
    "COPY d /app4/",
    "COPY f /app5",
    "WORKDIR /app/made",
  );
  await built(world, "-t", "b", folder);
  assert.deepEqual(namesIn(host), []);
  const inside = await say(world, "b", `ls /real ${host}; readlink /new/deep/up; cat /app5`);
  assert.equal(inside, `/real:\nf\n\n${host}:\nf\nfile\nmade\n../../secret\nf`);
  dockerfile(`RUN mkdir /m; ln -s ${host} /m/sub`, "COPY m /m");
  context(world, { "m/sub/evil": "" });
  const nested = await build(world, folder);
  assert.match(nested.stderr, /Dockerfile:3: .*"sub\/": is a folder; what is there is none/);

  // An archive, too.
  Deno.writeFileSync(`${folder}/evil.tar`, tar({ name: "l", type: "2", target: host }, { name: "l/evil", body: "" }));
  dockerfile("ADD evil.tar /");
  assert.match((await build(world, folder)).stderr, /Dockerfile:2: the archive is unsafe: "l\/evil" goes through "l"/);
  Deno.writeFileSync(`${folder}/evil.tar`, tar({ name: "../../evil", body: "" }));
  assert.match((await build(world, folder)).stderr, /Dockerfile:2: the archive is unsafe/);
  assert.deepEqual(namesIn(host), []);
  assertNothingLeft(world);
});

Deno.test("ADD unpacks archives, and nothing that only looks like one", async () => {
  await using world = makeWorld();
  const folder = context(world, {
    Dockerfile: "FROM scratch\nADD root.tar /\nADD text.gz zeros /x/\nFROM busybox\nCOPY --from=0 / /all/",
    zeros: "\0".repeat(2048),
  });
  const gz = new Blob(["text"]).stream().pipeThrough(new CompressionStream("gzip"));
  Deno.writeFileSync(`${folder}/text.gz`, await new Response(gz).bytes());
  const old = item({ name: "etc/old", body: "archive", mode: 0o600, uid: 9 });
  Deno.writeFileSync(
    `${folder}/root.tar`,
    concat(
      item({ name: "./", type: "5", mode: 0o711 }),
      item({ name: "etc/", type: "5", mode: 0o750 }),
      old,
      item({ name: "dev/null", type: "3", major: 1, minor: 3, mode: 0o666 }),
      bytesOf("\0".repeat(1024)),
    ),
  );
  await built(world, "-t", "a", folder);
  assert.equal(
    await say(world, "a", "cd /all; stat -c '%n %a %u' etc etc/old; find . -type c; cat etc/old; ls -A x"),
    "etc 750 0\netc/old 600 9\n./dev/null\narchivetext.gz\nzeros\n",
  );
  Deno.writeFileSync(`${folder}/text.gz`, new Uint8Array([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 0, 0]));
  assert.match((await build(world, folder)).stderr, /Dockerfile:3: .*xz/);
});

Deno.test("users and folders are as docker makes them", async () => {
  await using world = makeWorld();
  const folder = context(world, {
    Dockerfile: [
      "FROM busybox AS base",
      "ARG INHERITED=yes",
      "USER alice",
      "WORKDIR /home/alice",
      "RUN touch mine; id -u > who; echo $HOME >> who; echo $INHERITED",
      "VOLUME /home/alice/data",
      "RUN mkdir -p data; echo kept > data/file",
      'SHELL ["/bin/sh", "-e", "-c"]',
      "FROM base",
      "RUN [ $INHERITED = yes ]; echo $0 $- > shell",
      'RUN ["/bin/sh", "-c", "echo $PWD > exec"]',
      "EXPOSE 80/tcp 53/udp",
      "STOPSIGNAL SIGQUIT",
    ].join("\n"),
  });
  await built(world, "-t", "a", folder);
  const { config } = configOf(world, "a");
  assert.deepEqual(config, {
    User: "alice",
    WorkingDir: "/home/alice",
    Volumes: { "/home/alice/data": {} },
    ExposedPorts: { "80/tcp": {}, "53/udp": {} },
    StopSignal: "SIGQUIT",
  });
  assert.equal(
    await say(world, "a", "cat who shell exec; stat -c %U . /home mine; cat data/file"),
    "1000\n/home/alice\n/bin/sh ce\n/home/alice\nalice\nalice\nalice\nkept\n",
  );
});

Deno.test("files of a stage keep their owners, and folders that a copy makes are those of --chown, for all to enter", async () => {
  await using world = makeWorld();
  const dockerfile = (owner: string) =>
    [
      "FROM busybox AS make",
      `RUN mkdir -p /d/sub; touch /d/sub/f; chown -R ${owner} /d; chmod 700 /d`,
      "FROM busybox",
      "COPY --from=make /d /all/d",
      "COPY --from=make /d/sub/f /f",
      "COPY --chown=5:6 --chmod=640 Dockerfile /on/the/way",
      "COPY --chown=5:6 . /here",
      "COPY --chmod=600 . /open",
    ].join("\n");
  for (const owner of ["3:4", "7:8"]) {
    const folder = context(world, { Dockerfile: dockerfile(owner) });
    await built(world, "-t", "a", folder);
    assert.equal(
      await say(
        world,
        "a",
        "stat -c '%a %u:%g %n' /all /all/d /all/d/sub /all/d/sub/f /f /on /on/the /on/the/way /here /open",
      ),
      `755 0:0 /all\n755 0:0 /all/d\n755 ${owner} /all/d/sub\n644 ${owner} /all/d/sub/f\n644 ${owner} /f\n` +
        "755 5:6 /on\n755 5:6 /on/the\n640 5:6 /on/the/way\n755 5:6 /here\n755 0:0 /open\n",
    );
  }
});

Deno.test("a RUN that fails leaves nothing, and its exit code is told", async () => {
  await using world = makeWorld();
  const before = lookApart();
  const folder = context(world, { Dockerfile: "FROM busybox\nRUN echo 1 > /1\nRUN echo doing; echo 2 > /2; exit 7\n" });
  const { code, stdout, stderr } = await build(world, "-t", "a", folder);
  assert.deepEqual([code, stdout], [7, ""]);
  assert.match(
    stderr,
    /\n\[3\/3\] RUN echo doing; [^\n]*\ndoing\nsauropod: Dockerfile:3: \[3\/3\] RUN echo doing; .*: it ended with exit code 7\n$/,
  );
  const quiet = await build(world, "-q", folder);
  assert.match(quiet.stderr, /^doing\nsauropod: Dockerfile:3: [^\n]*exit code 7\n$/);
  const made = blobs(world);
  assert.deepEqual(await listImages(world.folders), []);
  assert.deepEqual(namesIn(`${storeFolder(world.folders.images)}/partial`), []);
  assertNothingLeft(world);
  const again = await build(world, "-t", "a", folder);
  assert.deepEqual([cached(again), blobs(world)], [["RUN echo 1 > /1"], made], "what went well is not done again");

  for (
    const [run, exit, message] of [
      ["RUN /none", 127, /it ended with exit code 127/],
      ['RUN ["/none"]', 127, /\/none/],
      ['RUN ["/etc/passwd"]', 126, /\/etc\/passwd/],
      ["RUN sh -c 'kill -9 $$'; exit $?", 137, /exit code 137/],
      ["USER nobody\nRUN true", 125, /Dockerfile:3: unknown user "nobody"/],
    ] as const
  ) {
    Deno.writeTextFileSync(`${folder}/Dockerfile`, `FROM busybox\n${run}\n`);
    const failed = await build(world, folder);
    assert.equal(failed.code, exit, failed.stderr);
    assert.match(failed.stderr, message);
  }
  assertNothingLeft(world);
  assertApart(before);
});

/** A Dockerfile whose second RUN takes long; `marker` is a word of its command. */
function slow(world: World, marker: string): string {
  return context(world, { Dockerfile: `FROM busybox\nRUN echo 1 > /1\nRUN echo 2 > /2; sleep ${marker}\n` });
}

for (const signal of ["SIGINT", "SIGTERM", "SIGKILL"] as const) {
  Deno.test(`after ${signal} in the middle of a build nothing is left, and the next goes on`, async () => {
    await using world = makeWorld();
    const before = lookApart(), marker = `2${Date.now()}`, folder = slow(world, marker);
    const child = world.start(["images", "build", "--network", "none", "-t", "a", folder]);
    await until("the command runs", () => processesWith(marker).some((pid) => pid !== child.pid));
    child.kill(signal);
    const { code, stdout, stderr } = await child.output();
    await until("the command is gone", () => processesWith(marker).length === 0);
    if (signal !== "SIGKILL") {
      assert.equal(code, 125);
      assert.match(new TextDecoder().decode(stderr), /sauropod: interrupted/);
      assertNothingLeft(world);
    }
    assert.equal(stdout.length, 0);
    assert.deepEqual(await listImages(world.folders), []);
    Deno.writeTextFileSync(`${folder}/Dockerfile`, "FROM busybox\nRUN echo 1 > /1\nRUN echo 2 > /2\n");
    assert.deepEqual(cached(await built(world, "-t", "a", folder)), ["RUN echo 1 > /1"]);
    await world.cli(["gc"]);
    assertNothingLeft(world);
    assert.deepEqual(namesIn(`${storeFolder(world.folders.images)}/partial`), []);
    assert.equal(await say(world, "a", "cat /1 /2"), "1\n2\n");
    assertApart(before);
  });
}

Deno.test("kill -9 at any moment leaves what the next build clears away", async () => {
  await using world = makeWorld();
  const before = lookApart(), random = randomFrom(20_261_124);
  const folder = context(world, {
    Dockerfile:
      "FROM busybox AS a\nCOPY d /d\nRUN cat /d/* > /all\nFROM busybox\nCOPY --from=a / /a\nWORKDIR /w\nRUN cp /a/all .\n",
    "d/": "",
  });
  for (let i = 0; i < 40; i++) Deno.writeFileSync(`${folder}/d/${i}`, crypto.getRandomValues(new Uint8Array(60_000)));
  const partial = `${storeFolder(world.folders.images)}/partial`;
  for (let round = 0; round < 12; round++) {
    const child = world.start(["images", "build", "--no-cache", "--network", "none", folder]);
    const output = child.output();
    await new Promise((resolve) => setTimeout(resolve, 50 + 1000 * random()));
    try {
      child.kill("SIGKILL");
    } catch {
      // It has ended already.
    }
    await output;
  }
  await built(world, "-t", "a", folder);
  assert.deepEqual(namesIn(partial).filter((name) => name.endsWith(".tmp")), []);
  await pruneStore(world.folders.images);
  assert.deepEqual(namesIn(partial), []);
  assert.deepEqual(await verifyImages(world.folders.images), []);
  assert.equal(await say(world, "a", "cat /a/d/* | cmp - /w/all && ls /a/d | wc -l"), "40\n");
  await world.cli(["gc"]);
  assertNothingLeft(world);
  assertApart(before);
});

Deno.test("builds of the same at once do not disturb each other, nor prune them", async () => {
  await using world = makeWorld();
  const folder = context(world, {
    Dockerfile: "FROM busybox\nCOPY f /f\nRUN cat /f > /g; sleep 0.2\nRUN echo end\n",
    f: "f",
  });
  const builds = Array.from({ length: 4 }, (_, i) => built(world, "-t", `a:${i}`, folder));
  const prunes = Array.from({ length: 2 }, () => world.cli(["images", "prune"]));
  await Promise.all(builds);
  for (const { code, stderr } of await Promise.all(prunes)) assert.equal(code, 0, stderr);
  for (let i = 0; i < 4; i++) assert.equal(await say(world, `a:${i}`, "cat /g"), "f");
  assert.deepEqual(cached(await built(world, folder)).length, 3);
  assertNothingLeft(world);
});

Deno.test("rm spares what other builds go on from, prune does not", async () => {
  await using world = makeWorld();
  const folder = context(world, {
    Dockerfile: "FROM busybox AS make\nRUN echo made > /made\nFROM busybox\nCOPY --from=make /made /made\n",
  });
  const other = context(world, { Dockerfile: "FROM busybox\nRUN echo other > /other\n" }, "other");
  await built(world, "-t", "a", folder);
  await built(world, "-t", "b", other);
  const all = blobs(world).length;
  await world.cli(["images", "rm", "b"]);
  assert.equal(blobs(world).length, all - 3, "a layer, a configuration and a manifest");
  assert.equal(cached(await built(world, "-t", "a", folder)).length, 2);
  assert.deepEqual(cached(await built(world, "-t", "b", other)), []);
  await world.cli(["images", "prune"]);
  assert.deepEqual(cached(await built(world, "-t", "a", folder)), ["COPY --from=make /made /made"]);
  await world.cli(["images", "rm", "a", "b"]);
  await world.cli(["images", "prune"]);
  assert.deepEqual([blobs(world), namesIn(`${storeFolder(world.folders.images)}/build`)], [[], []]);
  assert.deepEqual(cached(await built(world, "-t", "a", folder)), []);
});

Deno.test("a container keeps the layers of a build that lost its name", async () => {
  await using world = makeWorld();
  const folder = context(world, { Dockerfile: "FROM busybox\nRUN echo made > /made\n" });
  await built(world, "-t", "a", folder);
  await world.cli(["run", "--name", "box", "--network", "none", "a", "true"]);
  await world.cli(["images", "rm", "--force", "a"]);
  await world.cli(["images", "prune"]);
  const { stdout, stderr } = await world.cli(["start", "-a", "box"]);
  assert.equal(stdout + stderr, "");
  assert.equal((await world.cli(["cp", "box:/made", "-"])).code, 0);
});

Deno.test("what was pulled is built on, with all its layers and settings, and can be pushed", async () => {
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

Deno.test("a full disk is named, and the store is as before", async () => {
  await using world = makeWorld();
  const small = `${world.home}/full`,
    images = `${small}/images`,
    { containers } = world.folders,
    there = { images, containers };
  const text = "FROM scratch\nCOPY bin /bin\nWORKDIR /w\nRUN head -c 2000000 /dev/urandom > noise\nADD etc /etc/\n";
  const folder = `${world.folders.images}/busybox`;
  Deno.mkdirSync(small);
  await host("mount", "-t", "tmpfs", "-o", "size=16k", "full", small);
  try {
    const steps = new Set<number>();
    for (let size = 16;; size = Math.ceil(size * 1.5)) {
      await host("mount", "-o", `remount,size=${size}k`, small);
      let last = 0;
      const onProgress = ({ step }: { step: number }): void => void (last = step);
      const given = buildImage(folder, { ...there, text, names: ["a"], network: "none", onProgress });
      const error = await given.then(() => undefined, (error) => error);
      if (error === undefined) break;
      steps.add(last);
      assert.ok(error instanceof ImageError && error.code === "store-full", `${size} KiB: ${error.stack}`);
      assert.ok(error.message.includes(`${images}/.store`), error.message);
      assert.deepEqual([await listImages(there), leftIn(world)], [[], []]);
      assert.ok(size < 40_000, "it never fits");
    }
    assert.ok(steps.has(2) && steps.has(4), [...steps].join());
    assert.deepEqual(namesIn(`${images}/.store/partial`), []);
    assert.deepEqual(await verifyImages(images), []);
  } finally {
    await host("umount", small);
  }
});

Deno.test("an image of nothing has what is copied to it, and a layer that is made twice counts once", async () => {
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

Deno.test("an image without layers runs what is mounted into it", async () => {
  await using world = makeWorld();
  await built(world, "-t", "none", context(world, { Dockerfile: 'FROM scratch\nCMD ["/busybox", "ls", "/"]\n' }));
  const options = { ...world.folders, network: "none", volumes: ["/bin/busybox:/busybox:ro"] };
  const { code, stdout } = await output("none", [], options);
  assert.deepEqual([code, new TextDecoder().decode(stdout)], [0, "busybox\ndev\netc\nproc\nsys\n"]);
});

/** The files of an image as umoci unpacks them, one a line. */
async function unpacked(layout: string, name: string, to: string): Promise<string[]> {
  const unpack = await new Deno.Command("umoci", { args: ["unpack", "--image", `${layout}:${name}`, to] }).output();
  assert.ok(unpack.success, new TextDecoder().decode(unpack.stderr));
  const find = new Deno.Command("find", {
    args: [
      ".",
      "-printf",
      "%p %M %U:%G %l",
      "(",
      "-type",
      "f",
      "-exec",
      "sha256sum",
      "{}",
      ";",
      "-o",
      "-printf",
      "\n",
      ")",
    ],
    cwd: `${to}/rootfs`,
  });
  return new TextDecoder().decode((await find.output()).stdout).trim().split("\n").sort();
}

async function settings(layout: string, name: string): Promise<Record<string, unknown>> {
  const { stdout } = await new Deno.Command("skopeo", { args: ["inspect", "--config", `oci:${layout}:${name}`] })
    .output();
  return JSON.parse(new TextDecoder().decode(stdout)).config;
}

const COMPARED = `
FROM scratch AS base
ADD root.tar.gz /
ENV X=1
FROM base AS tools
RUN mkdir -p /out/deep; echo tool > /out/deep/tool; chmod 711 /out/deep; ln -s tool /out/deep/link
FROM base
ARG V=7
LABEL a=b c="d e" \\
  f='g h'
LABEL old style
ENV PATH=/bin:/usr/bin Y="$X two" Z=\${V:-none}\${NO:+x}
WORKDIR /w
WORKDIR sub
COPY d d1
COPY d d2/
COPY d /d3/
COPY one two files/
COPY --chown=app one renamed
COPY --chown=1000:50 one renamed2
COPY --chown=app:0 --chmod=640 two mode
COPY followed .
COPY *e t?o all/
COPY ["with blank", "/w/"]
COPY --from=tools /out /out
COPY --from=tools /out/deep/link /followed
ADD more.tar added/
RUN echo $V > v; id -un > who; mkdir -m 700 m; ln v v2; rm -rf d2/sub; rm /d3/a; chmod 1777 files
EXPOSE 80 53/udp
USER app
RUN ["/bin/sh", "-c", "id -u > /tmp/x; pwd > /tmp/y; echo $Y $Z > /tmp/z"]
STOPSIGNAL SIGINT
CMD ["none"]
ENTRYPOINT ["/bin/sh"]
CMD echo hi
VOLUME /data
`;

function hasBuildah(): boolean {
  try {
    return Deno.statSync("/usr/bin/buildah").isFile;
  } catch {
    return false;
  }
}

Deno.test("what is built is what buildah builds of the same Dockerfile", { ignore: !hasBuildah() }, async () => {
  await using world = makeWorld();
  const folder = context(world, {
    Dockerfile: COMPARED,
    "d/a": { text: "a", mode: 0o640 },
    "d/sub/b": "b",
    "d/link": { link: "a" },
    one: "1",
    two: { text: "2", mode: 0o755 },
    followed: { link: "one" },
    "with blank": "",
  });
  Deno.chmodSync(`${folder}/d/sub`, 0o750);
  const root = `${world.folders.images}/busybox`;
  for (const name of ["dev", "proc", "sys", "run"]) Deno.mkdirSync(`${root}/${name}`);
  for (const name of ["hosts", "hostname", "resolv.conf"]) Deno.writeTextFileSync(`${root}/etc/${name}`, "");
  Deno.writeTextFileSync(`${root}/etc/passwd`, "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/:/bin/sh\n");
  await new Deno.Command("tar", { args: ["czf", `${folder}/root.tar.gz`, "-C", root, "."] }).output();
  Deno.writeFileSync(
    `${folder}/more.tar`,
    tar({ name: "x/", type: "5", mode: 0o711 }, { name: "x/y", uid: 4, gid: 5 }),
  );

  const storage = [
    "--root",
    `${world.home}/buildah`,
    "--runroot",
    `${world.home}/buildah-run`,
    "--storage-driver",
    "vfs",
  ];
  const buildah = async (...args: string[]): Promise<void> => {
    const { success, stderr } = await new Deno.Command("buildah", { args: [...storage, ...args], cwd: folder })
      .output();
    assert.ok(success, new TextDecoder().decode(stderr));
  };
  await buildah("bud", "--isolation", "chroot", "--build-arg", "V=8", "-t", "theirs", ".");
  await buildah("push", "theirs", `oci:${world.home}/theirs:1`);
  await buildah("rmi", "--all", "--force");
  await built(world, "-t", "ours:1", "--build-arg", "V=8", folder);
  const saved = await world.cli(["images", "save", "--format", "oci", "-o", `${world.home}/ours.tar`, "ours:1"]);
  assert.equal(saved.code, 0, saved.stderr);
  Deno.mkdirSync(`${world.home}/ours`);
  await new Deno.Command("tar", { args: ["xf", `${world.home}/ours.tar`, "-C", `${world.home}/ours`] }).output();

  const name = "docker.io/library/ours:1";
  const theirs = await unpacked(`${world.home}/theirs`, "1", `${world.home}/their-files`);
  const ours = await unpacked(`${world.home}/ours`, name, `${world.home}/our-files`);
  // It makes the folders of volumes.
  assert.deepEqual(ours, theirs.filter((line) => !/^\.\/data /.test(line)));
  const { Labels: labels, ...theirSettings } = await settings(`${world.home}/theirs`, "1");
  const { "io.buildah.version": _, ...theirLabels } = Object.fromEntries(Object.entries(labels ?? {}));
  assert.deepEqual(await settings(`${world.home}/ours`, name), { ...theirSettings, Labels: theirLabels });
});
