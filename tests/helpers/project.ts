/**
 * Paths of the project, and the command that runs its command line. Makes nothing.
 *
 * @module
 */

/** The project's folder. */
export const PROJECT = new URL("../../", import.meta.url).pathname.replace(/\/$/, "");

/** The archive of Alpine's root file system, where it is at hand. */
export const ALPINE = `${PROJECT}/../shared/images/alpine-minirootfs-3.20.3-${Deno.build.arch}.tar.gz`;
/** The command that runs Sauropod's command line. */
export function commandLine(words: readonly string[]): string[] {
  return [Deno.execPath(), "run", "-A", `${PROJECT}/cli.ts`, ...words];
}

/** Whether real Alpine is at hand. */
export function hasAlpine(): boolean {
  try {
    return Deno.statSync(ALPINE).isFile;
  } catch {
    return false;
  }
}
