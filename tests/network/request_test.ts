/** What is asked of networks: memberships, ports, rates. */

import assert from "node:assert/strict";
import type { ContainerOptions } from "../../lib/container/spec/options.ts";
import { parseExposed, parsePort, type PortMapping } from "../../lib/network/ports.ts";
import { networkName, type NetworkRequest, requestNetwork } from "../../lib/network/request.ts";
import { parseRate } from "../../lib/text/size.ts";
import { address, assertRefused } from "../helpers/addresses.ts";

Deno.test("requestNetwork: published ports are read", () => {
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

Deno.test("requestNetwork: published ports that make no sense are refused", () => {
  const cases = [
    "|:|::|/|/tcp|80/|80/sctp|80/tcp/udp|80/tcp |80 | 80|a|80:a|a:80|0|0:80|80:0|65536|80:65536|100000|80:",
    "-80|80-|80-79|80-90:80-91|80-90:80|80:80-90|80:80:80:80|80:80:80|1.2.3:80:80|1.2.3.256:80:80|localhost:80:80",
    "::1:80:80|[::1]80|[::1]|[::1]:|[]:80:80|[::1:80:80|::1]:80:80|[nonsense]:80:80|[::1%lo]:80:80|127.0.0.1",
    "127.0.0.1:|127.0.0.1:80:80:80|80\n|80/tcp\n|+80|8e1|0x50|80.0|80,81|1-2-3|8080:80/|1-65536|٨٠",
  ].join("|").split("|");
  for (const text of cases) assertRefused(() => parsePort(text), "bad-port", JSON.stringify(text));
});

Deno.test("requestNetwork: exposed ports are only the container's", () => {
  assert.deepEqual(parseExposed("80"), { protocol: "tcp", host: 0, container: 80, count: 1 });
  assert.deepEqual(parseExposed("53-54/udp"), { protocol: "udp", host: 0, container: 53, count: 2 });
  for (const text of ["8080:80", ":80", "127.0.0.1:80", "[::1]:80", "", "80/", "0", "127.0.0.1", "x/tcp"]) {
    assertRefused(() => parseExposed(text), "bad-port", text);
  }
});

/** A bridged network as it is asked for. */
function bridged(...memberships: { network: string; address?: string; aliases?: string[] }[]): NetworkRequest {
  return { mode: "bridge", memberships: memberships.map((one) => ({ aliases: [], ...one })) };
}

Deno.test("requestNetwork: what is asked of networks is read", () => {
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

Deno.test("requestNetwork: what makes no sense of networks is refused", () => {
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

Deno.test("requestNetwork: the default network has other names, and the others have their own", () => {
  assert.deepEqual(["bridge", "default", "sauropod0"].map(networkName), ["sauropod0", "sauropod0", "sauropod0"]);
  for (const name of ["a", "A-1_b.c", "0", "a".repeat(63)]) assert.equal(networkName(name), name);
  assert.equal(requestNetwork({ networkAliases: ["a".repeat(253)] }).mode, "bridge");
});

Deno.test("requestNetwork: rates are read in powers of 1000", () => {
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

Deno.test("requestNetwork: rates with up to three decimals are what was written, to the bit", () => {
  for (let thousandths = 0; thousandths < 20_000; thousandths++) {
    assert.equal(parseRate(`${(thousandths / 1000).toFixed(3)}k`), thousandths);
    assert.equal(parseRate(`${(thousandths / 1000).toFixed(3)}m`), thousandths * 1000);
    assert.equal(parseRate(`${(thousandths / 1000).toFixed(3)}g`), thousandths * 1_000_000);
  }
});
