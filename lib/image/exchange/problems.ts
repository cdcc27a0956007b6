/**
 * Errors of image archives and directories.
 *
 * @module
 */

import { ImageError } from "../../errors.ts";
import { reasonOf } from "../../host/reason.ts";
import { quoteName } from "../../tar/entry.ts";

/** Returns the error for an entry that has no place in an archive of images. */
export function unsafeEntry(name: string, why: string): ImageError {
  return new ImageError(`the archive is unsafe: ${quoteName(name)} ${why}`, {
    code: "archive-unsafe",
    facts: { entry: name },
    hint: "do not use it unless you trust its maker",
  });
}

/** Returns the error for more than an archive of images may hold. */
export function tooLarge(what: string, limit: number): ImageError {
  return new ImageError(`${what} is more than the limit of ${limit}`, { code: "archive-too-large", facts: { limit } });
}

/** Returns the error for a document that does not say what it must. */
export function malformed(what: string, why: string): ImageError {
  return new ImageError(`${what} is malformed: ${why}`, { code: "image-malformed", facts: { what } });
}

/** Returns the error for a blob that a document names and that is not there. */
export function missing(what: string, named: string): ImageError {
  return new ImageError(`${what} is missing: ${quoteName(named)} is not there`, {
    code: "image-malformed",
    facts: { what, missing: named },
    hint: "create or copy the archive again: it is incomplete",
  });
}

/** Returns the error for content that has another size than it must have. */
export function otherSize(what: string, wanted: number, got: number): ImageError {
  return new ImageError(`${what} has ${got} bytes and should have ${wanted}`, {
    code: "size-mismatch",
    facts: { what, wanted, got },
    hint: "create or copy the archive again; if that does not help, do not trust it",
  });
}

function isOfSystem(error: unknown): error is Error & { code: string } {
  return error instanceof Error && "code" in error && typeof error.code === "string" && /^E[A-Z0-9]+$/.test(error.code);
}

/** Returns the same error, about `subject`; one of the system as an {@linkcode ImageError}. */
export function about(subject: string, error: unknown): unknown {
  const facts = { source: subject }, cause = error;
  if (isOfSystem(error)) {
    const code = error.code === "ENOENT" ? "image-not-found" : "io-failed";
    return new ImageError(`${subject}: ${reasonOf(error, subject)}`, {
      code,
      facts: { ...facts, errno: error.code },
      cause,
    });
  }
  if (!(error instanceof ImageError)) return error;
  const { code, hint } = error;
  return new ImageError(`${subject}: ${error.message}`, { code, hint, facts: { ...error.facts, ...facts }, cause });
}
