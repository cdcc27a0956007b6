/**
 * How many processes the kernel has killed for lack of memory in a group.
 *
 * @param oomFile The group's `memory.oom_control` (v1) or `memory.events` (v2). If it is gone, the answer is 0.
 */
export function oomKills(oomFile: string): number {
  try {
    return Number(/^oom_kill (\d+)$/m.exec(Deno.readTextFileSync(oomFile))?.[1] ?? 0);
  } catch (error) {
    if (isGone(error)) return 0;
    throw error;
  }
}

/** Whether an error says that a group does not exist (ENOENT), or was removed while its file was open (ENODEV). */
export function isGone(error: unknown): boolean {
  if (error instanceof Deno.errors.NotFound || hasErrno(error, "ENODEV")) return true;
  // Deno knows no name for this one.
  return error instanceof Error && error.message.includes("(os error 19)");
}

/** Whether a failed system call gave this errno, such as `EBUSY`. */
export function hasErrno(error: unknown, name: string): boolean {
  return error instanceof Error && "code" in error && error.code === name;
}
