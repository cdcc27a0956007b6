/** What the kernel refuses and tells of links, addresses and routes. */

import assert from "node:assert/strict";
import { ask, type Message, NLM_F, u32, u8, withNetlink } from "../../ffi/netlink/netlink.ts";
import { listRoutes } from "../../ffi/netlink/routes.ts";
import {
  deleteLink,
  findLink,
  type LinkAddress,
  listAddresses,
  listLinks,
  newAddress,
  newBridge,
  newDefaultRoute,
} from "../../ffi/netlink/rtnetlink.ts";
import { formatAddress } from "../../lib/text/address.ts";
import { address } from "../helpers/addresses.ts";
import { ip, MAC, refused, run, tell, testsInNamespace } from "../helpers/network_namespace.ts";

const testInNamespace = testsInNamespace(import.meta.filename ?? "");

testInNamespace("rtnetlink: what the kernel refuses becomes an error with its name and its words", () => {
  tell(newBridge("br9", MAC, 1400));
  const { index } = withNetlink("ROUTE", (fd) => findLink(fd, "br9")) ?? assert.fail();
  assert.deepEqual(refused(newDefaultRoute(index, address("192.0.2.1"), "192.0.2.1")), {
    code: "ENETUNREACH",
    subject: "route everything else through 192.0.2.1",
    detail: "Nexthop has invalid gateway",
    message:
      "route everything else through 192.0.2.1: ENETUNREACH (Network is unreachable): Nexthop has invalid gateway",
  });
  const { header, ...bridge } = newBridge("br8", MAC, 1400);
  const cases: [message: Message, code: string, detail: string | undefined][] = [
    [newBridge("br9", MAC, 1400), "EEXIST", undefined],
    [newBridge("br8", MAC, 10), "EINVAL", "mtu less than device minimum"],
    [newBridge("br8", Uint8Array.of(1, 2, 3, 4, 5, 6), 1400), "EADDRNOTAVAIL", undefined],
    [
      { ...bridge, header, attributes: [...bridge.attributes ?? [], [4, u8(1)]] },
      "ERANGE",
      "Attribute failed policy validation",
    ],
    [newAddress(9999, address("192.0.2.1"), 24, ""), "ENODEV", "ipv4: Device not found"],
    [newAddress(index, address("192.0.2.1"), 33, ""), "EINVAL", "ipv4: Invalid prefix length"],
    [deleteLink(9999, ""), "ENODEV", undefined],
    [deleteLink(1, "lo"), "EOPNOTSUPP", undefined],
  ];
  for (const [message, code, detail] of cases) {
    const error = refused(message);
    assert.deepEqual([error.code, error.detail], [code, detail], message.text);
  }
});

testInNamespace(
  "rtnetlink: of several messages, the one that is refused is named, and those before it were heeded",
  () => {
    const bad = newDefaultRoute(1, address("192.0.2.1"), "nowhere");
    const error = refused(newBridge("br1", MAC, 1400), newBridge("br2", MAC, 1400), bad, newBridge("br3", MAC, 1400));
    assert.equal(error.subject, "route everything else through nowhere");
    withNetlink("ROUTE", (fd) => {
      assert.deepEqual(listLinks(fd).map(({ name }) => name).filter((name) => name !== "br3"), ["lo", "br1", "br2"]);
    });
  },
);

testInNamespace("rtnetlink: a question that the kernel refuses is an error, not an empty answer", () => {
  const questions: Message[] = [
    { type: 18, flags: 0, header: new Uint8Array(16), text: "a link without a name" },
    { type: 18, flags: NLM_F.DUMP, header: new Uint8Array(4), text: "links with half a header" },
    { type: 18, flags: NLM_F.DUMP, header: new Uint8Array(16).fill(1), text: "links with odd flags" },
    { type: 22, flags: NLM_F.DUMP, header: new Uint8Array(8).fill(1), text: "addresses with odd flags" },
    { type: 22, flags: NLM_F.DUMP, header: Uint8Array.of(0, 0, 0, 0, ...u32(9999)), text: "those of no link" },
    { type: 26, flags: NLM_F.DUMP, header: new Uint8Array(12).fill(1), text: "routes with odd flags" },
  ];
  for (const question of questions) {
    assert.throws(
      () => withNetlink("ROUTE", (fd) => ask(fd, question, () => 0)),
      { name: "NetlinkError", subject: question.text },
      question.text,
    );
  }
});

/** What ip tells in JSON. */
function told(command: string): Record<string, unknown>[] {
  const value: unknown = JSON.parse(ip(`-j ${command}`) || "[]");
  assert.ok(Array.isArray(value));
  // Not all that is listed has something to tell.
  return value.filter((one) => Object.keys(one).length > 0);
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null
    ? Object.entries(value).find(([key]) => key === name)?.[1]
    : undefined;
}

testInNamespace("rtnetlink: links are listed as ip lists them, and those of a bridge alone", () => {
  ip("link add br1 type bridge");
  ip("link add br2 mtu 9000 type bridge");
  ip("link add p1 master br1 mtu 1300 up type veth peer name q1");
  ip("link add p2 master br1 type veth peer name q2");
  ip("link add p3 master br2 type veth peer name q3");
  withNetlink("ROUTE", (fd) => {
    const links = listLinks(fd);
    const indexOf = (name: unknown): number => links.find((link) => link.name === name)?.index ?? 0;
    assert.deepEqual(
      links,
      told("-d link show").map(({ ifindex, ifname, mtu, flags, master, linkinfo }) => ({
        index: ifindex,
        up: Array.isArray(flags) && flags.includes("UP"),
        name: ifname,
        mtu,
        master: indexOf(master),
        kind: fieldOf(linkinfo, "info_kind") ?? "",
      })),
    );
    for (const bridge of ["br1", "br2"]) {
      const names = listLinks(fd, indexOf(bridge)).map(({ name }) => name);
      assert.deepEqual(names, told(`link show master ${bridge}`).map(({ ifname }) => ifname));
    }
    assert.deepEqual(listLinks(fd, indexOf("p1")), []);
    for (const link of links) {
      assert.deepEqual(findLink(fd, link.name), link);
      assert.deepEqual(findLink(fd, link.index), link);
    }
    assert.deepEqual([findLink(fd, "none"), findLink(fd, 9999)], [undefined, undefined]);
  });
});

testInNamespace("rtnetlink: addresses are listed as ip lists them", () => {
  ip("link add br1 up type bridge");
  const given = [
    "10.1.2.3/24",
    "10.1.2.4/32",
    "192.0.2.1 peer 198.51.100.1/30",
    "fd00::1/64 nodad",
    "fd00::2 peer fd00::3/128",
  ];
  given.forEach((address) => ip(`addr add ${address} dev br1`));
  withNetlink("ROUTE", (fd) => {
    for (const { name, index } of listLinks(fd)) {
      const shape = ({ index, address, prefix }: LinkAddress) => `${index} ${formatAddress(address)}/${prefix}`;
      const theirs = told(`addr show dev ${name}`).flatMap(({ addr_info }) => Array.isArray(addr_info) ? addr_info : [])
        .map((one) => `${index} ${fieldOf(one, "local")}/${fieldOf(one, "prefixlen")}`);
      assert.deepEqual(listAddresses(fd, index).map(shape).sort(), theirs.sort(), name);
      if (name === "br1") assert.ok(theirs.length >= given.length);
    }
  });
});

testInNamespace("rtnetlink: the routes of the main table are listed as ip lists them, however many they are", () => {
  ip("link set lo up");
  ip("link add br1 up type bridge");
  ip("addr add 10.1.2.3/24 dev br1");
  ip("addr add fd00::3/64 dev br1 nodad");
  const more = Array.from({ length: 3000 }, (_, i) => `10.${100 + (i >> 8)}.${i & 255}.0/24`);
  const routes = [
    "route add default via 10.1.2.1 metric 5",
    "route add default via 10.1.2.2",
    "route add 172.16.0.0/12 nexthop via 10.1.2.1 nexthop via 10.1.2.2",
    "route add blackhole 192.0.2.0/24",
    "route add 198.51.100.0/24 via 10.1.2.1 table 77",
    "-6 route add default via fd00::1",
    "-6 route add fd01::/48 via fd00::1 metric 7",
    "-6 route add unreachable fd02::/48",
  ];
  routes.forEach(ip);
  run("ip", ["-batch", "-"], more.map((destination) => `route add ${destination} dev br1\n`).join(""));
  withNetlink("ROUTE", (fd) => {
    const links = listLinks(fd);
    for (const family of [4, 6] as const) {
      const theirs = told(`-${family} route show table main`).filter(({ type }) => type === undefined).map(
        ({ dst, dev, metric = 0 }) => {
          const destination = dst === "default" ? `${family === 4 ? "0.0.0.0" : "::"}/0` : dst;
          return `${destination} ${links.find(({ name }) => name === dev)?.index ?? 0} ${metric}`;
        },
      );
      const ours = listRoutes(fd, family).map(({ destination, prefix, oif, priority }) =>
        `${formatAddress(destination)}/${prefix} ${oif} ${priority}`
      );
      assert.deepEqual(ours.sort(), theirs.sort());
      assert.ok(ours.length > (family === 4 ? 3000 : 2));
    }
  });
});
