/**
 * Tests in network namespaces of their own, and what iproute2 does there.
 *
 * @module
 */

import assert from "node:assert/strict";
import { flags } from "../../ffi/program/flags.ts";
import { AT_FDCWD, close, openAt } from "../../ffi/fs/fs.ts";
import { type Message, NetlinkError, request, withNetlink } from "../../ffi/netlink/netlink.ts";

/** What makes a test, given its name and what it does. */
export type TestMaker = (name: string, body: () => void, ignore?: boolean) => void;

/** Tests that have a network namespace each: `file` is run there with the test's name, and does only that one. */
export function testsInNamespace(file: string): TestMaker {
  return (name, body, ignore = false) => {
    if (Deno.args[0] === name) return body();
    Deno.test({ name, ignore }, async () => {
      const args = ["30", "unshare", "--net", Deno.execPath(), "run", "-A", "--quiet", file, name];
      const { code, stderr } = await new Deno.Command("timeout", { args, stdin: "null", env: { NO_COLOR: "1" } })
        .output();
      assert.equal(code, 0, new TextDecoder().decode(stderr));
    });
  };
}

/** Runs a program, which must succeed; its standard output. */
export function run(program: string, args: readonly string[], stdin = ""): string {
  const script = 'printf %s "$0" | "$@"';
  const { success, stdout, stderr } = new Deno.Command("sh", { args: ["-c", script, stdin, program, ...args] })
    .outputSync();
  const [output = "", errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assert.ok(success, `${program} ${args.join(" ")}: ${errors}`);
  return output;
}

/** Runs `ip`. */
export function ip(command: string): string {
  return run("ip", command.split(" "));
}

/** Sends messages, which the kernel must accept. */
export function tell(...messages: readonly Message[]): void {
  withNetlink("ROUTE", (fd) => request(fd, messages));
}

/** The error of a refused request. */
export function refused(...messages: readonly Message[]): Partial<NetlinkError> {
  try {
    tell(...messages);
  } catch (error) {
    assert.ok(error instanceof NetlinkError, `${error}`);
    const { code, subject, detail, message } = error;
    return { code, subject, detail, message };
  }
  return assert.fail("it was not refused");
}

/** Runs `work` with a descriptor of the network namespace that this process is in. */
export function withHere(work: (fd: number) => void): void {
  const fd = openAt(AT_FDCWD, "/proc/self/ns/net", flags("O", "RDONLY", "CLOEXEC"));
  try {
    work(fd);
  } finally {
    close(fd);
  }
}

/** A hardware address. */
export const MAC = Uint8Array.of(2, 0x53, 10, 1, 2, 3);
/** The same as text. */
export const MAC_TEXT = "02:53:0a:01:02:03";
