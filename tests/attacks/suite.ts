/**
 * The attacks on containers that got a number since 2019 and can be tried here, against Sauropod and the engines that
 * are installed: `deno task attacks [--docker] [-v] [ID…]` prints a table; with
 * `--docker` a daemon is started, too. It ends with 1 if one succeeds against Sauropod.
 *
 * @module
 */

import type { Attack } from "./attack.ts";
import { watchLeftovers } from "../../bench/peers.ts";
import { COPYING } from "./copying.ts";
import { openEngine } from "./docker.ts";
import { type Engine, runOrder, sauropod } from "./engines.ts";
import { IMAGES } from "./images.ts";
import { naive } from "./naive.ts";
import { NETWORK } from "./network.ts";
import { peers } from "./peers.ts";
import { PRIVILEGES } from "./privileges.ts";
import { type Arsenal, type Evidence, forge, openScene, type Scene } from "./scene.ts";
import { STARTING } from "./starting.ts";

/** All attacks. */
export const ATTACKS: readonly Attack[] = [...STARTING, ...PRIVILEGES, ...COPYING, ...IMAGES, ...NETWORK];

/** Numbers that are not tried, and why. */
export const LEFT_OUT: readonly [string, string][] = [
  ["CVE-2026-84042, CVE-2026-133553", "crun: of krun with passt and of tmpcopyup, which there are none of here"],
  ["CVE-2026-31431", "of the kernel (AF_ALG and splice write to the page cache): nothing but a seccomp filter helps"],
  ["CVE-2024-41110", "docker: authorization plugins of a daemon, and there is no daemon here"],
  ["CVE-2026-47766", "crun: the same image as CVE-2026-41579"],
];

/** How an attack went. */
export interface Outcome {
  readonly attack: Attack;
  readonly engine: string;
  /** `void`: the attack did not get as far as to be tried. */
  readonly verdict: "holds" | "FALLS" | "n/a" | "void";
  /** Why there is nothing to attack, or what was said at last. */
  readonly note: string;
}

function missing({ needs = [] }: Attack, engine: Engine): string | undefined {
  const parts: Record<string, boolean> = {
    build: engine.build !== undefined,
    exec: engine.live !== undefined,
    ...Object.fromEntries(["copy", "top"].map((name) => [name, engine.has.includes("detached containers")])),
  };
  return needs.find((need) => parts[need] === false || (!(need in parts) && !engine.has.some((has) => has === need)));
}

async function attempt(attack: Attack, engine: Engine, scene: Scene): Promise<[boolean, Evidence]> {
  if (attack.attempt) {
    const evidence = await attack.attempt(scene, engine);
    return [await attack.succeeded(scene, evidence), evidence];
  }
  let evidence: Evidence = { code: 1, output: "" };
  for (const order of [attack.order?.(scene, engine) ?? []].flat()) {
    const one = await runOrder(engine, scene, order);
    evidence = { code: one.code, output: `${evidence.output}${one.output}` };
    if (await attack.succeeded(scene, one)) return [true, evidence];
  }
  return [false, evidence];
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1)?.trim().slice(0, 200) ?? "";
}

/** Tries an attack on an engine. */
export async function tryAttack(attack: Attack, engine: Engine, arsenal: Arsenal): Promise<Outcome> {
  const lack = missing(attack, engine);
  if (lack) return { attack, engine: engine.name, verdict: "n/a", note: `has no ${lack}` };
  await using scene = await openScene(engine.name, arsenal);
  try {
    await attack.prepare?.(scene, arsenal);
    const [fallen, { code, output }] = await attempt(attack, engine, scene);
    const tried = output.includes("tried") || (code !== 0 && code !== 124);
    const verdict = fallen ? "FALLS" : tried ? "holds" : "void";
    return { attack, engine: engine.name, verdict, note: lastLine(output) };
  } catch (error) {
    return { attack, engine: engine.name, verdict: "void", note: lastLine(String(error)) };
  } finally {
    await engine.end?.(scene);
  }
}

/** Whether an engine can run anything here; if not, why. */
async function healthy(engine: Engine, arsenal: Arsenal): Promise<string | undefined> {
  await using scene = await openScene(engine.name, arsenal);
  const args = ["/bin/busybox", "echo", "it works"];
  const { output } = await runOrder(engine, scene, { args }).catch((error) => ({ output: String(error) }));
  await engine.end?.(scene);
  return output.includes("it works") ? undefined : lastLine(output);
}

/** Tries attacks on engines, and tells of each outcome. */
export async function runSuite(
  engines: readonly Engine[],
  attacks: readonly Attack[],
  tell: (outcomes: readonly Outcome[]) => void = () => {},
): Promise<Outcome[]> {
  const folder = await Deno.makeTempDir({ prefix: "sauropod-arsenal-" });
  await Deno.chmod(folder, 0o755);
  try {
    const arsenal = await forge(folder), all: Outcome[] = [];
    const ill = new Map<Engine, string>();
    for (const engine of engines) {
      const why = await healthy(engine, arsenal);
      if (why !== undefined) ill.set(engine, why);
    }
    const one = (attack: Attack, engine: Engine): Promise<Outcome> => {
      const why = ill.get(engine);
      if (why === undefined) return tryAttack(attack, engine, arsenal);
      return Promise.resolve({ attack, engine: engine.name, verdict: "n/a", note: `does not run here: ${why}` });
    };
    for (const attack of attacks) {
      const row: Outcome[] = [];
      if (attack.alone) { for (const engine of engines) row.push(await one(attack, engine)); }
      else row.push(...await Promise.all(engines.map((engine) => one(attack, engine))));
      tell(row);
      all.push(...row);
    }
    return all;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Whether an outcome says that the control did not fall where it must. */
export function isVain({ attack, engine, verdict }: Outcome): boolean {
  return engine === naive.name && verdict !== "FALLS" && attack.uncontrolled?.() === undefined;
}

function printRow(cells: readonly string[], title: string): void {
  console.log(`${cells.map((cell, i) => cell.padEnd(i === 0 ? 16 : 9)).join("")} ${title}`);
}

/** Runs what is asked for, and prints the table and what there is to say of it; whether Sauropod holds. */
async function main(engines: readonly Engine[], attacks: readonly Attack[], verbose: boolean): Promise<boolean> {
  const notes: string[] = [];
  printRow(["", ...engines.map(({ name }) => name)], "");
  const outcomes = await runSuite(engines, attacks, (row) => {
    const [first] = row;
    if (!first) return;
    printRow([first.attack.id, ...row.map(({ verdict }) => verdict)], `${first.attack.engine}: ${first.attack.title}`);
    for (const { engine, verdict, note } of row) {
      if (verbose || verdict === "void") notes.push(`${first.attack.id} ${engine} ${verdict}: ${note}`);
      else if (verdict === "n/a") notes.push(`${engine} ${note}`);
    }
  });
  console.log("\nnaive is the control: unshare, mount and chroot as tutorials have it. It must fall to each attack.");
  console.log(
    "A runtime does what its bundle says, and bwrap what its flags say: whoever calls them is to prevent the rest.",
  );
  for (const note of new Set(notes)) console.log(note);
  for (const [id, why] of LEFT_OUT) console.log(`${id} left out: ${why}`);
  const fallen = outcomes.filter(({ engine, verdict }) => engine === sauropod.name && verdict !== "holds");
  const vain = outcomes.filter(isVain);
  console.log(`${attacks.length} attacks; Sauropod holds against ${attacks.length - fallen.length}`);
  if (vain.length > 0) console.log(`the control did not fall: ${vain.map(({ attack }) => attack.id).join(" ")}`);
  return fallen.length + vain.length === 0;
}

if (import.meta.main) {
  const options = ["-v", "--docker"], ids = Deno.args.filter((word) => !options.includes(word));
  const attacks = ATTACKS.filter(({ id }) => ids.length === 0 || ids.some((part) => id.includes(part)));
  const clean = watchLeftovers(), folder = await Deno.makeTempDir({ prefix: "sauropod-peers-" });
  let holds = false;
  try {
    await Deno.chmod(folder, 0o755);
    await Deno.mkdir(`${folder}/rootfs`);
    const docker = Deno.args.includes("--docker") && await openEngine(`${folder}/docker`, `${folder}/rootfs`);
    try {
      const engines = [sauropod, ...await peers(), ...(docker ? [docker] : []), naive];
      holds = await main(engines, attacks, Deno.args.includes("-v"));
    } finally {
      if (docker) await docker[Symbol.asyncDispose]();
    }
  } finally {
    await clean();
    await Deno.remove(folder, { recursive: true });
  }
  Deno.exit(holds ? 0 : 1);
}
