/**
 * The image `busybox` of the tests: made once for the suite or for a process, since its links cost 54 ms of CPU time.
 *
 * @module
 */

const BUSYBOX = "/bin/busybox";
/** The variable in which suite.ts passes the path of an image that apart.sh has mounted read-only. */
export const IMAGE_VARIABLE = "SAUROPOD_TEST_IMAGE";

/** Makes an image of Debian's static busybox in a directory that exists. */
export function makeBusybox(directory: string): void {
  Deno.chmodSync(directory, 0o755);
  for (const name of ["bin", "etc", "tmp", "root", "var"]) Deno.mkdirSync(`${directory}/${name}`);
  Deno.chmodSync(`${directory}/tmp`, 0o1777);
  Deno.copyFileSync(BUSYBOX, `${directory}/bin/busybox`);
  const { stdout } = new Deno.Command(BUSYBOX, { args: ["--list"] }).outputSync();
  for (const applet of new TextDecoder().decode(stdout).trim().split("\n")) {
    if (applet !== "busybox") Deno.symlinkSync("busybox", `${directory}/bin/${applet}`);
  }
  Deno.writeTextFileSync(
    `${directory}/etc/passwd`,
    "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000:Alice:/home/alice:/bin/sh\n",
  );
  Deno.writeTextFileSync(`${directory}/etc/group`, "root:x:0:\nalice:x:1000:\nstaff:x:50:alice\n");
}

let shared: string | undefined;

/** Returns the path of the image that all tests share, which none may change. */
export function sharedBusybox(): string {
  shared ??= Deno.env.get(IMAGE_VARIABLE);
  if (shared !== undefined) return shared;
  const made = shared = Deno.makeTempDirSync({ prefix: "sauropod-test-image-" });
  makeBusybox(made);
  globalThis.addEventListener("unload", () => Deno.removeSync(made, { recursive: true }));
  return made;
}
