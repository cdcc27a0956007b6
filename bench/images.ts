/**
 * `deno task bench:images`: pulling and unpacking an image from a registry on the loopback, beside its peers, each into
 * a fresh folder in memory. Run it below tests/tools/apart.sh, as the task does.
 *
 * @module
 */

import { importImage } from "../lib/image/exchange/import.ts";
import { pushImage } from "../lib/image/push.ts";
import { openTestRegistry } from "../tests/helpers/store.ts";
import { type Contender, type Goal, judge, machine, measure, report, timed } from "./measure.ts";
import { runCommand } from "./peers.ts";

const CLI = new URL("../cli.ts", import.meta.url).pathname;
const ROUNDS = 3, FILES = 48_000;
const SAUROPOD = "sauropod images pull", PODMAN = "podman pull", TAR = "tar xzf";

const home = Deno.makeTempDirSync({ prefix: "sauropod-bench-", dir: "/dev/shm" });
const archive = `${home}/files.tar.gz`, images = `${home}/images`;

/** A contender that works in a folder of its own, which is removed outside of what is measured. */
function fresh(name: string, work: (folder: string) => Promise<void>): Contender {
  return {
    name,
    async once() {
      const folder = await Deno.makeTempDir({ dir: home });
      const time = await timed(() => work(folder));
      await runCommand(["rm", "-rf", folder]);
      return time / 1000;
    },
  };
}

const registry = await openTestRegistry();
try {
  const list = `find /usr/share /usr/lib/python3* /usr/include -xdev -type f -size -3M | head -${FILES}`;
  await runCommand(["sh", "-c", `${list} | tar --no-recursion -czf ${archive} -T - 2>/dev/null`]);
  const name = `${registry.address}/files:1`;
  await importImage(images, archive, name);
  await pushImage(name, images);
  console.log(machine());
  const podman = ["--events-backend", "none", "--cgroup-manager", "cgroupfs"];
  const contenders = [
    fresh(
      SAUROPOD,
      (folder) => runCommand([Deno.execPath(), "run", "-A", CLI, "images", "pull", "-q", "--images", folder, name]),
    ),
    fresh(PODMAN, (folder) =>
      runCommand([
        ...["podman", "--root", `${folder}/root`, "--runroot", "/run/sauropod/podman", ...podman],
        ...["pull", "-q", "--tls-verify=false", name],
      ])),
    fresh("skopeo copy, umoci unpack", async (folder) => {
      await runCommand([
        "skopeo",
        "copy",
        "-q",
        "--src-tls-verify=false",
        `docker://${name}`,
        `oci:${folder}/oci:files`,
      ]);
      await runCommand(["umoci", "unpack", "--image", `${folder}/oci:files`, `${folder}/bundle`]);
    }),
    fresh(TAR, (folder) => runCommand(["tar", "xzf", archive, "-C", folder])),
  ];
  const goals: Goal[] = [{ of: [SAUROPOD, PODMAN], most: 0.5 }, { of: [SAUROPOD, TAR], most: 1.2 }];
  const measured = await measure(contenders, ROUNDS);
  console.log(report(`Pull and unpack of ${FILES} files`, "s", measured) + judge(measured, goals));
} finally {
  registry.close();
  await Deno.remove(home, { recursive: true });
}
