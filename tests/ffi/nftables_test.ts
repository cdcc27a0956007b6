import assert from "node:assert/strict";
import { close } from "../../ffi/fs/fs.ts";
import {
  describeMessages,
  type Message,
  NetlinkError,
  openNetlink,
  request,
  withNetlink,
} from "../../ffi/netlink/netlink.ts";
import { findTable, listChains, listRules, type Rule } from "../../ffi/netlink/nftables.ts";
import { batch, deleteRule, deleteTable, newChain, newRule, newTable } from "../../ffi/netlink/nftables_changes.ts";
import { accept, connectionState, daddr, saddr } from "../../ffi/netlink/nftables_expressions.ts";
import {
  droppingChains,
  findAccepting,
  forwardComment,
  type RuledNetwork,
  rulesComment,
  uplinkIn,
} from "../../lib/network/filter.ts";
import type { Network, Subnet } from "../../lib/network/definition.ts";
import { guardElements, guardRules } from "../../lib/network/guard.ts";
import {
  acceptRules,
  networkRules,
  publishedRules,
  publishedTable,
  type PublishedTarget,
} from "../../lib/network/rules.ts";

/** A test in a network namespace of its own: this file is run there with the test's name, and does only that one. */
function testInNamespace(name: string, body: () => void): void {
  if (Deno.args[0] === name) return body();
  Deno.test(name, async () => {
    const args = ["30", "unshare", "--net", Deno.execPath(), "run", "-A", "--quiet", import.meta.filename ?? "", name];
    const { code, stderr } = await new Deno.Command("timeout", { args, stdin: "null", env: { NO_COLOR: "1" } })
      .output();
    assert.equal(code, 0, new TextDecoder().decode(stderr));
  });
}

function nft(...args: string[]): string {
  const { success, stdout, stderr } = new Deno.Command("nft", { args }).outputSync();
  const [output, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assert.ok(success, `nft ${args.join(" ")}: ${errors}`);
  return output ?? "";
}

/** What stands in a table, its lines without their indentation. */
function lines(family: string, table: string): string[] {
  return nft("list", "table", family, table).split("\n").map((line) => line.trim()).filter(Boolean);
}

function install(messages: readonly Message[]): void {
  withNetlink("NETFILTER", (fd) => request(fd, batch(messages)));
}

/** The kernel's rules, in nft's words and in the expressions that the kernel runs. */
function ruleset(): string {
  return nft("list", "ruleset") + nft("--debug=netlink", "list", "ruleset");
}

/** Checks that the texts of messages, told to nft, make the same rules as the messages. */
function assertSameAsTexts(messages: readonly Message[]): void {
  nft("flush", "ruleset");
  install(messages);
  const ours = ruleset();
  nft("flush", "ruleset");
  nft(messages.map(({ text }) => text).join("\n"));
  assert.equal(ours, ruleset());
}

const NETWORK: RuledNetwork = {
  bridge: "sauropod0",
  subnet: { address: Uint8Array.of(10, 10, 10, 0), prefix: 24 },
  gateway: Uint8Array.of(10, 10, 10, 1),
  internal: false,
  uplink: "eth0",
};
const RESOLVED: RuledNetwork = { ...NETWORK, resolver: Uint8Array.of(127, 0, 0, 53) };
const NETWORK_6: RuledNetwork = {
  bridge: "sauropod0",
  subnet: { address: Uint8Array.of(0xfd, 1, 2, 3, ...new Uint8Array(12)), prefix: 64 },
  gateway: Uint8Array.of(0xfd, 1, 2, 3, ...new Uint8Array(11), 1),
  internal: false,
  uplink: "eth0",
};
const ADDRESS = Uint8Array.of(10, 10, 10, 2);
const TARGETS: readonly PublishedTarget[] = [
  { protocol: "tcp", hostPort: 8080, count: 1, address: ADDRESS, port: 80 },
  {
    protocol: "udp",
    hostAddress: Uint8Array.of(127, 0, 0, 1),
    hostPort: 5353,
    count: 1,
    address: ADDRESS,
    port: 5353,
  },
  { protocol: "tcp", hostPort: 9000, count: 11, address: ADDRESS, port: 9000 },
  { protocol: "tcp", hostPort: 7000, count: 2, address: ADDRESS, port: 7100 },
];
const TARGETS_6 = TARGETS.map(({ hostAddress, ...target }): PublishedTarget => ({
  ...target,
  ...(hostAddress ? { hostAddress: Uint8Array.of(...new Uint8Array(15), 1) } : {}),
  address: Uint8Array.of(0xfd, 1, 2, 3, ...new Uint8Array(11), 2),
}));

testInNamespace("nftables: the rules of a network are what was meant", () => {
  install(networkRules(RESOLVED, ["br0", "br1"]));
  assert.deepEqual(lines("ip", "sauropod0"), [
    "table ip sauropod0 {",
    'comment "sauropod 3 10.10.10.0/24 gateway=10.10.10.1 internal=false resolver=127.0.0.53 uplink=eth0"',
    "chain raw {",
    "type filter hook prerouting priority raw; policy accept;",
    'iifname "sauropod0" ip daddr 127.0.0.0/8 drop',
    'iifname "sauropod0" ip saddr != 10.10.10.0/24 drop',
    "}",
    "chain forward {",
    "type filter hook forward priority filter; policy accept;",
    'iifname "sauropod0" oifname "sauropod0" accept',
    'iifname "sauropod0" ip saddr != 10.10.10.0/24 drop',
    'oifname "sauropod0" ct state established,related accept',
    'oifname "sauropod0" ct status dnat accept',
    'oifname "sauropod0" drop',
    'iifname "sauropod0" ct state established,related accept',
    'iifname "sauropod0" ct status dnat accept',
    'iifname "sauropod0" meta oifkind "bridge" oifname != "br0" oifname != "br1" drop',
    "}",
    "chain postrouting {",
    "type nat hook postrouting priority srcnat; policy accept;",
    'ip saddr 10.10.10.0/24 oifname != "sauropod0" masquerade',
    'oifname "sauropod0" ip saddr 10.10.10.0/24 ct status dnat masquerade',
    'oifname "sauropod0" ip saddr 127.0.0.0/8 masquerade',
    "}",
    "chain resolver {",
    "type nat hook prerouting priority dstnat; policy accept;",
    'iifname "sauropod0" ip daddr 10.10.10.1 udp dport 53 dnat to 127.0.0.53',
    'iifname "sauropod0" ip daddr 10.10.10.1 tcp dport 53 dnat to 127.0.0.53',
    "}",
    "}",
  ]);
});

testInNamespace("nftables: an internal network only reaches itself", () => {
  install(networkRules({ ...NETWORK, internal: true }));
  assert.deepEqual(lines("ip", "sauropod0").filter((line) => /(drop|accept|masquerade)$/.test(line)), [
    'iifname "sauropod0" ip daddr 127.0.0.0/8 drop',
    'iifname "sauropod0" ip saddr != 10.10.10.0/24 drop',
    'iifname "sauropod0" ct state established,related accept',
    'iifname "sauropod0" meta l4proto icmp accept',
    'iifname "sauropod0" drop',
    'iifname "sauropod0" oifname != "sauropod0" drop',
    'oifname "sauropod0" iifname != "sauropod0" drop',
    'oifname "sauropod0" ip saddr 10.10.10.0/24 ct status dnat masquerade',
    'oifname "sauropod0" ip saddr 127.0.0.0/8 masquerade',
  ]);
});

testInNamespace("nftables: the rules of an IPv6 network are what was meant", () => {
  install(networkRules(NETWORK_6));
  assert.deepEqual(lines("ip6", "sauropod0").filter((line) => /(drop|accept|masquerade|")$/.test(line)), [
    'comment "sauropod 3 fd01:203::/64 gateway=fd01:203::1 internal=false resolver= uplink=eth0"',
    'iifname "sauropod0" oifname "sauropod0" accept',
    'iifname "sauropod0" ip6 saddr != fd01:203::/64 drop',
    'oifname "sauropod0" ct state established,related accept',
    'oifname "sauropod0" ct status dnat accept',
    'oifname "sauropod0" drop',
    'iifname "sauropod0" ct state established,related accept',
    'iifname "sauropod0" ct status dnat accept',
    'iifname "sauropod0" meta oifkind "bridge" drop',
    'ip6 saddr fd01:203::/64 oifname != "sauropod0" masquerade',
    'oifname "sauropod0" ip6 saddr fd01:203::/64 ct status dnat masquerade',
  ]);
});

testInNamespace("nftables: published ports lead to the container from outside and from this machine", () => {
  const fd = openNetlink("NETFILTER");
  request(fd, batch(publishedRules("abc", TARGETS, "ip")));
  const rules = [
    "fib daddr type local tcp dport 8080 dnat to 10.10.10.2:80",
    "ip daddr 127.0.0.1 udp dport 5353 dnat to 10.10.10.2:5353",
    "fib daddr type local tcp dport 9000-9010 dnat to 10.10.10.2",
    "fib daddr type local tcp dport 7000 dnat to 10.10.10.2:7100",
    "fib daddr type local tcp dport 7001 dnat to 10.10.10.2:7101",
    "}",
  ];
  const hook = (name: string, priority: string) => [
    `chain ${name} {`,
    `type nat hook ${name} priority ${priority}; policy accept;`,
  ];
  const [name, ...rest] = lines("ip", publishedTable("abc"));
  assert.match(name ?? "", /^table ip sauropod-abc \{/);
  assert.deepEqual(rest, [
    "flags owner",
    // What others send to the loopback of this machine is not let in.
    ...[...hook("prerouting", "dstnat"), ...rules.filter((rule) => !rule.includes("127.0.0.1"))],
    ...[...hook("output", "-100"), ...rules],
    "}",
  ]);
  close(fd);
});

testInNamespace(
  "nftables: a batch of thousands of rules is taken, and one that is refused is described in short",
  () => {
    const fd = openNetlink("NETFILTER");
    const target: PublishedTarget = { protocol: "tcp", hostPort: 1000, count: 4000, address: ADDRESS, port: 20_000 };
    request(fd, batch(publishedRules("abc", [target], "ip")));
    assert.equal(lines("ip", publishedTable("abc")).filter((line) => line.includes("dnat")).length, 8000);
    close(fd);
    const many = Array.from({ length: 5000 }, (_, i) => newTable({ family: "ip", name: `t${i}` }));
    assert.match(describeMessages(batch(many)), /^change 5000 things of nf_tables; .{1,500}; …$/);
  },
);

testInNamespace("nftables: nft makes the same rules of the messages' texts", () => {
  for (const network of [NETWORK, RESOLVED, NETWORK_6]) {
    for (const internal of [false, true]) assertSameAsTexts(networkRules({ ...network, internal }));
  }
  const place = { family: "inet", table: "odd", chain: "any" } as const;
  assertSameAsTexts([
    newTable({ family: "inet", name: "odd", comment: "c".repeat(127) }),
    newChain(place),
    newChain({ ...place, chain: "base", hook: { type: "filter", hook: "input", priority: -7, policy: "drop" } }),
    newRule({ ...place, parts: [connectionState("invalid", "new"), accept] }),
    newRule({ ...place, parts: [accept], comment: "last" }),
  ]);
  for (const [family, targets] of [["ip", TARGETS], ["ip6", TARGETS_6]] as const) {
    // nft would own the table for a moment only.
    const [, ...rules] = publishedRules("abc", targets, family);
    assertSameAsTexts([newTable({ family, name: publishedTable("abc") }), ...rules]);
  }
});

testInNamespace("nftables: nft makes the same rules of the texts of what guards a network", () => {
  const four: Subnet = { subnet: NETWORK.subnet, gateway: NETWORK.gateway };
  const six: Subnet = { subnet: NETWORK_6.subnet, gateway: NETWORK_6.gateway };
  for (const subnets of [[four], [four, six]] as const) {
    const network: Network = { name: "n", bridge: "sauropod0", subnets, internal: false };
    const messages = [
      ...guardRules(network),
      // Of several elements the order is not known.
      ...guardElements({ network, index: 0, mtu: 1500 }, [ADDRESS]).slice(0, 2),
    ];
    // Older versions of nft cannot be told of the target of neighbour discovery.
    assertSameAsTexts(messages.filter(({ text }) => !text?.includes("icmpv6 taddr")));
  }
});

testInNamespace("nftables: prefixes of every length are matched as nft matches them", () => {
  const networks = [Uint8Array.from({ length: 4 }, () => 0xff), Uint8Array.from({ length: 16 }, () => 0xff)];
  for (const network of networks) {
    const place = { family: network.length === 4 ? "ip" : "ip6", table: "t", chain: "c" } as const;
    const lengths = Array.from({ length: network.length * 8 }, (_, i) => i + 1);
    assertSameAsTexts([
      newTable({ family: place.family, name: "t" }),
      newChain(place),
      ...lengths.map((length) => newRule({ ...place, parts: [saddr(network, length), accept] })),
      ...lengths.map((length) => newRule({ ...place, parts: [daddr(network, length, true), accept] })),
    ]);
  }
});

testInNamespace(
  "nftables: installing a network's rules again changes nothing, and other rules take their place",
  () => {
    install(networkRules(NETWORK));
    const once = nft("list", "ruleset");
    install(networkRules(NETWORK));
    assert.equal(nft("list", "ruleset"), once);
    install(networkRules(RESOLVED));
    assert.equal(lines("ip", "sauropod0").filter((line) => line === "chain resolver {").length, 1);
  },
);

testInNamespace("nftables: a network's table says which rules are in it", () => {
  withNetlink("NETFILTER", (fd) => {
    assert.equal(findTable(fd, "ip", "sauropod0"), undefined);
    request(fd, batch(networkRules(NETWORK)));
    assert.deepEqual(findTable(fd, "ip", "sauropod0"), { comment: rulesComment(NETWORK) });
    assert.equal(findTable(fd, "ip6", "sauropod0"), undefined);
    request(fd, batch([deleteTable("ip", "sauropod0"), newTable({ family: "ip", name: "plain" })]));
    assert.equal(findTable(fd, "ip", "sauropod0"), undefined);
    assert.deepEqual(findTable(fd, "ip", "plain"), { comment: "" });
  });
  const others = [RESOLVED, NETWORK_6, { ...NETWORK, internal: true }, { ...NETWORK, gateway: ADDRESS }, {
    ...NETWORK,
    uplink: "br0",
  }];
  assert.equal(new Set([NETWORK, ...others].map(rulesComment)).size, 6);
});

testInNamespace("nftables: a table goes with the socket that owns it, and nobody else can change it", () => {
  const fd = openNetlink("NETFILTER");
  request(fd, batch(publishedRules("abc", TARGETS, "ip")));
  assert.throws(() => install([deleteTable("ip", publishedTable("abc"))]), { code: "EPERM" });
  close(fd);
  assert.equal(nft("list", "ruleset"), "");
});

testInNamespace("nftables: a refused message is named, and the whole batch is void", () => {
  const messages = networkRules(NETWORK);
  const bad = newRule({ family: "ip", table: "sauropod0", chain: "missing", parts: [accept] });
  assert.throws(() => install([...messages, bad, ...messages]), (error) => {
    assert.ok(error instanceof NetlinkError);
    assert.equal(error.code, "ENOENT");
    assert.equal(error.subject, "add rule ip sauropod0 missing accept");
    return true;
  });
  assert.equal(nft("list", "ruleset"), "");
});

testInNamespace(
  "nftables: a chain that drops forwarded packets gets rules that accept a network's, until they are removed",
  () => {
    const families = ["ip", "ip6", "inet"] as const;
    const hook = { type: "filter", hook: "forward", priority: 0, policy: "drop" } as const;
    const foreign = families.flatMap((family) => [
      newTable({ family, name: "filter" }),
      newChain({ family, table: "filter", chain: "FORWARD", hook }),
      newChain({ family, table: "filter", chain: "INPUT", hook: { ...hook, hook: "input" } }),
      newChain({ family, table: "filter", chain: "LENIENT", hook: { ...hook, policy: "accept" } }),
      newChain({ family, table: "filter", chain: "regular" }),
      newRule({ family, table: "filter", chain: "FORWARD", parts: [connectionState("new"), accept] }),
    ]);
    install([...foreign, ...networkRules(NETWORK)]);
    const before = nft("list", "ruleset");
    withNetlink("NETFILTER", (fd) => {
      assert.deepEqual(droppingChains(listChains(fd), ["ip"]).map(({ family }) => family), ["ip", "inet"]);
      const chains = droppingChains(listChains(fd), ["ip", "ip6"]);
      const base = { type: "filter", hook: "forward", priority: 0, policy: "drop" };
      assert.deepEqual(chains, families.map((family) => ({ family, table: "filter", chain: "FORWARD", base })));
      request(fd, batch(chains.flatMap((chain) => acceptRules(chain, "sauropod0"))));
      for (const family of families) {
        assert.deepEqual(lines(family, "filter").slice(1, 6), [
          "chain FORWARD {",
          "type filter hook forward priority filter; policy drop;",
          "ct state new accept",
          'iifname "sauropod0" accept comment "sauropod sauropod0"',
          'oifname "sauropod0" accept comment "sauropod sauropod0"',
        ]);
      }
      const ours = chains.flatMap((chain) =>
        listRules(fd, chain).filter(({ comment }) => comment === forwardComment("sauropod0"))
          .map(({ handle }) => deleteRule({ ...chain, handle }))
      );
      assert.equal(ours.length, 6);
      request(fd, batch(ours));
    });
    assert.equal(nft("list", "ruleset"), before);
  },
);

Deno.test("nftables: rules of ours that stand before others of a foreign chain are misplaced", () => {
  const rule = (comment: string, i: number): Rule => ({ comment, handle: BigInt(i) });
  const at = (...comments: string[]): number[] | "placed" => {
    const { placed, misplaced } = findAccepting(comments.map(rule), "one");
    return placed ? "placed" : misplaced.map(({ handle }) => Number(handle));
  };
  const one = forwardComment("one"), two = forwardComment("two");
  assert.equal(at("", one, one), "placed");
  assert.equal(at("", one, one, two, two), "placed");
  assert.equal(at(one, one), "placed");
  assert.deepEqual(at(), []);
  assert.deepEqual(at("", two, two), []);
  assert.deepEqual(at(one, one, ""), [0, 1]);
  assert.deepEqual(at(one, "", one), [0, 2]);
});

Deno.test("nftables: the uplink is that of the best default route", () => {
  const row = (name: string, destination: string, metric: number, mask: string): string =>
    [name, destination, "0102000A", "0003", "0", "0", metric, mask, "0", "0", "0"].join("\t");
  const head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT";
  const text = (...rows: string[]): string => [head, ...rows, ""].join("\n");
  assert.equal(uplinkIn(text()), "");
  assert.equal(uplinkIn(text(row("lan", "0000000A", 0, "000000FF"), row("half", "00000000", 0, "00000080"))), "");
  assert.equal(
    uplinkIn(text(row("slow", "00000000", 600, "00000000"), row("br0", "00000000", 100, "00000000"))),
    "br0",
  );
});

testInNamespace("nftables: chains of every family and hook are told", () => {
  nft(`
    table ip a { chain x { type nat hook postrouting priority 100; }; chain y { }; }
    table inet b { chain x { type filter hook ingress device lo priority -1; }; }
    table netdev c { chain x { type filter hook ingress device lo priority 0; policy drop; }; }
    table arp d { chain x { type filter hook output priority 0; }; }
    table bridge e { chain x { type filter hook forward priority -200; }; }
  `);
  const told = withNetlink("NETFILTER", listChains).map(({ family, table, chain, base }) =>
    [family, table, chain, ...(base ? [base.type, base.hook, base.priority, base.policy] : [])].join(" ")
  );
  assert.deepEqual(told.sort(), [
    "arp d x filter output 0 accept",
    "bridge e x filter forward -200 accept",
    "inet b x filter ingress -1 accept",
    "ip a x nat postrouting 100 accept",
    "ip a y",
    "netdev c x filter ingress 0 drop",
  ]);
});

testInNamespace("nftables: hundreds of chains and rules are made at once, and listed", () => {
  const place = { family: "ip", table: "many", chain: "c0" } as const;
  const numbers = Array.from({ length: 700 }, (_, i) => i);
  withNetlink("NETFILTER", (fd) => {
    const chains = numbers.map((i) => newChain({ ...place, chain: `c${i}` }));
    const rules = numbers.map((i) => newRule({ ...place, parts: [accept], comment: `rule ${i}` }));
    request(fd, batch([newTable({ family: "ip", name: "many" }), ...chains, ...rules]));
    assert.equal(listChains(fd).length, 700);
    assert.deepEqual(listRules(fd, place).map(({ comment }) => comment), numbers.map((i) => `rule ${i}`));
    assert.deepEqual(listRules(fd, { ...place, chain: "missing" }), []);
  });
});

Deno.test("nftables: a comment that does not fit is refused", () => {
  assert.throws(() => newTable({ family: "ip", name: "t", comment: "é".repeat(128) }), RangeError);
});
