/** Names that no image is given, and what others can make errors say. */

import assert from "node:assert/strict";
import { InputError } from "../../lib/errors.ts";
import { MEDIA } from "../../lib/oci.ts";
import { chooseImage } from "../../lib/image/pull.ts";
import { parseNewName } from "../../lib/image/reserved_names.ts";
import { listed } from "../../lib/text/listed.ts";
import { familiarReference, formatReference, parseReference } from "../../lib/registry/reference.ts";
import { build, context } from "../helpers/building.ts";
import { archive, dockerFiles, layoutFiles, NAME, names, write } from "../helpers/image_files.ts";
import { makeWorld } from "../helpers/world.ts";

const RESERVED = [
  "host",
  "host:1",
  "scratch",
  "container:box",
  "container",
  "docker.io/library/host",
  "index.docker.io/host",
];

Deno.test("images tag, import, build -t, pull and commit give no image a name that means something else", async () => {
  await using world = makeWorld();
  const { home, folders } = world;
  assert.equal((await world.cli(["images", "import", world.image, "good"])).code, 0);
  const ran = await world.cli(["run", "--name", "box", "--network", "none", "good", "/bin/true"]);
  assert.equal(ran.code, 0, ran.stderr);
  const folder = context(world, { Dockerfile: "FROM scratch\nCOPY Dockerfile /\n" });
  for (const name of ["host", "scratch", "container:box"]) {
    const rows = [
      await world.cli(["images", "tag", "good", name]),
      await world.cli(["images", "import", world.image, name]),
      await build(world, "-t", name, folder),
      await world.cli(["images", "pull", name]),
      await world.cli(["commit", "box", name]),
    ];
    for (const { code, stderr } of rows) {
      assert.notEqual(code, 0);
      assert.match(stderr, /no image can be called (host|scratch|container), which means /);
    }
  }
  assert.deepEqual(names(folders.images), ["docker.io/library/good:latest"]);
  const host = await world.cli(["explain", "host", "/bin/true"], { cwd: home });
  assert.match(host.stdout, /lowerdir=\//);
});

Deno.test("images load refuses an image that is called host, and images import takes it by another name", async () => {
  await using world = makeWorld();
  const { images } = world.folders;
  const oci = write(
    world,
    "oci.tar",
    archive(layoutFiles({ annotations: { [NAME]: "docker.io/library/host:latest" } })),
  );
  const docker = write(world, "docker.tar", archive(dockerFiles((made) => ({ ...made, RepoTags: ["host:latest"] }))));
  for (const path of [oci, docker]) {
    const loaded = await world.cli(["images", "load", "-i", path]);
    assert.notEqual(loaded.code, 0);
    assert.match(loaded.stderr, /no image can be called host[\s\S]*sauropod images import/);
    assert.equal((await world.cli(["images", "import", path, "mine"])).code, 0);
  }
  assert.deepEqual(names(images), ["docker.io/library/mine:latest"]);
});

Deno.test("images tag: names that only look like reserved ones can be given", () => {
  for (const name of RESERVED) assert.throws(() => parseNewName(name), { code: "reserved-name" }, name);
  for (
    const name of ["my/host", "localhost/host", "localhost:5000/scratch", "hosts", "containers:1", "ghcr.io/a/host"]
  ) {
    assert.equal(formatReference(parseNewName(name)), formatReference(parseReference(name)));
  }
});

Deno.test("images tag: an index of five thousand platforms with escape sequences has a hint of one line, which a terminal can show", () => {
  const digest = `sha256:${"0".repeat(64)}`, size = 1, mediaType = MEDIA.manifest;
  const platforms = Array.from(
    { length: 5000 },
    (_, i) => ({ os: "\x1b[2J\u202elinux", architecture: `${"x".repeat(1000)}${i}` }),
  );
  const manifests = [{ os: "linux", architecture: "s390x" }, ...platforms].map((platform) => ({
    mediaType,
    digest,
    size,
    platform,
  }));
  assert.throws(() => chooseImage({ manifests }, { os: "linux", architecture: "amd64" }, "a"), (error) => {
    assert.ok(error instanceof Error && "hint" in error && "facts" in error);
    const hint = String(error.hint);
    assert.match(hint, /^it is there for linux\/s390x, \\x1b\[2J\\u\{202e\}linux\/x+…/);
    assert.ok(hint.length < 1000 && JSON.stringify(error.facts).length < 200_000);
    // deno-lint-ignore no-control-regex
    assert.doesNotMatch(hint, /[\x00-\x1f\u202a-\u202e]/);
    return true;
  });
});

Deno.test("images tag: lists for people are short, and name nothing twice", () => {
  assert.equal(listed([]), "");
  assert.equal(listed(["a", "b", "a"]), "a, b");
  assert.equal(listed("abcdefghi"), "a, b, c, d, e, f, g, h, i");
  assert.equal(listed("abcdefghij"), "a, b, c, d, e, f, g, h and 2 more");
});

Deno.test("images tag: whatever is said to be a reference is read or refused, and what is read means the same when it is written", () => {
  let state = 22, read = 0;
  const random = (below: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return Math.floor(state / 2 ** 32 * below);
  };
  const pieces = [
    "a",
    "b1",
    "A",
    "-",
    "--",
    "_",
    "__",
    ".",
    "/",
    ":",
    ":5000",
    "@",
    "host",
    "localhost",
    "library",
    "docker.io",
    "index.docker.io",
    "[::1]",
    "sha256:",
    "0".repeat(64),
    " ",
    "\0",
    "\x1b",
    "\u202e",
    "ä",
    "\ud800",
    "",
    "a".repeat(130),
  ];
  for (let i = 0; i < 100_000; i++) {
    const text = Array.from({ length: 1 + random(7) }, () => pieces[random(pieces.length)]).join("");
    try {
      const reference = parseReference(text), full = formatReference(reference);
      read++;
      assert.deepEqual(parseReference(full), reference, text);
      assert.deepEqual(parseReference(familiarReference(reference)), reference, text);
      assert.match(full, /^[\w.:/@[\]-]+$/, text);
    } catch (error) {
      assert.ok(
        error instanceof InputError && ["bad-reference"].includes(error.code),
        `${JSON.stringify(text)}: ${error}`,
      );
    }
  }
  assert.ok(read > 1000, `${read} were read`);
});
