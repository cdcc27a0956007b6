/**
 * Device filters: BPF programs (`BPF_PROG_TYPE_CGROUP_DEVICE` of bpf(2)) in the place of the devices controller on cgroup v2.
 *
 * @module
 */

/** A rule that allows access to devices, as in the OCI runtime specification. */
export interface AllowedDevices {
  /** Character or block devices, or all. */
  readonly kind: "c" | "b" | "a";
  /** The major number. Default: any. */
  readonly major?: number;
  /** The minor number. Default: any. */
  readonly minor?: number;
  /** The allowed operations of `r` (read), `w` (write) and `m` (mknod). */
  readonly access: string;
}

// linux/bpf.h and linux/bpf_common.h: access and device types, opcodes, registers.
const ACCESS = { m: 1, r: 2, w: 4 } as const, KIND = { b: 1, c: 2 } as const;
const LOAD_WORD = 0x61, MOVE = 0xb7, MOVE_REGISTER = 0xbf, AND = 0x57, SHIFT_RIGHT = 0x77;
const JUMP_UNLESS_EQUAL = 0x55, JUMP_UNLESS_SAME = 0x5d, EXIT = 0x95;
const RESULT = 0, CONTEXT = 1, TYPE = 2, ACCESSED = 3, MAJOR = 4, MINOR = 5, MASKED = 1;

/** The fields of `struct bpf_insn`. */
type Instruction = readonly [code: number, destination: number, source: number, offset: number, immediate: number];

function accessBits(access: string): number {
  return Object.entries(ACCESS).reduce((bits, [letter, bit]) => access.includes(letter) ? bits | bit : bits, 0);
}

const ANY = accessBits("rwm");

/** Merges rules for the same devices: operations requested together must be allowed by one rule. */
function merged(rules: readonly AllowedDevices[]): { rule: AllowedDevices; bits: number }[] {
  const known = new Map<string, { rule: AllowedDevices; bits: number }>();
  for (const rule of rules) {
    const key = `${rule.kind} ${rule.major}:${rule.minor}`;
    known.set(key, { rule, bits: (known.get(key)?.bits ?? 0) | accessBits(rule.access) });
  }
  return [...known.values()];
}

function instructionsOf(rule: AllowedDevices, bits: number): Instruction[] {
  const tests: Instruction[] = [];
  if (rule.kind !== "a") tests.push([JUMP_UNLESS_EQUAL, TYPE, 0, 0, KIND[rule.kind]]);
  if (rule.major !== undefined) tests.push([JUMP_UNLESS_EQUAL, MAJOR, 0, 0, rule.major]);
  if (rule.minor !== undefined) tests.push([JUMP_UNLESS_EQUAL, MINOR, 0, 0, rule.minor]);
  if (bits !== ANY) {
    tests.push(
      [MOVE_REGISTER, MASKED, ACCESSED, 0, 0],
      [AND, MASKED, 0, 0, bits],
      [JUMP_UNLESS_SAME, MASKED, ACCESSED, 0, 0],
    );
  }
  const jumps = new Set([JUMP_UNLESS_EQUAL, JUMP_UNLESS_SAME]);
  const all: Instruction[] = [...tests, [MOVE, RESULT, 0, 0, 1], [EXIT, 0, 0, 0, 0]];
  // A failed test jumps behind the rule.
  return all.map(([code, to, from, offset, value], i) => [
    code,
    to,
    from,
    jumps.has(code) ? all.length - 1 - i : offset,
    value,
  ]);
}

function isAll({ rule: { kind, major, minor }, bits }: { rule: AllowedDevices; bits: number }): boolean {
  return kind === "a" && major === undefined && minor === undefined && bits === ANY;
}

/** Compiles rules to instructions that allow an access if one of the rules allows it. */
export function deviceFilter(rules: readonly AllowedDevices[]): Uint8Array {
  const all = merged(rules);
  // The verifier refuses unreachable instructions.
  const matching = all.some(isAll) ? [] : all.flatMap(({ rule, bits }) => instructionsOf(rule, bits));
  const instructions: Instruction[] = [
    // struct bpf_cgroup_dev_ctx: access << 16 | type, major, minor
    [LOAD_WORD, TYPE, CONTEXT, 0, 0],
    [LOAD_WORD, MAJOR, CONTEXT, 4, 0],
    [LOAD_WORD, MINOR, CONTEXT, 8, 0],
    [MOVE_REGISTER, ACCESSED, TYPE, 0, 0],
    [SHIFT_RIGHT, ACCESSED, 0, 0, 16],
    [AND, TYPE, 0, 0, 0xffff],
    ...matching,
    [MOVE, RESULT, 0, 0, all.some(isAll) ? 1 : 0],
    [EXIT, 0, 0, 0, 0],
  ];
  const view = new DataView(new ArrayBuffer(instructions.length * 8));
  instructions.forEach(([code, to, from, offset, value], i) => {
    view.setUint8(i * 8, code);
    view.setUint8(i * 8 + 1, to | from << 4);
    view.setInt16(i * 8 + 2, offset, true);
    view.setInt32(i * 8 + 4, value, true);
  });
  return new Uint8Array(view.buffer);
}
