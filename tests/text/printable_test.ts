/** What an image, a container or a registry can name reaches no terminal as it is. */

import assert from "node:assert/strict";
import { ImageError } from "../../lib/errors.ts";
import { printable, printableJson } from "../../lib/text/printable.ts";
import { makeWorld } from "../helpers/world.ts";

// A title, the clipboard (OSC 52), one of C1, DEL, a line that covers another, and text that runs backwards.
const HOSTILE = "a\x1b]0;title\x07\x1b]52;c;ZXZpbA==\x07\u009b31m\x7f\rcover\nline\u202eback";
const SHOWN = "a\\x1b]0;title\\x07\\x1b]52;c;ZXZpbA==\\x07\\x9b31m\\x7f\\x0dcover\\nline\\u{202e}back";

/** What a terminal obeys, and what orders text otherwise. */
// deno-lint-ignore no-control-regex
const OBEYED = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/;

Deno.test("printable escapes all that a terminal obeys or that hides text, and leaves the rest", () => {
  assert.equal(printable(HOSTILE), SHOWN);
  assert.equal(printable("a\tb\nc\u2028", "\n\t"), "a\tb\nc\\u{2028}");
  assert.equal(
    printable("caf\xe9 \u05e9\u05dc\u05d5\u05dd 👩\u200d💻 a\\b"),
    "caf\xe9 \u05e9\u05dc\u05d5\u05dd 👩\u200d💻 a\\b",
  );
  // The byte 0xff of a name that is no UTF-8, and a format character beyond the first plane.
  assert.equal(printable("\udcff\u{e0041}"), "\\xff\\u{e0041}");
  for (let code = 0; code < 0x10000; code++) assert.doesNotMatch(printable(String.fromCharCode(code)), OBEYED);
  for (const value of [HOSTILE, { [HOSTILE]: ["\u{e0041}\udcff"] }]) {
    const text = printableJson(value, 2);
    assert.doesNotMatch(text, OBEYED);
    assert.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify(value)));
  }
});

Deno.test("an error's message and hint are printable, whoever prints it", () => {
  const { message, hint, stack } = new ImageError(HOSTILE, { code: "x", hint: HOSTILE });
  for (const text of [message, hint ?? "", stack ?? ""]) assert.doesNotMatch(text, OBEYED);
});

/** An image in the store whose every text is hostile. */
function writeArchive(path: string): void {
  const layout = `${path}.d`;
  Deno.mkdirSync(layout);
  new Deno.Command("tar", { args: ["-cf", `${layout}/layer.tar`, "-C", "/bin", "busybox"] }).outputSync();
  const { stdout } = new Deno.Command("sha256sum", { args: [`${layout}/layer.tar`] }).outputSync();
  const diffId = `sha256:${new TextDecoder().decode(stdout).slice(0, 64)}`;
  const config = {
    architecture: Deno.build.arch === "x86_64" ? "amd64" : "arm64",
    os: "linux",
    rootfs: { type: "layers", diff_ids: [diffId] },
    history: [{ created: "2020-01-01T00:00:00Z", created_by: HOSTILE, comment: HOSTILE, author: HOSTILE }],
    config: {
      Entrypoint: [`/${HOSTILE}`],
      Cmd: [HOSTILE],
      Env: [`${"X"}=${HOSTILE}`],
      Labels: { [HOSTILE]: HOSTILE, plain: HOSTILE },
    },
  };
  Deno.writeTextFileSync(`${layout}/config.json`, JSON.stringify(config));
  const manifest = [{ Config: "config.json", RepoTags: ["hostile:1"], Layers: ["layer.tar"] }];
  Deno.writeTextFileSync(`${layout}/manifest.json`, JSON.stringify(manifest));
  new Deno.Command("tar", { args: ["-cf", path, "-C", layout, "manifest.json", "config.json", "layer.tar"] })
    .outputSync();
}

Deno.test("no command passes escape sequences of an image or a container on: history, explain, ps, inspect, diff, events, errors", async () => {
  await using world = makeWorld();
  writeArchive(`${world.home}/hostile.tar`);
  assert.equal((await world.cli(["images", "load", "-i", `${world.home}/hostile.tar`])).code, 0);
  const none = ["--network", "none"];
  const script = `cd /tmp; touch "$1"; mkdir "$1.d"; echo out`;
  const made = await world.cli(
    [
      "run",
      ...none,
      "--name",
      "box",
      "-l",
      `plain=${HOSTILE}`,
      "--entrypoint",
      "/busybox",
      "hostile:1",
      "sh",
      "-c",
      script.replace("cd /tmp", "cd /"),
      "sh",
      HOSTILE,
    ],
  );
  assert.deepEqual([made.code, made.stdout], [0, "out\n"]);
  const commands: [words: string[], code: number][] = [
    [["run", ...none, "hostile:1"], 127],
    [["run", "-d", ...none, "hostile:1"], 127],
    [["run", ...none, "--entrypoint", HOSTILE, "hostile:1"], 127],
    [["images", "history", "hostile:1"], 0],
    [["images", "history", "--json", "hostile:1"], 0],
    [["images", "inspect", "hostile:1"], 0],
    [["images"], 0],
    [["explain", ...none, "hostile:1"], 0],
    [["explain", ...none, "--show-env", "hostile:1"], 0],
    [["explain", ...none, "--json", "--show-env", "hostile:1"], 0],
    [["ps", "-a"], 0],
    [["ps", "-a", "--no-trunc"], 0],
    [["ps", "-a", "--json"], 0],
    [["ps", "-a", "--format", "{{.Labels}}"], 0],
    [["ps", "-a", "--format", 'table {{.Command}}\\t{{.Label "plain"}}\\t{{.ID}}'], 0],
    [["ps", "-a", "--format", "json"], 0],
    [["inspect", "box"], 0],
    [["inspect", "--format", "{{.options.labels.plain}} {{json .options.labels}} {{.options.env}}", "box"], 0],
    [["diff", "box"], 0],
    [["diff", "--json", "box"], 0],
    [["events", "--since", "1h", "--until", "0s"], 0],
    [["logs", HOSTILE], 125],
    [["rm", HOSTILE], 1],
    [["stop", HOSTILE], 125],
    [["run", HOSTILE], 125],
    [["images", "rm", HOSTILE], 1],
    [["cp", `box:/${HOSTILE}`, `${world.home}/none/x`], 125],
    [["cp", "box:/none", HOSTILE], 125],
    [[HOSTILE], 125],
    [["ps", `--${HOSTILE}`], 125],
    [["ps", "--filter", HOSTILE], 125],
    [["network", "inspect", HOSTILE], 125],
    [["exec", "box", HOSTILE], 125],
    [["__complete", "run", "--label", HOSTILE, ""], 0],
  ];
  for (const [words, code] of commands) {
    const name = printable(words.join(" ")), result = await world.cli(words);
    assert.equal(result.code, code, `${name}: ${result.stderr}`);
    for (const text of [result.stdout, result.stderr]) {
      const [found] = OBEYED.exec(text) ?? [];
      assert.equal(found, undefined, `${name}: ${JSON.stringify(text)}`);
      // No line of a name looks like one of ours.
      assert.doesNotMatch(text, /^line/m, name);
    }
  }
  const { stdout } = await world.cli(["ps", "-a", "--filter", "name=box", "--format", '{{.Label "plain"}}']);
  assert.equal(stdout, `${SHOWN}\n`);
});

Deno.test("what a container writes itself is passed on as it is, by run and logs", async () => {
  await using world = makeWorld();
  const words = ["--network", "none", "busybox", "printf", "\\033[31mred\\r\\377"];
  assert.equal((await world.cli(words)).stdout, "\x1b[31mred\r\ufffd");
  const { stdout } = await world.cli(["run", "-d", ...words]);
  await world.cli(["wait", stdout.trim()]);
  assert.equal((await world.cli(["logs", stdout.trim()])).stdout, "\x1b[31mred\r\ufffd");
});
