/** Addresses and subnets. */

import assert from "node:assert/strict";
import { isIP } from "node:net";
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
  sameAddress,
  sizeOf,
} from "../../lib/text/address.ts";
import { randomFrom } from "../helpers/random.ts";
import { address, assertRefused, cidr } from "../helpers/addresses.ts";

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

Deno.test("parseAddress: what is no address is none", () => {
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

Deno.test("parseAddress: any address of 16 bytes is written as URLs write it, and read as it was written", () => {
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

Deno.test("parseAddress: any text at all is an address if others think so too, and is then written as others write it", () => {
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

Deno.test("parseAddress: addresses with prefixes are read and written", () => {
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

Deno.test("parseAddress: networks have a first address, a size, and others at a distance", () => {
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

Deno.test("parseAddress: it is known what lies in a network, and which networks overlap", () => {
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

Deno.test("parseAddress: two networks overlap if, and only if, one holds the other's first address", () => {
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
