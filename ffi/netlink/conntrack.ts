/**
 * Connection tracking: removing entries (conntrack(8)) through nfnetlink.
 *
 * @module
 */

import { ERRNO } from "../errno.ts";
import { UAPI } from "../program/flags.ts";
import { ask, NetlinkError, request, withNetlink } from "./netlink.ts";
import { type Attribute, attributeList, decodeAttributes, type Message, NLM_F, readBe32 } from "./messages.ts";

const NFNL_SUBSYS_CTNETLINK = 1 << 8, IPCTNL_MSG_CT_GET = 1, IPCTNL_MSG_CT_DELETE = 2;
const IPS_SRC_NAT = 0x10, IPS_DST_NAT = 0x20, IPPROTO_UDP = 17;
const CTA = { TUPLE_ORIG: 1, STATUS: 3, TUPLE_PROTO: 2, PROTO_NUM: 1, PROTO_DST_PORT: 3 } as const;

/** Encodes `struct nfgenmsg`. */
function header(family: 4 | 6): Uint8Array {
  return Uint8Array.of(family === 4 ? UAPI.AF_INET : UAPI.AF_INET6, 0, 0, 0);
}

/** Returns the destination port of a tuple; undefined if it is not UDP. */
function udpPort(tuple: Uint8Array<ArrayBuffer>): number | undefined {
  const proto = decodeAttributes(tuple).get(CTA.TUPLE_PROTO);
  if (!proto) return undefined;
  const parts = decodeAttributes(proto);
  const [high = 0, low = 0] = parts.get(CTA.PROTO_DST_PORT) ?? [];
  return parts.get(CTA.PROTO_NUM)?.[0] === IPPROTO_UDP ? high << 8 | low : undefined;
}

/**
 * Removes the entries of datagrams to `ports` of this machine, so that current rules apply to the next ones: an entry
 * persists for as long as a peer keeps sending.
 */
export function forgetDatagrams(ports: ReadonlySet<number>, family: 4 | 6): void {
  withNetlink("NETFILTER", (fd) => {
    const dump: Message = {
      type: NFNL_SUBSYS_CTNETLINK | IPCTNL_MSG_CT_GET,
      flags: NLM_F.DUMP,
      header: header(family),
      text: "list the connections",
    };
    const tuples = ask(fd, dump, ({ payload }) => {
      const attributes = decodeAttributes(payload.subarray(4));
      const tuple = attributes.get(CTA.TUPLE_ORIG), status = readBe32(attributes.get(CTA.STATUS));
      // Masqueraded connections go out; they were not sent to this machine.
      if (status & IPS_SRC_NAT && !(status & IPS_DST_NAT)) return undefined;
      const port = tuple && udpPort(tuple);
      return tuple && port !== undefined && ports.has(port) ? tuple.slice() : undefined;
    });
    for (const tuple of tuples) if (tuple) removeEntry(fd, tuple, family);
  });
}

function removeEntry(fd: number, tuple: Uint8Array<ArrayBuffer>, family: 4 | 6): void {
  // A tuple consists of two nested attributes: addresses and protocol.
  const nested = attributeList(tuple).map(([type, value]): Attribute => [type, attributeList(value)]);
  const message: Message = {
    type: NFNL_SUBSYS_CTNETLINK | IPCTNL_MSG_CT_DELETE,
    flags: NLM_F.ACK,
    header: header(family),
    attributes: [[CTA.TUPLE_ORIG, nested]],
    text: "remove a connection tracking entry",
  };
  try {
    request(fd, [message]);
  } catch (error) {
    // ENOENT: the entry has expired.
    if (!(error instanceof NetlinkError) || error.errno !== ERRNO.ENOENT) throw error;
  }
}
