/**
 * Netlink messages and attributes (netlink(7)) as data, and their encoding in the machine's byte order, which is
 * little-endian on both architectures.
 *
 * @module
 */

/** An attribute: its type, and its value or nested attributes. */
export type Attribute = readonly [type: number, value: Uint8Array | readonly Attribute[]];

/** A message to be sent. */
export interface Message {
  /** Its `nlmsg_type`. */
  readonly type: number;
  /** Its `NLM_F_` bits; `NLM_F_REQUEST` is added. */
  readonly flags: number;
  /** The structure of its family behind the message header, such as `struct ifinfomsg`. */
  readonly header: Uint8Array;
  /** Its attributes. Default: none. */
  readonly attributes?: readonly Attribute[];
  /** Its description in errors and `explain`. */
  readonly text?: string;
}

/** Received attributes by type; of several, the last. */
export type Attributes = ReadonlyMap<number, Uint8Array<ArrayBuffer>>;

/** A received message. */
export interface Received {
  /** Its type. */
  readonly type: number;
  /** Its flags. */
  readonly flags: number;
  /** The sequence number of the request that it answers. */
  readonly sequence: number;
  /** Its content behind the header. */
  readonly payload: Uint8Array<ArrayBuffer>;
}

/** The `NLM_F_` flags of messages. */
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

/** `NLMSG_ERROR`, also the type of acknowledgements, and `NLMSG_DONE`, the end of a dump. */
export const NLMSG = { ERROR: 2, DONE: 3 } as const;

const NLA_F_NESTED = 0x8000, NLA_TYPE_MASK = 0x3fff, NLMSGERR_ATTR_MSG = 1;
// struct nlmsghdr and struct nlattr
const HEADER = 16, ATTRIBUTE_HEADER = 4;

const encoder = new TextEncoder(), decoder = new TextDecoder();

/** Encodes one byte. */
export function u8(value: number): Uint8Array {
  return Uint8Array.of(value);
}

/** Encodes two bytes in the machine's byte order. */
export function u16(value: number): Uint8Array {
  return Uint8Array.of(value, value >> 8);
}

/** Encodes two bytes in network byte order. */
export function be16(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value);
}

/** Encodes four bytes in the machine's byte order. */
export function u32(value: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.of(value, value >> 8, value >> 16, value >> 24);
}

/** Encodes four bytes in network byte order. */
export function be32(value: number): Uint8Array {
  return Uint8Array.of(value >> 24, value >> 16, value >> 8, value);
}

/** Encodes a NUL-terminated text. */
export function text(value: string): Uint8Array {
  return encoder.encode(value + "\0");
}

/** Decodes what {@linkcode u32} has encoded; 0 if it is missing. */
export function readU32(bytes: Uint8Array | undefined): number {
  const [a = 0, b = 0, c = 0, d = 0] = bytes ?? [];
  return (a | (b << 8) | (c << 16) | (d << 24)) >>> 0;
}

/** Decodes what {@linkcode be32} has encoded; 0 if it is missing. */
export function readBe32(bytes: Uint8Array | undefined): number {
  const [a = 0, b = 0, c = 0, d = 0] = bytes ?? [];
  return ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
}

/** Decodes a text up to its NUL, if any; empty if it is missing. */
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
    if (ATTRIBUTE_HEADER + size > 0xffff) {
      throw new RangeError(`cannot encode netlink attribute ${type}: ${size} bytes are too many`);
    }
    view.setUint16(at, ATTRIBUTE_HEADER + size, true);
    if (value instanceof Uint8Array) {
      view.setUint16(at + 2, type, true);
      new Uint8Array(view.buffer, at + ATTRIBUTE_HEADER).set(value);
    } else {
      view.setUint16(at + 2, type | NLA_F_NESTED, true);
      writeAttributes(view, at + ATTRIBUTE_HEADER, value);
    }
    at += ATTRIBUTE_HEADER + aligned(size);
  }
  return at;
}

/**
 * Encodes messages one behind the other, with the sequence numbers 1, 2, 3….
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

/** Decodes received messages. Throws `RangeError` if they are truncated or inconsistent. */
export function decodeMessages(bytes: Uint8Array<ArrayBuffer>): Received[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const messages: Received[] = [];
  for (let at = 0; at + HEADER <= bytes.length;) {
    const length = view.getUint32(at, true);
    if (length < HEADER || at + length > bytes.length) {
      throw new RangeError(`invalid netlink message of ${length} bytes`);
    }
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

/** Decodes attributes in order. Throws `RangeError` if they are truncated or inconsistent. */
export function attributeList(
  bytes: Uint8Array<ArrayBuffer>,
): [type: number, value: Uint8Array<ArrayBuffer>][] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const list: [number, Uint8Array<ArrayBuffer>][] = [];
  for (let at = 0; at + ATTRIBUTE_HEADER <= bytes.length;) {
    const length = view.getUint16(at, true);
    if (length < ATTRIBUTE_HEADER || at + length > bytes.length) {
      throw new RangeError(`invalid netlink attribute of ${length} bytes`);
    }
    list.push([view.getUint16(at + 2, true) & NLA_TYPE_MASK, bytes.subarray(at + ATTRIBUTE_HEADER, at + length)]);
    at += aligned(length);
  }
  return list;
}

/** Decodes attributes by type. Throws `RangeError` as {@linkcode attributeList} does. */
export function decodeAttributes(bytes: Uint8Array<ArrayBuffer>): Attributes {
  return new Map(attributeList(bytes));
}

/** Returns the first error in an answer; undefined if there is none. */
export function refusalIn(
  answer: Uint8Array<ArrayBuffer>,
): { sequence: number; errno: number; detail?: string } | undefined {
  for (const { type, flags, sequence, payload } of decodeMessages(answer)) {
    const errno = type === NLMSG.ERROR || type === NLMSG.DONE ? -(readU32(payload) | 0) : 0;
    if (errno <= 0) continue;
    // struct nlmsgerr: with NETLINK_CAP_ACK only the header of the request is sent back, and for a dump not even that.
    const rest = payload.subarray(type === NLMSG.ERROR ? 4 + HEADER : 4);
    const detail = flags & NLM_F.ACK_TLVS ? decodeAttributes(rest).get(NLMSGERR_ATTR_MSG) : undefined;
    return { sequence, errno, ...(detail ? { detail: readText(detail) } : {}) };
  }
  return undefined;
}

const MAX_DESCRIBED = 10;

/** Joins the descriptions of messages; of many, only the first ten. */
export function describeMessages(messages: readonly Message[]): string {
  const texts = messages.slice(0, MAX_DESCRIBED).map(({ text, type }) => text ?? `message ${type}`);
  return [...texts, ...(messages.length > MAX_DESCRIBED ? ["…"] : [])].join("; ");
}
