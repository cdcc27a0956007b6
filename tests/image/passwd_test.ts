import assert from "node:assert/strict";
import { ImageError, InputError } from "../../lib/errors.ts";
import { type ImageUser, lookupUser, readImageFile } from "../../lib/image/passwd.ts";
import { output } from "../helpers/host_program.ts";

type Files = Readonly<Record<string, string>>;

async function withLayers(layers: readonly Files[], use: (lower: string[]) => void | Promise<void>): Promise<void> {
  const base = await Deno.makeTempDir({ prefix: "sauropod-passwd-" });
  try {
    const lower = layers.map((_, i) => `${base}/${i}`);
    for (const [i, files] of layers.entries()) {
      await Deno.mkdir(`${base}/${i}/etc`, { recursive: true });
      for (const [path, text] of Object.entries(files)) await Deno.writeTextFile(`${base}/${i}/${path}`, text);
    }
    await use(lower);
  } finally {
    await Deno.remove(base, { recursive: true });
  }
}

const PASSWD = `root:x:0:0:root:/root:/bin/sh
# a comment:x:9:9::/:
bad:x:many:0::/:
minus:x:-1:0::/:
huge:x:4294967295:0::/:

  app:x:1000:1001:App,,,:/home/app:/bin/sh
twin:x:1000:2:second:/twin:
homeless:x:7:8
relative:x:9:9::home:
1234:x:55:66::/odd:
max:x:4294967294:4294967294::/max:
`;
const GROUP = `root:x:0:
wheel:x:10:root,app
app:x:1001:
audio:x:20:app,twin
again:x:20:app
bad:x:none:app
77:x:88:
`;

Deno.test("lookupUser: users are found by the rules of moby's GetExecUser", () =>
  withLayers([{ "etc/passwd": PASSWD, "etc/group": GROUP }], (lower) => {
    const app = { uid: 1000, gid: 1001, groups: [10, 20], home: "/home/app", name: "app" };
    const root = { uid: 0, gid: 0, groups: [10], home: "/root", name: "root" };
    const rows: [string | undefined, ImageUser][] = [
      [undefined, root],
      ["", root],
      ["0", root],
      ["root", root],
      ["app", app],
      // The first line with the id counts.
      ["1000", app],
      ["twin", { uid: 1000, gid: 2, groups: [20], home: "/twin", name: "twin" }],
      ["app:wheel", { ...app, gid: 10, groups: [] }],
      ["app:20", { ...app, gid: 20, groups: [] }],
      ["app:99", { ...app, gid: 99, groups: [] }],
      ["app:", app],
      [":wheel", { ...root, gid: 10, groups: [] }],
      ["555", { uid: 555, gid: 0, groups: [], home: "/" }],
      ["555:20", { uid: 555, gid: 20, groups: [], home: "/" }],
      // Digits are always an id, even where there is such a name.
      ["1234", { uid: 1234, gid: 0, groups: [], home: "/" }],
      ["app:77", { ...app, gid: 77, groups: [] }],
      ["homeless", { uid: 7, gid: 8, groups: [], home: "/", name: "homeless" }],
      ["relative", { uid: 9, gid: 9, groups: [], home: "/", name: "relative" }],
      ["max", { uid: 4294967294, gid: 4294967294, groups: [], home: "/max", name: "max" }],
      ["4294967293:4294967294", { uid: 4294967293, gid: 4294967294, groups: [], home: "/" }],
    ];
    for (const [spec, expected] of rows) assert.deepEqual(lookupUser(lower, spec), expected, spec);
  }));

Deno.test("lookupUser: users and groups that are unknown or out of range are refused by name", () =>
  withLayers([{ "etc/passwd": PASSWD, "etc/group": GROUP }], (lower) => {
    const rows: [string, string, RegExp][] = [
      ["nobody", "unknown-user", /"nobody": \/etc\/passwd/],
      ["bad", "unknown-user", /"bad"/],
      ["minus", "unknown-user", /"minus"/],
      ["huge", "unknown-user", /"huge"/],
      ["-1", "unknown-user", /"-1"/],
      ["1e3", "unknown-user", /"1e3"/],
      ["4294967295", "unknown-user", /from 0 to 4294967294/],
      ["99999999999999999999", "unknown-user", /from 0 to/],
      ["app:nogroup", "unknown-group", /"nogroup": \/etc\/group/],
      ["app:bad", "unknown-group", /"bad"/],
      ["app:4294967295", "unknown-group", /from 0 to/],
      ["app:a:b", "unknown-group", /"a:b"/],
      [" app", "unknown-user", /" app"/],
    ];
    for (const [spec, code, message] of rows) {
      assert.throws(() => lookupUser(lower, spec), (error) => {
        assert.ok(error instanceof InputError, `${spec}: ${error}`);
        assert.equal(error.code, code, spec);
        assert.match(error.message, message);
        return true;
      });
    }
  }));

Deno.test("an image without /etc/passwd knows numbers only", () =>
  withLayers([{}], (lower) => {
    assert.deepEqual(lookupUser(lower), { uid: 0, gid: 0, groups: [], home: "/" });
    assert.deepEqual(lookupUser(lower, "5:6"), { uid: 5, gid: 6, groups: [], home: "/" });
    assert.throws(() => lookupUser(lower, "root"), { code: "unknown-user" });
    assert.throws(() => lookupUser(lower, "0:root"), { code: "unknown-group" });
  }));

Deno.test("lookupUser: the uppermost folder that has a file counts, and a whiteout hides those below", () =>
  withLayers(
    [{ "etc/passwd": "upper:x:1:1::/:" }, { "etc/passwd": "lower:x:2:2::/:", "etc/group": "g:x:5:upper" }],
    async (lower) => {
      assert.deepEqual(lookupUser(lower, "upper").groups, [5]);
      assert.throws(() => lookupUser(lower, "lower"), { code: "unknown-user" });
      await output("mknod", [`${lower[0]}/etc/group`, "c", "0", "0"]);
      assert.deepEqual(lookupUser(lower, "upper").groups, []);
    },
  ));

Deno.test("lookupUser: links in an image stay in it", () =>
  withLayers([{ "real": "inside" }], async ([root = ""]) => {
    await Deno.symlink("/real", `${root}/etc/absolute`);
    await Deno.symlink("../../../../../real", `${root}/etc/climbing`);
    await Deno.symlink("/etc/hostname", `${root}/etc/hostname`);
    await Deno.symlink("/proc/self/root/etc/passwd", `${root}/etc/magic`);
    await Deno.symlink("file/x", `${root}/etc/through`);
    await Deno.writeTextFile(`${root}/etc/file`, "");
    assert.equal(readImageFile([root], "/etc/absolute"), "inside");
    assert.equal(readImageFile([root], "etc/climbing"), "inside");
    assert.equal(readImageFile([root], "etc/magic"), undefined);
    assert.equal(readImageFile([root], "etc/through"), undefined);
    assert.equal(readImageFile([root], "../../../../../real"), "inside");
    assert.equal(readImageFile([root], "etc/file"), "");
  }));

Deno.test("lookupUser: what is no regular file or too large is refused and never opened", () =>
  withLayers([{}], async ([root = ""]) => {
    await output("mkfifo", [`${root}/etc/passwd`]);
    await Deno.mkdir(`${root}/etc/group`);
    await Deno.writeTextFile(`${root}/etc/large`, "x".repeat(2 ** 20 + 1));
    await Deno.symlink("loop", `${root}/etc/loop`);
    const rows: [string, RegExp][] = [
      ["/etc/passwd", /not a regular file/],
      ["/etc/group", /not a regular file/],
      ["/etc/large", /1048577 bytes/],
      ["/etc/loop", /ELOOP/],
    ];
    for (const [path, message] of rows) {
      assert.throws(() => readImageFile([root], path), (error) => {
        assert.ok(error instanceof ImageError, String(error));
        assert.equal(error.code, "image-file-unsafe");
        assert.match(error.message, message);
        return true;
      });
    }
    assert.throws(() => lookupUser([root], "app"), { code: "image-file-unsafe" });
    assert.equal(readImageFile([root], "/etc/large", 2 ** 21)?.length, 2 ** 20 + 1);
  }));

Deno.test("lookupUser: more groups than the kernel takes are refused", () =>
  withLayers([{}], async ([root = ""]) => {
    await Deno.writeTextFile(`${root}/etc/passwd`, "u:x:1:1::/:");
    await Deno.writeTextFile(`${root}/etc/group`, Array.from({ length: 70_000 }, (_, i) => `::${i}:u`).join("\n"));
    assert.throws(() => lookupUser([root], "u"), { code: "image-file-unsafe", message: /70000 groups/ });
  }));
