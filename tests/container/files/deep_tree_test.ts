/** Trees of 3,000 folders in each other: their paths are longer than the kernel takes, and walks need no recursion. */

import assert from "node:assert/strict";
import { apply, changes } from "../../../mod.ts";
import { host, say } from "../../helpers/inside.ts";
import { commandLine } from "../../helpers/project.ts";
import { makeWorld } from "../../helpers/world.ts";

const world = makeWorld(), { folders, home } = world;
Deno.test.afterAll(async () => {
  // Deno removes by path.
  await host("rm", "-rf", home);
  Deno.mkdirSync(home);
  await world[Symbol.asyncDispose]();
});

const DEPTH = 3000, NONE = { network: "none" } as const;
const PATH = "p=$(seq -s/ 999 | sed 's/[0-9][0-9]*/d/g')";
/** Makes `name`, 3,000 folders in each other with a file and two hard links at the end. */
const make = (name: string): string =>
  `${PATH}; mkdir -p ${name} two/$p three/$p ${name}/$p; cd three/$p; echo end > file; echo x > l1; ln l1 l2
  chmod 700 .; touch -d '2001-02-03 04:05:06' .; cd - >/dev/null; mv three two/$p/d; mv two ${name}/$p/d`;
/** Goes to the end of it, and says what is there. */
const end = (name: string): string =>
  `${PATH}; cd ${name}; for way in $p d $p d $p; do cd -P $way 2>/dev/null; done; cat file; stat -c '%a %h %Y' . l1`;
const AT_THE_END = "end\n700 2 981173106\n644 2 ";

async function atTheEnd(script: string, inside?: { image?: string }): Promise<void> {
  const said = inside ? await say(world, script, { ...NONE, ...inside }) : await host("sh", "-ec", script);
  assert.equal(said.slice(0, AT_THE_END.length), AT_THE_END);
}

/** Runs a command line with the usual limit of descriptors; it must succeed. */
async function did(...words: string[]): Promise<string> {
  const script = 'ulimit -n 1024; exec "$@"';
  const { code, stdout, stderr } = await new Deno.Command("sh", {
    args: ["-c", script, "sh", ...commandLine(words)],
    cwd: home,
    env: { SAUROPOD_HOME: home },
    stdin: "null",
  }).output();
  const text = new TextDecoder().decode(stderr);
  assert.equal(code, 0, `${words.join(" ")}: ${text}`);
  return new TextDecoder().decode(stdout);
}

Deno.test("cp and commit: a tree 3,000 folders deep is diffed, exported, imported, committed, forked, copied in and out, and removed", async () => {
  await say(world, `mkdir -p /opt; cd /opt; ${make("deep")}`, { ...NONE, name: "box", keep: true });
  const diff = await did("diff", "box");
  assert.equal(diff.split("\n").filter((line) => line.startsWith("A /opt/deep")).length, DEPTH + 3);
  assert.deepEqual((await changes("box", folders)).filter(({ kind }) => kind === "deleted"), []);

  await did("export", "-o", "box.tar", "box");
  assert.match(await host("sh", "-c", `tar -tf ${home}/box.tar | tail -1`), /^[^/]*|opt\/deep/);
  await did("images", "import", "box.tar", "imported:1");
  await atTheEnd(`cd /opt; ${end("deep")}`, { image: "imported:1" });

  await did("commit", "box", "committed:1");
  await atTheEnd(`cd /opt; ${end("deep")}`, { image: "committed:1" });

  await did(
    "fork",
    "--name",
    "forked",
    "--network",
    "none",
    "box",
    "sh",
    "-c",
    `cd /opt; { ${end("deep")}; } >/end; echo y > file`,
  );
  assert.equal(
    await did("cp", "forked:/end", "end").then(() => Deno.readTextFileSync(`${home}/end`).slice(0, AT_THE_END.length)),
    AT_THE_END,
  );
  assert.equal(
    (await did("diff", "forked")).split("\n").filter((line) => line.includes("/opt/deep")).length,
    DEPTH + 3,
  );

  await did("cp", "box:/opt/deep", "out");
  await atTheEnd(`cd ${home}; ${end("out")}`);
  await did("run", "--name", "other", "--network", "none", "busybox", "true");
  await did("cp", "-a", "out", "other:/root/");
  await did("cp", "other:/root/out", "back");
  await atTheEnd(`cd ${home}; ${end("back")}`);
  await did("cp", "other:/root/out/.", "back");

  await did("rm", "box", "forked", "other");
  await did("images", "rm", "imported:1", "committed:1");
  await did("images", "prune");
  assert.equal((await host("sh", "-c", `ls -A ${folders.containers} | grep -v '^[.]' || true`)).trim(), "");
});

Deno.test("cp and commit: a container that runs with a tree 3,000 folders deep is forked, and its copy is its own", async () => {
  await did(
    "run",
    "-d",
    "--name",
    "live",
    "--network",
    "none",
    "busybox",
    "sh",
    "-c",
    `mkdir -p /opt; cd /opt; (${make("deep")}); touch /ready; sleep 1000`,
  );
  try {
    for (let i = 0; i < 200; i++) {
      if ((await world.cli(["exec", "live", "test", "-e", "/ready"])).code === 0) break;
    }
    const said = await did("fork", "--rm", "--network", "none", "live", "sh", "-c", `cd /opt; ${end("deep")}`);
    assert.equal(said.slice(0, AT_THE_END.length), AT_THE_END);
    await did("cp", "live:/opt/deep", "alive");
    await atTheEnd(`cd ${home}; ${end("alive")}`);
  } finally {
    await world.cli(["rm", "-f", "live"]);
  }
});

Deno.test("COPY of a tree 3,000 folders deep builds an image that has it, and RUN makes one", async () => {
  const context = `${home}/context`;
  await host("sh", "-ec", `mkdir ${context}; cd ${context}; (${make("deep")}); echo ".git" > .dockerignore`);
  Deno.writeTextFileSync(`${context}/make`, `mkdir -p /opt; cd /opt; ${make("made")}`);
  const lines = ["FROM busybox", "COPY deep /opt/deep", "COPY make /make", "RUN sh -e /make"];
  Deno.writeTextFileSync(`${context}/Dockerfile`, lines.join("\n"));
  await did("images", "build", "--network", "none", "-t", "built:1", context);
  assert.equal((await say(world, `cd /opt; ${end("deep")}`, { ...NONE, image: "built:1" })).slice(0, 8), "end\n700 ");
  assert.equal(
    (await say(world, `cd /opt; ${end("made")}`, { ...NONE, image: "built:1" })).slice(0, 8),
    "end\n700 ",
  );
});

Deno.test("apply writes and removes trees 3,000 folders deep", async () => {
  const path = `${folders.images}/machine`;
  await host(
    "sh",
    "-ec",
    `cp -a ${world.image} ${path}; mkdir -p ${path}/opt ${path}/dev ${path}/proc ${path}/sys ${path}/run`,
  );
  await host(
    "sh",
    "-ec",
    `cd ${path}/etc; echo > hosts; echo > hostname; echo > resolv.conf; cd ${path}/opt; ${make("old")}`,
  );
  await new Promise((resolve) => setTimeout(resolve, 20));
  await say(
    world,
    `cd /opt; ${PATH}; (cd old; for way in $p d $p; do cd -P $way; done; rm -rf d); (cd -P old/$p; rm -rf d); rm -rf old
    ${make("new")}`,
    { ...NONE, image: "machine", name: "change", keep: true },
  );
  const { applied, conflicts } = await apply("change", { ...folders, machine: path });
  assert.deepEqual([applied, conflicts], [true, []]);
  assert.deepEqual([...Deno.readDirSync(`${path}/opt`)].map(({ name }) => name), ["new"]);
  await atTheEnd(`cd ${path}/opt; ${end("new")}`);
});
