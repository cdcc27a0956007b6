/** Where copies go, in and out of containers. */

import assert from "node:assert/strict";
import { copyFrom, copyTo } from "../../../mod.ts";
import { parsePlace } from "../../../cli/commands/cp.ts";
import { showName } from "../../../cli/output/output.ts";
import { placeCopy } from "../../../lib/container/files/copy_target.ts";
import { host } from "../../helpers/inside.ts";
import { makeWorld } from "../../helpers/world.ts";
import { boxesIn, listed } from "../../helpers/boxes.ts";

const world = makeWorld(), { folder, stopped, running } = boxesIn(world);
Deno.test.afterAll(async () => await world[Symbol.asyncDispose]());

Deno.test("cp: what is a container's and what is this machine's is told as docker does", () => {
  const table: [string, string | undefined, string][] = [
    ["web:/etc", "web", "/etc"],
    ["web:etc/x", "web", "etc/x"],
    ["web:", "web", ""],
    ["web:/a:b\nc", "web", "/a:b\nc"],
    ["/web:/etc", undefined, "/web:/etc"],
    ["./web:x", undefined, "./web:x"],
    ["../web:x", undefined, "../web:x"],
    ["dir/web:x", undefined, "dir/web:x"],
    [":x", undefined, ":x"],
    ["plain", undefined, "plain"],
    ["-", undefined, "-"],
  ];
  for (const [typed, container, path] of table) {
    assert.deepEqual(parsePlace(typed), container === undefined ? { path } : { container, path }, typed);
  }
});

Deno.test("cp: names are shown on one line, and cannot speak to the terminal", () => {
  assert.equal(showName("plain/näme 日本"), "plain/näme 日本");
  assert.equal(showName("a\nb\x1b[31m\\\u009b\udcff\u202e"), "a\\nb\\x1b[31m\\\\\\x9b\\xff\\u{202e}");
});

Deno.test("cp: where a copy goes follows docker's rules", () => {
  const file = { folder: false, name: "f", contents: false };
  const dir = { folder: true, name: "d", contents: false }, all = { ...dir, contents: true };
  const table = [
    [file, "nothing", false, "new"],
    [file, "nothing", true, "no-folder"],
    [file, "file", false, "new"],
    [file, "file", true, "not-a-folder"],
    [file, "folder", true, "f"],
    [dir, "nothing", false, "new"],
    [dir, "nothing", true, "new"],
    [dir, "file", false, "folder-onto-file"],
    [file, "special", false, "special-file"],
    [dir, "special", true, "special-file"],
    [dir, "folder", true, "d"],
    [all, "nothing", false, "new"],
    [all, "file", false, "folder-onto-file"],
    [all, "folder", true, ""],
  ] as const;
  for (const [what, there, slash, expected] of table) {
    const placed = placeCopy(what, { there, slash, name: "new" });
    assert.equal("refusal" in placed ? placed.refusal : placed.name, expected, JSON.stringify([what, there, slash]));
  }
});

/** A source, a target, and what is then in the folder of the target, or the code of the error. */
const RULES: [from: string, to: string, expected: string[] | string][] = [
  ["f", "new", ["have/", "have/old", "new", "old"]],
  ["f", "new/", "no-folder"],
  ["f", "old", ["have/", "have/old", "old"]],
  ["f", "old/", "not-a-folder"],
  ["f", "have", ["have/", "have/f", "have/old", "old"]],
  ["f", "have/", ["have/", "have/f", "have/old", "old"]],
  ["f", "have/old", ["have/", "have/old", "old"]],
  ["f", "gone/new", "file-not-found"],
  ["f", "old/new", "not-a-folder"],
  ["d", "new", ["have/", "have/old", "new/", "new/x", "old"]],
  ["d", "new/", ["have/", "have/old", "new/", "new/x", "old"]],
  ["d", "old", "folder-onto-file"],
  ["d", "have", ["have/", "have/d/", "have/d/x", "have/old", "old"]],
  ["d/", "have", ["have/", "have/d/", "have/d/x", "have/old", "old"]],
  ["d/.", "have", ["have/", "have/old", "have/x", "old"]],
  ["d/.", "new", ["have/", "have/old", "new/", "new/x", "old"]],
  ["l", "new", ["have/", "have/old", "new -> d", "old"]],
  ["l", "have", ["have/", "have/l -> d", "have/old", "old"]],
  ["l/", "new", ["have/", "have/old", "new/", "new/x", "old"]],
  ["f/", "new", "not-a-folder"],
  ["gone", "new", "file-not-found"],
  ["clash/.", ".", "occupied"],
  ["reverse/.", ".", "occupied"],
];

const SOURCE = "echo f > f; mkdir d clash reverse reverse/old; echo x > d/x; ln -s d l; echo c > clash/have";
const TARGET = "mkdir have; echo old > old; echo old > have/old";

let made = 0;

Deno.test("copies in and out, to containers that run and that do not, obey the table", async () => {
  const box = await stopped(`mkdir /from && cd /from && ${SOURCE}`);
  const machine = folder();
  await host("sh", "-c", `cd ${machine} && ${SOURCE}`);
  await using live = await running();
  for (const [from, to, expected] of RULES) {
    const out = folder();
    await host("sh", "-c", `cd ${out} && ${TARGET}`);
    const outcome = async (work: Promise<unknown>, list: () => string[] | Promise<string[]>) => {
      try {
        await work;
      } catch (error) {
        return error instanceof Error && "code" in error ? error.code : error;
      }
      return await list();
    };
    const options = world.folders, what = `${from} to ${to}`;
    assert.deepEqual(
      await outcome(copyFrom(box, `/from/${from}`, `${out}/${to}`, options), () => listed(out)),
      expected,
      what,
    );
    for (const name of [box, live.name]) {
      // The table's folder, fresh.
      const fresh = `to${made++}`, start = folder();
      await host("sh", "-c", `mkdir ${start}/${fresh} && cd ${start}/${fresh} && ${TARGET}`);
      await copyTo(name, `${start}/${fresh}`, "/", options);
      const back = async () => {
        const seen = folder();
        await copyFrom(name, `/${fresh}/.`, seen, options);
        return listed(seen);
      };
      const work = copyTo(name, `${machine}/${from}`, `/${fresh}/${to}`, options);
      assert.deepEqual(await outcome(work, back), expected, `${what} in ${name}`);
    }
  }
});

Deno.test("cp: a link as the destination is followed inside of the container, and -L follows the source", async () => {
  const box = await stopped(
    "mkdir /d; ln -s /d /to-folder; ln -s /d/made /to-nothing; ln -s ../../../../d/up /climb; ln -s loop /loop",
  );
  const from = folder();
  Deno.writeTextFileSync(`${from}/f`, "text");
  Deno.symlinkSync("f", `${from}/l`);
  const copy = (source: string, target: string, followLink = false) =>
    copyTo(box, `${from}/${source}`, target, { ...world.folders, followLink });
  await copy("f", "/to-folder");
  await copy("f", "/to-nothing");
  await copy("f", "/climb");
  await copy("l", "/d/followed", true);
  await assert.rejects(copy("f", "/loop"), { code: "open-failed" });
  const out = `${folder()}/out`;
  await copyFrom(box, "/d", out, world.folders);
  assert.deepEqual(listed(out), ["f", "followed", "made", "up"]);
});
