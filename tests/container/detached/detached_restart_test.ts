/** Containers that their monitor starts again, and those that it asks whether they are well. */

import assert from "node:assert/strict";
import { runDetached, stop } from "../../../mod.ts";
import { text } from "../../helpers/inside.ts";
import {
  clear,
  cli,
  eventsOf,
  inspect,
  leftIn,
  logged,
  monitorsOf,
  processesWith,
  stateOf,
  until,
} from "../../helpers/life.ts";
import { makeWorld, type World } from "../../helpers/world.ts";

const NONE = ["--network", "none"];
const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

function runShell(world: World, script: string, ...options: readonly string[]): Promise<string> {
  return cli(world, "run", "-d", ...options, "busybox", "sh", "-c", script);
}

function runs(world: World, id: string): number {
  return text(logged(world, id, "stdout")).split("run\n").length - 1;
}

async function ended(world: World, id: string): Promise<void> {
  await until("ended", () => stateOf(world, id).status === "exited" && monitorsOf(world, id).length === 0);
}

Deno.test("run --restart: a container is started again as often as its policy says", async () => {
  await using world = makeWorld();
  const cases: [policy: string[], script: string, runs: number][] = [
    [[], "echo run; exit 1", 1],
    [["--restart", "no"], "echo run; exit 1", 1],
    [["--restart", "on-failure:2"], "echo run; exit 1", 3],
    [["--restart", "on-failure"], "echo run; exit 0", 1],
    [["--restart", "on-failure"], "echo run; echo x >>/n; [ $(wc -l </n) = 4 ]", 4],
  ];
  await Promise.all(cases.map(async ([policy, script, times]) => {
    const id = await runShell(world, script, ...NONE, ...policy);
    await ended(world, id);
    assert.deepEqual([runs(world, id), stateOf(world, id).restarts], [times, times - 1], policy.join(" "));
  }));
  await clear(world);
});

Deno.test("between restarts the pause grows, and a start after the end for good begins anew", async () => {
  await using world = makeWorld();
  const id = await runShell(world, "echo run; exit 1", ...NONE, "--restart", "on-failure:4");
  await ended(world, id);
  const log = Deno.readTextFileSync(`${world.folders.containers}/${id}/log`);
  const times = [...log.matchAll(/^(\S+) /gm)].map(([, time = ""]) => Date.parse(time));
  const pauses = times.slice(1).map((time, i) => time - (times[i] ?? 0));
  for (const [i, least] of [100, 200, 400, 800].entries()) {
    // A pause of the next step would be twice as long, which only a machine that has time shows.
    assert((pauses[i] ?? 0) >= least, `pauses of ${pauses} ms`);
  }
  await cli(world, "start", id);
  await until("run again", () => runs(world, id) === 7);
  assert.equal(stateOf(world, id).restarts, 1);
  await clear(world);
});

Deno.test("a container that always is started again ends by stop, kill and rm, also between two runs", async () => {
  await using world = makeWorld();
  const ends: [script: string, words: string[]][] = [
    ["echo run; sleep 1000", ["stop", "-t", "0"]],
    ["echo run; sleep 1000", ["kill"]],
    ["echo run; sleep 1000", ["rm", "-f"]],
    ["echo run; exit 3", ["stop"]],
    ["echo run; exit 3", ["kill"]],
    ["echo run; exit 3", ["rm", "-f"]],
  ];
  await Promise.all(ends.map(async ([script, words], i) => {
    const policy = i % 2 ? "always" : "unless-stopped";
    const id = await runShell(world, script, ...NONE, "--restart", policy);
    const isWaiting = script.includes("exit");
    // In the pauses after the third run there is time for a command.
    await until("run", () => runs(world, id) >= (isWaiting ? 4 : 1));
    if (isWaiting) await until("waiting", async () => (await inspect(world, id)).status === "restarting");
    await cli(world, ...words, id);
    await until("its monitor gone", () => monitorsOf(world, id).length === 0);
    if (words[0] === "rm") assert(!leftIn(world).some((path) => path.includes(id)));
    else {
      const times = runs(world, id);
      assert.equal((await inspect(world, id)).status, "exited");
      await pause(300);
      assert.equal(runs(world, id), times);
    }
  }));
  await clear(world);
});

Deno.test("stop finds a container in whatever moment of a restart", async () => {
  await using world = makeWorld();
  const options = { ...world.folders, network: "none", keep: true, restart: "always" };
  const script = "echo run; [ -e /second ] || { touch /second; exit 1; }; sleep 1000";
  // The second run begins 100 ms after the first has ended: stop is called around that moment.
  await Promise.all(Array.from({ length: 4 }, async (_, lane) => {
    for (let i = 0; i < 12; i++) {
      const id = await runDetached("busybox", ["sh", "-c", script], options);
      await until("ended once", () => "finishedAt" in stateOf(world, id));
      await pause(Math.max(0, 96 + i + lane / 4 - (Date.now() - finishedAt(world, id))));
      const begin = performance.now();
      await stop(id, { ...world.folders, timeout: 0 });
      assert.deepEqual([stateOf(world, id).status, monitorsOf(world, id)], ["exited", []]);
      assert(performance.now() - begin < 60_000, "nobody waits for an end that does not come");
    }
  }));
  await clear(world);
});

function finishedAt(world: World, id: string): number {
  return Date.parse(stateOf(world, id).finishedAt ?? "");
}

Deno.test("run --restart: a container is started again, whichever descriptors the script that started it had free", async () => {
  await using world = makeWorld();
  const ids: string[] = [];
  for (let free = 7; free < 16; free++) {
    const files = Array.from({ length: 60 }, () => Deno.openSync("/dev/null"));
    files.slice(0, free).forEach((file) => file.close());
    ids.push(
      await runDetached("busybox", ["sh", "-c", "echo run; exit 3"], {
        ...world.folders,
        network: "none",
        keep: true,
        restart: "on-failure:1",
      }),
    );
    files.slice(free).forEach((file) => file.close());
  }
  for (const id of ids) {
    await ended(world, id);
    assert.deepEqual([runs(world, id), stateOf(world, id).code], [2, 3]);
  }
  await clear(world);
});

Deno.test("kill -9 of its first process counts as an end like others", async () => {
  await using world = makeWorld();
  const id = await runShell(world, "echo run; sleep 1000", ...NONE, "--restart", "on-failure:1");
  for (const times of [1, 2]) {
    await until("run", () => runs(world, id) === times && stateOf(world, id).restarts === times - 1);
    const { pid = 0 } = await inspect(world, id);
    Deno.kill(pid, "SIGKILL");
  }
  await ended(world, id);
  assert.deepEqual([stateOf(world, id).code, runs(world, id)], [137, 2]);
  await clear(world);
});

Deno.test("run --restart: a container that is started again keeps its address, its published port and its name for siblings", async () => {
  await using world = makeWorld();
  const serve = "echo run; echo hello | nc -l -p 80";
  const web = await runShell(world, serve, "--name", "web", "-p", "127.0.0.1::80", "--restart", "always");
  const { networks, ports } = await inspect(world, web);
  const port = ports?.[0]?.hostPort ?? assert.fail("no port");
  const fetchOnce = async (): Promise<string> => {
    using connection = await Deno.connect({ hostname: "127.0.0.1", port });
    return text(await new Response(connection.readable).bytes());
  };
  for (const times of [1, 2, 3]) {
    await until("listening", () => runs(world, web) === times);
    let answer = "";
    await until("an answer", async () => (answer = await fetchOnce().catch(() => "")) !== "");
    assert.equal(answer, "hello\n");
  }
  const ask = "grep web /etc/hosts; i=0; until nc web 80 </dev/null || [ $((i=i+1)) = 200 ]; do sleep 0.05; done";
  const { stdout } = await world.cli(["run", "--rm", "busybox", "sh", "-c", ask]);
  assert.match(stdout, /^10\.10\.10\.\d+\t.*web.*\nhello\n$/);
  assert.deepEqual((await inspect(world, web)).networks, networks);
  await clear(world);
});

Deno.test("run --restart: a container that cannot be started again is given up, and says how it last ended", async () => {
  await using world = makeWorld();
  Deno.mkdirSync(`${world.home}/source`);
  const script = "echo run; while [ -e /source/stay ]; do sleep 0.02; done; exit 5";
  Deno.writeTextFileSync(`${world.home}/source/stay`, "");
  const id = await runShell(world, script, ...NONE, "-v", `${world.home}/source:/source`, "--restart", "on-failure:3");
  Deno.removeSync(`${world.home}/source`, { recursive: true });
  // The count goes on while it cannot be started.
  await until("restarting", () => stateOf(world, id).restarts >= 2);
  await ended(world, id);
  const { ended: how, state } = await inspect(world, id);
  assert.deepEqual([how?.code, state?.restarts, runs(world, id)], [5, 3, 1]);
  const told = await cli(world, "events", "--since", "1h", "--until", "0s", "--filter", "action=start_failed");
  assert.equal(
    told.match(new RegExp(`start_failed ${id} \\(errno=2, error=ENOENT \\(No such file.*\\), image`, "g"))?.length,
    3,
    told,
  );
  assert.match((await world.cli(["start", id])).stderr, /cannot mount .*\/source: no such file or directory\n/);
  await clear(world);
});

Deno.test("run --health-cmd: health goes from starting to healthy to unhealthy and back, each told by an event", async () => {
  await using world = makeWorld();
  const go = `${world.home}/go`;
  Deno.mkdirSync(go);
  // The nth time it waits until the test has said how it is to end.
  const check = "n=$(($(cat /n 2>/dev/null || echo 0) + 1)); echo $n >/n; " +
    "until [ -s /go/$n ]; do sleep 0.02; done; exit $(cat /go/$n)";
  const id = await runShell(
    world,
    "sleep 1000",
    ...[...NONE, "-v", `${go}:/go`, "--health-cmd", check, "--health-interval", "10ms", "--health-retries", "2"],
    ...["--health-timeout", "600s"],
  );
  const health = (): string | undefined => stateOf(world, id).health;
  let asked = 0;
  const answer = (code: number): void => Deno.writeTextFileSync(`${go}/${++asked}`, `${code}\n`);
  assert.equal((await inspect(world, id)).state?.health, "starting");
  answer(0);
  await until("healthy", () => health() === "healthy");
  answer(1);
  await until("one failure", () => stateOf(world, id).failures === 1);
  assert.equal(health(), "healthy", "one failure is not enough");
  answer(1);
  await until("unhealthy", () => health() === "unhealthy");
  assert.equal(stateOf(world, id).failures, 2);
  answer(0);
  await until("healthy again", () => health() === "healthy" && stateOf(world, id).failures === 0);
  const told = eventsOf(world).flatMap(({ health }) => health ?? []);
  assert.deepEqual(told, ["starting", "healthy", "unhealthy", "healthy"]);
  await clear(world);
});

Deno.test("a health check that takes too long is killed and has failed; in the start period failures do not count", async () => {
  await using world = makeWorld();
  const often = ["--health-interval", "50ms", "--health-retries", "1"];
  const [slow, early] = await Promise.all([
    runShell(world, "sleep 1000", ...NONE, ...often, "--health-cmd", "exec sleep 777", "--health-timeout", "200ms"),
    runShell(world, "sleep 1000", ...NONE, ...often, "--health-cmd", "false", "--health-start-period", "1500ms"),
  ]);
  const begun = Date.parse(stateOf(world, early).startedAt);
  await until("unhealthy", () => stateOf(world, slow).health === "unhealthy");
  // The next one may be running.
  const listing = await cli(world, "exec", slow, "ps");
  assert(listing.split("\n").filter((line) => line.includes("sleep 777")).length <= 1, listing);
  await until("unhealthy", () => stateOf(world, early).health === "unhealthy");
  assert(Date.now() - begun >= 1500, "not before the end of the start period");
  await clear(world);
});

Deno.test("run --restart: what a health check has started is killed with it when it takes too long, and at the container's end", async () => {
  await using world = makeWorld();
  const seconds = `${100_000 + Math.floor(Math.random() * 100_000)}`;
  const check = `sleep ${seconds} | cat & (sleep ${seconds} & wait) & wait`;
  const often = ["--health-interval", "50ms", "--health-retries", "2", "--health-timeout", "200ms"];
  const id = await runShell(world, "sleep 1000", ...NONE, ...often, "--health-cmd", check);
  await until("asked", () => processesWith(seconds).length > 0);
  await until("unhealthy", () => stateOf(world, id).health === "unhealthy");
  await until("asked again and again", () => (stateOf(world, id).failures ?? 0) >= 4);
  // Those of one check at most: the next one may be running.
  assert(processesWith(seconds).length <= 2, `${processesWith(seconds)}`);
  await until("asked", () => processesWith(seconds).length > 0);
  await cli(world, "stop", "-t", "0", id);
  assert.deepEqual(processesWith(seconds), []);
  await clear(world);
});

Deno.test("a health check runs as the container does: its user, folder, environment, and no terminal of anybody", async () => {
  await using world = makeWorld();
  const check =
    "id -u >/tmp/seen; pwd >>/tmp/seen; echo $A >>/tmp/seen; ls /proc/self/fd | wc -l >>/tmp/seen; mv /tmp/seen /tmp/done";
  const options = ["-u", "1000", "-w", "/var", "-e", "A=b", "--health-cmd", check, "--health-interval", "50ms"];
  const id = await runShell(world, "sleep 1000", ...NONE, ...options);
  await until("healthy", () => stateOf(world, id).health === "healthy");
  assert.equal(await cli(world, "exec", id, "cat", "/tmp/done"), "1000\n/var\nb\n4");
  await clear(world);
});

Deno.test("update changes when a container is started again, while it runs, between runs and when it has ended", async () => {
  await using world = makeWorld();
  const update = (policy: string, id: string): Promise<string> => cli(world, "update", "--restart", policy, id);
  // From no: also its network is kept.
  const one = await runShell(world, "echo run; sleep 1000");
  const [addresses] = (await inspect(world, one)).networks?.map(({ addresses }) => addresses) ?? [];
  await update("always", one);
  Deno.kill((await inspect(world, one)).pid ?? 0, "SIGKILL");
  await until("started again", () => runs(world, one) === 2);
  const again = await inspect(world, one);
  assert.equal(again.state?.restarts, 1);
  assert.deepEqual(again.networks?.[0]?.addresses, addresses);
  assert.match(await cli(world, "exec", one, "ip", "addr"), new RegExp(addresses?.[0] ?? "an address"));
  await update("no", one);
  Deno.kill((await inspect(world, one)).pid ?? 0, "SIGKILL");
  await ended(world, one);
  assert.equal(runs(world, one), 2);

  // Of one that has ended, it counts from its next start.
  const two = await runShell(world, "echo run; exit 1", ...NONE);
  await ended(world, two);
  await update("on-failure:2", two);
  await cli(world, "start", two);
  await until("ended again", () => runs(world, two) === 4 && monitorsOf(world, two).length === 0);
  assert.equal(stateOf(world, two).restarts, 2);

  // Between two runs, when the pause is long.
  const three = await runShell(world, "echo run; exit 1", ...NONE, "--restart", "always");
  await until("run", () => runs(world, three) >= 5);
  await until("waiting", async () => (await inspect(world, three)).status === "restarting");
  await update("no", three);
  const most = runs(world, three) + 1;
  await ended(world, three);
  assert(runs(world, three) <= most, "at most the one that had begun");
  await clear(world);
});

Deno.test("run --restart: a policy that makes no sense for a container is refused, and nothing changes", async () => {
  await using world = makeWorld();
  const update = async (policy: string, id: string, ...more: string[]): Promise<string> => {
    const { code, stderr } = await world.cli(["update", "--restart", policy, ...more, id]);
    assert.equal(code, 1);
    return stderr;
  };
  const removed = await runShell(world, "sleep 1000", ...NONE, "--rm");
  const { cgroups } = await inspect(world, removed);
  assert.match(await update("always", removed, "--pids-limit", "50"), /--rm and --restart cannot be combined/);
  assert.deepEqual((await inspect(world, removed)).cgroups, cgroups);
  const kept = await runShell(world, "sleep 1000", ...NONE);
  assert.match(await update("sometimes", kept), /no, on-failure/);
  const attached = world.start(["--name", "attached", ...NONE, "busybox", "sleep", "1000"]);
  await until("it runs", async () => (await world.cli(["inspect", "attached"])).stdout.includes('"running"'));
  assert.match(await update("always", "attached"), /it is attached to the process that started it/);
  await cli(world, "rm", "-f", "attached");
  await attached.output();
  await clear(world);
});
