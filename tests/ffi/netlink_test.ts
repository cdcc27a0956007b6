/** Messages of netlink, taken apart and put together. */

import assert from "node:assert/strict";
import {
  type Attribute,
  attributeList,
  be16,
  be32,
  decodeAttributes,
  decodeMessages,
  encodeMessages,
  type Message,
  NLM_F,
  readBe32,
  readText,
  readU32,
  refusalIn,
  text,
  u16,
  u32,
  u8,
} from "../../ffi/netlink/netlink.ts";
import {
  deleteLink,
  newAddress,
  newBridge,
  newDefaultRoute,
  newRateLimit,
  newVeth,
  setUp,
} from "../../ffi/netlink/rtnetlink.ts";
import { address } from "../helpers/addresses.ts";
import { randomFrom } from "../helpers/random.ts";

const MAC = Uint8Array.of(2, 0x53, 10, 1, 2, 3);

const SAMPLES: readonly Message[] = [
  newBridge("br9", MAC, 1400),
  newVeth({ host: "h0", hostIndex: 1000, master: 9, hostNamespace: 5, name: "eth0", index: 2, mac: MAC, mtu: 1400 }),
  newAddress(9, address("10.1.2.3"), 24, "an address"),
  newAddress(9, address("fd00::3"), 64, "an address"),
  newDefaultRoute(9, address("10.1.2.1"), "a gateway"),
  newRateLimit(9, 1_000_000, "br9"),
  setUp(9, "br9"),
  deleteLink(9, "br9"),
];

/** What an attribute's value looks like once it is encoded, nested ones without their padding at the end. */
function assertAttributes(bytes: Uint8Array<ArrayBuffer>, attributes: readonly Attribute[]): void {
  const list = attributeList(bytes);
  assert.deepEqual(list.map(([type]) => type), attributes.map(([type]) => type));
  list.forEach(([, value], i) => {
    const wanted = attributes[i]?.[1] ?? [];
    if (wanted instanceof Uint8Array) assert.deepEqual(value.slice(), wanted);
    else assertAttributes(value, wanted);
  });
}

function assertRoundTrip(messages: readonly Message[]): void {
  const bytes = encodeMessages(messages);
  // The bytes may lie anywhere in what was received.
  const shifted = new Uint8Array([...new Uint8Array(5), ...bytes]).subarray(5);
  const decoded = decodeMessages(shifted);
  assert.equal(decoded.length, messages.length);
  let at = 0;
  messages.forEach(({ type, flags, header, attributes = [] }, i) => {
    const { payload, ...rest } = decoded[i] ?? assert.fail();
    assert.deepEqual(rest, { type, flags: flags | NLM_F.REQUEST, sequence: i + 1 });
    assert.deepEqual(payload.slice(0, header.length), Uint8Array.from(header));
    assertAttributes(payload.subarray((header.length + 3) & ~3), attributes);
    assert.equal(readU32(bytes.subarray(at + 8)), i + 1, "the sequence number");
    assert.equal(readU32(bytes.subarray(at + 12)), 0, "the sender's port");
    at += readU32(bytes.subarray(at));
  });
  assert.equal(at, bytes.length);
}

const randomBytes = (random: () => number, most: number): Uint8Array<ArrayBuffer> =>
  Uint8Array.from({ length: Math.floor(random() * (most + 1)) }, () => random() * 256);

function randomAttributes(random: () => number, depth: number): Attribute[] {
  return Array.from({ length: Math.floor(random() * 5) }, (): Attribute => {
    const nested = depth > 0 && random() < 0.4;
    return [Math.floor(random() * 0x4000), nested ? randomAttributes(random, depth - 1) : randomBytes(random, 40)];
  });
}

function randomMessages(random: () => number): Message[] {
  return Array.from({ length: 1 + Math.floor(random() * 4) }, () => ({
    type: Math.floor(random() * 0x10000),
    flags: Math.floor(random() * 0x10000),
    header: randomBytes(random, 20),
    attributes: randomAttributes(random, 4),
  }));
}

Deno.test("decodeMessages: numbers and texts are read as they were written", () => {
  for (const value of [0, 1, 0xff, 0x100, 0x7fffffff, 0x80000000, 0xdeadbeef, 0xffffffff]) {
    assert.equal(readU32(u32(value)), value);
    assert.equal(readBe32(be32(value)), value);
    assert.deepEqual(u32(value).toReversed(), be32(value));
    assert.deepEqual(u16(value), u32(value).slice(0, 2));
    assert.deepEqual(be16(value), be32(value).slice(2));
    assert.deepEqual(u8(value), u32(value).slice(0, 1));
  }
  assert.deepEqual(u32(0x01020304), Uint8Array.of(4, 3, 2, 1));
  for (const value of ["", "eth0", "größe 🦕"]) assert.equal(readText(text(value)), value);
  assert.equal(readText(Uint8Array.of(97, 98)), "ab");
  assert.equal(readText(Uint8Array.of(97, 0, 98)), "a");
  assert.deepEqual([readText(undefined), readU32(undefined), readBe32(undefined)], ["", 0, 0]);
});

Deno.test("decodeMessages: messages are decoded as they were encoded", () => {
  SAMPLES.forEach((message) => assertRoundTrip([message]));
  assertRoundTrip(SAMPLES);
  assertRoundTrip([]);
  const random = randomFrom(1);
  for (let i = 0; i < 2000; i++) assertRoundTrip(randomMessages(random));
});

Deno.test("decodeMessages: the last attribute of a type is the one that counts, and flags beside the type do not", () => {
  const bytes = encodeMessages([{
    type: 1,
    flags: 0,
    header: u32(0),
    attributes: [[7, u8(1)], [7 | 0x4000, u8(2)], [8, [[1, u8(3)]]]],
  }]);
  const attributes = decodeAttributes(decodeMessages(bytes)[0]?.payload.subarray(4) ?? assert.fail());
  assert.deepEqual([...attributes.keys()], [7, 8]);
  assert.deepEqual(attributes.get(7)?.slice(), u8(2));
});

Deno.test("decodeMessages: attributes of more than 64 KiB are refused, and those that just fit are not", () => {
  const message = (attributes: readonly Attribute[]): Message => ({ type: 1, flags: 0, header: u32(0), attributes });
  const most = 0xffff - 4;
  assertRoundTrip([message([[1, new Uint8Array(most)]])]);
  assert.throws(() => encodeMessages([message([[1, new Uint8Array(most + 1)]])]), RangeError);
  assertRoundTrip([message([[1, [[2, new Uint8Array(most - 8)]]]])]);
  assert.throws(() => encodeMessages([message([[1, [[2, new Uint8Array(most)]]]])]), RangeError);
});

/** What the kernel answers a refused message: its error number, the request's header, and words. */
function refusal(errno: number, sequence: number, words?: string): Message {
  return {
    type: 2,
    flags: words === undefined ? 0 : NLM_F.ACK_TLVS,
    header: new Uint8Array([...u32(-errno), ...u32(40), ...u16(16), ...u16(5), ...u32(sequence), ...u32(0)]),
    attributes: words === undefined ? [] : [[1, text(words)]],
  };
}

Deno.test("decodeMessages: the first refusal in an answer is the one that is told", () => {
  const cases: [Message[], ReturnType<typeof refusalIn>][] = [
    [[], undefined],
    [[refusal(0, 1)], undefined],
    [[refusal(17, 1)], { sequence: 1, errno: 17 }],
    [[refusal(0, 1), refusal(22, 2, "no good"), refusal(17, 3)], { sequence: 2, errno: 22, detail: "no good" }],
    [[{ type: 16, flags: 0, header: u32(-5) }, refusal(0, 1, "a warning")], undefined],
  ];
  for (const [messages, wanted] of cases) assert.deepEqual(refusalIn(encodeMessages(messages)), wanted);
  // What ends a dump may say that it failed.
  const done = (errno: number): Message => ({ type: 3, flags: NLM_F.ACK_TLVS, header: u32(-errno) });
  assert.equal(refusalIn(encodeMessages([done(0)])), undefined);
  const refused = refusalIn(encodeMessages([{ ...done(22), attributes: [[1, text("no good")]] }]));
  assert.deepEqual([refused?.errno, refused?.detail], [22, "no good"]);
});

/** Bytes with some of them changed, cut out, doubled or cut off. */
function mutate(bytes: Uint8Array<ArrayBuffer>, random: () => number): Uint8Array<ArrayBuffer> {
  const at = (): number => Math.floor(random() * bytes.length);
  const changed = [...bytes];
  for (let i = 1 + Math.floor(random() * 4); i > 0; i--) {
    const odd = [0, 1, 3, 4, 0x7f, 0x80, 0xff][Math.floor(random() * 7)] ?? 0;
    const kind = random();
    if (kind < 0.6) changed[at()] = random() < 0.5 ? odd : Math.floor(random() * 256);
    else if (kind < 0.8) changed.splice(at(), Math.floor(random() * 9));
    else if (kind < 0.9) changed.splice(at(), 0, ...changed.slice(at(), at()));
    else changed.length = Math.min(changed.length, at());
  }
  return Uint8Array.from(changed, (byte) => byte ?? 0);
}

Deno.test("decodeMessages: any bytes at all are either taken apart or refused with a RangeError", () => {
  const random = randomFrom(20_240_607);
  const seeds = [
    encodeMessages(SAMPLES),
    ...SAMPLES.map((message) => encodeMessages([message])),
    encodeMessages([refusal(0, 1), refusal(22, 2, "no good")]),
  ];
  const outcomes = { taken: 0, refused: 0 };
  const survives = (work: () => { length: number }, most: number): void => {
    try {
      assert.ok(work().length <= most);
      outcomes.taken++;
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      outcomes.refused++;
    }
  };
  for (let i = 0; i < 20_000; i++) {
    const seed = seeds[i % seeds.length];
    const bytes = seed && i % 3 > 0 ? mutate(seed, random) : randomBytes(random, 80);
    if (bytes.length >= 4 && random() < 0.3) bytes.set(u32(bytes.length), 0);
    survives(() => decodeMessages(bytes), bytes.length / 16);
    survives(() => attributeList(bytes), bytes.length / 4);
    survives(() => [refusalIn(bytes)], 1);
    survives(() => decodeMessages(bytes).flatMap(({ payload }) => attributeList(payload)), bytes.length / 4);
  }
  assert.ok(outcomes.taken > 5000 && outcomes.refused > 5000, JSON.stringify(outcomes));
});

Deno.test("decodeMessages: lengths that are too small or too large are refused", () => {
  const message = encodeMessages([SAMPLES[0] ?? assert.fail()]);
  for (const length of [0, 1, 15, message.length + 1, 0x7fffffff, 0x80000000, 0xffffffff]) {
    const bytes = message.slice();
    bytes.set(u32(length));
    assert.throws(() => decodeMessages(bytes), RangeError, `${length}`);
  }
  for (const length of [0, 1, 3, 9, 0x8000, 0xffff]) {
    assert.throws(() => attributeList(new Uint8Array([...u16(length), ...u16(1), ...u32(0)])), RangeError, `${length}`);
  }
});
