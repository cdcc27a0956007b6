/**
 * The image that is measured with.
 *
 * @module
 */

const BUSYBOX = "/bin/busybox";

/** Makes a root filesystem with a few of busybox's commands. */
export function makeImage(rootfs: string): void {
  Deno.mkdirSync(`${rootfs}/bin`, { recursive: true });
  Deno.copyFileSync(BUSYBOX, `${rootfs}/bin/busybox`);
  for (const name of ["true", "sh", "sleep"]) Deno.symlinkSync("busybox", `${rootfs}/bin/${name}`);
}
