/**
 * Sockets that hold a port of the host's.
 *
 * @module
 */

import { close, SystemError } from "../fs/fs.ts";
import { shim } from "../native.ts";

/** A port that is held, until its descriptor is closed. */
export interface HeldPort {
  /** The socket. */
  readonly fd: number;
  /** The port's number. */
  readonly port: number;
}

const AF_INET = 2, AF_INET6 = 10;
const SOCK = { tcp: 1, udp: 2 } as const, SOCK_CLOEXEC = 0x80000;
const SOL_SOCKET = 1, SO_REUSEADDR = 2, IPPROTO_IPV6 = 41, IPV6_V6ONLY = 26;
const yes = new Uint8Array([1, 0, 0, 0]);

/** `struct sockaddr_in` or `struct sockaddr_in6`. */
function socketAddress(address: Uint8Array, port: number): Uint8Array<ArrayBuffer> {
  const four = address.length === 4;
  const bytes = new Uint8Array(four ? 16 : 28);
  bytes[0] = four ? AF_INET : AF_INET6;
  bytes.set([port >> 8, port], 2);
  bytes.set(address, four ? 4 : 8);
  return bytes;
}

/**
 * Takes a port of the host's, 0 for any that is free, so that nobody else can. Nobody accepts what arrives there.
 *
 * @throws {SystemError} `EADDRINUSE` if somebody has it, `EADDRNOTAVAIL` if the address is not this machine's.
 */
export function holdPort(protocol: "tcp" | "udp", address: Uint8Array, port: number): HeldPort {
  const family = address.length === 4 ? AF_INET : AF_INET6;
  const fd = shim.i("socket", family, SOCK[protocol] | SOCK_CLOEXEC, 0);
  if (fd < 0) throw new SystemError("socket", protocol, -fd);
  const name = socketAddress(address, port);
  if (family === AF_INET6) shim.iiib("setsockopt", fd, IPPROTO_IPV6, IPV6_V6ONLY, yes, yes.length);
  // What is left of earlier connections is no reason to refuse; who listens is, as with UDP who is bound.
  if (protocol === "tcp") shim.iiib("setsockopt", fd, SOL_SOCKET, SO_REUSEADDR, yes, yes.length);
  const bound = shim.ib("bind", fd, name, name.length);
  const result = bound < 0 || protocol === "udp" ? bound : shim.i("listen", fd, 1);
  if (result < 0) {
    close(fd);
    throw new SystemError("bind", `port ${port}/${protocol}`, -result);
  }
  return { fd, port: port === 0 ? portOf(fd) : port };
}

function portOf(fd: number): number {
  const name = new Uint8Array(28);
  const length = new Uint8Array([name.length, 0, 0, 0]);
  shim.ibb("getsockname", fd, name, length);
  return ((name[2] ?? 0) << 8) | (name[3] ?? 0);
}
