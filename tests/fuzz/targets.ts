/**
 * The parsers of what strangers send, as data.
 *
 * @module
 */

import assert from "node:assert/strict";
import {
  attributeList,
  decodeAttributes,
  decodeMessages,
  encodeMessages,
  refusalIn,
  u32,
} from "../../ffi/netlink/messages.ts";
import { parseDockerfile } from "../../lib/build/dockerfile.ts";
import { PatternError, readIgnored } from "../../lib/build/pattern.ts";
import { parseMountinfo, visibleMounts } from "../../lib/cgroup/mountinfo.ts";
import { parseEvent } from "../../lib/container/state/events.ts";
import { forEachLine, isEarlier, isRecord, recordAt } from "../../lib/container/state/log_format.ts";
import { parseState } from "../../lib/container/state/monitor_state.ts";
import { readRecord } from "../../lib/container/state/record.ts";
import { decodeIdentity } from "../../lib/host/process_identity.ts";
import { parseNetworkIo, parseStat } from "../../lib/container/stats/process_usage.ts";
import { lookupGroups, lookupUser } from "../../lib/image/passwd.ts";
import { readNetwork } from "../../lib/network/definition.ts";
import { parseResolvers } from "../../lib/network/resolver.ts";
import { SauropodError } from "../../lib/errors.ts";
import { parseConfig, parseManifest } from "../../lib/oci.ts";
import { parseChallenges } from "../../lib/registry/challenge.ts";
import { parseConfiguration } from "../../lib/registry/configuration.ts";
import { readCredentialFile } from "../../lib/registry/credentials.ts";
import { formatReference, parseReference } from "../../lib/registry/reference.ts";
import { parseRetryAfter } from "../../lib/registry/retry.ts";
import { tarReader } from "../../lib/tar/read.ts";
import { parseAddress, parseCidr } from "../../lib/text/address.ts";
import { parseDuration } from "../../lib/text/duration.ts";
import { readEnvFile } from "../../lib/text/environment_file.ts";
import { parseSize } from "../../lib/text/size.ts";
import { parseTime } from "../../lib/text/time.ts";
import { pax, tar } from "../helpers/tar.ts";
import type { Target } from "./fuzz.ts";
import type { Bytes } from "./mutate.ts";

const decoder = new TextDecoder();
const DIGEST = `sha256:${"0123456789abcdef".repeat(4)}`;
const MANIFEST = "application/vnd.oci.image.manifest.v1+json", INDEX = "application/vnd.oci.image.index.v1+json";
const layer = { mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: DIGEST, size: 5 };

function json(value: unknown): string {
  return JSON.stringify(value);
}

/** Returns the parser of bytes that one of text is. */
function ofText(parse: (text: string) => unknown): (bytes: Bytes) => unknown {
  return (bytes) => parse(decoder.decode(bytes));
}

let directory: string | undefined;

/** Returns the parser of bytes that one of a file is: `path` is relative, and `parse` is given the directory. */
function ofFile(path: string, parse: (directory: string) => unknown): (bytes: Bytes) => unknown {
  return (bytes) => {
    if (directory === undefined) {
      const made = directory = Deno.makeTempDirSync({ prefix: "sauropod-fuzz-" });
      globalThis.addEventListener("unload", () => Deno.removeSync(made, { recursive: true }));
      for (const name of ["etc", ".networks", "0123456789ab"]) Deno.mkdirSync(`${made}/${name}`, { mode: 0o700 });
    }
    Deno.writeFileSync(`${directory}/${path}`, bytes, { mode: 0o600 });
    return parse(directory);
  };
}

function readTar(bytes: Bytes): void {
  const reader = tarReader({ entry() {}, body() {}, end() {} });
  for (let at = 0; at < bytes.length; at += 1000) reader.push(bytes.slice(at, at + 1000));
  reader.finish();
}

function readLog(bytes: Bytes): void {
  forEachLine(bytes, (at, end) => {
    if (!isRecord(bytes, at, end)) return;
    const { time, text } = recordAt(bytes, at, end, true);
    assert.equal(text.length, end - at - 40);
    isEarlier(bytes, at, new TextEncoder().encode(time));
  });
}

function readNetlink(bytes: Bytes): void {
  for (const { payload } of decodeMessages(bytes)) {
    for (const [, value] of attributeList(payload)) if (value.length >= 4) decodeAttributes(value);
  }
  refusalIn(bytes);
}

function readReference(text: string): void {
  const reference = parseReference(text);
  assert.deepEqual(parseReference(formatReference(reference)), reference);
}

/** Calls a parser whose refusal is not the last word. */
function refusing(parse: (text: string) => unknown, text: string): void {
  try {
    parse(text);
  } catch (error) {
    if (!(error instanceof SauropodError)) throw error;
  }
}

const RECORD = {
  version: 1,
  id: "0123456789ab",
  name: "box",
  image: "busybox",
  lower: ["/images/busybox"],
  command: ["sh"],
  options: { env: { A: "1" }, limits: { memory: 1 }, health: { command: ["true"], retries: 3 }, ulimits: ["nofile=1"] },
  created: "2026-01-01T00:00:00Z",
  keep: true,
  cgroups: [],
  networks: [{ network: "a", interface: "eth0", addresses: ["10.0.0.2"], gateway: "10.0.0.1", mac: "m", host: "h" }],
  ports: [{ protocol: "tcp", hostAddress: "0.0.0.0", hostPort: 80, containerPort: 80 }],
  ended: { at: "2026-01-01T00:00:00Z", code: 0 },
  detached: { input: 3 },
};
const STATE = { sequence: 1, status: "running", restarts: 0, startedAt: "2026-01-01T00:00:00.000000000Z", end: 1 };
const NETWORK = {
  name: "net",
  bridge: "sp-01234567",
  subnets: [{ subnet: "10.9.0.0/24", gateway: "10.9.0.1" }, { subnet: "fd00::/64", gateway: "fd00::1" }],
  mtu: 1500,
  internal: false,
  created: "2026-01-01T00:00:00Z",
};
const PASSWD = "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000:Alice:/home/alice:/bin/sh\n";
const LOG = "2026-11-24T06:15:12.699123456Z stdout F text\n2026-11-24T06:15:12.699123457Z stderr P part\n";

/** All parsers. */
export const TARGETS: readonly Target[] = [
  {
    name: "tar",
    seeds: [
      tar({ name: "a/", type: "5" }, { name: "a/b", body: "text" }, { name: "l", type: "2", target: "a" }),
      tar(pax({ path: "long/name", size: "4", "SCHILY.xattr.user.a": "b", mtime: "1.5" }), { name: "x", body: "text" }),
      tar({ name: "././@LongLink", type: "L", body: "name\0" }, { name: "x", type: "1", target: "y" }),
      tar(pax({ "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9" }), {
        name: "s",
        body: "1\n0\n4\n".padEnd(512, "\0") + "text",
      }),
    ],
    parse: readTar,
  },
  {
    name: "dockerfile",
    seeds: [
      "# syntax=x\n# escape=`\nARG V=1\nFROM --platform=linux/amd64 alpine:$V AS base\nRUN echo \\\n a\n",
      'FROM scratch\nCOPY --from=0 --chown=1:2 ["a", "b/"]\nENV A=1 B="two words"\nENTRYPOINT ["/a"]\nLABEL a=b\n',
      "FROM a\nRUN <<EOF\nls\nEOF\nHEALTHCHECK --interval=5s CMD true\nEXPOSE 80/tcp\nVOLUME /data\nUSER a:b\nWORKDIR /w\n",
    ],
    parse: ofText((text) => parseDockerfile("Dockerfile", text)),
  },
  {
    name: "dockerignore",
    seeds: ["# not\n*.log\n**/secret\n!a/*.js\n[a-z]?\\*\n", "**/**/a*b*c\n!**\n"],
    throws: [PatternError],
    parse: ofText((text) => {
      const ignored = readIgnored(text.slice(0, 4096));
      for (const path of ["a", "a/b.js", "node_modules/x/secret", "ab".repeat(100)]) ignored.has(path);
    }),
  },
  {
    name: "manifest",
    seeds: [
      json({
        schemaVersion: 2,
        mediaType: MANIFEST,
        config: { ...layer, mediaType: MANIFEST },
        layers: [layer, layer],
      }),
      json({
        schemaVersion: 2,
        mediaType: INDEX,
        manifests: [{ mediaType: MANIFEST, digest: DIGEST, size: 9, platform: { os: "linux", architecture: "amd64" } }],
      }),
    ],
    parse: ofText((text) => parseManifest(text, "the manifest")),
  },
  {
    name: "config",
    seeds: [
      json({
        os: "linux",
        architecture: "amd64",
        rootfs: { type: "layers", diff_ids: [DIGEST] },
        config: {
          Env: ["PATH=/bin"],
          Cmd: ["sh"],
          Entrypoint: null,
          User: "1:2",
          WorkingDir: "/",
          Labels: { a: "b" },
          Volumes: { "/data": {} },
          ExposedPorts: { "80/tcp": {} },
          StopSignal: "SIGTERM",
          Healthcheck: { Test: ["CMD", "true"], Interval: 1e9 },
        },
        history: [{ created_by: "x", empty_layer: true }],
      }),
    ],
    parse: ofText((text) => parseConfig(text, "the configuration")),
  },
  {
    name: "challenge",
    seeds: [
      'Bearer realm="https://a/token",service="b",scope="repository:a/b:pull,push"',
      'Basic realm="a \\"b\\"", Bearer realm=x,error=invalid_token',
    ],
    parse: ofText(parseChallenges),
  },
  {
    name: "retry-after",
    seeds: ["120", "Wed, 21 Oct 2026 07:28:00 GMT"],
    parse: ofText((text) => parseRetryAfter(text, 0)),
  },
  {
    name: "registries",
    seeds: [json({ insecure: ["a:5000"], mirrors: { "docker.io": ["https://m/x"] } })],
    parse: ofText((text) => parseConfiguration(text, "registries.json")),
  },
  {
    name: "credentials",
    seeds: [json({ auths: { "a:5000": { auth: "YTpi" } }, credHelpers: { b: "pass" }, credsStore: "x" })],
    parse: ofFile("config.json", (home) => readCredentialFile(`${home}/config.json`)),
  },
  {
    name: "reference",
    seeds: ["alpine", "docker.io/library/alpine:3.20", `localhost:5000/a/b-c_d.e@${DIGEST}`, "[::1]:5000/a:b"],
    parse: ofText(readReference),
  },
  {
    name: "netlink",
    seeds: [
      encodeMessages([{
        type: 16,
        flags: 0,
        header: new Uint8Array(16),
        attributes: [[3, u32(7)], [18, [[1, u32(1)]]]],
      }]),
      encodeMessages([{ type: 2, flags: 0x200, header: new Uint8Array(20), attributes: [[1, u32(65)]] }]),
    ],
    throws: [RangeError],
    parse: readNetlink,
  },
  { name: "log", seeds: [LOG], parse: readLog },
  { name: "event", seeds: [json({ time: "2026-01-01", action: "start", id: "a" })], parse: ofText(parseEvent) },
  {
    name: "record",
    seeds: [json(RECORD), json({ ...RECORD, layers: ["/c/.layers/0a/diff"], line: "x" })],
    parse: ofFile("0123456789ab/container.json", (home) => readRecord(`${home}/0123456789ab`)),
  },
  { name: "state", seeds: [json(STATE)], parse: ofText((text) => parseState(() => text)) },
  { name: "identity", seeds: ["1a.2b.3c.4d 12.345"], parse: ofText(decodeIdentity) },
  {
    name: "network",
    seeds: [json(NETWORK)],
    parse: ofFile(".networks/net.json", (home) => readNetwork(home, "net")),
  },
  {
    name: "environment",
    seeds: ["A=1\n# comment\nB=two words\r\n\nPATH\n"],
    parse: ofFile("env", (home) => readEnvFile(`${home}/env`)),
  },
  {
    name: "passwd",
    seeds: [PASSWD, "a:x:4294967294:00:::\n:::::\nb::-1:1::relative:\n"],
    parse: ofFile("etc/passwd", (home) => [lookupUser([home], "alice"), lookupUser([home], "12:0")]),
  },
  {
    name: "group",
    seeds: ["root:x:0:\nstaff:x:50:alice,bob\n"],
    parse: ofFile("etc/group", (home) => lookupGroups([home], ["staff", "0"])),
  },
  {
    name: "mountinfo",
    seeds: [
      "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/a rw\n22 21 0:5 /x\\040y /proc rw - proc proc rw\n" +
      "23 22 0:6 / /proc/sys ro master:1 - tmpfs none ro\n",
    ],
    parse: ofText((text) => visibleMounts(parseMountinfo(text))),
  },
  {
    name: "stat",
    seeds: [`12 (a b) c) S 1 12 12 0 -1 4194560 ${"7 ".repeat(44)}\n`],
    parse: ofText(parseStat),
  },
  {
    name: "net-dev",
    seeds: ["Inter-|   Receive\n face |bytes\n    lo: 1 2 3\n  eth0: 100 2 0 0 0 0 0 0 200 3 0 0 0 0 0 0\n"],
    parse: ofText(parseNetworkIo),
  },
  {
    name: "resolv.conf",
    seeds: ["nameserver 10.0.0.1 # x\nsearch a b\noptions ndots:2\ndomain c\n"],
    parse: ofText(parseResolvers),
  },
  {
    name: "values",
    seeds: ["10.0.0.1/24", "fd00::1/64", "::ffff:1.2.3.4", "1h30m", "512MiB", "1.5g", "2026-01-02T03:04:05.6Z", "10m"],
    parse: ofText((text) => {
      parseAddress(text);
      for (const parse of [(one: string) => parseCidr(one, "x"), parseDuration, parseSize, parseTime]) {
        refusing(parse, text);
      }
    }),
  },
];
