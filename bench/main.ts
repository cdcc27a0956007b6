/**
 * `deno task bench`: Sauropod beside its peers, in alternating rounds. Prints medians and ratios.
 *
 * @module
 */

import { prepare, run } from "../mod.ts";
import { makeImage } from "./image.ts";
import { type Contender, machine, measure, peakMemory, report, timed } from "./measure.ts";
import { command, launchPeers, openDocker, watchLeftovers } from "./peers.ts";
import { FROM_SOURCES, packed } from "./sauropod.ts";
import { SHIM } from "./shim.ts";

const LAUNCH_ROUNDS = 100, CLI_ROUNDS = 30, MEMORY_ROUNDS = 5;

const home = Deno.makeTempDirSync({ prefix: "sauropod-bench-" });
const memory = Deno.makeTempDirSync({ prefix: "sauropod-bench-", dir: "/dev/shm" });
const tidy = watchLeftovers();
makeImage(`${home}/images/busybox`);
const docker = await openDocker(`${home}/docker`, `${home}/images/busybox`);
try {
  const folders = { images: `${home}/images`, containers: `${home}/containers` };
  const silent = { stdin: "null", stdout: "null", stderr: "null" } as const;
  const launch = (name: string, network: "none" | "host", containers: string, gone = false): Contender => ({
    name,
    once: () =>
      timed(async () => {
        const container = await run("busybox", ["/bin/true"], {
          images: folders.images,
          containers,
          ...silent,
          network,
        });
        await container.status;
        if (gone) await container[Symbol.asyncDispose]();
      }),
  });
  const launchAhead = (name: string, network: "none" | "host", containers: string): Contender => ({
    name,
    once: async () => {
      const ready = await prepare("busybox", { images: folders.images, containers, ...silent, network });
      return timed(async () => {
        const container = await ready.run(["/bin/true"]);
        await container.status;
      });
    },
  });
  const peers = await launchPeers(home, `${home}/images/busybox`, docker);
  const deno = Deno.execPath();
  Deno.writeTextFileSync(`${home}/empty.ts`, "");
  Deno.writeTextFileSync(`${home}/sleep.ts`, "await new Promise((resolve) => setTimeout(resolve, 1000));");
  // The machine's own network stays as it is.
  const options = ["-i", folders.images, "-c", folders.containers, "--rm", "--network", "none"];
  const words = [...options, "busybox"];
  const cli = [...await packed(`${home}/packed`), ...words];

  console.log(machine());

  const bwrap = ["bwrap", "--unshare-all", "--bind", `${home}/images/busybox`, "/", "--dev", "/dev", "--proc", "/proc"];
  const inProcess = (network: "none" | "host"): Contender[] => [
    launch("run(), containers in memory", network, `${memory}/containers`),
    launchAhead("of these the command, made ahead with prepare()", network, `${memory}/containers`),
    launch("run(), containers on disk", network, folders.containers),
    launchAhead("of these the command, made ahead with prepare()", network, folders.containers),
    launch("run(), containers on disk, until its files are gone", network, folders.containers, true),
    command("bwrap", [...bwrap, ...(network === "host" ? ["--share-net"] : []), "/bin/true"]),
    command("fork and exec of /bin/true", ["/bin/true"]),
  ];
  const title = "Launch of /bin/true from a script";
  console.log(report(`${title}, without a network namespace`, "ms", await measure(inProcess("host"), LAUNCH_ROUNDS)));
  console.log(report(`${title}, with one`, "ms", await measure(inProcess("none"), LAUNCH_ROUNDS)));

  console.log(report("Part of every launch: the sealed shim", "ms", await measure(SHIM, LAUNCH_ROUNDS)));

  const byCommand = [
    command("sauropod --rm --network none", [...cli, "/bin/true"]),
    command("the same from its sources, deno run -A cli.ts", [...FROM_SOURCES, ...words, "/bin/true"]),
    command("deno run of an empty script", [deno, "run", "-A", `${home}/empty.ts`]),
    ...peers,
  ];
  console.log(
    report("Launch of /bin/true from a shell, with a network namespace", "ms", await measure(byCommand, CLI_ROUNDS)),
  );

  const peaks: Contender[] = [
    { name: "sauropod --rm --network none", once: () => peakMemory([...cli, "/bin/sleep", "1"]) },
    { name: "deno run of an empty script", once: () => peakMemory([deno, "run", "-A", `${home}/sleep.ts`]) },
  ];
  console.log(report("Peak memory of the command line", "KiB", await measure(peaks, MEMORY_ROUNDS)));
} finally {
  await docker?.room.close();
  await Deno.remove(home, { recursive: true });
  await Deno.remove(memory, { recursive: true });
  await tidy();
}
