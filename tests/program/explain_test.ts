/** What `explain` shows. */

import assert from "node:assert/strict";
import type { ContainerOptions } from "../../lib/container/options.ts";
import { prepare } from "../../lib/container/spec/spec.ts";
import { explain, formatProgram } from "../../lib/program/explain.ts";
import { compile, compileLast } from "../../lib/program/compile.ts";
import { hasAlpine } from "../helpers/project.ts";
import { makeWorld } from "../helpers/world.ts";
import { SPEC, WIRING } from "../helpers/spec.ts";
import { skipHere } from "../helpers/skip.ts";

const OPTIONS: readonly (readonly [flags: readonly string[], options: ContainerOptions, shows: RegExp])[] = [
  [["--hostname", "web"], { hostname: "web" }, /sethostname\("web", 3\)/],
  [["-e", "COLOUR=red"], { env: { COLOUR: "red" } }, /execve\(.*"COLOUR=…"/],
  [["-w", "/var/x"], { cwd: "/var/x" }, /chdir\("\/var\/x"\)/],
  [["-u", "alice"], { user: "alice" }, /setresuid\(1000, 1000, 1000\)/],
  [["--init"], { init: true }, /"sauropod-init"/],
  [["--cpu", "200"], { limits: { cpuShares: 200 } }, /cpu\.(shares to 200|weight to 20)/],
  [["--cpus", "1.5"], { limits: { cpus: 1.5 } }, /150000/],
  [["--memory", "64m"], { limits: { memory: 67_108_864 } }, /67108864/],
  [
    ["--memory", "64m", "--memory-swap", "128m"],
    { limits: { memory: 67_108_864, memorySwap: 134_217_728 } },
    /swap|memsw/,
  ],
  [["--pids-limit", "9"], { limits: { pids: 9 } }, /set pids\.max to 9/],
  [["--ulimit", "nofile=64:128"], { ulimits: ["nofile=64:128"] }, /RLIMIT_NOFILE, \{64, 128\}/],
  [["--network", "none"], { network: "none" }, /CLONE_NEWNET/],
  [["-v", "/etc:/in:ro"], { volumes: ["/etc:/in:ro"] }, /open_tree\(AT_FDCWD, "\/etc"/],
  [["--tmpfs", "/run:size=16m"], { tmpfs: ["/run:size=16m"] }, /"size=16m"/],
  [["--device", "/dev/null:/dev/other"], { devices: ["/dev/null:/dev/other"] }, /"\/dev\/other"/],
  [["--read-only"], { readOnly: true }, /make the root read-only/],
  [["--shm-size", "1m"], { shmSize: 1_048_576 }, /size=1048576/],
  [["--cap-add", "NET_ADMIN"], { capAdd: ["NET_ADMIN"] }, /effective=.*CAP_NET_ADMIN/],
  [["--cap-drop", "CHOWN"], { capDrop: ["CHOWN"] }, /drop_bounding\(.*CAP_CHOWN/],
  [["--privileged"], { privileged: true }, /effective=.*CAP_SYS_ADMIN/],
];

Deno.test("explain shows every option as text and as JSON that agree, and makes nothing", async () => {
  await using world = makeWorld();
  const lower = [world.image];
  for (const [, options, shows] of OPTIONS) {
    const spec = await prepare(
      SPEC.id,
      { name: "busybox", kind: "folder", lower },
      ["true"],
      options,
      SPEC.rootfs.folder,
    );
    const program = [...compile(spec, WIRING), ...compileLast(spec.process, WIRING)];
    const text = formatProgram(program);
    assert.match(text, shows);
    for (const { label, call } of explain(program)) assert(text.includes(`# ${label}\n`) && text.includes(call), call);
    assert.equal(text.split("\n").filter((line) => /^ +\d+ {2}/.test(line)).length, program.length);
    assert.deepEqual(JSON.parse(JSON.stringify(explain(program))), explain(program));
  }
  assert.deepEqual([...Deno.readDirSync(world.folders.containers)], []);
});

Deno.test("the command explain prints what run would do, for all options at once, and makes nothing", async () => {
  await using world = makeWorld();
  const words = OPTIONS.filter(([[flag]]) => flag !== "--privileged").flatMap(([flags]) => flags)
    .filter((word, i, all) =>
      !(word === "--memory" && all.indexOf(word) < i) && !(word === "64m" && all.indexOf(word) < i)
    );
  const text = await world.cli(["explain", ...words, "busybox", "true"]);
  assert.deepEqual([text.code, text.stderr], [0, ""]);
  for (const [flags, , shows] of OPTIONS) {
    if (flags[0] !== "--privileged" && flags[0] !== "--cap-add") assert.match(text.stdout, shows, flags.join(" "));
  }
  const json = await world.cli(["explain", "--json", ...words, "busybox", "true"]);
  assert.equal(json.code, 0, json.stderr);
  const parsed: { steps: unknown[]; command: unknown[] } = JSON.parse(json.stdout);
  assert(parsed.steps.length > 100 && parsed.command.length > 3);
  assert.deepEqual([...Deno.readDirSync(world.folders.containers)], []);
});

Deno.test({
  name: "explain of an archive names the unpacked image",
  ignore: skipHere("the archive of Alpine is not there", !hasAlpine()),
  fn: async () => {
    await using world = makeWorld();
    const { code, stdout } = await world.cli(["explain", "alpine", "/bin/sh"]);
    assert.equal(code, 0);
    assert.match(stdout, /lowerdir=.*\/images\/\.unpacked\//);
  },
});
