/**
 * Netlink sockets (netlink(7)): requests, dumps and acknowledgements.
 *
 * @module
 */

import { describeErrno, ERRNO, errnoName } from "../errno.ts";
import { Fd } from "../fs/fd.ts";
import { check } from "../fs/fs.ts";
import { shim } from "../native.ts";
import { UAPI } from "../program/flags.ts";
import {
  decodeMessages,
  describeMessages,
  encodeMessages,
  type Message,
  NLM_F,
  NLMSG,
  type Received,
  refusalIn,
  u32,
} from "./messages.ts";

export type { Message };

/** A protocol of netlink sockets: `NETLINK_ROUTE` or `NETLINK_NETFILTER`. */
export type Protocol = "ROUTE" | "NETFILTER";

/** A message that the kernel has refused. */
export class NetlinkError extends Error {
  override name = "NetlinkError";
  /** The name of the error, such as `EEXIST`. */
  readonly code: string;

  /** Creates the error of `subject`, with its positive error number and the extended error message of the kernel. */
  constructor(readonly subject: string, readonly errno: number, readonly detail?: string) {
    super(`${subject}: ${describeErrno(errno)}${detail === undefined ? "" : `: ${detail}`}`);
    this.code = errnoName(errno);
  }
}

const SO_SNDBUFFORCE = 32, DEFAULT_SEND_BUFFER = 1 << 16;
const answer = new Uint8Array(1 << 16);

/** Opens a netlink socket in the network namespace of this process: socket(2). The caller closes it. */
export function openNetlink(protocol: Protocol): number {
  const name = `NETLINK_${protocol}` as const;
  const fd = check(shim.i("socket", UAPI.AF_NETLINK, UAPI.SOCK_RAW | UAPI.SOCK_CLOEXEC, UAPI[name]), "socket", name);
  for (const option of [UAPI.NETLINK_CAP_ACK, UAPI.NETLINK_EXT_ACK, UAPI.NETLINK_GET_STRICT_CHK]) {
    shim.iiib("setsockopt", fd, UAPI.SOL_NETLINK, option, u32(1), 4);
  }
  return fd;
}

/** Runs `work` with a netlink socket, and closes it. */
export function withNetlink<T>(protocol: Protocol, work: (fd: number) => T): T {
  using socket = new Fd(openNetlink(protocol));
  return work(socket.number);
}

function send(fd: number, messages: readonly Message[]): void {
  const bytes = encodeMessages(messages);
  // A batch must fit into the send buffer at once.
  if (bytes.length > DEFAULT_SEND_BUFFER) {
    shim.iiib("setsockopt", fd, UAPI.SOL_SOCKET, SO_SNDBUFFORCE, u32(bytes.length * 2), 4);
  }
  const sent = shim.ib("sendto", fd, bytes, bytes.length);
  if (sent < 0) throw new NetlinkError(describeMessages(messages), -sent);
}

function receive(fd: number): Uint8Array<ArrayBuffer> {
  for (;;) {
    const length = shim.ib("recvfrom", fd, answer, answer.length);
    if (length >= 0) return answer.subarray(0, length);
    if (length !== -ERRNO.EINTR) check(length, "recvfrom", "netlink");
  }
}

function checkRefusal(received: Uint8Array<ArrayBuffer>, messages: readonly Message[]): void {
  const refusal = refusalIn(received);
  if (!refusal) return;
  const refused = messages[refusal.sequence - 1];
  throw new NetlinkError(describeMessages(refused ? [refused] : messages), refusal.errno, refusal.detail);
}

/** Discards the remaining answers, all of which the kernel queues while it handles a request. */
function drain(fd: number): void {
  while (shim.ib("recvfrom", fd, answer, answer.length, UAPI.MSG_DONTWAIT) >= 0);
}

/** Sends messages and waits for their acknowledgements. Throws {@linkcode NetlinkError} for the first refused one. */
export function request(fd: number, messages: readonly Message[]): void {
  send(fd, messages);
  let pending = messages.filter(({ flags }) => flags & NLM_F.ACK).length;
  while (pending > 0) {
    const received = receive(fd);
    try {
      checkRefusal(received, messages);
    } catch (error) {
      drain(fd);
      throw error;
    }
    pending -= decodeMessages(received).filter(({ type }) => type === NLMSG.ERROR).length;
  }
}

/** Requests once; undefined if a dump was interrupted by a change (`NLM_F_DUMP_INTR`) and may be incomplete. */
function askOnce<T>(fd: number, message: Message, take: (answer: Received) => T): T[] | undefined {
  send(fd, [message]);
  const results: T[] = [];
  const dump = (message.flags & NLM_F.DUMP) === NLM_F.DUMP;
  let complete = true;
  for (;;) {
    const received = receive(fd);
    checkRefusal(received, [message]);
    for (const part of decodeMessages(received)) {
      if (part.flags & NLM_F.DUMP_INTR) complete = false;
      if (part.type === NLMSG.DONE) return complete ? results : undefined;
      if (part.type !== NLMSG.ERROR) results.push(take(part));
    }
    if (!dump) return results;
  }
}

const MAX_DUMPS = 20;

/**
 * Sends a request and collects its answers: one, or all of a dump. The memory of an answer is reused by the next one, so
 * the results of `take` must not refer to it.
 *
 * @throws {NetlinkError} if the kernel refuses; `EAGAIN` if every dump was interrupted by changes.
 */
export function ask<T>(fd: number, message: Message, take: (answer: Received) => T): T[] {
  for (let dumps = 0; dumps < MAX_DUMPS; dumps++) {
    const results = askOnce(fd, message, take);
    if (results) return results;
  }
  throw new NetlinkError(describeMessages([message]), ERRNO.EAGAIN);
}

/** Returns the answers to `question`; none if it fails with the error number `absent`. */
export function orNothing<T>(absent: number, question: () => T[]): T[] {
  try {
    return question();
  } catch (error) {
    if (error instanceof NetlinkError && error.errno === absent) return [];
    throw error;
  }
}
