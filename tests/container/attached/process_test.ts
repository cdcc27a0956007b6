/** What a command is given: words, folder, user, environment. */

import assert from "node:assert/strict";
import { ContainerError, InputError, output, SpawnError } from "../../../mod.ts";
import { converse, inside, say, text } from "../../helpers/inside.ts";
import { containersIn } from "../../helpers/unchanged.ts";
import { commandLine } from "../../helpers/project.ts";
import { makeWorld } from "../../helpers/world.ts";

const world = makeWorld();
Deno.test.afterAll(async () => await world[Symbol.asyncDispose]());

const ODD = [
  "",
  " ",
  "a b",
  "-x",
  "--",
  "--rm",
  "'",
  '"',
  "$HOME",
  "`id`",
  "\\",
  "\n",
  "\t",
  "*",
  "é€😀",
  "x".repeat(100_000),
  "",
];

Deno.test("run: arguments arrive byte for byte, the empty and odd ones too", async () => {
  const args = ["/bin/sh", "-c", "cat /proc/$$/cmdline; true", ...ODD];
  assert.deepEqual((await say(world, args)).split("\0").slice(0, -1), args);
  const { code, stdout } = await world.cli(["--rm", "busybox", ...args]);
  assert.equal(code, 0);
  assert.deepEqual(stdout.split("\0").slice(0, -1), args);
});

Deno.test("what follows IMAGE belongs to the command, also what looks like Sauropod's own flags", async () => {
  const words = ["--rm", "busybox", "echo", "--rm", "-e", "A=1", "--", "--help", "-v"];
  assert.equal((await world.cli(words)).stdout, "--rm -e A=1 -- --help -v\n");
  assert.equal((await world.cli(["run", ...words])).stdout, "--rm -e A=1 -- --help -v\n");
});

Deno.test("run: the working directory is / unless asked, and made if it is missing", async () => {
  assert.equal(await say(world, ["pwd"]), "/\n");
  assert.equal(
    await say(world, "pwd; stat -c '%a %u' . ..", { cwd: "/made/new/here" }),
    "/made/new/here\n755 0\n755 0\n",
  );
  assert.equal(await say(world, ["pwd"], { cwd: "/etc/", user: "alice" }), "/etc\n");
  assert.equal((await world.cli(["--rm", "-w", "/a b", "busybox", "pwd"])).stdout, "/a b\n");
});

Deno.test("run: a working directory that is relative, climbs, or is a file is refused", async () => {
  for (const cwd of ["etc", "", "./x", "/a/../../etc"]) {
    await assert.rejects(
      inside(world, "pwd", { cwd }),
      (error) => error instanceof InputError && error.code === "bad-cwd",
    );
  }
  await assert.rejects(inside(world, "pwd", { cwd: "/etc/passwd" }), SpawnError);
});

// What --user says, then uid, gid and groups inside, and who HOME and USER say it is.
const USERS = [
  [undefined, "0 0 [0]", "/root root"],
  ["root", "0 0 [0]", "/root root"],
  ["alice", "1000 1000 [50 1000]", "/home/alice alice"],
  ["1000", "1000 1000 [50 1000]", "/home/alice alice"],
  ["alice:staff", "1000 50 [50]", "/home/alice alice"],
  ["alice:0", "1000 0 [0]", "/home/alice alice"],
  ["12345", "12345 0 [0]", "/ 12345"],
  ["12345:54321", "12345 54321 [54321]", "/ 12345"],
  ["0:staff", "0 50 [50]", "/root root"],
] as const;

for (const [user, ids, names] of USERS) {
  Deno.test(`a command run as user ${user ?? "(nobody said)"} is ${ids}`, async () => {
    const script = `set -- $(sed -n 's/^\\(Uid\\|Gid\\|Groups\\)://p' /proc/self/status | tr '\\n\\t' '  '); echo "$@"
      echo "$HOME $USER"`;
    const [line = "", who] = (await say(world, script, { user })).trim().split("\n");
    const [u1, u2, u3, u4, g1, g2, g3, g4, ...groups] = line.split(" ");
    assert.deepEqual([new Set([u1, u2, u3, u4]).size, new Set([g1, g2, g3, g4]).size], [1, 1], line);
    const all = [...new Set([g1, ...groups])].sort((a, b) => Number(a) - Number(b));
    assert.deepEqual([`${u1} ${g1} [${all.join(" ")}]`, who], [ids, names]);
  });
}

Deno.test("run: supplementary groups are the image's and none of the caller's", async () => {
  const groups = "sed -n 's/^Groups:[ \\t]*//p' /proc/self/status";
  const line = async (user: string): Promise<string> => (await say(world, groups, { user })).trim();
  assert.deepEqual([await line("alice"), await line("alice:staff"), await line("root")], ["50", "", ""]);
  const { stdout } = await new Deno.Command("setpriv", {
    args: ["--groups", "4242", ...commandLine(["--rm", "busybox", "sh", "-c", groups])],
    env: { SAUROPOD_HOME: world.home },
  }).output();
  assert.equal(text(stdout).trim(), "");
});

Deno.test("run: a user or group that the image does not know is refused by name", async () => {
  const before = containersIn(world);
  for (
    const [user, code] of [["mallory", "unknown-user"], ["alice:wheel", "unknown-group"], [
      "4294967295",
      "unknown-user",
    ]]
  ) {
    await assert.rejects(inside(world, "id", { user }), (error) => error instanceof InputError && error.code === code);
  }
  const { code, stderr } = await world.cli(["-u", "mallory", "busybox", "id"]);
  assert.equal(code, 125);
  assert.match(stderr, /unknown user "mallory"/);
  assert.deepEqual(containersIn(world), before);
});

const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const ENVIRON = ["cat", "/proc/self/environ"];

function environment(stdout: string): string[] {
  return stdout.split("\0").slice(0, -1).sort();
}

Deno.test("the environment is exactly PATH, HOME, USER, HOSTNAME, TERM and PS1", async () => {
  const { stdout } = await world.cli(["--rm", "--hostname", "box", "-u", "alice", "busybox", ...ENVIRON], {
    env: { TERM: "screen", SECRET: "of the caller", LD_PRELOAD: "", HTTP_PROXY: "http://proxy" },
  });
  assert.deepEqual(environment(stdout), [
    "HOME=/home/alice",
    "HOSTNAME=box",
    `PATH=${PATH}`,
    "PS1=alice@box$ ",
    "TERM=screen",
    "USER=alice",
  ]);
});

Deno.test("-e and --env-file add and replace variables, -e last", async () => {
  Deno.writeTextFileSync(
    `${world.home}/env`,
    "# comment\n\nA=file\nB=from file\nC=x=y # no comment\n  D=indented\nE\nF=\nNOT_SET\n",
  );
  const flags = ["--env-file", "env", "-e", "A=flag", "-e", "E2", "-eG=1=2", "--env=HOME=/elsewhere", "-e", "TERM="];
  const { stdout } = await world.cli(["--rm", "--hostname", "box", ...flags, "busybox", ...ENVIRON], {
    env: { E: "caller", E2: "caller's\ntoo" },
  });
  assert.deepEqual(environment(stdout), [
    "A=flag",
    "B=from file",
    "C=x=y # no comment",
    "D=indented",
    "E2=caller's\ntoo",
    "E=caller",
    "F=",
    "G=1=2",
    "HOME=/elsewhere",
    "HOSTNAME=box",
    `PATH=${PATH}`,
    "PS1=root@box$ ",
    "TERM=",
    "USER=root",
  ]);
});

Deno.test("run: variables without a name and missing files of variables are refused", async () => {
  for (const flags of [["-e", "=1"], ["--env-file", "missing"]]) {
    const { code, stderr } = await world.cli([...flags, "busybox", "true"]);
    assert.equal(code, 125);
    assert.match(stderr, flags[0] === "-e" ? /expected NAME=VALUE/ : /missing/);
  }
});

Deno.test("run: a file of variables that has a bad line, or is no text, is refused by its name", async () => {
  Deno.writeTextFileSync(`${world.home}/lines`, "A=1\nexport B=2\n");
  Deno.writeFileSync(`${world.home}/bytes`, Uint8Array.of(65, 61, 0xff));
  for (
    const [name, why] of [["lines", "invalid line 2: expected NAME=VALUE"], ["bytes", "it is not UTF-8 text"]] as const
  ) {
    const { code, stderr } = await world.cli(["--env-file", name, "busybox", "true"]);
    assert.equal(code, 125);
    assert.ok(stderr.includes(`--env-file ${name}: ${why}`), stderr);
  }
});

Deno.test("a command is looked up in the PATH of the container", async () => {
  await using own = makeWorld({ ownImage: true });
  const image = own.image;
  for (const name of ["opt/a", "opt/b", "opt/c/tool"]) Deno.mkdirSync(`${image}/${name}`, { recursive: true });
  Deno.writeTextFileSync(`${image}/opt/a/tool`, "#!/bin/sh\necho not executable\n", { mode: 0o644 });
  Deno.writeTextFileSync(`${image}/opt/b/tool`, "#!/bin/sh\necho found $0\n", { mode: 0o755 });
  const find = (path: string, words: readonly string[] = ["tool"]): ReturnType<typeof inside> =>
    inside(own, words, { env: { PATH: path } });
  assert.equal((await find("/opt/a:/missing:/etc/passwd:/opt/b")).stdout, "found /opt/b/tool\n");
  assert.equal((await inside(own, ["./tool"], { cwd: "/opt/b" })).stdout, "found ./tool\n");
  const failed = async (path: string, words?: readonly string[]): Promise<[string, number]> => {
    const error: unknown = await find(path, words).catch((error) => error);
    assert.ok(error instanceof SpawnError);
    return [error.code, error.exitCode];
  };
  assert.deepEqual(await failed("/opt/a:/missing"), ["not-executable", 126]);
  assert.deepEqual(await failed("/missing:/etc"), ["command-not-found", 127]);
  assert.deepEqual(await failed(PATH, ["deno"]), ["command-not-found", 127]);
  assert.deepEqual(await failed(PATH, ["/opt/c/tool"]), ["not-executable", 126]);
  assert.deepEqual(containersIn(own), []);
});

Deno.test("a command of PATH whose interpreter is missing may be there, which the hint says", async () => {
  await using own = makeWorld({ ownImage: true });
  const path = `${own.image}/bin/odd`;
  Deno.writeTextFileSync(path, "#!/missing\n", { mode: 0o755 });
  const error: unknown = await inside(own, ["odd"]).catch((error) => error);
  assert.ok(error instanceof SpawnError);
  assert.deepEqual([error.code, error.exitCode], ["command-not-found", 127]);
  assert.match(`${error.hint}`, /or its interpreter, in PATH=/);
});

Deno.test("run: a command has the usual umask and leads a session of its own", async () => {
  assert.equal(
    await say(world, "umask; cut -d ' ' -f 5,6 /proc/self/stat; cut -d ' ' -f 5,6 /proc/1/stat"),
    "0022\n1 1\n1 1\n",
  );
});

Deno.test("a command must be named, and words must not hold NUL", async () => {
  for (const command of [[], [""]]) {
    await assert.rejects(output("busybox", command, world.folders), InputError);
  }
  await assert.rejects(output("busybox", ["echo", "a\0b"], world.folders), InputError);
  await assert.rejects(output("busybox", ["env"], { ...world.folders, env: { A: "\0" } }), InputError);
});

Deno.test("run: a name is the container's own while it is there", async () => {
  await using box = await converse(world, "echo; read", { name: "box" });
  await box.ask();
  assert.equal(box.container.name, "box");
  await assert.rejects(
    inside(world, "true", { name: "box" }),
    (error) => error instanceof ContainerError && error.code === "name-taken",
  );
  await box.container[Symbol.asyncDispose]();
  assert.equal(await say(world, "echo ran", { name: "box" }), "ran\n");
});
