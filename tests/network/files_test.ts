/** The files by which containers find names: resolv.conf, hosts, hostname. */

import assert from "node:assert/strict";
import { flags } from "../../ffi/program/flags.ts";
import { appendLines, AT_FDCWD, close, openAt } from "../../ffi/fs/fs.ts";
import type { ContainerOptions } from "../../lib/container/options.ts";
import { apartFiles, bridgedFiles, type Names, sharedFiles } from "../../lib/network/name_files.ts";
import type { Lease } from "../../lib/network/leases.ts";
import { formatResolvers, hostResolvers, parseResolvers, reachableResolvers } from "../../lib/network/resolver.ts";
import { siblingLines, withoutSiblings } from "../../lib/network/hosts_files.ts";
import { assertRefused } from "../helpers/addresses.ts";

Deno.test("hosts file: resolv.conf is read as the C library reads it", () => {
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

Deno.test("hosts file: resolv.conf is written, and read again as it was written", () => {
  const full = { servers: ["10.0.0.1", "fd00::1"], search: ["a.example", "b.example"], options: ["ndots:2", "edns0"] };
  const text = "nameserver 10.0.0.1\nnameserver fd00::1\nsearch a.example b.example\noptions ndots:2 edns0\n";
  assert.equal(formatResolvers(full), text);
  assert.deepEqual(parseResolvers(text), full);
  assert.equal(formatResolvers({ servers: [], search: [], options: [] }), "");
});

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

Deno.test("hosts file: the files of a container without a network name it and its machine", () => {
  assert.deepEqual(textsOf(apartFiles("none", "box", { ...DNS, addHosts: ["db:192.168.1.7", "six=[fd00::7]"] })), {
    hosts: `${LOOPBACK}127.0.1.1\tbox\n192.168.1.7\tdb\nfd00::7\tsix\n`,
    hostname: "box\n",
    "resolv.conf": RESOLV_CONF,
  });
  const { hosts } = textsOf(apartFiles("none", "box", { addHosts: ["me:host-gateway"] }));
  assert.equal(hosts, `${LOOPBACK}127.0.1.1\tbox\n127.0.0.1\tme\n`);
});

Deno.test("hosts file: a container on the host's network knows whom the host knows, and its name servers", () => {
  const files = textsOf(apartFiles("host", "box", { addHosts: ["db:10.0.0.7"] }));
  const known = Deno.readTextFileSync("/etc/hosts");
  assert.equal(files.hosts, `${known}${known.endsWith("\n") ? "" : "\n"}127.0.1.1\tbox\n10.0.0.7\tdb\n`);
  assert.equal(files["resolv.conf"], formatResolvers(hostResolvers()));
});

Deno.test("hosts file: the files of a container on a bridge name it, its siblings and the host", () => {
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

Deno.test("hosts file: a container in another one's network has the other one's files and its own name", () => {
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

function lease(addresses: string[], names: string[], network = "sauropod0"): Lease {
  return { id: "0123456789ab", network, host: "veth0a0a0a03", addresses, names };
}

const DB = lease(["10.10.10.3", "fd00::3"], ["db", "0123456789ab"]);
const OWN = `${LOOPBACK}10.10.10.2\tbox\n`;
const DB_LINES = "10.10.10.3\tdb 0123456789ab\t# sauropod0\nfd00::3\tdb 0123456789ab\t# sauropod0\n";

Deno.test("hosts file: siblings that have joined have a line for each address, and none once they have left", () => {
  assert.equal(siblingLines(DB), DB_LINES);
  for (const [before, after] of [["", ""], [OWN, ""], ["", OWN], [OWN, OWN]] as const) {
    assert.equal(withoutSiblings(before + DB_LINES + after, [DB]), before + after);
    assert.equal(withoutSiblings(before + after, [DB]), before + after);
    assert.equal(withoutSiblings(before + DB_LINES + DB_LINES + after, [DB]), before + after, "told twice");
  }
  assert.equal(withoutSiblings(OWN, []), OWN);
});

Deno.test("hosts file: of several that leave at once all lines go, also lines that were changed behind the address", () => {
  const cache = lease(["10.10.10.4"], ["cache"]);
  const lines = `${OWN}10.10.10.3\tother-name\t# sauropod0\n10.10.10.4\tcache\t# sauropod0\nfd00::3\t\t# sauropod0\n`;
  assert.equal(withoutSiblings(lines, [DB, cache]), OWN);
});

Deno.test("hosts file: lines of the container's own that look like a sibling's stay", () => {
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

Deno.test("hosts file: a sibling that leaves one network stays on the other", () => {
  const elsewhere = lease(["10.10.11.3"], ["db"], "back");
  const both = OWN + DB_LINES + siblingLines(elsewhere);
  assert.equal(withoutSiblings(both, [DB]), `${OWN}10.10.11.3\tdb\t# back\n`);
  assert.equal(withoutSiblings(both, [elsewhere]), OWN + DB_LINES);
});

Deno.test("hosts file: lines that are added to a file begin a line, also where the last one lacks its end", () => {
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
