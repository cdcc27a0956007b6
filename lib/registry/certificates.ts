/**
 * Authorities that a registry's certificate may be signed by, beside those that Deno knows: all of `$SSL_CERT_FILE`, and
 * `*.crt` of the directories in which docker, podman and skopeo look for them, `HOST[:PORT]` in
 *
 *     ~/.config/containers/certs.d    /etc/containers/certs.d    /etc/docker/certs.d
 *
 * @module
 */

import { InputError, messageOf } from "../errors.ts";
import { reasonOf } from "../host/reason.ts";

function folders(host: string): string[] {
  const home = Deno.env.get("HOME");
  const own = home ? [`${home}/.config/containers/certs.d`] : [];
  return [...own, "/etc/containers/certs.d", "/etc/docker/certs.d"].map((folder) => `${folder}/${host}`);
}

function namesIn(folder: string): string[] {
  try {
    return [...Deno.readDirSync(folder)].map(({ name }) => `${folder}/${name}`).filter((path) => path.endsWith(".crt"));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return [];
    throw error;
  }
}

function bad(path: string, why: string, cause?: unknown): InputError {
  return new InputError(`cannot use the certificates in ${path}: ${why}`, {
    code: "bad-certificates",
    facts: { path },
    hint: "it must hold certificates of authorities in PEM, which begin with -----BEGIN CERTIFICATE-----",
    cause,
  });
}

function readCertificates(path: string): string {
  let text: string;
  try {
    text = Deno.readTextFileSync(path);
  } catch (error) {
    throw bad(path, reasonOf(error, path), error);
  }
  if (text.includes("-----BEGIN CERTIFICATE-----")) return text;
  throw bad(path, "there are none");
}

/** Returns the files with authorities for `host`, which is `HOST[:PORT]`. */
export function certificateFiles(host: string): string[] {
  const everywhere = Deno.env.get("SSL_CERT_FILE");
  return [...(everywhere ? [everywhere] : []), ...folders(host).flatMap(namesIn)];
}

const clients = new Map<string, Deno.HttpClient>();

/**
 * Returns an HTTP client that trusts the certificate authorities of a host; undefined for other hosts. There is one for each set of files in a
 * process.
 *
 * @throws {InputError} `bad-certificates` if a file holds none.
 */
export function clientFor({ protocol, host }: URL): Deno.HttpClient | undefined {
  if (protocol !== "https:") return undefined;
  const files = certificateFiles(host), key = files.join("\n");
  if (files.length === 0) return undefined;
  const known = clients.get(key);
  if (known) return known;
  const caCerts = files.map(readCertificates);
  try {
    const client = Deno.createHttpClient({ caCerts });
    clients.set(key, client);
    return client;
  } catch (error) {
    throw bad(files.join(", "), messageOf(error), error);
  }
}
