/**
 * The test files, and which of them make no container, found by their imports.
 *
 * @module
 */

/** The directory of the tests. */
export const TESTS = new URL("../", import.meta.url).pathname;
/** Runs programs such as gzip and tar, which only make or read a file. */
const FILTERS = `${TESTS}helpers/host_program.ts`;
/** What makes a container, runs a program or enters a namespace. */
const IMPURE = /new Deno\.Command\(|\bmakeWorld\(/;
const IMPORT = /^(?:import|export)\s(?!type\b)[^"';=(]*"(\.[^"]+)"/gm;

/** Returns the test files at or below a path. */
export function testFiles(path: string): string[] {
  if (!Deno.statSync(path).isDirectory) return [path];
  return [...Deno.readDirSync(path)].flatMap(({ name, isDirectory }) => {
    if (isDirectory) return testFiles(`${path}/${name}`);
    return name.endsWith("_test.ts") ? [`${path}/${name}`] : [];
  });
}

/** Returns whether neither a test file nor a helper that it imports makes a container or runs a program but filters. */
export function isPure(file: string, seen: Set<string> = new Set()): boolean {
  if (seen.has(file) || !file.startsWith(TESTS) || file === FILTERS) return true;
  seen.add(file);
  const text = Deno.readTextFileSync(file);
  if (IMPURE.test(text)) return false;
  return text.matchAll(IMPORT).every(([, specifier = ""]) =>
    isPure(new URL(specifier, `file://${file}`).pathname, seen)
  );
}
