/**
 * A program that says who asks it, and asks others: one runs in each place whose connections a test looks at.
 *
 * `peer.ts NAME PORT…` answers on those ports, over TCP and UDP, on port 53 as a name server does, and reads questions as `PROTOCOL ADDRESS PORT` lines.
 *
 * @module
 */

import { createSocket } from "node:dgram";
import { readFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { availableParallelism } from "node:os";
import { stdin } from "node:process";
import { createInterface } from "node:readline";

/** A transport protocol; `tcp6` is TCP over IPv6, also where a name leads to both. */
export type Protocol = "tcp" | "tcp6" | "udp";

/** How long an answer may take where each process has a processor. */
const PATIENCE_MS = 1500;

/** Returns how many times longer things take now, as more processes want a processor than there are. */
function delay(): number {
  const runnable = Number(readFileSync("/proc/loadavg", "utf8").split(" ")[3]?.split("/")[0]);
  return Math.max(1, 2 * runnable / availableParallelism());
}

const DNS = 53;

/** The address of all names. */
export const ANSWER = "192.0.2.77";

/** Answers a question of DNS (RFC 1035): every name has the one IPv4 address {@linkcode ANSWER}, and no other. */
export function resolveName(question: Uint8Array): Uint8Array {
  const end = question.indexOf(0, 12) + 5;
  const count = question[end - 3] === 1 ? 1 : 0;
  const head = [...question.subarray(0, 2), 0x81, 0x80, 0, 1, 0, count, 0, 0, 0, 0];
  const record = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...ANSWER.split(".").map(Number)];
  return Uint8Array.from([...head, ...question.subarray(12, end), ...(count === 1 ? record : [])]);
}

function plain(address = ""): string {
  return address.replace(/^::ffff:/, "");
}

/** Answers everybody on `port` with `NAME from ADDRESS`; resolves when it listens. */
async function serve(name: string, port: number): Promise<void> {
  const tcp = createServer((socket) => {
    socket.on("error", () => {});
    socket.end(`${name} from ${plain(socket.remoteAddress)}`);
  });
  const udp = createSocket({ type: "udp6", ipv6Only: false });
  udp.on("message", (bytes, { address, port: from }) => {
    udp.send(port === DNS ? resolveName(bytes) : `${name} from ${plain(address)}`, from, address);
  });
  await Promise.all([
    new Promise<void>((resolve) => tcp.listen(port, "::", resolve)),
    new Promise<void>((resolve) => udp.bind(port, "::", resolve)),
  ]);
}

function askTcp(address: string, port: number, answer: (text: string) => void, family?: 6): () => void {
  const socket = connect({ host: address, port, family });
  let text = "";
  socket.on("data", (bytes) => text += bytes.toString());
  socket.on("error", () => answer("nothing"));
  socket.on("end", () => answer(text));
  return () => socket.destroy();
}

function askUdp(address: string, port: number, answer: (text: string) => void): () => void {
  const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
  socket.on("message", (bytes) => answer(bytes.toString()));
  socket.on("error", () => answer("nothing"));
  socket.send("who?", port, address);
  return () => socket.close();
}

/** What the peer at an address answers: `NAME from ADDRESS`, or `nothing`. */
export function ask(protocol: Protocol, address: string, port: number): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  let patience = PATIENCE_MS;
  const timer = setInterval(() => {
    patience -= 100 / delay();
    if (patience <= 0) resolve("nothing");
  }, 100);
  const end = protocol === "udp"
    ? askUdp(address, port, resolve)
    : askTcp(address, port, resolve, protocol === "tcp6" ? 6 : undefined);
  return promise.finally(() => {
    clearInterval(timer);
    end();
  });
}

if (import.meta.main) {
  const [name = "", ...ports] = Deno.args;
  await Promise.all(ports.map((port) => serve(name, Number(port))));
  console.log("ready");
  let said: Promise<void> = Promise.resolve();
  for await (const line of createInterface({ input: stdin })) {
    const [protocol, address = "", port] = line.split(" ");
    const answer = ask(protocol === "udp" || protocol === "tcp6" ? protocol : "tcp", address, Number(port));
    said = said.then(async () => console.log(await answer));
  }
  await said;
  Deno.exit(0);
}
