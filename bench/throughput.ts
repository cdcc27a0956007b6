/**
 * TCP throughput by iperf3: who offers a server where, and measuring a client against it.
 *
 * @module
 */

import { type Container, type ContainerOptions, run } from "../mod.ts";
import type { Contender } from "./measure.ts";
import { type Peer, runCommand } from "./peers.ts";
import { connect, openRoom, outside, type Room } from "./room.ts";

/** An iperf3 server behind a bridge. */
export interface Server {
  /** Whose bridge it is. */
  readonly name: string;
  /** The room with the bridge. */
  readonly host: Room;
  /** The server's address behind the bridge. */
  readonly address: string;
  /** Its addresses for a client elsewhere; none for one that is not reached through a published port. */
  readonly published: readonly string[];
  /** A room that is connected with the bridge's host by a wire. */
  readonly remote: Room;
  /** Ends it, and the remote room. */
  close(): Promise<void>;
}

const PORT = "5201", SECONDS = "1", TRIES = 100;
const HOST = "192.0.2.1", REMOTE = "192.0.2.2";
const SERVER = ["/bin/iperf3", "-s", "-p", PORT];
const decoder = new TextDecoder();

/** Puts iperf3 and the libraries that it needs into a root filesystem. */
export async function addIperf(rootfs: string): Promise<void> {
  const { stdout } = await new Deno.Command("ldd", { args: ["/usr/bin/iperf3"] }).output();
  const libraries = decoder.decode(stdout).match(/\/\S+/g) ?? [];
  if (libraries.length === 0) throw new Error("ldd knows no libraries of /usr/bin/iperf3");
  for (const path of libraries) {
    await Deno.mkdir(rootfs + path.slice(0, path.lastIndexOf("/")), { recursive: true });
    await Deno.copyFile(path, rootfs + path);
  }
  await Deno.copyFile("/usr/bin/iperf3", `${rootfs}/bin/iperf3`);
  await Deno.mkdir(`${rootfs}/tmp`, { recursive: true });
}

/** Gigabits a second from a client in `room`, or with `reverse` to it. */
async function gigabits(room: Room, address: string, reverse: boolean): Promise<number> {
  const words = ["iperf3", "--client", address, "-p", PORT, "--time", SECONDS, "--json", ...(reverse ? ["-R"] : [])];
  const [program = "", ...args] = room.inside(...words);
  for (let tries = 1;; tries++) {
    const { stdout } = await new Deno.Command(program, { args, stdin: "null", stderr: "null" }).output();
    const result = JSON.parse(decoder.decode(stdout));
    const bits = result.end?.sum_received?.bits_per_second;
    if (bits > 0) return bits / 1e9;
    if (tries === TRIES) throw new Error(`iperf3 to ${address}: ${result.error}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Throughput of each server that has an address as `find` says, from a client where `where` says. */
export function throughputs(
  servers: readonly Server[],
  where: (server: Server) => Room,
  find: (server: Server) => string | undefined,
  reverse: boolean,
): Contender[] {
  return servers.flatMap((server) => {
    const address = find(server);
    return address ? [{ name: server.name, once: () => gigabits(where(server), address, reverse) }] : [];
  });
}

async function openRemote(folder: string, host: Room): Promise<Room> {
  const remote = await openRoom(folder);
  await connect([host, "wire0", `${HOST}/24`], [remote, "wire0", `${REMOTE}/24`]);
  await remote.script(`ip route add default via ${HOST}`);
  return remote;
}

/** A server behind a bridge made by hand, without any rules. */
export async function serveByHand(folder: string): Promise<Server> {
  const host = await openRoom(`${folder}/host`);
  const remote = await openRemote(`${folder}/remote`, host);
  const guest = await openRoom(`${folder}/guest`, SERVER.with(0, "iperf3"));
  await host.script(
    "ip link add br0 type bridge; ip address add 10.99.0.1/24 dev br0; ip link set br0 up;" +
      "echo 1 > /proc/sys/net/ipv4/ip_forward",
  );
  await connect([host, "veth0"], [guest, "eth0", "10.99.0.2/24"]);
  await host.script("ip link set veth0 master br0");
  await guest.script("ip route add default via 10.99.0.1");
  const close = async (): Promise<void> => {
    await Promise.all([guest, remote, host].map((room) => room.close()));
  };
  return { name: "bridge made by hand", host, address: "10.99.0.2", published: [], remote, close };
}

/** A server in a container on the default network. */
export async function serveHere(folder: string, image: string, options: ContainerOptions): Promise<Server> {
  const remote = await openRemote(`${folder}/remote`, outside);
  const streams = { stdin: "null", stdout: "null", stderr: "inherit" } as const;
  const container: Container = await run(image, SERVER, { ...options, ...streams, publish: [`${PORT}:${PORT}`] });
  const [address = ""] = container.networks[0]?.addresses[0]?.split("/") ?? [];
  const close = async (): Promise<void> => {
    await container[Symbol.asyncDispose]();
    await remote.close();
  };
  return { name: "sauropod", host: outside, address, published: [HOST, "127.0.0.1"], remote, close };
}

/** A server in a container of Docker's, on its default network. */
export async function serveInDocker(folder: string, { room: host, words }: Peer): Promise<Server> {
  const remote = await openRemote(`${folder}/remote`, host);
  await runCommand([...words, "run", "--detach", "--name", "iperf", "-p", `${PORT}:${PORT}`, "bench", ...SERVER]);
  const [program = "", ...args] = [...words, "inspect", "-f", "{{.NetworkSettings.IPAddress}}", "iperf"];
  const { stdout } = await new Deno.Command(program, { args }).output();
  const close = async (): Promise<void> => {
    await runCommand([...words, "rm", "--force", "iperf"]);
    await remote.close();
  };
  const address = decoder.decode(stdout).trim();
  return { name: "docker", host, address, published: [HOST, "127.0.0.1"], remote, close };
}
