/**
 * Other machines, and programs that talk to each other, for tests of networks. Such tests run in a network namespace of
 * their own (`tests/tools/apart.sh`).
 *
 * @module
 */

import assert from "node:assert/strict";
import { type Container, run, type RunOptions } from "../../mod.ts";
import { host, lineReader, until } from "./inside.ts";
import type { Protocol } from "./peer.ts";
import { PROJECT } from "./project.ts";
import type { World } from "./world.ts";

/** The port on which peers answer. */
export const PORT = 7000;

const PEER = `${PROJECT}/tests/helpers/peer.ts`;

/** Checks that this is not the machine's own network: only `lo` and what tests made is here. */
export function assertApart(): void {
  const apart = /^\S+ \S+ \S+ \S+ \/run\/sauropod .* sauropod /m.test(Deno.readTextFileSync("/proc/self/mountinfo"));
  assert.ok(apart, "tests of networks run in namespaces of their own: deno task test");
}

/** A program that answers with its name and who asks, and asks others. */
export interface Peer {
  /** What the peer at an address answers: `NAME from ADDRESS`, or `nothing`. Questions may be asked at once. */
  ask(protocol: Protocol, address: string, port?: number): Promise<string>;
}

interface Streams {
  readonly stdin: WritableStream<Uint8Array>;
  readonly stdout: ReadableStream<Uint8Array>;
}

function command(name: string, ports: readonly number[]): string[] {
  return [Deno.execPath(), "run", "--quiet", "-A", PEER, name, ...ports.map(String)];
}

async function talk({ stdin, stdout }: Streams): Promise<Peer> {
  const writer = stdin.getWriter();
  const next = lineReader(stdout);
  assert.equal(await next(), "ready");
  let answers: Promise<unknown> = Promise.resolve();
  return {
    async ask(protocol, address, port = PORT) {
      await writer.write(new TextEncoder().encode(`${protocol} ${address} ${port}\n`));
      const answer = answers.then(next);
      answers = answer;
      return await answer ?? "nothing, it has ended";
    },
  };
}

/** A peer in a container. */
export interface Inhabitant extends Peer, AsyncDisposable {
  /** The container. */
  readonly container: Container;
  /** Its IPv4 address on its first network. */
  readonly address: string;
  /** Its IPv6 address there; empty if it has none. */
  readonly address6: string;
}

/** An address without the length of its prefix. */
export function bare(cidr = ""): string {
  return cidr.replace(/\/.*/, "");
}

/** Starts a peer in a container. Its name is the container's. */
export async function inhabit(
  { folders }: World,
  name: string,
  options: RunOptions & { ports?: readonly number[] } = {},
): Promise<Inhabitant> {
  const { ports = [PORT], ...rest } = options;
  const streams = { stdin: "piped", stdout: "piped", stderr: "inherit" } as const;
  const container = await run("host", command(name, ports), { ...folders, name, ...streams, ...rest });
  const [first] = container.networks;
  return {
    ...await talk(container),
    container,
    address: bare(first?.addresses[0]),
    address6: bare(first?.addresses[1]),
    [Symbol.asyncDispose]: () => container[Symbol.asyncDispose](),
  };
}

/** A peer on this host, or on another one. */
export interface Outsider extends Peer, AsyncDisposable {
  /** Its process. */
  readonly pid: number;
}

async function settle(name: string, prefix: readonly string[]): Promise<Outsider> {
  const [program = "", ...args] = [...prefix, ...command(name, [PORT])];
  const child = new Deno.Command(program, { args, stdin: "piped", stdout: "piped" }).spawn();
  return {
    ...await talk(child),
    pid: child.pid,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.stdin.close().catch(() => {});
      await child.stdout.cancel().catch(() => {});
      await child.status;
    },
  };
}

/** Starts a peer on this host. */
export function settleHere(): Promise<Outsider> {
  return settle("here", []);
}

/** Addresses of this host and of the other one. Nothing leads from there to containers. */
export const HERE = "192.0.2.1", REMOTE = "192.0.2.2", HERE_6 = "2001:db8::1", REMOTE_6 = "2001:db8::2";

/** Makes another machine to which this one's default routes lead, and a peer on it. */
export async function settleElsewhere(mtu = 1500): Promise<Outsider> {
  const remote = await settle("remote", ["unshare", "--net", "--"]);
  const there = (...words: string[]): Promise<string> =>
    host("nsenter", `--net=/proc/${remote.pid}/ns/net`, "ip", ...words);
  const link = ["link", "add", "uplink", "mtu", `${mtu}`, "type", "veth", "peer", "name", "uplink", "mtu", `${mtu}`];
  await host("ip", ...link, "netns", String(remote.pid));
  for (
    const [ip, four, six] of [[(...words: string[]) => host("ip", ...words), HERE, HERE_6], [
      there,
      REMOTE,
      REMOTE_6,
    ]] as const
  ) {
    await ip("address", "add", `${four}/24`, "dev", "uplink");
    await ip("address", "add", `${six}/64`, "dev", "uplink", "nodad");
    await ip("link", "set", "uplink", "up");
  }
  await host("ip", "route", "add", "default", "via", REMOTE);
  await host("ip", "-6", "route", "add", "default", "via", REMOTE_6);
  return {
    ...remote,
    async [Symbol.asyncDispose]() {
      await host("ip", "link", "delete", "uplink");
      await remote[Symbol.asyncDispose]();
    },
  };
}

/** Starts a peer in a network namespace of its own with a wire to a bridge of this host, which gets the address `gateway`. */
export async function settleOn(bridge: string, name: string, address: string, gateway: string): Promise<Outsider> {
  const peer = await settle(name, ["unshare", "--net", "--"]);
  const there = (...words: string[]): Promise<string> =>
    host("nsenter", `--net=/proc/${peer.pid}/ns/net`, "ip", ...words);
  const wire = ["name", "eth0", "netns", String(peer.pid)];
  await host("ip", "link", "add", `to-${name}`, "master", bridge, "up", "type", "veth", "peer", ...wire);
  await host("ip", "address", "replace", `${gateway}/24`, "dev", bridge);
  await host("ip", "link", "set", bridge, "up");
  await there("address", "add", `${address}/24`, "dev", "eth0");
  await there("link", "set", "eth0", "up");
  await there("route", "add", "default", "via", gateway);
  return peer;
}

/** What nft says of all rules, without counters and handles. */
export function ruleset(): Promise<string> {
  return host("nft", "list", "ruleset");
}

/** The interfaces of this host that belong to containers. */
export function containerLinks(): string[] {
  return Deno.readTextFileSync("/proc/net/dev").match(/veth[0-9a-f]{8}/g) ?? [];
}

/** Waits until the kernel has taken away what ended containers had. */
export async function awaitQuiet(): Promise<void> {
  await until("no interface of a container is left", () => containerLinks().length === 0);
  assert.doesNotMatch(await ruleset(), /sauropod-[0-9a-f]{12}/);
}
