/** What monitors and commands do on a full disk. */

import assert from "node:assert/strict";
import { text } from "../../helpers/inside.ts";
import { assertApart, lookApart } from "../../helpers/life.ts";
import { commandLine } from "../../helpers/project.ts";
import { makeWorld, type World } from "../../helpers/world.ts";

const NONE = ["--network", "none"];

/** Runs a script in a mount namespace of its own, with a small disk for containers; `s` is the command line there. */
async function onSmallDisk(world: World, script: string): Promise<string> {
  const prelude = `
    containers=${world.folders.containers}
    mount -t tmpfs -o mode=700,size=1m,nr_inodes=200 none $containers
    s() { ${commandLine([]).map((word) => `'${word}'`).join(" ")} "$@" 2>&1; }
    fill() { dd if=/dev/zero of=$containers/fill bs=4k >/dev/null 2>&1; }
    gone() { i=0; while ls $containers/.live | grep -q .; do sleep 0.02; i=$((i+1)); [ $i -lt 500 ] || exit 1; done; }`;
  const { stdout } = await new Deno.Command("unshare", {
    args: ["--mount", "--propagation", "private", "sh", "-c", prelude + script],
    env: { SAUROPOD_HOME: world.home },
    cwd: world.home,
    stdin: "null",
    stderr: "inherit",
  }).output();
  return text(stdout);
}

Deno.test("on a full disk starts fail with a clear error and leave nothing; ends are still written, and rm and gc work", async () => {
  await using world = makeWorld();
  const before = lookApart();
  const output = await onSmallDisk(
    world,
    `
    id=$(s run -d ${NONE.join(" ")} busybox sh -c 'while [ ! -e /dev/shm/go ]; do sleep 0.02; done; exit 8')
    other=$(s run -d ${NONE.join(" ")} busybox sh -c 'exit 9'); s wait $other
    fill
    s run -d ${NONE.join(" ")} busybox true; echo "code $?"
    s start $other; echo "code $?"
    s wait $other
    s exec $id touch /dev/shm/go
    s wait $id
    s gc; echo "code $?"
    s rm $id $other; echo "code $?"
    rm $containers/fill
    ls $containers; ls $containers/.live`,
  );
  const ids = [...output.matchAll(/^[0-9a-f]{12}$/gm)].map(([id]) => id);
  assert.match(
    output,
    /^9\nsauropod: [^\n]*(ENOSPC|No space left)[^\n]*\n[^]*code 125\nsauropod: [^\n]*(ENOSPC|No space|no room)[^\n]*\n[^]*code 125\n9\n8\ncode 0\n/,
  );
  assert.deepEqual(ids.length, 2, output);
  assert.match(output, /code 0\n$/);
  assertApart(before);
});

Deno.test("run -d: what the disk has no room for is missing in the log, and the log says so once there is room again", async () => {
  await using world = makeWorld();
  const output = await onSmallDisk(
    world,
    `
    id=$(s run -d ${
      NONE.join(" ")
    } busybox sh -c 'echo first; until [ -e /dev/shm/1 ]; do sleep 0.02; done; seq 1 2000; ` +
      `touch /dev/shm/done; until [ -e /dev/shm/2 ]; do sleep 0.02; done; ` +
      `dd if=/dev/zero bs=60k count=1 2>/dev/null | tr "\\0" y; echo; until [ -e /dev/shm/3 ]; do sleep 0.02; done; echo last')
    fill
    s exec $id sh -c 'touch /dev/shm/1; until [ -e /dev/shm/done ]; do sleep 0.02; done; sleep 0.2'
    truncate -s -9000 $containers/fill
    s exec $id sh -c 'touch /dev/shm/2; sleep 0.3'
    rm $containers/fill
    s exec $id touch /dev/shm/3
    s wait $id
    cut -d' ' -f2- $containers/$id/log
    s rm $id`,
  );
  assert.match(output, /^0\nstdout F first\n/);
  // Wherever numbers are missing, it is said so.
  let told = 0, missing = 0, last = 0;
  for (const line of output.split("\n")) {
    const number = Number(/^stdout F (\d+)$/.exec(line)?.[1] ?? 0);
    const lost = Number(
      /^stderr F sauropod: no room on the disk: (\d+) bytes of this log are lost$/.exec(line)?.[1] ?? 0,
    );
    told += lost;
    if (number > 0) {
      if (number !== last + 1) assert(told > missing, `nothing was said between ${last} and ${number}`);
      missing = told;
      last = number;
    }
  }
  assert(told > 60_000, output);
  assert.match(output, /\nstdout F last\n/);
  // Of a record that did not fit nothing is left.
  assert.doesNotMatch(output, /y\d{4}-/);
});

Deno.test("a monitor that cannot mark its container for lack of room does not start it", async () => {
  await using world = makeWorld();
  const before = lookApart();
  // Room for fewer and fewer files: every step of a start meets the end of the disk once.
  const output = await onSmallDisk(
    world,
    `
    s run -d ${NONE.join(" ")} busybox sleep 0 >/dev/null
    gone
    for free in 1 3 4 5 6 7 8 9 10 11 12 15 18 40; do
      i=0; while touch $containers/.fill-$i 2>/dev/null; do i=$((i+1)); done
      n=0; while [ $n -lt $free ]; do n=$((n+1)); rm $containers/.fill-$((i-n)); done
      s run -d --rm ${NONE.join(" ")} busybox sleep 0; echo "code $?"
      gone
    done
    rm $containers/.fill-*; s gc
    ls $containers | grep -c '^[0-9a-f]'; ls -A $containers/.live`,
  );
  const codes = [...output.matchAll(/^code (\d+)$/gm)].map(([, code]) => Number(code));
  assert.equal(codes.length, 14, output);
  assert.equal(codes[0], 125, output);
  assert.equal(codes.at(-1), 0, output);
  for (const [part] of output.matchAll(/^sauropod: .*$/gm)) {
    assert.match(part, /ENOSPC|No space left|EROFS|before it could/);
  }
  assert.match(output, /\n1\n$/, "only the first is left");
  assertApart(before);
});
