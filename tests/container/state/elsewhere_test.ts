/** Commands that see a folder of containers from another PID namespace, time namespace or machine. */

import assert from "node:assert/strict";
import { clear, cli, marker, monitorsOf, processesWith, until } from "../../helpers/life.ts";
import { commandLine } from "../../helpers/project.ts";
import { makeWorld, type Result, type World } from "../../helpers/world.ts";
import { skipHere } from "../../helpers/skip.ts";

const NONE = ["--network", "none"] as const;

/** A way to be elsewhere: the command that runs another one there. */
interface Elsewhere {
  readonly what: string;
  readonly words: readonly string[];
  readonly shown: string;
}

const IN_MOUNTS = ["unshare", "--mount", "--propagation", "private", "sh", "-ec"] as const;

/** As on another boot, and on another machine if `machine` says so. */
function otherHost(machine: string): readonly string[] {
  const script = `d=$(mktemp -d); mount -t tmpfs ids $d
    echo 0badb007-0000-4000-8000-000000000000 >$d/boot; mount --bind $d/boot /proc/sys/kernel/random/boot_id
    [ -z "${machine}" ] || { echo ${machine} >$d/machine; mount --bind $d/machine /etc/machine-id; }
    umount -l $d; rmdir $d; exec "$@"`;
  return [...IN_MOUNTS, script, "sh"];
}

const NAMESPACE = "held in another PID or time namespace of this machine", MACHINE = "held on another machine";
const ELSEWHERE: readonly Elsewhere[] = [
  {
    what: "unshare --pid --fork --mount-proc",
    words: ["unshare", "--pid", "--fork", "--mount-proc", "--mount"],
    shown: NAMESPACE,
  },
  {
    what: "unshare --time --boottime 1000000",
    words: ["unshare", "--time", "--boottime", "1000000", "--fork", "--mount"],
    shown: NAMESPACE,
  },
  { what: "another boot of a machine of the same id", words: otherHost(""), shown: MACHINE },
  { what: "another machine", words: otherHost("0".repeat(31) + "1"), shown: MACHINE },
];

async function there({ words }: Elsewhere, world: World, ...command: readonly string[]): Promise<Result> {
  const [program = "", ...args] = [...words, ...commandLine(command)];
  const output = await new Deno.Command(program, {
    args,
    cwd: world.home,
    env: { SAUROPOD_HOME: world.home },
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  return { code: output.code, stdout: text(output.stdout), stderr: text(output.stderr) };
}

const hasMachineId = ((): boolean => {
  try {
    return Deno.statSync("/etc/machine-id").isFile;
  } catch {
    return false;
  }
})();

for (const place of ELSEWHERE) {
  Deno.test({
    name: `ps, gc, start, stop, kill, rm -f and exec from ${place.what} leave what runs alone, and say why`,
    ignore: skipHere("there is no /etc/machine-id", place.what === "another machine" && !hasMachineId),
    fn: async () => {
      await using world = makeWorld();
      const seconds = marker();
      const sleep = ["busybox", "sleep", seconds];
      const kept = await cli(world, "run", "-d", "--name", "kept", ...NONE, ...sleep);
      await cli(world, "run", "-d", "--rm", "--name", "removed", ...NONE, ...sleep);
      const attached = world.start(["run", "--rm", "--name", "attached", ...NONE, ...sleep]);
      await until("running", () => processesWith(seconds).filter((pid) => isSleep(pid)).length === 3);
      const names = ["kept", "removed", "attached"];
      for (const words of [["ps"], ["ps", "-a"], ["gc"], ["run", "--rm", ...NONE, "busybox", "true"]]) {
        const { code, stdout } = await there(place, world, ...words);
        assert.equal(code, 0, words.join(" "));
        if (words[0] !== "ps") continue;
        for (const name of names) assert.match(stdout, new RegExp(`${place.shown} +${name}$`, "m"));
      }
      const refused = [
        ["start"],
        ["stop", "-t", "0"],
        ["kill"],
        ["rm"],
        ["rm", "-f"],
        ["restart", "-t", "0"],
        ["pause"],
        ["wait"],
        ["attach"],
        ["update", "--pids-limit", "9"],
        ["export", "-o", "/dev/null"],
      ].map((words) => [...words, "kept"]);
      refused.push(["rm", "-f", "removed"], ["stop", "attached"], ["exec", "kept", "true"], ["cp", "kept:/etc", "c"]);
      for (const words of refused) {
        const { code, stderr } = await there(place, world, ...words);
        const [, id = "", why = ""] = /container (\w+) is (held by a process .*)/.exec(stderr) ?? [];
        assert.deepEqual(
          [code > 0, why.replace("by a process ", ""), id.length],
          [true, place.shown, 12],
          `${words} ${stderr}`,
        );
      }
      assert.equal(processesWith(seconds).filter((pid) => isSleep(pid)).length, 3);
      assert.equal((await cli(world, "ps")).match(/ running /g)?.length, 3);
      assert.equal(await cli(world, "exec", kept, "echo", "well"), "well");
      attached.kill("SIGKILL");
      await attached.output();
      await clear(world);
    },
  });
}

function isSleep(pid: number): boolean {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/comm`) === "sleep\n";
  } catch {
    return false;
  }
}

Deno.test("what was killed with all that had it is taken away from another PID namespace, too", async () => {
  await using world = makeWorld();
  const [place] = ELSEWHERE;
  const seconds = marker();
  await cli(world, "run", "-d", "--name", "kept", ...NONE, "busybox", "sleep", seconds);
  await cli(world, "run", "-d", "--rm", "--name", "removed", ...NONE, "busybox", "sleep", seconds);
  monitorsOf(world).forEach((pid) => Deno.kill(pid, "SIGKILL"));
  await until("gone", () => processesWith(seconds).length === 0);
  const { code, stdout } = await there(place ?? assert.fail(), world, "ps", "-a");
  assert.equal(code, 0);
  assert.match(stdout, /lost .*kept$/m);
  assert.doesNotMatch(stdout, /removed/);
  await clear(world);
});

Deno.test("a command whose /proc shows another PID namespace refuses to start a container", async () => {
  await using world = makeWorld();
  const blind = { what: "", words: ["unshare", "--pid", "--fork"], shown: "" };
  const { code, stderr } = await there(blind, world, "run", "--rm", ...NONE, "busybox", "true");
  assert.equal(code, 125);
  assert.match(stderr, /\/proc does not show the processes of this PID namespace/);
});
