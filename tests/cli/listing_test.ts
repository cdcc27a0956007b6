import assert from "node:assert/strict";
import { parseTemplate } from "../../cli/output/template.ts";
import { parseFilters } from "../../lib/text/filters.ts";
import { parseLabels } from "../../lib/text/labels.ts";
import { makeWorld, type World } from "../helpers/world.ts";

// Labels, and what ps and inspect tell

Deno.test("ps and images: labels are words with a name", () => {
  assert.deepEqual(parseLabels(["tier=web", "a.b/c=x=y", "empty", "tier=db"]), {
    tier: "db",
    "a.b/c": "x=y",
    empty: "",
  });
  for (const bad of ["", "=x", " =x"]) assert.throws(() => parseLabels([bad]), { code: "bad-label" });
});

const THING = { Name: "web", Ports: [80, 443], Size: 0, None: null, Nested: { deep: "yes" } };

function look(thing: object, path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (value, part) => Object.entries(value ?? {}).find(([name]) => name === part)?.[1],
    thing,
  );
}

for (
  const [format, text] of [
    ["", ""],
    ["plain", "plain"],
    ["{{.Name}}", "web"],
    ["{{ .Name }}:{{.Size}}", "web:0"],
    ["{{- .Name -}}", "web"],
    ["a\\tb\\n{{.Name}}", "a\tb\nweb"],
    ["{{json .Ports}} {{.Ports}}", "[80,443] [80,443]"],
    ["{{json .Name}}", '"web"'],
    ["{{.Nested.deep}} {{.Nested}}", 'yes {"deep":"yes"}'],
    ['{{.Nested "deep"}}', "yes"],
    ["[{{.None}}]", "[]"],
    ["{{.Name", "{{.Name"],
    ["json", JSON.stringify(THING)],
    ["{{json .}}", JSON.stringify(THING)],
  ] as const
) {
  Deno.test(`ps and images: the format ${JSON.stringify(format)} writes ${JSON.stringify(text)}`, () => {
    assert.equal(parseTemplate(format, look, "")(THING), text);
  });
}

Deno.test("ps and images: a format with anything else is refused, and so is one that asks for what is not there", () => {
  for (const bad of ["{{range .Ports}}", "{{Name}}", "{{}}", "{{.Name | upper}}", "{{if .Name}}x{{end}}"]) {
    assert.throws(() => parseTemplate(bad, look, ""), { code: "bad-format" }, bad);
  }
  assert.throws(() => parseTemplate("{{.Other}}", look, "Name")(THING), { code: "bad-format", message: /\.Other/ });
});

Deno.test("ps and images: filters of one key are alternatives, unless all of them must hold", () => {
  const filters = {
    size: (thing: number[], value: string) => thing.length === Number(value),
    has: { test: (thing: number[], value: string) => thing.includes(Number(value)), every: true },
    kind: { test: () => true, values: ["odd", "even"] },
  };
  const fits = (...texts: string[]): boolean => parseFilters(filters, texts, "lists")([1, 2]);
  assert.equal(fits(), true);
  assert.equal(fits("size=1", "size=2"), true);
  assert.equal(fits("size=1"), false);
  assert.equal(fits("has=1", "has=2"), true);
  assert.equal(fits("has=1", "has=3"), false);
  assert.equal(fits("size=2", "has=1", "kind=odd"), true);
  for (const bad of ["size", "=1", "other=1", "kind=", "kind=none"]) {
    assert.throws(() => fits(bad), { code: "bad-filter" }, bad);
  }
});

async function stdoutOf(world: World, words: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await world.cli(words);
  assert.equal(code, 0, stderr);
  return stdout;
}

Deno.test("ps finds containers by labels, names its columns, and shows the last ones", async () => {
  await using world = makeWorld();
  const make = ["create", "--network", "none"];
  const web = await stdoutOf(world, [
    ...make,
    "--name",
    "web",
    "-l",
    "tier=web",
    "--label",
    "env=test",
    "busybox",
    "true",
  ]);
  const db = await stdoutOf(world, [
    ...make,
    "--name",
    "db",
    "-l",
    "tier=db",
    "-l",
    "note",
    "busybox",
    "sleep",
    "1".repeat(60),
  ]);
  const ids = async (...words: string[]): Promise<string> => await stdoutOf(world, ["ps", "-aq", ...words]);
  assert.equal(await ids("--filter", "label=tier"), web + db);
  assert.equal(await ids("--filter", "label=tier=web"), web);
  assert.equal(await ids("--filter", "label=tier=web", "--filter", "label=note"), "");
  assert.equal(await ids("--filter", "label=note="), db);
  assert.equal(await ids("--filter", "ancestor=busybox"), web + db);
  assert.equal(await ids("-n", "1"), db);
  assert.equal(await ids("--latest"), db);
  assert.equal(await ids("-n", "5"), web + db);
  assert.equal(
    await stdoutOf(world, ["ps", "-a", "--format", '{{.Names}} {{.State}} {{.Label "tier"}} {{.Labels}}']),
    "web created web tier=web,env=test\ndb created db tier=db,note=\n",
  );
  assert.equal(
    await stdoutOf(world, ["ps", "-a", "--format", "table {{.ID}}\\t{{.Names}}"]),
    `ID            NAMES\n${web.trim()}  web\n${db.trim()}  db\n`,
  );
  assert.match(
    await stdoutOf(world, ["ps", "-a", "--format", "table"]),
    /^ID +IMAGE +COMMAND +RUNNINGFOR +STATUS +PORTS +NAMES\n/,
  );
  assert.match(await stdoutOf(world, ["ps", "-a"]), /sleep 1+…/);
  assert.match(await stdoutOf(world, ["ps", "-a", "--no-trunc"]), /sleep 1{60}/);
  for (const filter of ["status=nonsense", "health=sick"]) {
    const { code, stderr } = await world.cli(["ps", "--filter", filter]);
    assert.equal(code, 125);
    assert.match(stderr, /invalid filter of containers .*\n {2}use one of these for \w+: /);
  }
});

Deno.test("inspect writes what a format names, by our names and docker's", async () => {
  await using world = makeWorld();
  await world.cli(["run", "--name", "one", "--network", "none", "-l", "a=b", "busybox", "sh", "-c", "exit 3"]);
  const format = async (text: string): Promise<string> => await stdoutOf(world, ["inspect", "-f", text, "one"]);
  assert.equal(await format("{{.name}} {{.status}} {{.ended.code}}"), "one exited 3\n");
  assert.equal(
    await format("{{.Name}} {{.State.Status}} {{.State.ExitCode}} {{.State.Running}}"),
    "one exited 3 false\n",
  );
  assert.equal(await format("{{json .Config.Labels}} {{json .Config.Cmd}}"), '{"a":"b"} ["sh","-c","exit 3"]\n');
  assert.equal(await format("[{{.pid}}] [{{.Config.Labels.a}}] [{{.Config.Labels.none}}]"), "[] [b] []\n");
  const { code, stderr } = await world.cli(["inspect", "-f", "{{.Nothing}}", "one"]);
  assert.equal(code, 125);
  assert.match(stderr, /unknown placeholder \{\{\.Nothing\}\}/);
});

Deno.test("a fork has the labels of its container, under its own", async () => {
  await using world = makeWorld();
  await world.cli(["create", "--network", "none", "--name", "one", "-l", "a=1", "-l", "b=1", "busybox", "true"]);
  const { code, stderr } = await world.cli(["fork", "--name", "two", "-l", "b=2", "one", "true"]);
  assert.equal(code, 0, stderr);
  assert.equal(await stdoutOf(world, ["inspect", "-f", "{{json .options.labels}}", "two"]), '{"a":"1","b":"2"}\n');
});
