/** A container that writes far more than its log may hold. */

import assert from "node:assert/strict";
import { exec, runDetached, wait } from "../../../mod.ts";
import { clear, logged, monitorsOf, stateOf, until } from "../../helpers/life.ts";
import { makeWorld } from "../../helpers/world.ts";

const MiB = 1 << 20, LINE = 1000, LINES = 1_000_000;

async function run(...[program = "", ...args]: string[]): Promise<void> {
  assert((await new Deno.Command(program, { args }).output()).success, `${program} ${args.join(" ")}`);
}

Deno.test("logs: of 1 GB the log keeps the end, in order, on a bounded disk, whoever reads it how slowly", async () => {
  await using world = makeWorld();
  const { containers } = world.folders;
  // Three files, one more that a reader keeps, and the container's own: a log that grows further has no room.
  await run("mount", "-t", "tmpfs", "-o", "size=5m,mode=700", "none", containers);
  try {
    const padding = `${"x".repeat(LINE - 8)}\n`;
    const id = await runDetached(
      "busybox",
      ["sh", "-c", 'until [ -e /dev/shm/go ]; do sleep 0.01; done; seq -w -s "$0" 1 $1', padding, String(LINES)],
      { ...world.folders, network: "none", keep: true, logSize: MiB, logFiles: 3 },
    );
    const path = `${containers}/${id}`;
    await (await exec(id, ["touch", "/dev/shm/go"], world.folders)).status;
    await until("a first file", () => Deno.statSync(`${path}/log`).size > 0);
    using reader = Deno.openSync(`${path}/log`);
    let most = 0, isOver = false, looks = 0;
    const ending = wait(id, world.folders).finally(() => isOver = true);
    for (; !isOver; looks++) {
      reader.readSync(new Uint8Array(1000));
      const sizes = ["log", "log.1", "log.2"].map((name) => {
        try {
          return Deno.statSync(`${path}/${name}`).size;
        } catch {
          return 0;
        }
      });
      most = Math.max(most, ...sizes);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.equal(await ending, 0);
    assert(looks > 5, "it was looked at while it grew");
    assert(most <= MiB + 64 * 1024, `a file had ${most} bytes`);
    const files = [...Deno.readDirSync(path)].map(({ name }) => name).filter((name) => name.startsWith("log")).sort();
    assert.deepEqual(files, ["log", "log.1", "log.2"]);
    const lines = new TextDecoder().decode(logged(world, id, "stdout", files.toReversed())).split("\n");
    assert.equal(lines.pop(), "");
    assert.equal(logged(world, id, "stderr", files).length, 0, "nothing was lost");
    // The first may have begun in a file that is gone.
    const numbers = lines.slice(1).map((line) => Number(/^\d{7}/.exec(line)?.[0]));
    assert(numbers.length > 2 * MiB / LINE * 0.9, `${numbers.length} lines`);
    assert.equal(numbers.at(-1), LINES);
    for (const [i, number] of numbers.entries()) assert.equal(number, LINES - numbers.length + 1 + i);
    assert.equal(stateOf(world, id).status, "exited");
    await clear(world);
  } finally {
    await run("umount", "-l", containers);
  }
});

Deno.test("logs: a log of short lines is bounded as one of long ones: its small files are not outgrown by one burst", async () => {
  await using world = makeWorld();
  const id = await runDetached(
    "busybox",
    ["sh", "-c", "yes '' | head -c 60000"],
    { ...world.folders, network: "none", keep: true, logSize: 10_000, logFiles: 2 },
  );
  await wait(id, world.folders);
  const folder = `${world.folders.containers}/${id}`;
  // One write of the monitor's has up to 43 records.
  for (const name of ["log", "log.1"]) {
    const { size } = Deno.statSync(`${folder}/${name}`);
    assert(size < 10_000 + 43 * 64, `${name} has ${size} bytes`);
  }
  await clear(world);
});

Deno.test("logs: a monitor that has logged a burst gives the memory back", async () => {
  await using world = makeWorld();
  const script = "dd if=/dev/zero bs=64k count=100 2>/dev/null; echo; touch /dev/shm/done; sleep 1000";
  const options = { ...world.folders, network: "none", keep: true };
  const id = await runDetached("busybox", ["sh", "-c", script], options);
  const [monitor = 0] = monitorsOf(world, id);
  const memory = (): number =>
    Number(/^Pss: +(\d+) kB$/m.exec(Deno.readTextFileSync(`/proc/${monitor}/smaps_rollup`))?.[1]);
  await until("logged", () => Deno.statSync(`${world.folders.containers}/${id}/log`).size > 6_400_000);
  await until("at most 36 KiB", () => memory() <= 36);
  await clear(world);
});
