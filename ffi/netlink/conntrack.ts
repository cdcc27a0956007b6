/**
 * The kernel's table of connections, as far as it must be told to forget some (`ctnetlink`).
 *
 * @module
 */

import { ask, NetlinkError, request, withNetlink } from "./netlink.ts";
import { type Attribute, attributeList, decodeAttributes, type Message, NLM_F, readBe32 } from "./messages.ts";

const SUBSYSTEM = 1 << 8, GET = SUBSYSTEM | 1, DELETE = SUBSYSTEM | 2;
const SOURCE_CHANGED = 0x10, DESTINATION_CHANGED = 0x20;
const CTA = { TUPLE_ORIG: 1, STATUS: 3, TUPLE_PROTO: 2, PROTO_NUM: 1, PROTO_DST_PORT: 3 } as const;
const AF_INET = 2, AF_INET6 = 10, UDP = 17;
const ENOENT = 2;

/** `struct nfgenmsg`. */
function header(family: 4 | 6): Uint8Array {
  return Uint8Array.of(family === 4 ? AF_INET : AF_INET6, 0, 0, 0);
}

/** The destination port of what a tuple of attributes says, if it is UDP. */
function udpPort(tuple: Uint8Array<ArrayBuffer>): number | undefined {
  const proto = decodeAttributes(tuple).get(CTA.TUPLE_PROTO);
  if (!proto) return undefined;
  const parts = decodeAttributes(proto);
  const [high = 0, low = 0] = parts.get(CTA.PROTO_DST_PORT) ?? [];
  return parts.get(CTA.PROTO_NUM)?.[0] === UDP ? high << 8 | low : undefined;
}

/**
 * Forgets where datagrams to `ports` of this machine went so far, so that the rules of now decide about the next ones:
 * otherwise they went on as before for as long as a peer keeps sending.
 */
export function forgetDatagrams(ports: ReadonlySet<number>, family: 4 | 6): void {
  withNetlink("NETFILTER", (fd) => {
    const dump: Message = { type: GET, flags: NLM_F.DUMP, header: header(family), text: "list the connections" };
    const tuples = ask(fd, dump, ({ payload }) => {
      const attributes = decodeAttributes(payload.subarray(4));
      const tuple = attributes.get(CTA.TUPLE_ORIG), status = readBe32(attributes.get(CTA.STATUS));
      // What goes out under another address was not sent to this machine.
      if (status & SOURCE_CHANGED && !(status & DESTINATION_CHANGED)) return undefined;
      const port = tuple && udpPort(tuple);
      return tuple && port !== undefined && ports.has(port) ? tuple.slice() : undefined;
    });
    for (const tuple of tuples) if (tuple) forget(fd, tuple, family);
  });
}

function forget(fd: number, tuple: Uint8Array<ArrayBuffer>, family: 4 | 6): void {
  // A tuple holds two nests, the addresses and the protocol.
  const nested = attributeList(tuple).map(([type, value]): Attribute => [type, attributeList(value)]);
  const message: Message = {
    type: DELETE,
    flags: NLM_F.ACK,
    header: header(family),
    attributes: [[CTA.TUPLE_ORIG, nested]],
    text: "forget a connection",
  };
  try {
    request(fd, [message]);
  } catch (error) {
    // It has ended meanwhile.
    if (!(error instanceof NetlinkError) || error.errno !== ENOENT) throw error;
  }
}
