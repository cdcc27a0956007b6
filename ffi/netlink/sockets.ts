/**
 * Reserving ports of the host with bound sockets (bind(2)).
 *
 * @module
 */

import { check, close } from "../fs/fs.ts";
import { UAPI } from "../program/flags.ts";
import { addressFamily } from "./addresses.ts";
import { shim } from "../native.ts";

/** A reserved port; closing its descriptor releases it. */
export interface HeldPort {
  /** The socket. */
  readonly fd: number;
  /** The port number. */
  readonly port: number;
}

const { AF_INET6, SOCK_CLOEXEC, SOL_SOCKET } = UAPI, TYPE = { tcp: UAPI.SOCK_STREAM, udp: UAPI.SOCK_DGRAM } as const;
const SO_REUSEADDR = 2, IPPROTO_IPV6 = 41, IPV6_V6ONLY = 26;
const yes = new Uint8Array([1, 0, 0, 0]);

/** Encodes `struct sockaddr_in` or `struct sockaddr_in6`. */
function socketAddress(address: Uint8Array, port: number): Uint8Array<ArrayBuffer> {
  const four = address.length === 4;
  const bytes = new Uint8Array(four ? 16 : 28);
  bytes[0] = addressFamily(address);
  bytes.set([port >> 8, port], 2);
  bytes.set(address, four ? 4 : 8);
  return bytes;
}

/**
 * Reserves a port of the host, 0 for any free one; connections to it are never accepted.
 *
 * @throws {SystemError} `EADDRINUSE` if another process has it, `EADDRNOTAVAIL` if the address is not local.
 */
export function holdPort(protocol: "tcp" | "udp", address: Uint8Array, port: number): HeldPort {
  const family = addressFamily(address);
  const fd = check(shim.i("socket", family, TYPE[protocol] | SOCK_CLOEXEC, 0), "socket", protocol);
  const name = socketAddress(address, port);
  if (family === AF_INET6) shim.iiib("setsockopt", fd, IPPROTO_IPV6, IPV6_V6ONLY, yes, yes.length);
  // TIME_WAIT states of earlier connections do not conflict; another listener still does.
  if (protocol === "tcp") shim.iiib("setsockopt", fd, SOL_SOCKET, SO_REUSEADDR, yes, yes.length);
  const bound = shim.ib("bind", fd, name, name.length);
  const result = bound < 0 || protocol === "udp" ? bound : shim.i("listen", fd, 1);
  if (result < 0) close(fd);
  check(result, "bind", `port ${port}/${protocol}`);
  return { fd, port: port === 0 ? portOf(fd) : port };
}

/** Returns the port that the kernel has chosen: getsockname(2). */
function portOf(fd: number): number {
  const name = new Uint8Array(28);
  const length = new Uint8Array([name.length, 0, 0, 0]);
  shim.ibb("getsockname", fd, name, length);
  return ((name[2] ?? 0) << 8) | (name[3] ?? 0);
}
