/**
 * Netlink (`netlink(7)`): messages and attributes as data, and sockets to send them through.
 *
 * Messages are laid out in the machine's byte order, which is little-endian on both architectures.
 *
 * @module
 */

import { describeErrno, errnoName } from "../errno.ts";
import { close, SystemError } from "../fs/fs.ts";
import { shim } from "../native.ts";

/** An attribute: its type, and its value or the attributes nested in it. */
export type Attribute = readonly [type: number, value: Uint8Array | readonly Attribute[]];

/** A message. */
export interface Message {
  /** What it asks for or tells. */
  readonly type: number;
  /** `NLM_F_` bits beside `NLM_F_REQUEST`. */
  readonly flags: number;
  /** The family's fixed structure behind the message's header. */
  readonly header: Uint8Array;
  /** Its attributes. Default: none. */
  readonly attributes?: readonly Attribute[];
  /** What it says, to a person. */
  readonly text?: string;
}

/** Attributes as they were received; the last one of each type. */
export type Attributes = ReadonlyMap<number, Uint8Array<ArrayBuffer>>;

/** A message as it was received. */
export interface Received {
  /** Its type. */
  readonly type: number;
  /** Its flags. */
  readonly flags: number;
  /** The sequence number of the request that it answers. */
  readonly sequence: number;
  /** What follows its header. */
  readonly payload: Uint8Array<ArrayBuffer>;
}

/** Flags of messages. */
export const NLM_F = {
  REQUEST: 1,
  ACK: 4,
  ROOT: 0x100,
  DUMP: 0x300,
  REPLACE: 0x100,
  EXCL: 0x200,
  CREATE: 0x400,
  APPEND: 0x800,
  DUMP_INTR: 0x10,
  ACK_TLVS: 0x200,
} as const;

/** The protocols that sockets speak. */
export const NETLINK = { ROUTE: 0, NETFILTER: 12 } as const;

const ERROR = 2, DONE = 3;
const NESTED = 0x8000, TYPE_MASK = 0x3fff;
const HEADER = 16, ATTRIBUTE_HEADER = 4;
const ACK_MESSAGE = 1;

/** The kernel refused a message, or an answer makes no sense. */
export class NetlinkError extends Error {
  override name = "NetlinkError";
  /** The name of the error, such as `EEXIST`. */
  readonly code: string;

  /** Makes the error for what `subject` says, with its positive error number and the kernel's own words. */
  constructor(readonly subject: string, readonly errno: number, readonly detail?: string) {
    super(`${subject}: ${describeErrno(errno)}${detail === undefined ? "" : `: ${detail}`}`);
    this.code = errnoName(errno);
  }
}

const encoder = new TextEncoder(), decoder = new TextDecoder();

/** One byte. */
export function u8(value: number): Uint8Array {
  return Uint8Array.of(value);
}

/** Two bytes, in the machine's order. */
export function u16(value: number): Uint8Array {
  return Uint8Array.of(value, value >> 8);
}

/** Two bytes, in the network's order. */
export function be16(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value);
}

/** Four bytes, in the machine's order. */
export function u32(value: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.of(value, value >> 8, value >> 16, value >> 24);
}

/** Four bytes, in the network's order. */
export function be32(value: number): Uint8Array {
  return Uint8Array.of(value >> 24, value >> 16, value >> 8, value);
}

/** A text and the NUL at its end. */
export function text(value: string): Uint8Array {
  return encoder.encode(value + "\0");
}

/** What {@linkcode u32} wrote; 0 if it is missing. */
export function readU32(bytes: Uint8Array | undefined): number {
  const [a = 0, b = 0, c = 0, d = 0] = bytes ?? [];
  return (a | (b << 8) | (c << 16) | (d << 24)) >>> 0;
}

/** What {@linkcode be32} wrote; 0 if it is missing. */
export function readBe32(bytes: Uint8Array | undefined): number {
  const [a = 0, b = 0, c = 0, d = 0] = bytes ?? [];
  return ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
}

/** A text up to its NUL, if it has one; empty if it is missing. */
export function readText(bytes: Uint8Array | undefined): string {
  if (!bytes) return "";
  const end = bytes.indexOf(0);
  return decoder.decode(end < 0 ? bytes : bytes.subarray(0, end));
}

function aligned(length: number): number {
  return (length + 3) & ~3;
}

function sizeOf(attributes: readonly Attribute[]): number {
  return attributes.reduce((size, [, value]) => size + ATTRIBUTE_HEADER + aligned(valueSize(value)), 0);
}

function valueSize(value: Attribute[1]): number {
  return value instanceof Uint8Array ? value.length : sizeOf(value);
}

function writeAttributes(view: DataView, at: number, attributes: readonly Attribute[]): number {
  for (const [type, value] of attributes) {
    const size = valueSize(value);
    if (ATTRIBUTE_HEADER + size > 0xffff) throw new RangeError(`attribute ${type} is too large: ${size} bytes`);
    view.setUint16(at, ATTRIBUTE_HEADER + size, true);
    if (value instanceof Uint8Array) {
      view.setUint16(at + 2, type, true);
      new Uint8Array(view.buffer, at + ATTRIBUTE_HEADER).set(value);
    } else {
      view.setUint16(at + 2, type | NESTED, true);
      writeAttributes(view, at + ATTRIBUTE_HEADER, value);
    }
    at += ATTRIBUTE_HEADER + aligned(size);
  }
  return at;
}

/**
 * Messages as the kernel reads them, one behind the other, with 1, 2, 3… as their sequence numbers.
 * Throws `RangeError` if an attribute is larger than 64 KiB.
 */
export function encodeMessages(messages: readonly Message[]): Uint8Array<ArrayBuffer> {
  const sizes = messages.map(({ header, attributes = [] }) => HEADER + aligned(header.length) + sizeOf(attributes));
  const bytes = new Uint8Array(sizes.reduce((sum, size) => sum + size, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  messages.forEach(({ type, flags, header, attributes = [] }, i) => {
    view.setUint32(at, sizes[i] ?? 0, true);
    view.setUint16(at + 4, type, true);
    view.setUint16(at + 6, flags | NLM_F.REQUEST, true);
    view.setUint32(at + 8, i + 1, true);
    bytes.set(header, at + HEADER);
    at = writeAttributes(view, at + HEADER + aligned(header.length), attributes);
  });
  return bytes;
}

/** Takes received bytes apart. Throws `RangeError` if they are cut off or contradict themselves. */
export function decodeMessages(bytes: Uint8Array<ArrayBuffer>): Received[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const messages: Received[] = [];
  for (let at = 0; at + HEADER <= bytes.length;) {
    const length = view.getUint32(at, true);
    if (length < HEADER || at + length > bytes.length) throw new RangeError(`a netlink message of ${length} bytes`);
    messages.push({
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      sequence: view.getUint32(at + 8, true),
      payload: bytes.subarray(at + HEADER, at + length),
    });
    at += aligned(length);
  }
  return messages;
}

/** The attributes in `bytes`, in order. Throws `RangeError` if they are cut off or contradict themselves. */
export function attributeList(
  bytes: Uint8Array<ArrayBuffer>,
): [type: number, value: Uint8Array<ArrayBuffer>][] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const list: [number, Uint8Array<ArrayBuffer>][] = [];
  for (let at = 0; at + ATTRIBUTE_HEADER <= bytes.length;) {
    const length = view.getUint16(at, true);
    if (length < ATTRIBUTE_HEADER || at + length > bytes.length) {
      throw new RangeError(`a netlink attribute of ${length} bytes`);
    }
    list.push([view.getUint16(at + 2, true) & TYPE_MASK, bytes.subarray(at + ATTRIBUTE_HEADER, at + length)]);
    at += aligned(length);
  }
  return list;
}

/** The attributes in `bytes` by type. Throws `RangeError` as {@linkcode attributeList} does. */
export function decodeAttributes(bytes: Uint8Array<ArrayBuffer>): Attributes {
  return new Map(attributeList(bytes));
}

/** What an answer says of the first message that was refused; undefined if none was. */
export function refusalIn(
  answer: Uint8Array<ArrayBuffer>,
): { sequence: number; errno: number; detail?: string } | undefined {
  for (const { type, flags, sequence, payload } of decodeMessages(answer)) {
    const errno = type === ERROR || type === DONE ? -(readU32(payload) | 0) : 0;
    if (errno <= 0) continue;
    // The kernel sends a request's header back and, as NETLINK_CAP_ACK asks, not the rest; of a dump not even that.
    const rest = payload.subarray(type === ERROR ? 4 + HEADER : 4);
    const words = flags & NLM_F.ACK_TLVS ? decodeAttributes(rest).get(ACK_MESSAGE) : undefined;
    return { sequence, errno, ...(words ? { detail: readText(words) } : {}) };
  }
  return undefined;
}

const MOST_DESCRIBED = 10;

/** What `messages` say, to a person; of many, only the first. */
export function describeMessages(messages: readonly Message[]): string {
  const texts = messages.slice(0, MOST_DESCRIBED).map(({ text, type }) => text ?? `message ${type}`);
  return [...texts, ...(messages.length > MOST_DESCRIBED ? ["…"] : [])].join("; ");
}

const AF_NETLINK = 16, SOCK_RAW = 3, SOCK_CLOEXEC = 0x80000;
const SOL_NETLINK = 270, CAP_ACK = 10, EXT_ACK = 11, GET_STRICT_CHK = 12;
const SOL_SOCKET = 1, SO_SNDBUFFORCE = 32, USUAL_BUFFER = 1 << 16;
const MSG_DONTWAIT = 0x40;
const EINTR = 4, EAGAIN = 11;
const answer = new Uint8Array(1 << 16);

/** Opens a socket that speaks `protocol`, in this process's network namespace. The caller closes it. */
export function openNetlink(protocol: keyof typeof NETLINK): number {
  const fd = shim.i("socket", AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK[protocol]);
  if (fd < 0) throw new SystemError("socket", `NETLINK_${protocol}`, -fd);
  const yes = new Uint8Array([1, 0, 0, 0]);
  for (const option of [CAP_ACK, EXT_ACK, GET_STRICT_CHK]) {
    shim.iiib("setsockopt", fd, SOL_NETLINK, option, yes, yes.length);
  }
  return fd;
}

/** Runs `work` with a socket that speaks `protocol`. */
export function withNetlink<T>(protocol: keyof typeof NETLINK, work: (fd: number) => T): T {
  const fd = openNetlink(protocol);
  try {
    return work(fd);
  } finally {
    close(fd);
  }
}

function send(fd: number, messages: readonly Message[]): void {
  const bytes = encodeMessages(messages);
  // What is sent at once, such as a batch of many rules, must fit into the socket's buffer.
  if (bytes.length > USUAL_BUFFER) shim.iiib("setsockopt", fd, SOL_SOCKET, SO_SNDBUFFORCE, u32(bytes.length * 2), 4);
  const sent = shim.ib("sendto", fd, bytes, bytes.length);
  if (sent < 0) throw new NetlinkError(describeMessages(messages), -sent);
}

function receive(fd: number): Uint8Array<ArrayBuffer> {
  for (;;) {
    const length = shim.ib("recvfrom", fd, answer, answer.length);
    if (length >= 0) return answer.subarray(0, length);
    if (length !== -EINTR) throw new SystemError("recvfrom", "netlink", -length);
  }
}

function checkRefusal(received: Uint8Array<ArrayBuffer>, messages: readonly Message[]): void {
  const refusal = refusalIn(received);
  if (!refusal) return;
  const refused = messages[refusal.sequence - 1];
  throw new NetlinkError(describeMessages(refused ? [refused] : messages), refusal.errno, refusal.detail);
}

/** Takes answers that nobody waits for any more. The kernel gives all of them while it is sent the question. */
function drain(fd: number): void {
  while (shim.ib("recvfrom", fd, answer, answer.length, MSG_DONTWAIT) >= 0);
}

/**
 * Sends messages, and waits for the acknowledgement of each that asks for one.
 *
 * @throws {NetlinkError} for the first that the kernel refuses.
 */
export function request(fd: number, messages: readonly Message[]): void {
  send(fd, messages);
  let wanted = messages.filter(({ flags }) => flags & NLM_F.ACK).length;
  while (wanted > 0) {
    const received = receive(fd);
    try {
      checkRefusal(received, messages);
    } catch (error) {
      drain(fd);
      throw error;
    }
    wanted -= decodeMessages(received).filter(({ type }) => type === ERROR).length;
  }
}

/** Asks once; undefined if what was dumped has changed meanwhile, so that something may be missing. */
function askOnce<T>(fd: number, message: Message, take: (answer: Received) => T): T[] | undefined {
  send(fd, [message]);
  const results: T[] = [];
  const all = (message.flags & NLM_F.DUMP) === NLM_F.DUMP;
  let whole = true;
  for (;;) {
    const received = receive(fd);
    checkRefusal(received, [message]);
    for (const part of decodeMessages(received)) {
      if (part.flags & NLM_F.DUMP_INTR) whole = false;
      if (part.type === DONE) return whole ? results : undefined;
      if (part.type !== ERROR) results.push(take(part));
    }
    if (!all) return results;
  }
}

const MOST_DUMPS = 20;

/**
 * Asks a question and collects the answers: one, or all of a dump. What `take` makes of each must hold nothing of the
 * answer itself, whose memory the next one overwrites.
 *
 * @throws {NetlinkError} if the kernel refuses; `EAGAIN` if what is dumped changes all the time.
 */
export function ask<T>(fd: number, message: Message, take: (answer: Received) => T): T[] {
  for (let dumps = 0; dumps < MOST_DUMPS; dumps++) {
    const results = askOnce(fd, message, take);
    if (results) return results;
  }
  throw new NetlinkError(describeMessages([message]), EAGAIN);
}

/** What `question` is answered; nothing if what it is about is not there, which the error `absent` says. */
export function orNothing<T>(absent: number, question: () => T[]): T[] {
  try {
    return question();
  } catch (error) {
    if (error instanceof NetlinkError && error.errno === absent) return [];
    throw error;
  }
}
