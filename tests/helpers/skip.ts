/**
 * Reasons for which a test is skipped. In CI only those of the machine itself are accepted (tests/tools/suite.ts).
 *
 * @module
 */

/** Returns whether to skip a test for want of something that all.sh installs, and prints that it is missing. */
export function skipWithout(thing: string, isThere: boolean): boolean {
  if (!isThere) console.log(`skipped: ${thing} is missing`);
  return !isThere;
}

/** Returns whether to skip a test for a reason of the machine itself, such as its cgroup controllers, and prints it. */
export function skipHere(reason: string, applies: boolean): boolean {
  if (applies) console.log(`skipped on this machine: ${reason}`);
  return applies;
}
