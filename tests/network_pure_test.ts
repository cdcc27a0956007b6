import assert from "node:assert/strict";
import { flags } from "../ffi/flags.ts";
import { appendLines, AT_FDCWD, close, openAt } from "../ffi/fs.ts";
import { isIP } from "node:net";
import type { ContainerOptions } from "../lib/container/options.ts";
import { InputError } from "../lib/errors.ts";
import {
  addressAt,
  type Cidr,
  contains,
  formatAddress,
  formatCidr,
  networkOf,
  offsetIn,
  overlap,
  parseAddress,
  parseCidr,
  sameAddress,
  sizeOf,
} from "../lib/network/address.ts";
import { apartFiles, bridgedFiles, type Names, sharedFiles } from "../lib/network/files.ts";
import type { Lease } from "../lib/network/leases.ts";
import { parseExposed, parsePort, type PortMapping } from "../lib/network/ports.ts";
import { networkName, type NetworkRequest, requestNetwork } from "../lib/network/request.ts";
import { formatResolvers, hostResolvers, parseResolvers, reachableResolvers } from "../lib/network/resolver.ts";
import { siblingLines, withoutSiblings } from "../lib/network/siblings.ts";
import { parseRate } from "../lib/size.ts";
import { randomFrom } from "./helpers/tar.ts";

function address(text: string): Uint8Array {
  return parseAddress(text) ?? assert.fail(`${text} is no address`);
}

function cidr(text: string): Cidr {
  return parseCidr(text, "it");
}

/** Checks that something is refused with a code, and in words that do not change. */
function assertRefused(work: () => unknown, code: string, what: string): void {
  assert.throws(work, (error) => {
    assert.ok(error instanceof InputError, `${what}: ${error}`);
    assert.equal(error.code, code, what);
    assert.ok(
      error.message.length > 10 && !/undefined|NaN|\[object/.test(error.message + (error.hint ?? "")),
      error.message,
    );
    return true;
  }, what);
}

// Addresses

Deno.test("addresses are read, and written as RFC 5952 wants them", () => {
  const cases: Record<string, string> = {
    "0.0.0.0": "0.0.0.0",
    "10.10.10.1": "10.10.10.1",
    "255.255.255.255": "255.255.255.255",
    "::": "::",
    "::1": "::1",
    "1::": "1::",
    "0:0:0:0:0:0:0:0": "::",
    "2001:0db8::0001": "2001:db8::1",
    "2001:DB8:AAAA::FfFf": "2001:db8:aaaa::ffff",
    "2001:db8:0:0:0:0:2:1": "2001:db8::2:1",
    "2001:db8::1:1:1:1:1": "2001:db8:0:1:1:1:1:1",
    "2001:db8:0:1:1:1:1:1": "2001:db8:0:1:1:1:1:1",
    "2001:0:0:1:0:0:0:1": "2001:0:0:1::1",
    "2001:db8:0:0:1:0:0:1": "2001:db8::1:0:0:1",
    "0:0:1:0:0:1:1:1": "::1:0:0:1:1:1",
    "0:0:1:1:1:1:0:0": "::1:1:1:1:0:0",
    "1:0:0:1:1:1:0:0": "1::1:1:1:0:0",
    "1:0:0:0:1:0:0:0": "1::1:0:0:0",
    "0:0:0:1:1:0:0:0": "::1:1:0:0:0",
    "0:1:1:1:1:1:1:0": "0:1:1:1:1:1:1:0",
    "0:0:1:1:1:1:1:1": "::1:1:1:1:1:1",
    "1:1:1:1:1:1:0:0": "1:1:1:1:1:1::",
    "10:0:0:1:0:0:0:100": "10:0:0:1::100",
    "1:2:3:4:5:6:7::": "1:2:3:4:5:6:7:0",
    "::2:3:4:5:6:7:8": "0:2:3:4:5:6:7:8",
    "::192.0.2.1": "::c000:201",
    "64:ff9b::192.0.2.33": "64:ff9b::c000:221",
    "1:2:3:4:5:6:10.0.0.1": "1:2:3:4:5:6:a00:1",
    "fe80:0:0:0:0:0:0:1": "fe80::1",
  };
  for (const [text, wanted] of Object.entries(cases)) assert.equal(formatAddress(address(text)), wanted, text);
});

Deno.test("what is no address is none", () => {
  const cases = [
    ..." |10|10.0.0|10.0.0.0.0|10.0.0.256|10.0.0.-1|10.0.0.+1|010.0.0.1|10.0.0.1 | 10.0.0.1|10.0.0.1\n|1e1.0.0.1".split(
      "|",
    ),
    ..."0x10.0.0.1|10..0.1|.0.0.1|10.0.0.|10.0.0.1/24|a.b.c.d|localhost|١.٢.٣.٤|10,0,0,1".split("|"),
    ..."|:|:::|::::|1:|:1|1:2:3:4:5:6:7|1:2:3:4:5:6:7:8:9|1::2::3|::1::|12345::|g::|::1%eth0|[::1]|::1/64".split("|"),
    ..."1:2:3:4:5:6:7:8::|::1:2:3:4:5:6:7:8|1:2:3:4::5:6:7:8|:1:2:3:4:5:6:7|1:2:3:4:5:6:7:".split("|"),
    ..."::1.2.3|::1.2.3.256|::01.2.3.4|1.2.3.4::|::1.2.3.4:5|1:2:3:4:5:6:7:1.2.3.4|:1.2.3.4|::1 |::-1|::+1|1.2.3.4:"
      .split("|"),
    "",
  ];
  for (const text of cases) {
    assert.equal(parseAddress(text), undefined, JSON.stringify(text));
    assert.ok(isIP(text) === 0 || text.includes("%"), `node takes ${JSON.stringify(text)}`);
  }
});

/** How the WHATWG's URLs write an IPv6 address, undefined if it is none. */
function asInUrl(text: string): string | undefined {
  return URL.parse(`http://[${text}]/`)?.hostname.slice(1, -1);
}

Deno.test("any address of 16 bytes is written as URLs write it, and read as it was written", () => {
  const random = randomFrom(5952);
  for (let i = 0; i < 20_000; i++) {
    const zeros = random();
    const bytes = new Uint8Array(16);
    for (let group = 0; group < 8; group++) {
      if (random() < zeros) continue;
      bytes.set([random() < 0.5 ? 0 : random() * 256, random() * 256], group * 2);
    }
    const text = formatAddress(bytes);
    assert.deepEqual(parseAddress(text), bytes, text);
    assert.equal(text, asInUrl(text));
    assert.equal(isIP(text), 6);
    const four = bytes.subarray(8, 12);
    assert.deepEqual(parseAddress(formatAddress(four)), four.slice());
    assert.equal(isIP(formatAddress(four)), 4);
  }
});

Deno.test("any text at all is an address if others think so too, and is then written as others write it", () => {
  const random = randomFrom(4291);
  const pieces = [":", "::", ":", "0", "1", "ff", "abcd", ".", "1.2.3.4", "255", "00", "%", "/", " ", "12345", "G"];
  let addresses = 0;
  for (let i = 0; i < 60_000; i++) {
    const length = 1 + Math.floor(random() * 16);
    const likely = random() < 0.7;
    const text = Array.from({ length }, (_, at) => {
      if (likely) return at % 2 === 1 ? ":" : ["0", "1", "ff", "abcd", "", "0"][Math.floor(random() * 6)];
      return pieces[Math.floor(random() * pieces.length)];
    }).join("");
    const bytes = parseAddress(text);
    assert.equal(bytes === undefined ? 0 : bytes.length === 4 ? 4 : 6, text.includes("%") ? 0 : isIP(text), text);
    if (bytes === undefined) continue;
    addresses++;
    const written = formatAddress(bytes);
    assert.deepEqual(parseAddress(written), bytes);
    assert.equal(formatAddress(address(written)), written);
    if (bytes.length === 16) assert.equal(written, asInUrl(text), text);
  }
  assert.ok(addresses > 1000, `${addresses}`);
});

Deno.test("addresses with prefixes are read and written", () => {
  for (const text of ["10.10.10.1/24", "0.0.0.0/0", "1.2.3.4/32", "fd00::1/64", "::/0", "::1/128"]) {
    assert.equal(formatCidr(cidr(text)), text);
  }
  assert.deepEqual(cidr("10.10.10.1/24"), { address: Uint8Array.of(10, 10, 10, 1), prefix: 24 });
  const refused = [
    "|/|/24|10.0.0.1|10.0.0.1/|10.0.0.1/33|10.0.0.1/-1|10.0.0.1/+1|10.0.0.1/1e1|10.0.0.1/8/8|10.0.0/8|10.0.0.1/ 8",
    "::1|::1/129|::1/|::1/64/|::1%lo/64|10.0.0.1/8 |10.0.0.1/0x8|10.0.0.1/8.0|1.2.3.4/٨|10.0.0.1/1000",
  ].join("|").split("|");
  for (const text of refused) assertRefused(() => cidr(text), "bad-address", JSON.stringify(text));
});

Deno.test("networks have a first address, a size, and others at a distance", () => {
  const cases: [text: string, network: string, size: bigint, last: string][] = [
    ["10.10.10.77/24", "10.10.10.0/24", 256n, "10.10.10.255"],
    ["172.31.255.1/12", "172.16.0.0/12", 1n << 20n, "172.31.255.255"],
    ["192.0.2.201/29", "192.0.2.200/29", 8n, "192.0.2.207"],
    ["192.0.2.1/32", "192.0.2.1/32", 1n, "192.0.2.1"],
    ["192.0.2.1/0", "0.0.0.0/0", 1n << 32n, "255.255.255.255"],
    ["fd01:2:3:4:5:6:7:8/64", "fd01:2:3:4::/64", 1n << 64n, "fd01:2:3:4:ffff:ffff:ffff:ffff"],
    ["fd01:2:3:4f:5:6:7:8/60", "fd01:2:3:40::/60", 1n << 68n, "fd01:2:3:4f:ffff:ffff:ffff:ffff"],
    ["::1/128", "::1/128", 1n, "::1"],
    ["::1/0", "::/0", 1n << 128n, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
  ];
  for (const [text, network, size, last] of cases) {
    const given = cidr(text);
    assert.equal(formatCidr(networkOf(given)), network);
    assert.equal(sizeOf(given), size);
    assert.equal(formatCidr({ address: addressAt(given, 0n), prefix: given.prefix }), network);
    assert.equal(formatAddress(addressAt(given, size - 1n)), last);
    assert.equal(offsetIn(given, address(last)), size - 1n);
    assert.equal(formatAddress(addressAt(given, offsetIn(given, given.address))), formatAddress(given.address));
  }
  assert.equal(formatAddress(addressAt(cidr("10.0.0.0/8"), 256n)), "10.0.1.0");
  assert.equal(formatAddress(addressAt(cidr("fd00::/64"), 0x1_0000n)), "fd00::1:0");
  const given = cidr("10.1.2.3/8");
  networkOf(given), addressAt(given, 5n);
  assert.equal(formatCidr(given), "10.1.2.3/8");
});

Deno.test("it is known what lies in a network, and which networks overlap", () => {
  const inside: [network: string, address: string, wanted: boolean][] = [
    ["10.10.10.0/24", "10.10.10.0", true],
    ["10.10.10.0/24", "10.10.10.255", true],
    ["10.10.10.0/24", "10.10.11.0", false],
    ["10.10.10.0/24", "10.10.9.255", false],
    ["10.10.10.77/24", "10.10.10.1", true],
    ["0.0.0.0/0", "255.255.255.255", true],
    ["1.2.3.4/32", "1.2.3.4", true],
    ["1.2.3.4/32", "1.2.3.5", false],
    ["::/0", "10.0.0.1", false],
    ["0.0.0.0/0", "::1", false],
    ["fd00::/64", "fd00::ffff:ffff:ffff:ffff", true],
    ["fd00::/64", "fd00:0:0:1::", false],
    ["128.0.0.0/1", "127.255.255.255", false],
    ["128.0.0.0/1", "255.0.0.0", true],
  ];
  for (const [network, text, wanted] of inside) {
    assert.equal(contains(cidr(network), address(text)), wanted, `${text} in ${network}`);
  }
  const pairs: [string, string, boolean][] = [
    ["10.0.0.0/8", "10.10.10.0/24", true],
    ["10.10.10.0/24", "10.10.11.0/24", false],
    ["10.10.10.0/23", "10.10.11.0/24", true],
    ["10.10.10.9/24", "10.10.10.77/24", true],
    ["10.10.10.128/25", "10.10.10.77/25", false],
    ["0.0.0.0/0", "192.0.2.0/24", true],
    ["0.0.0.0/0", "::/0", false],
    ["::/8", "0.0.0.0/0", false],
    ["fd00::/8", "fdff::/64", true],
    ["fd00::/64", "fd00:0:0:1::/64", false],
  ];
  for (const [a, b, wanted] of pairs) {
    assert.equal(overlap(cidr(a), cidr(b)), wanted, `${a} and ${b}`);
    assert.equal(overlap(cidr(b), cidr(a)), wanted, `${b} and ${a}`);
  }
  assert.ok(sameAddress(address("::1"), address("0::1")));
  assert.ok(!sameAddress(address("0.0.0.0"), address("::")));
  assert.ok(!sameAddress(address("10.0.0.1"), address("10.0.0.2")));
});

Deno.test("two networks overlap if, and only if, one holds the other's first address", () => {
  const random = randomFrom(1918);
  for (let i = 0; i < 5000; i++) {
    const any = (): Cidr => {
      const bytes = Uint8Array.from({ length: 4 }, () => Math.floor(random() * 2) * 255);
      return { address: bytes, prefix: Math.floor(random() * 33) };
    };
    const a = any(), b = any();
    const mask = Math.min(a.prefix, b.prefix);
    const bits = ({ address }: Cidr): string => [...address].map((byte) => byte.toString(2).padStart(8, "0")).join("");
    assert.equal(overlap(a, b), bits(a).slice(0, mask) === bits(b).slice(0, mask));
    assert.equal(contains(a, b.address), bits(a).slice(0, a.prefix) === bits(b).slice(0, a.prefix));
    assert.equal(bits(networkOf(a)), bits(a).slice(0, a.prefix).padEnd(32, "0"));
  }
});

// Ports

Deno.test("published ports are read", () => {
  const v4 = address("127.0.0.1"), v6 = address("::1");
  const cases: Record<string, PortMapping> = {
    "80": { protocol: "tcp", host: 0, container: 80, count: 1 },
    ":80": { protocol: "tcp", host: 0, container: 80, count: 1 },
    "8080:80": { protocol: "tcp", host: 8080, container: 80, count: 1 },
    "8080:80/tcp": { protocol: "tcp", host: 8080, container: 80, count: 1 },
    "53:53/udp": { protocol: "udp", host: 53, container: 53, count: 1 },
    "1:65535": { protocol: "tcp", host: 1, container: 65535, count: 1 },
    "7000-7010:8000-8010": { protocol: "tcp", host: 7000, container: 8000, count: 11 },
    "7000-7000:80": { protocol: "tcp", host: 7000, container: 80, count: 1 },
    "7000-7010/udp": { protocol: "udp", host: 0, container: 7000, count: 11 },
    "1-65535:1-65535": { protocol: "tcp", host: 1, container: 1, count: 65535 },
    "127.0.0.1:8080:80": { protocol: "tcp", host: 8080, container: 80, count: 1, address: v4 },
    "127.0.0.1::80": { protocol: "tcp", host: 0, container: 80, count: 1, address: v4 },
    "127.0.0.1:80": { protocol: "tcp", host: 0, container: 80, count: 1, address: v4 },
    "127.0.0.1:7000-7001:80-81/udp": { protocol: "udp", host: 7000, container: 80, count: 2, address: v4 },
    "[::1]:8080:80": { protocol: "tcp", host: 8080, container: 80, count: 1, address: v6 },
    "[::1]::80/udp": { protocol: "udp", host: 0, container: 80, count: 1, address: v6 },
    "[::1]:80": { protocol: "tcp", host: 0, container: 80, count: 1, address: v6 },
    "0.0.0.0:80:80": { protocol: "tcp", host: 80, container: 80, count: 1, address: new Uint8Array(4) },
    "[::]:80:80": { protocol: "tcp", host: 80, container: 80, count: 1, address: new Uint8Array(16) },
  };
  for (const [text, wanted] of Object.entries(cases)) assert.deepEqual(parsePort(text), wanted, text);
});

Deno.test("published ports that make no sense are refused", () => {
  const cases = [
    "|:|::|/|/tcp|80/|80/sctp|80/tcp/udp|80/tcp |80 | 80|a|80:a|a:80|0|0:80|80:0|65536|80:65536|100000|80:",
    "-80|80-|80-79|80-90:80-91|80-90:80|80:80-90|80:80:80:80|80:80:80|1.2.3:80:80|1.2.3.256:80:80|localhost:80:80",
    "::1:80:80|[::1]80|[::1]|[::1]:|[]:80:80|[::1:80:80|::1]:80:80|[nonsense]:80:80|[::1%lo]:80:80|127.0.0.1",
    "127.0.0.1:|127.0.0.1:80:80:80|80\n|80/tcp\n|+80|8e1|0x50|80.0|80,81|1-2-3|8080:80/|1-65536|٨٠",
  ].join("|").split("|");
  for (const text of cases) assertRefused(() => parsePort(text), "bad-port", JSON.stringify(text));
});

Deno.test("exposed ports are only the container's", () => {
  assert.deepEqual(parseExposed("80"), { protocol: "tcp", host: 0, container: 80, count: 1 });
  assert.deepEqual(parseExposed("53-54/udp"), { protocol: "udp", host: 0, container: 53, count: 2 });
  for (const text of ["8080:80", ":80", "127.0.0.1:80", "[::1]:80", "", "80/", "0", "127.0.0.1", "x/tcp"]) {
    assertRefused(() => parseExposed(text), "bad-port", text);
  }
});

// What is asked of networks

/** A bridged network as it is asked for. */
function bridged(...memberships: { network: string; address?: string; aliases?: string[] }[]): NetworkRequest {
  return { mode: "bridge", memberships: memberships.map((one) => ({ aliases: [], ...one })) };
}

Deno.test("what is asked of networks is read", () => {
  const cases: [options: ContainerOptions, wanted: NetworkRequest][] = [
    [{}, bridged({ network: "sauropod0" })],
    [{ network: [] }, bridged({ network: "sauropod0" })],
    [{ network: "bridge" }, bridged({ network: "sauropod0" })],
    [{ network: ["default"] }, bridged({ network: "sauropod0" })],
    [{ network: "none" }, { mode: "none" }],
    [{ network: ["host"] }, { mode: "host" }],
    [{ network: "none", publish: [], networkAliases: [], publishAll: false }, { mode: "none" }],
    [{ network: "container:web" }, { mode: "container", container: "web" }],
    [{ network: ["a", "b"] }, bridged({ network: "a" }, { network: "b" })],
    [{ network: "a:ip=10.0.0.5" }, bridged({ network: "a", address: "10.0.0.5" })],
    [
      { network: ["a:ip=10.0.0.5,alias=db,alias=db.local", "b:alias=cache"] },
      bridged({ network: "a", address: "10.0.0.5", aliases: ["db", "db.local"] }, { network: "b", aliases: ["cache"] }),
    ],
    [
      { network: ["a:alias=x", "b"], networkAliases: ["y", "z"] },
      bridged({ network: "a", aliases: ["y", "z", "x"] }, { network: "b", aliases: ["y", "z"] }),
    ],
    [
      { network: ["a", "b"], containerAddress: "10.0.0.9/24" },
      bridged({ network: "a", address: "10.0.0.9/24" }, { network: "b" }),
    ],
    [{ bridgeAddress: "10.9.9.1/24" }, bridged({ network: "sauropod0" })],
    [{ network: ["a", "bridge"], bridgeAddress: "10.9.9.1/24" }, bridged({ network: "a" }, { network: "sauropod0" })],
    [{ network: "containers" }, bridged({ network: "containers" })],
    [{ publish: ["80"], netRate: 8000 }, bridged({ network: "sauropod0" })],
  ];
  for (const [options, wanted] of cases) assert.deepEqual(requestNetwork(options), wanted, JSON.stringify(options));
});

Deno.test("what makes no sense of networks is refused", () => {
  const cases: ContainerOptions[] = [
    { network: "" },
    { network: ["a", ""] },
    { network: "../a" },
    { network: "a b" },
    { network: ".a" },
    { network: "a/b" },
    { network: "a".repeat(64) },
    { network: "größe" },
    { network: ["a", "a"] },
    { network: ["bridge", "sauropod0"] },
    { network: ["none", "a"] },
    { network: ["a", "host"] },
    { network: ["none", "none"] },
    { network: ["container:a", "container:b"] },
    { network: "container:" },
    { network: "a:" },
    { network: "a:ip" },
    { network: "a:ip=" },
    { network: "a:mac=1" },
    { network: "a:ip=10.0.0.1," },
    { network: "a:alias=-x" },
    { network: "a:alias=x y" },
    { networkAliases: [""] },
    { networkAliases: ["x\n127.0.0.1 evil"] },
    { networkAliases: ["x#"] },
    { networkAliases: ["a".repeat(254)] },
    { network: "a", bridgeAddress: "10.9.9.1/24" },
    ...["none", "host", "container:web"].flatMap((network): ContainerOptions[] => [
      { network, publish: ["80"] },
      { network, publishAll: true },
      { network, networkAliases: ["x"] },
      { network, containerAddress: "10.0.0.1" },
      { network, bridgeAddress: "10.0.0.1/24" },
      { network, netRate: 8000 },
    ]),
    { network: "container:web", addHosts: ["db:10.0.0.1"] },
    { network: "container:web", dns: ["10.0.0.1"] },
    { network: "container:web", dnsSearch: ["test"] },
    { network: "container:web", dnsOptions: ["ndots:1"] },
  ];
  for (const options of cases) assertRefused(() => requestNetwork(options), "bad-network", JSON.stringify(options));
});

Deno.test("the default network has other names, and the others have their own", () => {
  assert.deepEqual(["bridge", "default", "sauropod0"].map(networkName), ["sauropod0", "sauropod0", "sauropod0"]);
  for (const name of ["a", "A-1_b.c", "0", "a".repeat(63)]) assert.equal(networkName(name), name);
  assert.equal(requestNetwork({ networkAliases: ["a".repeat(253)] }).mode, "bridge");
});

// Name servers

Deno.test("resolv.conf is read as the C library reads it", () => {
  const none = { servers: [], search: [], options: [] };
  const cases: [text: string, wanted: ReturnType<typeof parseResolvers>][] = [
    ["", none],
    ["# nameserver 10.0.0.1\n; nameserver 10.0.0.2\n\n", none],
    ["nameserver 10.0.0.1", { ...none, servers: ["10.0.0.1"] }],
    ["nameserver\t10.0.0.1  \r\nnameserver fd00::1 # the second\n", { ...none, servers: ["10.0.0.1", "fd00::1"] }],
    ["nameserver fe80::1%eth0\n", { ...none, servers: ["fe80::1%eth0"] }],
    ["nameserver\nnameservers 10.0.0.1\nsortlist 10.0.0.0\n", none],
    ["search a.example b.example\n", { ...none, search: ["a.example", "b.example"] }],
    ["domain c.example\n", { ...none, search: ["c.example"] }],
    // Of search and domain, the last one counts.
    ["search a.example\nsearch b.example\n", { ...none, search: ["b.example"] }],
    ["domain c.example\nsearch a.example b.example\n", { ...none, search: ["a.example", "b.example"] }],
    ["search a.example b.example\ndomain c.example\n", { ...none, search: ["c.example"] }],
    ["search .\n", { ...none, search: ["."] }],
    ["options ndots:2 edns0\noptions trust-ad\n", { ...none, options: ["ndots:2", "edns0", "trust-ad"] }],
  ];
  for (const [text, wanted] of cases) assert.deepEqual(parseResolvers(text), wanted, JSON.stringify(text));
});

Deno.test("resolv.conf is written, and read again as it was written", () => {
  const full = { servers: ["10.0.0.1", "fd00::1"], search: ["a.example", "b.example"], options: ["ndots:2", "edns0"] };
  const text = "nameserver 10.0.0.1\nnameserver fd00::1\nsearch a.example b.example\noptions ndots:2 edns0\n";
  assert.equal(formatResolvers(full), text);
  assert.deepEqual(parseResolvers(text), full);
  assert.equal(formatResolvers({ servers: [], search: [], options: [] }), "");
});

// The files of containers

/** The texts of files, by name. */
function textsOf(files: readonly { path: string; text?: string }[]): Record<string, string | undefined> {
  return Object.fromEntries(files.map(({ path, text }) => [path.replace("/etc/", ""), text]));
}

const LOOPBACK = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
const NAMES: Names = {
  hostname: "box",
  own: [{ address: "10.10.10.2", names: ["box", "web", "0123456789ab"] }, { address: "fd00::2", names: ["box"] }],
  siblings: "10.10.10.3\tdb\t# sauropod0\n",
  gateway: "10.10.10.1",
};
const DNS = { dns: ["10.0.0.53", "fd00::53"], dnsSearch: ["a.example"], dnsOptions: ["ndots:2"] };
const RESOLV_CONF = "nameserver 10.0.0.53\nnameserver fd00::53\nsearch a.example\noptions ndots:2\n";

Deno.test("the files of a container without a network name it and its machine", () => {
  assert.deepEqual(textsOf(apartFiles("none", "box", { ...DNS, addHosts: ["db:192.168.1.7", "six=[fd00::7]"] })), {
    hosts: `${LOOPBACK}127.0.1.1\tbox\n192.168.1.7\tdb\nfd00::7\tsix\n`,
    hostname: "box\n",
    "resolv.conf": RESOLV_CONF,
  });
  const { hosts } = textsOf(apartFiles("none", "box", { addHosts: ["me:host-gateway"] }));
  assert.equal(hosts, `${LOOPBACK}127.0.1.1\tbox\n127.0.0.1\tme\n`);
});

Deno.test("a container on the host's network knows whom the host knows, and its name servers", () => {
  const files = textsOf(apartFiles("host", "box", { addHosts: ["db:10.0.0.7"] }));
  const known = Deno.readTextFileSync("/etc/hosts");
  assert.equal(files.hosts, `${known}${known.endsWith("\n") ? "" : "\n"}127.0.1.1\tbox\n10.0.0.7\tdb\n`);
  assert.equal(files["resolv.conf"], formatResolvers(hostResolvers()));
});

Deno.test("the files of a container on a bridge name it, its siblings and the host", () => {
  const given = { ...DNS, addHosts: ["db2:10.0.0.7", "me:host-gateway", "six:fd00::7"] };
  assert.deepEqual(textsOf(bridgedFiles(NAMES, given)), {
    hosts: LOOPBACK + "10.10.10.2\tbox web 0123456789ab\nfd00::2\tbox\n" +
      "10.0.0.7\tdb2\n10.10.10.1\tme\nfd00::7\tsix\n10.10.10.3\tdb\t# sauropod0\n",
    hostname: "box\n",
    "resolv.conf": RESOLV_CONF,
  });
  const { servers } = reachableResolvers();
  const ours = parseResolvers(textsOf(bridgedFiles(NAMES, {}))["resolv.conf"] ?? "");
  assert.deepEqual(ours.servers, servers.length > 0 ? servers : ["10.10.10.1"]);
});

Deno.test("a container in another one's network has the other one's files and its own name", () => {
  assert.deepEqual(textsOf(sharedFiles("box", (path) => `text of ${path}\n`)), {
    hosts: "text of /etc/hosts\n127.0.1.1\tbox\n",
    hostname: "box\n",
    "resolv.conf": "text of /etc/resolv.conf\n",
  });
  assert.equal(textsOf(sharedFiles("box", () => undefined)).hosts, LOOPBACK + "127.0.1.1\tbox\n");
  assert.equal(textsOf(sharedFiles("box", () => "10.0.0.1 db")).hosts, "10.0.0.1 db\n127.0.1.1\tbox\n");
});

Deno.test("hosts and name servers that make no sense are refused", () => {
  const hosts =
    "|db|db:|:10.0.0.1|db:10.0.0|db:nonsense|d b:10.0.0.1|db#:10.0.0.1|db:10.0.0.1 x|db\nx:10.0.0.1|db:10.0.0.1\n";
  for (const text of hosts.split("|")) {
    assertRefused(() => apartFiles("none", "box", { addHosts: [text] }), "bad-host", JSON.stringify(text));
    assertRefused(() => bridgedFiles(NAMES, { addHosts: [text] }), "bad-host", JSON.stringify(text));
  }
  const resolvers: ContainerOptions[] = [
    ...["", "localhost", "10.0.0", "10.0.0.1\noptions x", "::1%lo"].map((server) => ({ dns: ["10.0.0.1", server] })),
    ...["", "a b", "a\nnameserver 6.6.6.6", "a#b", "a;b"].flatMap((word) => [
      { dnsSearch: [word] },
      { dnsOptions: ["edns0", word] },
    ]),
  ];
  for (const options of resolvers) {
    assertRefused(() => apartFiles("host", "box", options), "bad-dns", JSON.stringify(options));
  }
});

// Siblings

function lease(addresses: string[], names: string[], network = "sauropod0"): Lease {
  return { id: "0123456789ab", network, host: "veth0a0a0a03", addresses, names };
}

const DB = lease(["10.10.10.3", "fd00::3"], ["db", "0123456789ab"]);
const OWN = `${LOOPBACK}10.10.10.2\tbox\n`;
const DB_LINES = "10.10.10.3\tdb 0123456789ab\t# sauropod0\nfd00::3\tdb 0123456789ab\t# sauropod0\n";

Deno.test("siblings that have joined have a line for each address, and none once they have left", () => {
  assert.equal(siblingLines(DB), DB_LINES);
  for (const [before, after] of [["", ""], [OWN, ""], ["", OWN], [OWN, OWN]] as const) {
    assert.equal(withoutSiblings(before + DB_LINES + after, [DB]), before + after);
    assert.equal(withoutSiblings(before + after, [DB]), before + after);
    assert.equal(withoutSiblings(before + DB_LINES + DB_LINES + after, [DB]), before + after, "told twice");
  }
  assert.equal(withoutSiblings(OWN, []), OWN);
});

Deno.test("of several that leave at once all lines go, also lines that were changed behind the address", () => {
  const cache = lease(["10.10.10.4"], ["cache"]);
  const lines = `${OWN}10.10.10.3\tother-name\t# sauropod0\n10.10.10.4\tcache\t# sauropod0\nfd00::3\t\t# sauropod0\n`;
  assert.equal(withoutSiblings(lines, [DB, cache]), OWN);
});

Deno.test("lines of the container's own that look like a sibling's stay", () => {
  const others = [
    "10.10.10.3\tdb 0123456789ab",
    "10.10.10.3 db 0123456789ab # sauropod0",
    "10.10.10.3\tdb\t#sauropod0",
    "10.10.10.3\tdb\t# sauropod00",
    "10.10.10.3\tdb\t# sauropod0 ",
    "10.10.10.3\tdb\t# xsauropod0",
    "10.10.10.30\tdb\t# sauropod0",
    "110.10.10.3\tdb\t# sauropod0",
    "10.10.10.3\tdb\t# other",
    " 10.10.10.3\tdb\t# sauropod0",
    "# 10.10.10.3\tdb\t# sauropod0",
    "fd00::3:1\tdb\t# sauropod0",
    "",
    "nonsense",
  ].map((line) => line + "\n").join("");
  assert.equal(withoutSiblings(others + DB_LINES + others, [DB]), others + others);
});

Deno.test("a sibling that leaves one network stays on the other", () => {
  const elsewhere = lease(["10.10.11.3"], ["db"], "back");
  const both = OWN + DB_LINES + siblingLines(elsewhere);
  assert.equal(withoutSiblings(both, [DB]), `${OWN}10.10.11.3\tdb\t# back\n`);
  assert.equal(withoutSiblings(both, [elsewhere]), OWN + DB_LINES);
});

Deno.test("lines that are added to a file begin a line, also where the last one lacks its end", () => {
  const path = Deno.makeTempFileSync();
  for (const [before, after] of [["", DB_LINES], [OWN, OWN + DB_LINES], ["10.0.0.1\tx", `10.0.0.1\tx\n${DB_LINES}`]]) {
    Deno.writeTextFileSync(path, before ?? "");
    const fd = openAt(AT_FDCWD, path, flags("O", "RDWR"));
    appendLines(fd, new TextEncoder().encode(DB_LINES));
    close(fd);
    assert.equal(Deno.readTextFileSync(path), after);
  }
  Deno.removeSync(path);
  assert.equal(withoutSiblings(DB_LINES.trimEnd(), [DB]), "");
});

// Rates

Deno.test("rates are read in powers of 1000", () => {
  const cases: Record<string, number> = {
    "0": 0,
    "8000": 8000,
    "8000bit": 8000,
    "64kbit": 64_000,
    "64k": 64_000,
    "64 kbit": 64_000,
    "10mbit": 10_000_000,
    "10Mbit": 10_000_000,
    "10M": 10_000_000,
    "1.5gbit": 1_500_000_000,
    "1gbit": 1_000_000_000,
    "1.001k": 1001,
    "1.005k": 1005,
    "4.35m": 4_350_000,
    "8.2m": 8_200_000,
    "1.1g": 1_100_000_000,
    "2.3g": 2_300_000_000,
  };
  for (const [text, wanted] of Object.entries(cases)) assert.equal(parseRate(text), wanted, text);
  for (
    const text of "|x|-1|+1|1e3|.5m|1.|1.5.5m|10mb|10mbps|10mibit|10tbit|bit|k| 1k|1k |1  k|1k\n|0x10|9999999999gbit"
      .split("|")
  ) {
    assertRefused(() => parseRate(text), "bad-rate", JSON.stringify(text));
  }
});

Deno.test("rates with up to three decimals are what was written, to the bit", () => {
  for (let thousandths = 0; thousandths < 20_000; thousandths++) {
    assert.equal(parseRate(`${(thousandths / 1000).toFixed(3)}k`), thousandths);
    assert.equal(parseRate(`${(thousandths / 1000).toFixed(3)}m`), thousandths * 1000);
    assert.equal(parseRate(`${(thousandths / 1000).toFixed(3)}g`), thousandths * 1_000_000);
  }
});
