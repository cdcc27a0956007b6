/** Attacks of containers on what enters them, and on what is to end them: tests/attacks/ holds their sources. */

import assert from "node:assert/strict";
import { exec, logs, runDetached } from "../../mod.ts";
import { compileAttack } from "../helpers/attack.ts";
import { text } from "../helpers/inside.ts";
import { clear, until } from "../helpers/life.ts";
import { makeWorld, type World } from "../helpers/world.ts";
import { skipHere } from "../helpers/skip.ts";

const QUIET = { stdin: "null", stdout: "null", stderr: "null" } as const;

/** What the tracer has stopped in a container, by the name that each process had then. */
async function stopped(world: World, id: string): Promise<{ name: string; line: string }[]> {
  const lines = await Array.fromAsync(logs(id, world.folders));
  return lines.map((line) => text(line.text)).flatMap((line) => {
    const [, name = ""] = /^STOPPED (\S+)/.exec(line) ?? [];
    return name === "" ? [] : [{ name, line }];
  });
}

/** The names of those that were stopped before they had executed the command. */
async function early(world: World, id: string, command: string): Promise<string[]> {
  return (await stopped(world, id)).map(({ name }) => name).filter((name) => name !== command);
}

// The default capabilities and SYS_PTRACE.
const OWN = "00000000800c05fb";

/** An exec that has not executed its command yet: it has the pipe to its caller. */
const EXECUTING = /=pipe:/;

/** Checks that what was stopped had no more than a command of the container's has, and a pipe. */
function assertPoor(lines: readonly string[]): void {
  for (const line of lines) {
    const [, eff, bnd, nnp, fds = ""] = /eff=(\w+) bnd=(\w+) nnp=(\w) .*fds:(.*)$/.exec(line) ?? assert.fail(line);
    assert.deepEqual({ eff, bnd, nnp }, { eff: OWN, bnd: OWN, nnp: "1" }, line);
    const others = fds.trim().split(" ").filter((fd) => !/^[012]=/.test(fd) && fd !== "");
    assert(others.length <= 1 && others.every((fd) => /^\d+=pipe:/.test(fd)), line);
  }
}

Deno.test("a container with --cap-add SYS_PTRACE that stops health checks and exec gets no privilege or descriptor of theirs", async () => {
  await using world = makeWorld({ ownImage: true });
  await compileAttack("tracer", `${world.image}/tracer`);
  const id = await runDetached("busybox", ["/tracer", "30"], {
    ...world.folders,
    network: "none",
    capAdd: ["SYS_PTRACE"],
    keep: true,
    health: { command: ["true"], interval: 20 },
  });
  try {
    await until("health checks are stopped on their way", async () => (await early(world, id, "true")).length >= 5);
    for (
      let i = 0;
      i < 300 && !(await stopped(world, id)).some(({ line }) => EXECUTING.test(line));
      i++
    ) {
      await (await exec(id, ["sh", "-c", "true"], { ...world.folders, ...QUIET })).status;
    }
    const lines = (await stopped(world, id)).map(({ line }) => line);
    assert(lines.some((line) => EXECUTING.test(line)), "the tracer has stopped no exec on its way");
    assertPoor(lines);
  } finally {
    await clear(world);
  }
});

/** Starts a container whose process of its own attacks the death signal of PID 1, and kills its caller when it has tried. */
async function killCaller(world: World, flags: readonly string[]): Promise<{ said: string; pid: number }> {
  const child = world.start(["--rm", "--init", "--network", "none", ...flags, "busybox", "/death_signal"]);
  const reader = child.stdout.getReader();
  const said = text((await reader.read()).value ?? new Uint8Array()).trim();
  const [{ pid }] = JSON.parse((await world.cli(["ps", "--json"])).stdout);
  child.kill("SIGKILL");
  await child.status;
  await reader.cancel();
  await child.stderr.cancel();
  return { said, pid };
}

function isAlive(pid: number): boolean {
  try {
    return !/^State:\s*Z/m.test(Deno.readTextFileSync(`/proc/${pid}/status`));
  } catch {
    return false;
  }
}

const X86 = Deno.build.arch === "x86_64";

Deno.test({
  name: "root in a container with --init cannot make it outlive its caller; with SYS_PTRACE the next command ends it",
  ignore: skipHere("its helper is for x86_64", !X86),
  fn: async () => {
    await using world = makeWorld({ ownImage: true });
    await compileAttack("death_signal", `${world.image}/death_signal`);
    for (const flags of [[], ["--privileged", "--cap-drop", "SYS_PTRACE"]]) {
      const { said, pid } = await killCaller(world, flags);
      assert.equal(said, "refused", flags.join(" "));
      await until("it has died with its caller", () => !isAlive(pid));
    }
    const { said, pid } = await killCaller(world, ["--cap-add", "SYS_PTRACE"]);
    assert.equal(said, "cleared");
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert(isAlive(pid), "CAP_SYS_PTRACE does not suffice any more: README says that it does");
    await world.cli(["ps"]);
    await until("the next command has ended it", () => !isAlive(pid));
    await clear(world);
  },
});
