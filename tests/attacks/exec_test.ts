/** Attacks of images on the host's deno (the class of CVE-2019-5736): tests/attacks/ holds their sources. */

import assert from "node:assert/strict";
import { output } from "../../mod.ts";
import * as call from "../../ffi/program/calls.ts";
import { execute, shimFd } from "../../ffi/program/execute.ts";
import { flags } from "../../ffi/program/flags.ts";
import { AT_FDCWD, close, openAt } from "../../ffi/fs/fs.ts";
import { type Call, callerStep, step } from "../../ffi/program/model.ts";
import { compileAttack } from "../helpers/attack.ts";
import { context } from "../helpers/building.ts";
import { host, text } from "../helpers/inside.ts";
import { clear } from "../helpers/life.ts";
import { PROJECT } from "../helpers/project.ts";
import { makeWorld, type World } from "../helpers/world.ts";

const PRELOAD = "LD_PRELOAD=/evil.so";

/** What leads to the executable of the process that executes it. */
const WAYS: readonly string[] = ["/proc/self/exe", "/script", "/interpreted"];

/** An image with what deno needs to run, a library that does harm when it is loaded, and what leads to /proc/self/exe. */
async function makeEvilImage({ image }: World): Promise<void> {
  const needed = (await host("ldd", Deno.execPath())).matchAll(/(\/\S+) \(0x/g);
  for (const [, path = ""] of needed) {
    await Deno.mkdir(image + path.slice(0, path.lastIndexOf("/")), { recursive: true });
    await Deno.copyFile(path, image + path);
  }
  await compileAttack("host_executable_library", `${image}/evil.so`, ["-shared", "-fPIC"]);
  await compileAttack("writer", `${image}/writer`);
  await compileAttack("interpreted", `${image}/interpreted`, ["-Wl,--dynamic-linker=/proc/self/exe"]);
  await Deno.writeTextFile(`${image}/script`, "#!/proc/self/exe\n", { mode: 0o755 });
}

/** Whether the file at `path` has been written to. */
function isOverwritten(path: string): boolean {
  using file = Deno.openSync(path);
  const bytes = new Uint8Array(11);
  file.readSync(bytes);
  return text(bytes) === "OVERWRITTEN";
}

/** A deno of the test's own, and whether it is as it was. */
interface Victim {
  readonly path: string;
  /** Runs deno with `words` until it ends, or, if the library has been loaded, kills it and waits for the harm. */
  survive(words: readonly string[]): Promise<string>;
}

async function makeVictim({ home }: World): Promise<Victim> {
  const path = `${home}/deno`;
  await Deno.copyFile(Deno.execPath(), path);
  return {
    path,
    async survive(words: readonly string[]): Promise<string> {
      const child = new Deno.Command(path, {
        args: [...words],
        cwd: home,
        env: { SAUROPOD_HOME: home },
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
      }).spawn();
      let seen = "";
      const follow = async (stream: ReadableStream<Uint8Array>): Promise<void> => {
        for await (const bytes of stream) {
          seen += text(bytes);
          if (!seen.includes("LOADED")) continue;
          child.kill("SIGKILL");
          for (let i = 0; i < 200 && !isOverwritten(path); i++) await new Promise((resolve) => setTimeout(resolve, 10));
          return;
        }
      };
      await Promise.all([follow(child.stdout), follow(child.stderr)]);
      await child.status;
      return seen;
    },
  };
}

async function assertHarmless(victim: Victim, words: readonly string[]): Promise<void> {
  const seen = await victim.survive(words);
  const found = { loaded: seen.includes("LOADED"), overwritten: isOverwritten(victim.path) };
  assert.deepEqual(found, { loaded: false, overwritten: false }, `${words.join(" ")}\n${seen}`);
}

Deno.test("an image that executes /proc/self/exe in run, run --init and run -d gets nothing of the host's deno", async () => {
  await using world = makeWorld({ ownImage: true });
  await makeEvilImage(world);
  const victim = await makeVictim(world);
  const run = ["run", "-A", "--quiet", `${PROJECT}/cli.ts`, "run", "--network", "none", "-e", PRELOAD];
  for (const way of WAYS) {
    for (const flags of [["--rm"], ["--rm", "--read-only", "--cap-drop", "ALL"], ["--rm", "--init"], ["-d"]]) {
      await assertHarmless(victim, [...run, ...flags, "busybox", way]);
    }
  }
  await clear(world);
});

Deno.test("an image that executes /proc/self/exe in a build's RUN gets nothing of the host's deno", async () => {
  await using world = makeWorld({ ownImage: true });
  await makeEvilImage(world);
  const victim = await makeVictim(world);
  for (const way of WAYS) {
    const folder = context(world, { Dockerfile: `FROM busybox\nENV ${PRELOAD}\nRUN ["${way}"]\n` });
    const build = ["images", "build", "--network", "none", "-t", "built", folder];
    await assertHarmless(victim, ["run", "-A", "--quiet", `${PROJECT}/cli.ts`, ...build]);
  }
});

Deno.test("an image that executes /proc/self/exe in output(), prepare() and exec() gets nothing of the host's deno", async () => {
  await using world = makeWorld({ ownImage: true });
  await makeEvilImage(world);
  const victim = await makeVictim(world);
  const options = JSON.stringify({ ...world.folders, network: "none", env: { LD_PRELOAD: "/evil.so" } });
  for (const way of WAYS) {
    const script = `import { output, prepare, run } from "${PROJECT}/mod.ts";
      const options = ${options}, piped = { stdin: "null", stdout: "inherit", stderr: "inherit" }, way = ["${way}"];
      const quiet = (promise) => promise.catch((error) => console.error(String(error)));
      await quiet(output("busybox", way, options).then(({ stdout }) => Deno.stdout.write(stdout)));
      await quiet(run("busybox", way, { ...options, ...piped }).then((box) => box.status));
      await quiet(prepare("busybox", { ...options, ...piped }).then((box) => box.run(way)).then((box) => box.status));
      const box = await run("busybox", ["sleep", "100"], { ...options, ...piped, env: {} });
      await quiet(box.exec(way, { ...piped, env: options.env }).then((command) => command.status));
      box.kill("SIGKILL");
      await box.status;`;
    await assertHarmless(victim, ["eval", script]);
  }
});

Deno.test("a program that Deno walks itself executes nothing but the sealed shim", () => {
  const started = callerStep("", call.clone3(flags("CLONE", "PIDFD"), "pidfd"));
  const busybox = openAt(AT_FDCWD, "/bin/busybox", flags("O", "RDONLY"));
  const execveat = (fd: number, path: string, how: number): Call => ({
    call: "execveat",
    args: [fd, path, ["true"], [], how],
  });
  try {
    const { value: empty } = flags("AT", "EMPTY_PATH");
    const refused: readonly Call[] = [
      call.execve("/bin/true", ["true"], []),
      call.execve("/proc/self/exe", ["true"], []),
      call.execveFd(busybox, ["true"], []),
      execveat(-100, "/bin/true", 0),
      execveat(-100, "/bin/true", empty),
      execveat(shimFd, "/bin/true", empty),
      execveat(shimFd, "", 0),
      execveat(-1, "", empty),
    ];
    for (const one of refused) {
      const outcome = execute([started, step("execute it", one)]);
      assert.deepEqual([outcome.ok, outcome.ok || outcome.step.label, outcome.ok || outcome.errno], [
        false,
        "execute it",
        1,
      ]);
    }
  } finally {
    close(busybox);
  }
});

Deno.test("exec: root in a container with init and SYS_PTRACE cannot change the shim, nor take it away from its caller", async () => {
  await using world = makeWorld({ ownImage: true });
  await compileAttack("shim_thief", `${world.image}/shim_thief`);
  const options = { ...world.folders, network: "none", init: true } as const;
  const capAdd = ["SYS_PTRACE"];
  const { stdout } = await output("busybox", ["/shim_thief", "/proc/1/exe"], { ...options, capAdd });
  assert.equal(text(stdout), "opened\n");
  assert.equal((await output("busybox", ["true"], options)).code, 0);
  assert.equal(
    (await output("busybox", ["/shim_thief", "/proc/1/exe"], options)).code,
    1,
    "without it, it is not opened",
  );
});

Deno.test("who executes the shim in a container, as whatever it can be, gets nothing but an error of it", async () => {
  await using world = makeWorld({ ownImage: true });
  const options = { ...world.folders, network: "none", init: true, capAdd: ["SYS_PTRACE"] } as const;
  const script = `cp /proc/1/exe /tmp/shim || exit 1
    for words in "sauropod-init 3 4" "sauropod-join 3 4" "sauropod-monitor 3" "sauropod-pump 0 1 3 4" "sauropod-init" "x"; do
      set -- $words; name=$1; shift
      (exec -a "$name" /tmp/shim "$@" 3</dev/null 4>/dev/null); echo "$name $?"
    done`;
  const { stdout } = await output("busybox", ["sh", "-c", script], options);
  assert.equal(
    text(stdout),
    ["init 125", "join 125", "monitor 125", "pump 0", "init 125"].map((line) => `sauropod-${line}\n`).join("") +
      "x 125\n",
  );
});
