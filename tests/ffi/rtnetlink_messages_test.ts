/** What is sent of links, addresses and routes is what ip and tc send, and does what was meant. */

import assert from "node:assert/strict";
import {
  attributeList,
  decodeAttributes,
  decodeMessages,
  encodeMessages,
  type Message,
  readU32,
  withNetlink,
} from "../../ffi/netlink/netlink.ts";
import {
  deleteAddress,
  deleteLink,
  findLink,
  listAddresses,
  listLinks,
  newAddress,
  newBridge,
  newDefaultRoute,
  newRateLimit,
  newVeth,
  setUp,
  type VethPair,
} from "../../ffi/netlink/rtnetlink.ts";
import { address } from "../helpers/addresses.ts";
import { ip, MAC, MAC_TEXT, refused, run, tell, testsInNamespace, withHere } from "../helpers/network_namespace.ts";
import { skipWithout } from "../helpers/skip.ts";

const testInNamespace = testsInNamespace(import.meta.filename ?? "");

/** A test that needs strace(1). */
function testWithStrace(name: string, body: () => void): void {
  const { success } = new Deno.Command("sh", { args: ["-c", "command -v strace"], stdout: "null" }).outputSync();
  testInNamespace(name, body, skipWithout("strace", success));
}

/** The last message that a command sends, as strace(1) shows it. */
function sentBy(command: string): Uint8Array<ArrayBuffer> {
  const options = ["-e", "trace=sendmsg,sendto", "-e", "write=all", ...command.split(" ")];
  const { success, stderr } = new Deno.Command("strace", { args: options }).outputSync();
  const trace = new TextDecoder().decode(stderr);
  assert.ok(success, `${command}: ${trace}`);
  const rows = [...trace.matchAll(/^ \| ([0-9a-f]{5,}) {2}((?:[0-9a-f]{2} {1,2})+)/gm)];
  const first = rows.findLastIndex(([, offset]) => /^0+$/.test(offset ?? ""));
  return Uint8Array.fromHex(rows.slice(first).map(([, , hex]) => (hex ?? "").replaceAll(" ", "")).join(""));
}

/** How long the structure before attributes is, and which attributes have attributes. */
interface Shape {
  readonly header: number;
  readonly nested?: Readonly<Record<number, Shape>>;
}

const VETH_PEER: Shape = { header: 16 };
const LINK: Shape = {
  header: 16,
  nested: { 18: { header: 0, nested: { 2: { header: 0, nested: { 1: VETH_PEER } } } } },
};
const ADDRESS: Shape = { header: 8 };
const ROUTE: Shape = { header: 12 };
const QDISC: Shape = { header: 20, nested: { 2: { header: 0 } } };

function hex(bytes: Uint8Array): string {
  return bytes.length > 40 ? `${bytes.length} bytes` : bytes.toHex();
}

/** A line for a structure and each of the attributes behind it, with the types that lead to it. */
function linesOf(bytes: Uint8Array<ArrayBuffer>, { header, nested = {} }: Shape, path = ""): string[] {
  const own = header > 0 ? [`${path}header ${hex(bytes.subarray(0, header))}`] : [];
  const attributes = attributeList(bytes.subarray(header)).flatMap(([type, value]) => {
    const inner = nested[type];
    return inner ? linesOf(value, inner, `${path}${type}.`) : [`${path}${type} ${hex(value)}`];
  });
  return [...own, ...attributes].sort();
}

function messageLines(bytes: Uint8Array<ArrayBuffer>, shape: Shape): string[] {
  const [message, ...others] = decodeMessages(bytes);
  assert.ok(message && others.length === 0);
  return [`type ${message.type} flags ${message.flags.toString(16)}`, ...linesOf(message.payload, shape)];
}

/** What only one of two messages says. */
interface Difference {
  readonly ours?: readonly string[];
  readonly theirs?: readonly string[];
}

function assertSameAsCommand(message: Message, shape: Shape, command: string, known: Difference = {}): void {
  const ours = messageLines(encodeMessages([message]), shape);
  const theirs = messageLines(sentBy(command), shape);
  assert.deepEqual(
    {
      ours: ours.filter((line) => !theirs.includes(line)),
      theirs: theirs.filter((line) => !ours.includes(line)),
    },
    { ours: [], theirs: [], ...known },
    command,
  );
}

function kind(name: string): Difference {
  // The kernel takes it with and without a NUL at its end.
  const hex = new TextEncoder().encode(name).toHex();
  return { ours: [`18.1 ${hex}00`], theirs: [`18.1 ${hex}`] };
}

testWithStrace("rtnetlink: links are made, set up and removed with the messages that ip sends", () => {
  assertSameAsCommand(
    newBridge("br9", MAC, 1400),
    LINK,
    `ip link add br9 up address ${MAC_TEXT} mtu 1400 type bridge`,
    kind("bridge"),
  );
  const { index: master } = withNetlink("ROUTE", (fd) => findLink(fd, "br9")) ?? assert.fail();
  const queues = "numtxqueues 1 numrxqueues 1";
  const veth = `ip link add h0 index 1000 up mtu 1400 ${queues} master br9 netns /proc/self/ns/net ` +
    `type veth peer name eth7 index 77 address ${MAC_TEXT} mtu 1400 ${queues}`;
  const pair: VethPair = {
    host: "h0",
    hostIndex: 1000,
    master,
    hostNamespace: 0,
    name: "eth7",
    index: 77,
    mac: MAC,
    mtu: 1400,
  };
  // The descriptor has whichever number was free when ip opened it.
  const { payload } = decodeMessages(sentBy(veth))[0] ?? assert.fail();
  const hostNamespace = readU32(decodeAttributes(payload.subarray(16)).get(28));
  ip("link del h0");
  assertSameAsCommand(newVeth({ ...pair, hostNamespace }), LINK, veth, kind("veth"));
  assertSameAsCommand(setUp(master, "br9"), LINK, "ip link set br9 up");
  assertSameAsCommand(deleteLink(master, "br9"), LINK, "ip link del br9");
});

testWithStrace("rtnetlink: addresses are given with the messages that ip sends", () => {
  ip("link add br9 index 9 type bridge");
  const cases: [text: string, prefix: number, words: string][] = [
    ["10.1.2.3", 24, " broadcast 10.1.2.255"],
    ["10.1.129.3", 17, " broadcast 10.1.255.255"],
    ["172.16.9.9", 12, " broadcast 172.31.255.255"],
    ["192.0.2.1", 30, " broadcast 192.0.2.3"],
    ["192.0.2.4", 31, ""],
    ["192.0.2.9", 32, ""],
  ];
  for (const [text, prefix, words] of cases) {
    const command = `ip addr replace ${text}/${prefix}${words} dev br9`;
    assertSameAsCommand(newAddress(9, address(text), prefix, text), ADDRESS, command);
  }
  // IFA_LOCAL of an IPv6 address is only needed if it has a peer, and IFA_FLAGS hold all that the header's flags do.
  assertSameAsCommand(newAddress(9, address("fd00::3"), 64, ""), ADDRESS, "ip addr replace fd00::3/64 nodad dev br9", {
    ours: ["8 02000000", "header 0a40000009000000"],
    theirs: [`2 ${address("fd00::3").toHex()}`, "header 0a40020009000000"],
  });
});

testWithStrace("rtnetlink: addresses are taken with the messages that ip sends", () => {
  ip("link add br9 index 9 type bridge");
  for (const [text, prefix] of [["10.1.2.3", 24], ["fd00::3", 64]] as const) {
    ip(`addr add ${text}/${prefix} dev br9`);
    const message = deleteAddress({ index: 9, address: address(text), prefix }, text);
    const local = text.includes(":") ? { theirs: [`2 ${address(text).toHex()}`] } : {};
    assertSameAsCommand(message, ADDRESS, `ip addr del ${text}/${prefix} dev br9`, local);
  }
});

testWithStrace("rtnetlink: default routes are made with the messages that ip sends", () => {
  ip("link add br9 index 9 up type bridge");
  ip("addr add 10.1.2.3/24 dev br9");
  ip("addr add fd00::3/64 dev br9 nodad");
  for (const gateway of ["10.1.2.1", "fd00::1"]) {
    const command = `ip route prepend default via ${gateway} dev br9 proto static`;
    assertSameAsCommand(newDefaultRoute(9, address(gateway), gateway), ROUTE, command);
  }
});

const BURST_TIME = /^(2\.1 .{56})(.{8})/;
const TICKS_PER_MICROSECOND = 1000 / 64;

function burstTime(lines: readonly string[]): number {
  const digits = lines.map((line) => BURST_TIME.exec(line)?.[2]).find((found) => found !== undefined);
  return readU32(Uint8Array.fromHex(digits ?? ""));
}

testWithStrace("rtnetlink: rates are limited with the messages that tc sends, and the kernel shows them alike", () => {
  ip("link add br9 index 9 up type bridge");
  const shown = (): string => run("tc", ["qdisc", "show", "dev", "br9"]).replace(/tbf \w+:/, "tbf");
  const cases: [rate: number, burst: number, limit: number][] = [
    [1000, 66_048, 66_098],
    [1_250_000, 66_048, 128_548],
    [10_000_000, 100_000, 600_000],
    [1_250_000_000, 12_500_000, 75_000_000],
    [4_294_967_295, 42_949_673, 257_698_038],
  ];
  for (const [rate, burst, limit] of cases) {
    const command = `tc qdisc replace dev br9 root tbf rate ${rate * 8}bit burst ${burst} limit ${limit}`;
    const message = newRateLimit(9, rate, "br9");
    const ours = messageLines(encodeMessages([message]), QDISC), theirs = messageLines(sentBy(command), QDISC);
    // tc also sends a table of times and how to read it (cell_log, cell_align), which kernels since 3.8 have no need
    // of; and it rounds the time of a burst to microseconds, which they work out anew.
    assert.deepEqual(
      ours.map((line) => line.replace(BURST_TIME, "$1")),
      theirs.filter((line) => line !== "2.2 1024 bytes").map((line) =>
        line.replace(/^(2\.1 )03010000ffff/, "$100010000" + "0000").replace(BURST_TIME, "$1")
      ),
      command,
    );
    const [time = 0, theirTime = 0] = [ours, theirs].map(burstTime);
    assert.ok(Math.abs(time - theirTime) <= TICKS_PER_MICROSECOND + 1, `${time}, ${theirTime}`);
    const shownTheirs = shown();
    run("tc", ["qdisc", "del", "dev", "br9", "root"]);
    tell(message);
    assert.equal(shown(), shownTheirs);
  }
});

testInNamespace("rtnetlink: what the messages make is what was meant", () => {
  tell(newBridge("br9", MAC, 1400));
  const bridge = withNetlink("ROUTE", (fd) => findLink(fd, "br9")) ?? assert.fail();
  assert.deepEqual({ ...bridge, index: 9 }, { index: 9, name: "br9", mtu: 1400, up: true, master: 0, kind: "bridge" });
  const pair = { host: "h0", hostIndex: 1000, master: bridge.index, name: "eth7", index: 77, mac: MAC, mtu: 1400 };
  withHere((hostNamespace) => tell(newVeth({ ...pair, hostNamespace })));
  const { index } = withNetlink("ROUTE", (fd) => findLink(fd, "eth7")) ?? assert.fail();
  tell(newAddress(index, address("10.1.2.3"), 24, ""), newAddress(index, address("fd00::3"), 64, ""));
  tell(
    setUp(index, "eth7"),
    newDefaultRoute(index, address("10.1.2.1"), ""),
    newDefaultRoute(index, address("fd00::1"), ""),
  );
  withNetlink("ROUTE", (fd) => {
    const host = findLink(fd, "h0") ?? assert.fail();
    const veth = { mtu: 1400, up: true, kind: "veth" };
    assert.deepEqual(host, { ...veth, index: host.index, name: "h0", master: bridge.index });
    assert.deepEqual(findLink(fd, index), { ...veth, index, name: "eth7", master: 0 });
    assert.deepEqual(listLinks(fd, bridge.index), [host]);
  });
  assert.match(ip("link show eth7"), new RegExp(`link/ether ${MAC_TEXT}`));
  assert.match(ip("addr show eth7"), /inet 10\.1\.2\.3\/24 brd 10\.1\.2\.255 scope global eth7/);
  // Nothing waits until it is known that nobody else has the address.
  assert.match(ip("addr show eth7"), /inet6 fd00::3\/64 scope global nodad/);
  assert.match(ip("route show default"), /^default via 10\.1\.2\.1 dev eth7 proto static/);
  assert.match(ip("-6 route show default"), /^default via fd00::1 dev eth7 proto static/);
  const given = withNetlink("ROUTE", (fd) => listAddresses(fd, index)).find(({ address }) => address.length === 4);
  tell(deleteAddress(given ?? assert.fail(), ""));
  assert.doesNotMatch(ip("addr show eth7"), /inet /);
  tell(deleteLink(index, "eth7"));
  assert.equal(withNetlink("ROUTE", (fd) => findLink(fd, "h0")), undefined);
});

testInNamespace(
  "rtnetlink: the container's end gets the index that is asked for, whatever interfaces are there before it",
  () => {
    tell(newBridge("br9", MAC, 1400));
    const { index: master } = withNetlink("ROUTE", (fd) => findLink(fd, "br9")) ?? assert.fail();
    const pair = { host: "h0", hostIndex: 1000, master, name: "eth7", index: 77, mac: MAC, mtu: 1400 };
    withHere((hostNamespace) => tell(newVeth({ ...pair, hostNamespace })));
    withNetlink("ROUTE", (fd) => {
      assert.equal(findLink(fd, "eth7")?.index, 77);
      assert.equal(findLink(fd, "h0")?.index, 1000);
    });
    for (const change of [{ index: 77 }, { hostIndex: 1000 }]) {
      const next = { ...pair, host: "h1", hostIndex: 1001, name: "eth8", index: 78, ...change };
      withHere((hostNamespace) =>
        assert.match(refused(newVeth({ ...next, hostNamespace })).code ?? "", /^E(BUSY|EXIST)$/)
      );
    }
  },
);
