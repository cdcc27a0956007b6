import assert from "node:assert/strict";
import { ELF } from "../ffi/shim/aarch64.ts";
import { SYSCALLS } from "../ffi/syscalls.ts";

const QEMU = "/usr/bin/qemu-aarch64";
const HEADER = 40, STEP = 72, CONTAINER = 1, NONE = 0xffff, POINTER = 1;
const DEFAULT_SIGNALS = (1 << 24) + 2, EXPECT = (1 << 24) + 1;

function hasQemu(): boolean {
  try {
    return Deno.statSync(QEMU).isFile;
  } catch {
    console.log(`ignored: there is no ${QEMU} (Debian's qemu-user)`);
    return false;
  }
}

type Value = number | { data: number };

/** An encoded program for aarch64; `encode` makes those of the machine it runs on. */
function program(steps: readonly (readonly [call: number, ...args: Value[]])[], data: string): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(data + "\0");
  const end = HEADER + steps.length * STEP;
  const bytes = new Uint8Array(end + text.length);
  const view = new DataView(bytes.buffer);
  [0x50525353, 0, 0, 0, steps.length, HEADER, 0, end].forEach((word, i) => view.setUint32(i * 4, word, true));
  steps.forEach(([call, ...args], i) => {
    const at = HEADER + i * STEP;
    view.setUint32(at, call, true);
    view.setUint16(at + 4, NONE, true);
    view.setUint16(at + 6, NONE, true);
    bytes[at + 22] = CONTAINER;
    args.forEach((value, k) => {
      if (typeof value === "object") bytes[at + 16 + k] = POINTER;
      view.setUint32(at + 24 + k * 8, typeof value === "object" ? end + value.data : value, true);
    });
  });
  bytes.set(text, end);
  return bytes;
}

/** Runs the shim as init with descriptors 7 (program) and 8 (report). */
async function runInit(bytes: Uint8Array): Promise<{ code: number; stdout: string; report: Uint8Array }> {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeFile(`${folder}/shim`, Uint8Array.fromBase64(ELF), { mode: 0o755 });
    await Deno.writeFile(`${folder}/program`, bytes);
    const script = `exec 7<program 8>report; exec ${QEMU} -0 sauropod-init ./shim 7 8`;
    const { code, stdout } = await new Deno.Command("sh", { args: ["-c", script], cwd: folder }).output();
    return { code, stdout: new TextDecoder().decode(stdout), report: await Deno.readFile(`${folder}/report`) };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const write = SYSCALLS.write[1], exit = SYSCALLS.exit_group[1];

Deno.test("the aarch64 shim runs a program as init and passes its exit code on", { ignore: !hasQemu() }, async () => {
  const bytes = program([
    [DEFAULT_SIGNALS],
    [write, 1, { data: 0 }, 6],
    [EXPECT, { data: 0 }, 0xff, "h".charCodeAt(0), 5],
    [exit, 7],
  ], "hello\n");
  assert.deepEqual(await runInit(bytes), { code: 7, stdout: "hello\n", report: new Uint8Array() });
});

Deno.test("the aarch64 shim reports the step that failed", { ignore: !hasQemu() }, async () => {
  const bytes = program([[write, 1, { data: 0 }, 6], [EXPECT, { data: 0 }, 0xff, 0, 5], [exit, 7]], "hello\n");
  const { code, report } = await runInit(bytes);
  assert.equal(code, 125);
  assert.deepEqual([...new Uint32Array(report.buffer).subarray(0, 2)], [1, 5]);
});
