/**
 * Layout of the structures that TypeScript and the shim share: the sizes, offsets and numbers of `program.h`, `job.h`,
 * `load.h` and `shim.h`. `build.ts` compiles a static assertion for each, so that the shim cannot be built with others.
 *
 * @module
 */

/** Offsets in `struct program`. */
export const PROGRAM = {
  size: 40,
  magic: 0,
  turn: 4,
  failedStep: 8,
  failedErrno: 12,
  stepCount: 16,
  steps: 20,
  registerCount: 24,
  registers: 28,
  relocationCount: 32,
  relocations: 36,
} as const;

/** Offsets in `struct step`. */
export const STEP = { size: 72, call: 0, save: 4, when: 6, ignored: 8, kinds: 16, actor: 22, arguments: 24 } as const;

/** Offsets in `struct job`. */
export const JOB = {
  size: 1720,
  magic: 0,
  restart: 4,
  maxRestarts: 8,
  logFiles: 12,
  removes: 16,
  claimant: 20,
  logLimit: 24,
  directory: 32,
  live: 36,
  outputs: 40,
  report: 48,
  base: 52,
  lock: 56,
  first: 60,
  again: 64,
  end: 68,
  health: 72,
  ofFirst: 76,
  ofAgain: 88,
  healthInterval: 100,
  healthTimeout: 104,
  healthStart: 108,
  healthRetries: 112,
  origin: 116,
  id: 164,
  attributes: 180,
  oomFile: 1204,
} as const;

/** Offsets in `struct registers`. */
export const REGISTERS = { size: 12, pid: 0, pidfd: 4, terminal: 8 } as const;

/** Offsets in `struct report`. */
export const REPORT = { size: 4096, step: 0, error: 4, registers: 8 } as const;

/** Constants of the C headers. */
export const NUMBERS = {
  MAGIC: 0x50525353,
  NONE: 0xffff,
  MAX_IGNORED: 4,
  MAX_ARGUMENTS: 6,
  CALLER: 0,
  CONTAINER: 1,
  IMMEDIATE: 0,
  POINTER: 1,
  REGISTER: 2,
  REGISTER_POINTER: 3,
  JOB_MAGIC: 0x4a525353,
  ID_SIZE: 16,
  ATTRIBUTES_SIZE: 1024,
  OOM_FILE_SIZE: 512,
  ORIGIN_SIZE: 48,
  PIDFD_PLACE: 0,
  TERMINAL_PLACE: 1,
  NETWORK_PLACE: 2,
  JOB_PLACE: 5,
  CLAIM_PLACE: 6,
  NO: 0,
  ON_FAILURE: 1,
  ALWAYS: 2,
  PROCESS_REPORT: 0xffffffff,
  MAX_REPORTED: 511,
} as const;

const FIRST_PSEUDO = 1 << 24;

/** `enum pseudo`, by the names that programs have for them. */
export const PSEUDO = {
  store: FIRST_PSEUDO,
  expect: FIRST_PSEUDO + 1,
  default_signals: FIRST_PSEUDO + 2,
  drop_bounding: FIRST_PSEUDO + 3,
  netlink: FIRST_PSEUDO + 4,
  go_on_in_child: FIRST_PSEUDO + 5,
  remove_tree: FIRST_PSEUDO + 6,
  remove_group: FIRST_PSEUDO + 7,
  run: FIRST_PSEUDO + 8,
  append: FIRST_PSEUDO + 9,
  divert: FIRST_PSEUDO + 10,
  open_target: FIRST_PSEUDO + 11,
} as const;

/** `enum shape`. */
export const SHAPES = { I: 0, B: 1, IB: 2, IIB: 3, IIIB: 4, IBB: 5, BIB: 6, IBIB: 7, IBIIB: 8, BB: 9 } as const;
