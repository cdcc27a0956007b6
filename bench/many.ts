/**
 * `deno task bench:many [COUNT]`: what one more container costs, and a list of them, while hundreds live. Default: 500.
 *
 * @module
 */

import { type DetachedOptions, remove, runDetached } from "../mod.ts";
import { makeImage } from "./image.ts";
import { machine, timed } from "./measure.ts";
import { runCommand } from "./peers.ts";
import { packed } from "./sauropod.ts";

const AROUND = 10, WARM_UP = 40;
const GOAL = 1.5, LIST_GOAL_MS = 500;

interface Folders {
  readonly images: string;
  readonly containers: string;
}

async function sauropod({ images, containers }: Folders, ...words: string[]): Promise<void> {
  const [name = "", ...rest] = words;
  await runCommand([...program, name, "--images", images, "--containers", containers, ...rest]);
}

function middle(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;
}

/** The memory of all monitors of `folders`, in KiB. */
function monitorMemory({ containers }: Folders): number[] {
  const marks = [...Deno.readDirSync(`${containers}/.live`)].filter(({ name }) => !name.includes("."));
  return marks.map(({ name }) => {
    const pid = /^\w+ (\d+)/.exec(Deno.readLinkSync(`${containers}/.live/${name}`))?.[1];
    return Number(/^Pss: +(\d+)/m.exec(Deno.readTextFileSync(`/proc/${pid}/smaps_rollup`))?.[1]);
  });
}

/** How long one more start takes by the command line: started, measured, removed. */
async function byCommand(folders: Folders, options: readonly string[]): Promise<number> {
  const values: number[] = [];
  for (let i = 0; i < AROUND; i++) {
    const name = `one-more-${i}`;
    values.push(
      await timed(() => sauropod(folders, "run", "-d", ...options, "--name", name, "busybox", "sleep", "1000")),
    );
    await remove(name, { ...folders, force: true });
  }
  return middle(values);
}

/** The first starts of a process compile its code: they do not count. */
async function warmUp(folders: Folders, wishes: DetachedOptions): Promise<void> {
  for (let i = 0; i < WARM_UP; i++) {
    const id = await runDetached("busybox", ["sleep", "1000"], { ...folders, ...wishes, keep: true });
    await remove(id, { ...folders, force: true });
  }
}

async function fill(title: string, folders: Folders, count: number, network?: string): Promise<void> {
  const options = network === undefined ? ["--bridge-addr", "10.99.0.1/20"] : ["--network", network];
  const wishes = network === undefined ? { bridgeAddress: "10.99.0.1/20" } : { network };
  const ids: string[] = [], times: number[] = [], commands = new Map<number, number>();
  await warmUp(folders, wishes);
  const stops = [1, count / 5, count].map(Math.floor);
  try {
    for (let n = 1; n <= count; n++) {
      times.push(
        await timed(async () =>
          ids.push(
            await runDetached("busybox", ["sleep", "1000"], { ...folders, ...wishes, name: `many-${n}`, keep: true }),
          )
        ),
      );
      if (stops.includes(n)) commands.set(n, await byCommand(folders, options));
    }
    const lists: number[] = [];
    for (let i = 0; i < AROUND; i++) lists.push(await timed(() => sauropod(folders, "ps")));
    const around = (n: number): number => middle(times.slice(Math.max(0, n - AROUND), Math.max(AROUND, n)));
    console.log(`${title}: a start while so many live, in ms (medians of ${AROUND})`);
    for (const n of stops) {
      const own = around(n), command = commands.get(n) ?? NaN;
      const ratio = (value: number, first: number): string => `${(value / first).toFixed(2)}x`;
      console.log(
        `  ${String(n).padStart(5)}  runDetached() ${own.toFixed(1).padStart(6)} ${ratio(own, around(1))}` +
          `   sauropod run -d ${command.toFixed(0).padStart(5)} ${ratio(command, commands.get(1) ?? NaN)}`,
      );
    }
    const worst = Math.max(around(count) / around(1), (commands.get(count) ?? NaN) / (commands.get(1) ?? NaN));
    const list = middle(lists), memory = monitorMemory(folders);
    console.log(
      `  goal: the last at most ${GOAL}x the first: ${worst.toFixed(2)}x, ${worst <= GOAL ? "met" : "MISSED"}`,
    );
    console.log(
      `  sauropod ps: ${list.toFixed(0)} ms; goal ${LIST_GOAL_MS}: ${list <= LIST_GOAL_MS ? "met" : "MISSED"}`,
    );
    console.log(`  memory of a monitor (PSS): ${middle(memory)} KiB, at most ${Math.max(...memory)} KiB\n`);
  } finally {
    const end = performance.now();
    for (const id of ids) await remove(id, { ...folders, force: true });
    console.log(`  rm -f of all: ${((performance.now() - end) / ids.length).toFixed(1)} ms each\n`);
  }
}

const count = Number(Deno.args[0] ?? 500);
const home = Deno.makeTempDirSync({ prefix: "sauropod-bench-", dir: "/dev/shm" });
const program = await packed(`${home}/packed`);
try {
  makeImage(`${home}/images/busybox`);
  console.log(machine());
  for (const [title, network] of [["Without a network", "none"], ["On the bridge", undefined]] as const) {
    const containers = `${home}/${network ?? "bridge"}`;
    Deno.mkdirSync(containers);
    await fill(title, { images: `${home}/images`, containers }, count, network);
  }
} finally {
  await Deno.remove(home, { recursive: true });
}
