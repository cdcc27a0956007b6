import assert from "node:assert/strict";
import { ImageError, InputError } from "../lib/errors.ts";
import { MEDIA } from "../lib/image/oci.ts";
import { parseChallenges } from "../lib/registry/challenge.ts";
import { attempt, openRegistry, type RegistryOptions } from "../lib/registry/client.ts";
import { parseConfiguration, placesOf, readConfiguration } from "../lib/registry/configuration.ts";
import { findCredentials } from "../lib/registry/credentials.ts";
import { downloadBlob } from "../lib/registry/download.ts";
import { fetchManifest, lookUpManifest, pushManifest } from "../lib/registry/manifests.ts";
import { familiarReference, formatReference, parseReference } from "../lib/registry/reference.ts";
import { parseRetryAfter } from "../lib/registry/retry.ts";
import { pushBlob } from "../lib/registry/upload.ts";
import {
  type Answerer,
  apart,
  cutAfter,
  describe,
  type FaultyRegistry,
  hastyClock,
  noise,
  serveFaulty,
} from "./helpers/registry.ts";
import { PROJECT } from "./helpers/world.ts";

const HEX = "0123456789abcdef".repeat(4);
const ALICE = { username: "alice", password: "pässword", from: "the test" };
const BLOB = noise(300_000);
const BLOB_DESCRIPTOR = await describe(BLOB);

async function fails(code: string, pattern: RegExp, work: Promise<unknown>): Promise<ImageError> {
  const error = await work.then(() => undefined, (error) => error);
  assert.ok(error instanceof ImageError, `it throws ${error}`);
  assert.equal(error.code, code, error.message);
  assert.match(error.message, pattern);
  return error;
}

async function withFile<T>(use: (path: string) => Promise<T>): Promise<T> {
  const path = Deno.makeTempFileSync({ prefix: "sauropod-blob-" });
  try {
    return await use(path);
  } finally {
    Deno.removeSync(path);
  }
}

/** Fetches BLOB from `registry`; what is in the file at the end is returned where it succeeds. */
function fetchBlob(registry: FaultyRegistry, path: string, options: RegistryOptions = apart(), blob = BLOB_DESCRIPTOR) {
  return downloadBlob(openRegistry(registry.host, options), "a/b", blob, path, { signal: options.signal });
}

function rangeStart(request: Request): number {
  return Number(/^bytes=(\d+)-$/.exec(request.headers.get("range") ?? "")?.[1] ?? 0);
}

/** A good answer, with ranges. */
function serveBlob(request: Request, bytes = BLOB): Response {
  const from = rangeStart(request);
  if (from === 0) return new Response(bytes);
  if (from >= bytes.length) return new Response(null, { status: 416 });
  return new Response(bytes.subarray(from), {
    status: 206,
    headers: { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` },
  });
}

Deno.test("references are read as Docker reads them", () => {
  const rows: [text: string, full: string, familiar?: string][] = [
    ["alpine", "docker.io/library/alpine:latest", "alpine:latest"],
    ["alpine:3.20", "docker.io/library/alpine:3.20", "alpine:3.20"],
    ["user/repo", "docker.io/user/repo:latest", "user/repo:latest"],
    ["docker.io/alpine", "docker.io/library/alpine:latest", "alpine:latest"],
    ["index.docker.io/user/repo:x", "docker.io/user/repo:x", "user/repo:x"],
    ["library/alpine", "docker.io/library/alpine:latest", "alpine:latest"],
    ["a/b/c", "docker.io/a/b/c:latest", "a/b/c:latest"],
    [`ghcr.io/o/r@sha256:${HEX}`, `ghcr.io/o/r@sha256:${HEX}`],
    [`ghcr.io/o/r:1.2@sha256:${HEX}`, `ghcr.io/o/r:1.2@sha256:${HEX}`],
    [`alpine@sha256:${HEX}`, `docker.io/library/alpine@sha256:${HEX}`, `alpine@sha256:${HEX}`],
    ["localhost/x", "localhost/x:latest"],
    ["localhost:5000/x", "localhost:5000/x:latest"],
    ["127.0.0.1:5000/a/b:t", "127.0.0.1:5000/a/b:t"],
    ["[::1]:5000/a", "[::1]:5000/a:latest"],
    ["quay.io/a", "quay.io/a:latest"],
    ["HOST/a", "HOST/a:latest"],
    ["u/a__b.c-d--e/f_g:_T.1-x", "docker.io/u/a__b.c-d--e/f_g:_T.1-x", "u/a__b.c-d--e/f_g:_T.1-x"],
    ["x:5000", "docker.io/library/x:5000", "x:5000"],
    ["docker.io", "docker.io/library/docker.io:latest", "docker.io:latest"],
    ["docker.io/library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest"],
  ];
  for (const [text, full, familiar = full] of rows) {
    const reference = parseReference(text);
    assert.equal(formatReference(reference), full);
    assert.equal(familiarReference(reference), familiar);
    assert.deepEqual(parseReference(full), reference);
    assert.deepEqual(parseReference(familiar), reference);
  }
});

Deno.test("names that are no references are refused with a reason", () => {
  const rows = [
    ...["", ":tag", "/a", "a/", "a//b", "a:", "a@", "a@sha256:12", `a@sha512:${HEX}`, `a@SHA256:${HEX}`, "Alpine"],
    ...["a/B", "a b", "a..b", "a___b", "_a", "a_", "-a", "a/-b", "a/../b", "../a", "host:0/a", "host:65536/a"],
    ...["host:x/a", "http://host/a", "-h.x/a", "h_.x/a", "[::1/a", "a:b:c", `a:${"t".repeat(129)}`, "a:-t", "a:.t"],
    ...[
      "docker.io/",
      `h.x/${"a".repeat(252)}`,
      HEX,
      "a\0b",
      "a\nb",
      "ä",
      "a?b",
      "a#b",
      "a%2fb",
      `h.${"-".repeat(1e6)}/a`,
    ],
  ];
  for (const row of rows) {
    assert.throws(
      () => parseReference(row),
      (error) => error instanceof InputError && error.code === "bad-reference",
      JSON.stringify(row.slice(0, 100)),
    );
  }
});

Deno.test("registries on loopback and those configured are reached without TLS, and mirrors come first", () => {
  const configuration = parseConfiguration(
    `{"insecure": ["lan:5000"], "mirrors": {"docker.io": ["lan:5000/hub/x", "mirror.example"]}}`,
    "the test",
  );
  const origins = (name: string) => placesOf(name, configuration).map(({ origin, prefix }) => `${origin}/${prefix}`);
  assert.deepEqual(origins("docker.io"), [
    "http://lan:5000/hub/x/",
    "https://mirror.example/",
    "https://registry-1.docker.io/",
  ]);
  const rows = [
    ["localhost", "http://localhost/"],
    ["127.1.2.3:5000", "http://127.1.2.3:5000/"],
    ["[::1]:5000", "http://[::1]:5000/"],
    ["lan:5000", "http://lan:5000/"],
    ["lan:5001", "https://lan:5001/"],
    ["127.0.0.1.example", "https://127.0.0.1.example/"],
    ["localhost.example", "https://localhost.example/"],
    ["toString", "https://tostring/"],
  ] as const;
  for (const [name, origin] of rows) assert.deepEqual(origins(name), [origin]);
});

Deno.test("a configuration of registries that makes no sense is refused", () => {
  const rows = ["", "[]", `{"insecure": "x"}`, `{"insecure": ["http://x"]}`, `{"mirrors": []}`, `{"mirror": {}}`];
  for (const row of [...rows, `{"mirrors": {"x": ["a b"]}}`, `{"mirrors": {"x": ["a/../b"]}}`]) {
    assert.throws(
      () => parseConfiguration(row, "/x.json"),
      (error) => error instanceof InputError && error.code === "bad-registries-file" && /\/x\.json/.test(error.message),
      row,
    );
  }
});

/** Runs `use` with variables of the environment, and a folder; both are gone afterwards. */
async function withEnvironment(variables: Record<string, string>, use: (home: string) => void | Promise<void>) {
  const names = ["HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "PATH"];
  const all = [...names, "SAUROPOD_REGISTRIES"];
  const before = all.map((name) => [name, Deno.env.get(name)] as const);
  const home = Deno.makeTempDirSync({ prefix: "sauropod-home-" });
  try {
    for (const name of all) if (name !== "PATH") Deno.env.delete(name);
    const here = { HOME: home, XDG_RUNTIME_DIR: `${home}/run`, ...variables };
    for (const [name, value] of Object.entries(here)) Deno.env.set(name, value.replace("HOME", home));
    await use(home);
  } finally {
    for (const [name, value] of before) value === undefined ? Deno.env.delete(name) : Deno.env.set(name, value);
    Deno.removeSync(home, { recursive: true });
  }
}

Deno.test("the configuration is the named file, or the user's own", async () => {
  await withEnvironment({}, (home) => {
    assert.deepEqual(readConfiguration(), { insecure: [], mirrors: {} });
    Deno.mkdirSync(`${home}/.config/sauropod`, { recursive: true });
    Deno.writeTextFileSync(`${home}/.config/sauropod/registries.json`, `{"insecure": ["own:1"]}`);
    assert.deepEqual(readConfiguration().insecure, ["own:1"]);
    Deno.env.set("SAUROPOD_REGISTRIES", `${home}/named.json`);
    assert.throws(readConfiguration, { code: "bad-registries-file" });
    Deno.writeTextFileSync(`${home}/named.json`, `{"insecure": ["named:1"]}`);
    assert.deepEqual(readConfiguration().insecure, ["named:1"]);
  });
});

Deno.test("credentials are found in the files of docker and skopeo, the most special first", async () => {
  await withEnvironment({}, async (home) => {
    assert.equal(await findCredentials("ghcr.io", "o/r"), undefined);
    Deno.mkdirSync(`${home}/.docker`);
    const docker = `${home}/.docker/config.json`;
    const auth = btoa("bob:a:b");
    const write = (path: string, value: unknown) => Deno.writeTextFileSync(path, JSON.stringify(value));
    write(docker, {
      auths: {
        "https://index.docker.io/v1/": { auth },
        "ghcr.io": { auth },
        "ghcr.io/o": { auth: btoa("org:x") },
        "https://old.example/v2/": { username: "u", password: "p" },
        "token.example": { auth, identitytoken: "idt" },
        "empty.example": {},
      },
    });
    const bob = { username: "bob", password: "a:b", from: docker };
    assert.deepEqual(await findCredentials("docker.io", "library/alpine"), bob);
    assert.deepEqual(await findCredentials("ghcr.io", "other/r"), bob);
    assert.deepEqual(await findCredentials("ghcr.io", "o/r"), { username: "org", password: "x", from: docker });
    assert.deepEqual(await findCredentials("old.example", "r"), { username: "u", password: "p", from: docker });
    assert.deepEqual(await findCredentials("token.example", "r"), { identityToken: "idt", from: docker });
    for (const host of ["empty.example", "hcr.io", "ghcr.io:5000", "constructor"]) {
      assert.equal(await findCredentials(host, "r"), undefined, host);
    }
    Deno.mkdirSync(`${home}/run/containers`, { recursive: true });
    write(`${home}/run/containers/auth.json`, { auths: { "ghcr.io": { auth: btoa("first:x") } } });
    const first = await findCredentials("ghcr.io", "other/r");
    assert.ok(first && "username" in first && first.username === "first");
    // A named file is the only one.
    Deno.env.set("REGISTRY_AUTH_FILE", `${home}/none.json`);
    assert.equal(await findCredentials("ghcr.io", "o/r"), undefined);
    Deno.writeTextFileSync(`${home}/none.json`, `{ "auths": s3cret`);
    const error = await fails("credentials-unusable", /none\.json/, findCredentials("ghcr.io", "o/r"));
    assert.doesNotMatch(error.message, /s3cret/);
  });
});

Deno.test("credential helpers are asked by the name of the registry", async () => {
  await withEnvironment({ PATH: "HOME/bin:/usr/bin:/bin" }, async (home) => {
    Deno.mkdirSync(`${home}/bin`);
    const helper = (name: string, script: string) =>
      Deno.writeTextFileSync(`${home}/bin/docker-credential-${name}`, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    helper("good", `read -r server || :; echo "{\\"Username\\":\\"$1\\",\\"Secret\\":\\"for $server\\"}"`);
    helper("token", `echo '{"Username":"<token>","Secret":"idt"}'`);
    helper("none", `echo "credentials not found in native keychain"; exit 1`);
    helper("broken", `echo s3cret; exit 3`);
    const credHelpers = { "a.example": "good", "b.example": "token", "c.example": "broken", "d.example": "../x" };
    Deno.env.set("REGISTRY_AUTH_FILE", `${home}/auth.json`);
    const file = { credHelpers: { ...credHelpers, "e.example": "missing", "f.example": "none" }, credsStore: "good" };
    Deno.writeTextFileSync(`${home}/auth.json`, JSON.stringify(file));
    const from = "docker-credential-good";
    assert.deepEqual(await findCredentials("a.example", "r"), { username: "get", password: "for a.example", from });
    const hub = { username: "get", password: "for https://index.docker.io/v1/", from };
    assert.deepEqual(await findCredentials("docker.io", "library/r"), hub);
    assert.deepEqual(await findCredentials("b.example", "r"), {
      identityToken: "idt",
      from: "docker-credential-token",
    });
    assert.equal(await findCredentials("f.example", "r"), undefined);
    const error = await fails("credentials-unusable", /ended with 3/, findCredentials("c.example", "r"));
    assert.doesNotMatch(error.message, /s3cret/);
    await fails("credentials-unusable", /no name of a credential helper/, findCredentials("d.example", "r"));
    await fails("credentials-unusable", /not installed/, findCredentials("e.example", "r"));
  });
});

Deno.test("challenges are read with quotes, escapes and several schemes", () => {
  assert.deepEqual(parseChallenges(`Bearer realm="https://a/t?x=1,2",service="s\\"q",scope="r:a/b:pull,push"`), [
    { scheme: "bearer", parameters: { realm: "https://a/t?x=1,2", service: `s"q`, scope: "r:a/b:pull,push" } },
  ]);
  assert.deepEqual(parseChallenges(`Basic realm="x", BEARER Realm=y , service = "z"`), [
    { scheme: "basic", parameters: { realm: "x" } },
    { scheme: "bearer", parameters: { realm: "y", service: "z" } },
  ]);
  assert.deepEqual(parseChallenges(`realm="x"`), []);
});

Deno.test("Retry-After is a number of seconds or a date", () => {
  const now = Date.parse("2026-01-01T00:00:00Z");
  assert.equal(parseRetryAfter("7", now), 7000);
  assert.equal(parseRetryAfter("Thu, 01 Jan 2026 00:00:09 GMT", now), 9000);
  assert.equal(parseRetryAfter("Thu, 01 Jan 2025 00:00:09 GMT", now), 0);
  assert.equal(parseRetryAfter("soon", now), undefined);
  assert.equal(parseRetryAfter(null, now), undefined);
});

Deno.test("a blob that is cut off is resumed where it ended", () =>
  withFile(async (path) => {
    const first = BLOB.subarray(0, 100_000);
    await using registry = serveFaulty((request, nth) => nth === 1 ? cutAfter(first, BLOB.length) : serveBlob(request));
    const { received } = await fetchBlob(registry, path);
    assert.deepEqual(Deno.readFileSync(path), BLOB);
    assert.deepEqual(registry.asked.map(({ headers }) => headers.get("range")), [null, "bytes=100000-"]);
    assert.equal(received, BLOB.length);
    // Once more: nothing is asked for what is there.
    assert.equal((await fetchBlob(registry, path)).received, 0);
    assert.equal(registry.asked.length, 2);
  }));

Deno.test("a server that answers with the whole blob, or another part, makes it begin again", () =>
  withFile(async (path) => {
    for (const headers of [undefined, { "content-range": "bytes 5-299999/300000" }, { "content-range": "x" }]) {
      Deno.writeFileSync(path, noise(1000, 9));
      await using registry = serveFaulty((request) =>
        headers && request.headers.has("range") ? new Response(BLOB, { status: 206, headers }) : new Response(BLOB)
      );
      await fetchBlob(registry, path);
      assert.deepEqual(Deno.readFileSync(path), BLOB);
    }
  }));

Deno.test("a wrong beginning that was here before is fetched again, and one that is too long as well", () =>
  withFile(async (path) => {
    for (const before of [noise(1000, 9), noise(BLOB.length, 9), noise(BLOB.length + 1, 9)]) {
      Deno.writeFileSync(path, before);
      await using registry = serveFaulty((request) => serveBlob(request));
      await fetchBlob(registry, path);
      assert.deepEqual(Deno.readFileSync(path), BLOB);
    }
  }));

Deno.test("a blob that is always cut off at once ends after a few tries, and keeps what came", () =>
  withFile(async (path) => {
    const clock = hastyClock();
    await using registry = serveFaulty((request) => {
      const from = rangeStart(request);
      const answer = cutAfter(BLOB.subarray(from, from + 100), BLOB.length - from);
      const headers = { ...Object.fromEntries(answer.headers), "content-range": `bytes ${from}-299999/300000` };
      return from === 0 ? answer : new Response(answer.body, { status: 206, headers });
    });
    const error = await fails(
      "registry-unreachable",
      /a\/b at 127\.0\.0\.1/,
      fetchBlob(registry, path, apart({ clock })),
    );
    assert.ok(error.message.includes(BLOB_DESCRIPTOR.digest));
    assert.equal(registry.asked.length, 5);
    assert.deepEqual(Deno.readFileSync(path), BLOB.subarray(0, 500));
    assert.deepEqual(clock.waits, [400, 800, 1600, 3200]);
  }));

Deno.test("429 and 503 are tried again after the time that the registry asks for", async () => {
  for (const [status, header, wait] of [[429, "3", 3200], [503, null, 400], [502, "0", 200]] as const) {
    await withFile(async (path) => {
      const clock = hastyClock();
      const headers: Record<string, string> = header === null ? {} : { "retry-after": header };
      await using registry = serveFaulty((request, nth) =>
        nth === 1 ? new Response("", { status, headers }) : serveBlob(request)
      );
      await fetchBlob(registry, path, apart({ clock }));
      assert.deepEqual(clock.waits, [wait]);
    });
  }
});

Deno.test("a registry that asks for hours, and answers that stay, are not tried again", async () => {
  const errors = JSON.stringify({ errors: [{ code: "TOOMANYREQUESTS", message: "pull rate\nlimit" }] });
  const rows: [number, Record<string, string>, string, string, RegExp][] = [
    [
      429,
      { "retry-after": "21600" },
      errors,
      "registry-error",
      /429: "pull rate\\nlimit", and asks to wait for 21600 s/,
    ],
    [404, {}, `{"errors":[{"code":"BLOB_UNKNOWN","message":""}]}`, "registry-error", /404: "BLOB_UNKNOWN"$/],
    [403, {}, "<html>no</html>", "registry-refused", /answers 403$/],
    [403, {}, JSON.stringify({ message: "x".repeat(5000) }), "registry-refused", /^.{200,520}$/],
    [400, {}, "x".repeat(200_000), "registry-error", /answers 400$/],
  ];
  for (const [status, headers, text, code, pattern] of rows) {
    await withFile(async (path) => {
      await using registry = serveFaulty(() => new Response(text, { status, headers }));
      const error = await fails(code, pattern, fetchBlob(registry, path));
      assert.equal(error.facts.status, status);
      assert.equal(registry.asked.length, 1);
    });
  }
});

Deno.test("a registry that is not there is tried twice", () =>
  withFile(async (path) => {
    const clock = hastyClock();
    const registry = serveFaulty(() => new Response());
    await registry[Symbol.asyncDispose]();
    await fails("registry-unreachable", /refused/i, fetchBlob(registry, path, apart({ clock })));
    assert.equal(clock.waits.length, 1);
  }));

Deno.test("a registry without TLS where TLS is expected is not asked again, and the hint says what to do", () =>
  withFile(async (path) => {
    await using registry = serveFaulty(() => new Response());
    const clock = hastyClock();
    // Not a name of loopback, and still there.
    const open = openRegistry(registry.host.replace("127.0.0.1", "0.0.0.0"), apart({ clock }));
    const error = await fails("registry-unreachable", /0\.0\.0\.0/, downloadBlob(open, "a/b", BLOB_DESCRIPTOR, path));
    assert.match(error.hint ?? "", /"insecure"/);
    assert.deepEqual(clock.waits, []);
    assert.equal(registry.asked.length, 0);
  }));

Deno.test("wrong bytes and wrong lengths are refused, and nothing of them is kept", async () => {
  const wrong = Uint8Array.from(BLOB);
  wrong[150_000] = (wrong[150_000] ?? 0) ^ 1;
  const chunked = (bytes: Uint8Array<ArrayBuffer>) => new Response(new Blob([bytes]).stream());
  const rows: [Answerer, string, RegExp, number, number][] = [
    [() => new Response(wrong), "digest-mismatch", /its digest is sha256:/, 0, 1],
    [() => new Response(BLOB.subarray(1)), "size-mismatch", /has 299999 bytes of it, and 300000/, 0, 1],
    [() => new Response(noise(300_001)), "size-mismatch", /has 300001 bytes/, 0, 1],
    [() => chunked(noise(900_000)), "size-mismatch", /more bytes/, 0, 1],
    // An end without a length may be a cut.
    [() => chunked(BLOB.subarray(0, 1000)), "size-mismatch", /ended after 1000 bytes/, 1000, 5],
  ];
  for (const [answer, code, pattern, kept, asked] of rows) {
    await withFile(async (path) => {
      await using registry = serveFaulty(answer);
      const error = await fails(code, pattern, fetchBlob(registry, path));
      assert.ok(error.message.includes(BLOB_DESCRIPTOR.digest));
      assert.equal(Deno.statSync(path).size, kept);
      assert.equal(registry.asked.length, asked);
    });
  }
});

Deno.test("a slow drip ends by the idle time", () =>
  withFile(async (path) => {
    let dripping = 0;
    await using registry = serveFaulty(() => {
      let timer: ReturnType<typeof setInterval> | undefined;
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          dripping++;
          timer = setInterval(() => controller.enqueue(new Uint8Array(1)), 10);
        },
        cancel() {
          dripping--;
          clearInterval(timer);
        },
      });
      return new Response(body);
    });
    const begin = performance.now();
    const error = await fails(
      "registry-unreachable",
      /within 0\.1 s/,
      fetchBlob(registry, path, apart({ idleTimeout: 100 })),
    );
    assert.equal(error.facts.stage, "answer");
    assert.ok(performance.now() - begin < 5000);
    for (let i = 0; dripping > 0 && i < 100; i++) await new Promise((resolve) => setTimeout(resolve, 10));
    assert.equal(dripping, 0, "connections are left open");
  }));

Deno.test("an abort ends it with its own reason, at once, and what came is kept", () =>
  withFile(async (path) => {
    const controller = new AbortController();
    await using registry = serveFaulty(() =>
      new Response(
        new ReadableStream({
          start(stream) {
            stream.enqueue(BLOB.subarray(0, 5000));
            setTimeout(() => controller.abort(new Error("enough")), 100);
          },
        }),
      )
    );
    await assert.rejects(fetchBlob(registry, path, apart({ signal: controller.signal })), /^Error: enough$/);
    assert.deepEqual(Deno.readFileSync(path), BLOB.subarray(0, 5000));
    assert.equal(registry.asked.length, 1);
    await assert.rejects(fetchBlob(registry, path, apart({ signal: controller.signal })), /enough/);
    assert.equal(registry.asked.length, 1);
  }));

const MANIFEST = JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.manifest, config: {}, layers: [] });

function serveManifest(
  text = MANIFEST,
  headers: Record<string, string> = { "content-type": MEDIA.manifest },
): Answerer {
  return () => new Response(text, { headers });
}

Deno.test("manifests are fetched with their digest, and the parameters of their type do not count", async () => {
  const type = `${MEDIA.manifest.toUpperCase()}; charset=utf-8`;
  const { digest, size } = await describe(new TextEncoder().encode(MANIFEST));
  await using registry = serveFaulty(
    serveManifest(MANIFEST, { "content-type": type, "docker-content-digest": digest }),
  );
  const open = openRegistry(registry.host, apart());
  const fetched = await fetchManifest(open, { repository: "a/b", tag: "1" });
  assert.deepEqual(fetched, { descriptor: { mediaType: MEDIA.manifest, digest, size }, text: MANIFEST });
  assert.deepEqual(await fetchManifest(open, { repository: "a/b", tag: "1", digest }, fetched.descriptor), fetched);
  assert.equal(await lookUpManifest(open, { repository: "a/b", tag: "1" }), digest);
  const paths = registry.asked.map(({ method, path }) => `${method} ${path}`);
  const [tagged, digested] = ["/v2/a/b/manifests/1", `/v2/a/b/manifests/${digest}`];
  assert.deepEqual(paths, [`GET ${tagged}`, `GET ${digested}`, `HEAD ${tagged}`]);
  const accept = registry.asked[0]?.headers.get("accept") ?? "";
  for (const one of [MEDIA.index, MEDIA.manifest, MEDIA.dockerList, MEDIA.dockerManifest]) {
    assert.ok(accept.includes(one));
  }
});

Deno.test("manifests that are not what they should be are refused", async () => {
  const other = `sha256:${HEX}`;
  const json = { "content-type": MEDIA.manifest };
  const rows: [Answerer, { tag?: string; digest?: string }, string, RegExp][] = [
    [serveManifest(), { digest: other }, "digest-mismatch", /was asked for/],
    [serveManifest(MANIFEST, { ...json, "docker-content-digest": other }), {}, "digest-mismatch", /the registry says/],
    [serveManifest(MANIFEST, { "content-type": MEDIA.index }), {}, "image-malformed", /says that it is/],
    [serveManifest(MANIFEST, { "content-type": "text/html" }), {}, "image-unsupported", /"text\/html"/],
    [serveManifest("{}", { "content-type": "application/json" }), {}, "image-unsupported", /nothing/],
    [serveManifest("<html>"), {}, "image-malformed", /no JSON/],
    [() => new Response(new Uint8Array([0x7b, 0xff, 0x7d]), { headers: json }), {}, "image-malformed", /UTF-8/],
    [serveManifest(" ".repeat(5 * 2 ** 20)), {}, "image-malformed", /larger than 4 MiB/],
    [() => new Response("{}", { status: 404 }), {}, "image-not-found", /answers 404/],
  ];
  for (const [answer, name, code, pattern] of rows) {
    await using registry = serveFaulty(answer);
    const open = openRegistry(registry.host, apart());
    await fails(code, pattern, fetchManifest(open, { repository: "a/b", ...name }));
    assert.equal(registry.asked.length, 1);
  }
  await using registry = serveFaulty(serveManifest());
  const { digest, size } = await describe(new TextEncoder().encode(MANIFEST));
  const wrongSize = { mediaType: MEDIA.manifest, digest, size: size + 1 };
  const open = openRegistry(registry.host, apart());
  await fails("size-mismatch", /announced/, fetchManifest(open, { repository: "a/b" }, wrongSize));
});

/** A registry with a token server at `realm`, which gives out `token`s. */
function tokenRegistry(token: (request: Request, nth: number) => Response, realm = ""): FaultyRegistry {
  const registry: FaultyRegistry = serveFaulty((request, nth) => {
    if (new URL(request.url).pathname === "/token") return token(request, nth);
    if (request.headers.get("authorization") === "Bearer good") return serveManifest()(request, nth);
    const challenge = `Bearer realm="${realm || `http://${registry.host}/token`}",service="s v"`;
    return Response.json({ errors: [{ message: "authentication required" }] }, {
      status: 401,
      headers: { "www-authenticate": challenge },
    });
  });
  return registry;
}

const asManifest = (host: string, options: RegistryOptions) =>
  fetchManifest(openRegistry(host, options), { repository: "a/b", tag: "1" });

Deno.test("a token is asked for once, with the credentials, and used until it ends", async () => {
  let now = 0;
  const clock = { ...hastyClock(), now: () => now };
  await using registry = tokenRegistry(() => Response.json({ token: "good", expires_in: 300 }));
  const open = openRegistry(registry.host, apart({ clock }, ALICE));
  const fetch = () => fetchManifest(open, { repository: "a/b", tag: "1" });
  await Promise.all([fetch(), fetch(), fetch()]);
  await fetch();
  const tokens = () => registry.asked.filter(({ path }) => path.startsWith("/token"));
  assert.equal(tokens().length, 1);
  assert.equal(tokens()[0]?.path, "/token?service=s+v&scope=repository%3Aa%2Fb%3Apull");
  const said = atob(tokens()[0]?.headers.get("authorization")?.replace("Basic ", "") ?? "");
  assert.equal(new TextDecoder().decode(Uint8Array.from(said, (c) => c.charCodeAt(0))), "alice:pässword");
  now = 299_000;
  await fetch();
  assert.equal(tokens().length, 2);
});

Deno.test("without credentials a token is asked for anonymously; an identity token is exchanged", async () => {
  await using registry = tokenRegistry(() => Response.json({ access_token: "good" }));
  await asManifest(registry.host, apart());
  assert.equal(registry.asked[1]?.headers.get("authorization"), null);
  let body = "";
  await using posted = serveFaulty(async (request) => {
    if (request.method === "POST") {
      body = await request.text();
      return Response.json({ access_token: "good" });
    }
    if (request.headers.get("authorization") === "Bearer good") {
      return new Response(MANIFEST, { headers: { "content-type": MEDIA.manifest } });
    }
    return new Response("", {
      status: 401,
      headers: { "www-authenticate": `Bearer realm="http://${posted.host}/token"` },
    });
  });
  await asManifest(posted.host, {
    ...apart(),
    credentials: () => Promise.resolve({ identityToken: "idt", from: "x" }),
  });
  assert.match(body, /grant_type=refresh_token&refresh_token=idt&client_id=sauropod&scope=repository%3Aa%2Fb%3Apull/);
});

Deno.test("a registry that always answers 401 ends in a refusal", async () => {
  let n = 0;
  await using loop = tokenRegistry(() => Response.json({ token: `bad${n++}` }));
  const error = await fails(
    "registry-refused",
    /answers 401: "authentication required"/,
    asManifest(loop.host, apart()),
  );
  assert.match(error.hint ?? "", /sauropod login/);
  assert.ok(loop.asked.length <= 5);
  await using same = tokenRegistry(() => Response.json({ token: "bad" }));
  await fails("registry-refused", /or there is no such repository/, asManifest(same.host, apart()));
  await fails("registry-refused", /credentials of the test/, asManifest(same.host, apart({}, ALICE)));
  for (const challenge of ["", "Basic realm=x", "Negotiate", "Bearer"]) {
    const headers: Record<string, string> = challenge ? { "www-authenticate": challenge } : {};
    await using registry = serveFaulty(() => new Response("", { status: 401, headers }));
    await fails("registry-refused", /cannot fetch manifest 1 of a\/b/, asManifest(registry.host, apart()));
    await fails("registry-refused", /cannot fetch manifest 1/, asManifest(registry.host, apart({}, ALICE)));
    assert.ok(registry.asked.length <= 4);
  }
});

Deno.test("token servers that answer nonsense are errors that say so", async () => {
  const rows: [Response, string, RegExp][] = [
    [new Response("{"), "registry-error", /no JSON/],
    [new Response("null"), "registry-error", /no token/],
    [Response.json({ token: 5 }), "registry-error", /no token/],
    [Response.json({ token: "a\r\nb" }), "registry-error", /no token/],
    [new Response("x".repeat(2 ** 21)), "registry-error", /too long/],
    [Response.json({ details: "incorrect username" }, { status: 401 }), "registry-refused", /"incorrect username"/],
    [new Response("", { status: 400 }), "registry-error", /get a token of 127.*answers 400/],
  ];
  for (const [answer, code, pattern] of rows) {
    await using registry = tokenRegistry(() => answer.clone());
    await fails(code, pattern, asManifest(registry.host, apart({}, ALICE)));
  }
});

Deno.test("credentials go to no token server that is not secure, unless the registry is not either", async () => {
  await using foreign = serveFaulty(() => Response.json({ token: "good" }));
  const realm = `http://${foreign.host}/token`;
  await using registry = tokenRegistry(() => new Response("", { status: 500 }), realm);
  await asManifest(registry.host, apart({}, ALICE));
  assert.equal(foreign.asked.length, 1);
  for (const bad of ["ftp://x/", "file:///etc/passwd", "x", `http://a:b@${foreign.host}/`]) {
    await using odd = tokenRegistry(() => new Response(), bad);
    await fails("registry-refused", /names no token server/, asManifest(odd.host, apart({}, ALICE)));
  }
  // A registry with TLS, as far as its authority knows.
  const { makeAuthority } = await import("../lib/registry/auth.ts");
  const { watchIdle } = await import("../lib/registry/http.ts");
  const place = { host: "secure.example", origin: "https://secure.example", secure: true, prefix: "" };
  const authority = makeAuthority({ place, credentials: () => Promise.resolve(ALICE), clock: hastyClock() });
  using watch = watchIdle(5000);
  const challenge = `Bearer realm="${realm}"`;
  const task = { what: "fetch it", repository: "a", host: "secure.example" };
  await fails("registry-refused", /is not secure/, authority.answer(task, watch, { scope: "x", challenge, words: "" }));
  assert.equal(foreign.asked.length, 1);
});

Deno.test("a blob that is kept elsewhere is fetched there without the token", () =>
  withFile(async (path) => {
    await using storage = serveFaulty((request) => serveBlob(request));
    await using registry = serveFaulty((request) => {
      if (new URL(request.url).pathname === "/token") return Response.json({ token: "good" });
      if (request.headers.get("authorization") === "Bearer good") {
        return new Response(null, { status: 307, headers: { location: `http://${storage.host}/blob?signature=x` } });
      }
      const headers = { "www-authenticate": `Bearer realm="http://${registry.host}/token"` };
      return new Response(null, { status: 401, headers });
    });
    await fetchBlob(registry, path, apart({}, ALICE));
    assert.deepEqual(Deno.readFileSync(path), BLOB);
    assert.deepEqual(storage.asked.map(({ headers }) => headers.get("authorization")), [null]);
    assert.equal(storage.asked[0]?.headers.get("accept-encoding"), "identity");
  }));

Deno.test("storage elsewhere that wants credentials gets none, and its signed address is not told", () =>
  withFile(async (path) => {
    const headers = { "www-authenticate": `Basic realm="x"` };
    await using storage = serveFaulty(() => new Response(null, { status: 401, headers }));
    let location = `http://${storage.host}/blob?signature=s3cret`;
    await using registry = serveFaulty(() => new Response(null, { status: 302, headers: { location } }));
    await fails("registry-refused", /answers 401/, fetchBlob(registry, path, apart({}, ALICE)));
    assert.equal(storage.asked.length, 1);
    location = "http://127.0.0.1:9/blob?signature=s3cret";
    const error = await fails("registry-unreachable", /at 127\.0\.0\.1:9/, fetchBlob(registry, path, apart({}, ALICE)));
    assert.doesNotMatch(error.message, /s3cret/);
  }));

Deno.test("redirects that lead nowhere, in circles, or away from the web end", async () => {
  for (const location of [undefined, "http://", "file:///etc/passwd", "data:,x", "x"]) {
    const headers: Record<string, string> = location ? { location } : {};
    await using registry = serveFaulty(() => new Response(null, { status: 307, headers }));
    const error = await asManifest(registry.host, apart()).catch((error) => error);
    assert.ok(error instanceof ImageError && ["registry-error", "registry-refused"].includes(error.code));
    assert.ok(registry.asked.length <= 6);
  }
});

Deno.test("a mirror is asked first, and the registry itself where the mirror fails or lies", () =>
  withFile(async (path) => {
    let mirrored: Answerer = (request) => serveBlob(request);
    await using mirror = serveFaulty((request, nth) => mirrored(request, nth));
    await using origin = serveFaulty((request) => serveBlob(request));
    const configuration = { insecure: [], mirrors: { [origin.host]: [`${mirror.host}/hub`] } };
    const clock = hastyClock();
    const fetch = () => fetchBlob(origin, path, apart({ configuration, clock }));
    await fetch();
    assert.equal(mirror.asked[0]?.path, `/v2/hub/a/b/blobs/${BLOB_DESCRIPTOR.digest}`);
    assert.equal(origin.asked.length, 0);
    const faults: Answerer[] = [
      () => new Response(null, { status: 404 }),
      () => new Response(null, { status: 503 }),
      () => new Response(null, { status: 429, headers: { "retry-after": "60" } }),
      () => new Response(noise(BLOB.length, 7)),
      () => cutAfter(noise(500, 7), BLOB.length),
    ];
    for (const [i, fault] of faults.entries()) {
      mirrored = fault;
      Deno.truncateSync(path);
      await fetch();
      assert.deepEqual(Deno.readFileSync(path), BLOB);
      assert.ok(origin.asked.length > i);
    }
    assert.ok(Math.max(...clock.waits) < 2000, "it waits long for a mirror");
  }));

Deno.test("a push sends what is not there: in one piece, or streamed, to wherever the registry says", async () => {
  const large = noise(5 * 2 ** 20), largeDescriptor = await describe(large);
  const stored = new Map<string, Uint8Array>();
  let pending = new Uint8Array();
  await using registry = serveFaulty(async (request) => {
    const url = new URL(request.url);
    if (request.method === "HEAD") return new Response(null, { status: stored.has(url.pathname) ? 200 : 404 });
    if (request.method === "POST") {
      if (url.searchParams.has("mount")) return new Response(null, { status: 201 });
      return new Response(null, { status: 202, headers: { location: "/upload/1?state=a%2Fb" } });
    }
    assert.equal(url.searchParams.get("state"), "a/b");
    if (request.method === "PATCH") {
      pending = await request.bytes();
      return new Response(null, { status: 202, headers: { location: `http://${registry.host}/upload/2?state=a%2Fb` } });
    }
    const body = await request.bytes();
    stored.set(`/v2/a/b/blobs/${url.searchParams.get("digest")}`, body.length ? body : pending);
    return new Response(null, { status: 201 });
  });
  const open = openRegistry(registry.host, apart());
  const streams = { small: () => new Blob([BLOB]).stream(), large: () => new Blob([large]).stream() };
  const progress: number[] = [];
  assert.equal(await pushBlob(open, "a/b", BLOB_DESCRIPTOR, streams.small), "sent");
  assert.equal(await pushBlob(open, "a/b", BLOB_DESCRIPTOR, streams.small), "there");
  const onProgress = (bytes: number) => void progress.push(bytes);
  assert.equal(await pushBlob(open, "a/b", largeDescriptor, streams.large, { onProgress }), "sent");
  assert.deepEqual(stored.get(`/v2/a/b/blobs/${BLOB_DESCRIPTOR.digest}`), BLOB);
  assert.deepEqual(stored.get(`/v2/a/b/blobs/${largeDescriptor.digest}`), large);
  assert.equal(progress.at(-1), large.length);
  assert.equal(await pushBlob(open, "c", BLOB_DESCRIPTOR, streams.small, { mountFrom: "a/b" }), "mounted");
  assert.match(registry.asked.at(-1)?.path ?? "", /\/v2\/c\/blobs\/uploads\/\?mount=sha256%3A.*&from=a%2Fb/);
  for (const { method, headers } of registry.asked) {
    if (method === "POST") assert.equal(headers.get("content-length"), "0");
  }
});

Deno.test("a push tries again what may pass, opening the content anew, and says what the registry says", async () => {
  await using registry = serveFaulty((request, nth) => {
    if (request.method === "HEAD") return new Response(null, { status: 404 });
    if (request.method === "POST") return new Response(null, { status: 202, headers: { location: "/upload" } });
    return nth < 3 ? new Response(null, { status: 503 }) : new Response(null, { status: 201 });
  });
  let opened = 0;
  const open = () => {
    opened++;
    return new Blob([BLOB]).stream();
  };
  const target = openRegistry(registry.host, apart());
  assert.equal(await pushBlob(target, "a/b", BLOB_DESCRIPTOR, open), "sent");
  assert.equal(opened, 3);
  await using refusing = serveFaulty(() =>
    Response.json({ errors: [{ code: "DENIED", message: "no quota left" }] }, { status: 403 })
  );
  const name = { repository: "a/b", tag: "1" };
  const work = pushManifest(openRegistry(refusing.host, apart()), name, { text: MANIFEST, mediaType: MEDIA.manifest });
  await fails("registry-refused", /cannot push manifest 1 of a\/b at .*403: "no quota left"/, work);
});

Deno.test("a token that expires in the middle of a push is replaced once, wherever that happens", async () => {
  const small = noise(10_000, 3), large = noise(9 * 2 ** 20, 4);
  const steps = ["HEAD", "POST", "PATCH", "PUT", "manifest"] as const;
  for (const expires of steps) {
    for (const readsBody of [true, false]) {
      let tokens = 0, received = new Uint8Array(), expired = false;
      await using registry = serveFaulty(async (request) => {
        const { pathname, searchParams } = new URL(request.url);
        if (pathname === "/token") return Response.json({ token: `t${++tokens}` });
        const step = pathname.includes("/manifests/") ? "manifest" : request.method;
        const isLast = request.headers.get("authorization") === `Bearer t${tokens}` && tokens > 0;
        if (isLast && !expired && step === expires) {
          expired = true;
          tokens++;
        } else if (isLast) {
          if (step === "HEAD") return new Response(null, { status: 404 });
          if (step === "POST") return new Response(null, { status: 202, headers: { location: "/up/1" } });
          const body = await request.bytes();
          if (step === "manifest") return new Response(null, { status: 201 });
          if (step === "PATCH") received = body;
          if (step === "PATCH") return new Response(null, { status: 202, headers: { location: "/up/2" } });
          if (body.length > 0) received = body;
          const digest = (await describe(received)).digest;
          return new Response(null, { status: searchParams.get("digest") === digest ? 201 : 400 });
        }
        if (readsBody) await request.body?.pipeTo(new WritableStream());
        const challenge = `Bearer realm="http://${registry.host}/token",service="s"`;
        return Response.json({ errors: [] }, { status: 401, headers: { "www-authenticate": challenge } });
      });
      const there = openRegistry(registry.host, apart());
      for (const bytes of [large, small]) {
        const blob = await describe(bytes);
        const pushed = await pushBlob(there, "a/b", blob, () => new Blob([bytes]).stream());
        assert.equal(pushed, "sent", `${expires}, ${bytes.length}`);
        assert.deepEqual(await describe(received), blob);
      }
      await pushManifest(there, { repository: "a/b", tag: "1" }, { text: "{}", mediaType: MEDIA.manifest });
      assert.ok(expired);
      const asked = registry.asked.filter(({ path }) => path.startsWith("/token")).length;
      assert.equal(asked, 2, `${expires}: tokens asked for`);
    }
  }
});

Deno.test("a push that fails leaves no file open, and says what is wrong with the content itself", async () => {
  await using registry = serveFaulty((request) => {
    if (request.method === "HEAD") return new Response(null, { status: 404 });
    if (request.method === "POST") return new Response(null, { status: 202, headers: { location: "/upload" } });
    return new Response("", { status: 403 });
  });
  const target = openRegistry(registry.host, apart());
  const large = { ...BLOB_DESCRIPTOR, size: 20 * 2 ** 20 };
  let open = 0;
  const endless = () => {
    open++;
    const bytes = new Uint8Array(2 ** 16);
    return new ReadableStream<Uint8Array>({ pull: (to) => to.enqueue(bytes), cancel: () => void open-- });
  };
  await fails("registry-refused", /403/, pushBlob(target, "a/b", large, endless));
  assert.equal(open, 0);
  const broken = () => new ReadableStream<Uint8Array>({ pull: () => Promise.reject(new RangeError("mine")) });
  for (const blob of [large, BLOB_DESCRIPTOR]) await assert.rejects(pushBlob(target, "a/b", blob, broken), RangeError);
});

Deno.test("errors that are none of a registry are not tried again", async () => {
  let tried = 0;
  const work = attempt(openRegistry("127.0.0.1:1", apart()), { what: "x", repository: "y" }, () => {
    tried++;
    return Promise.reject(new RangeError("mine"));
  });
  await assert.rejects(work, RangeError);
  assert.equal(tried, 1);
});

Deno.test("a proxy is used as the environment says", async () => {
  await using proxy = serveFaulty((request, nth) => {
    assert.equal(new URL(request.url).host, "registry.test");
    return serveManifest()(request, nth);
  });
  const script = `
    const { openRegistry } = await import(${JSON.stringify(`${PROJECT}/lib/registry/client.ts`)});
    const { fetchManifest } = await import(${JSON.stringify(`${PROJECT}/lib/registry/manifests.ts`)});
    const configuration = { insecure: ["registry.test"], mirrors: {} };
    const registry = openRegistry("registry.test", { configuration, credentials: async () => undefined });
    await fetchManifest(registry, { repository: "a", tag: "1" }).then(() => console.log("fetched"), (e) => console.log(e.code));
  `;
  const run = async (env: Record<string, string>) => {
    const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["eval", "--no-lock", script], env }).output();
    return new TextDecoder().decode(stdout).trim();
  };
  const HTTP_PROXY = `http://${proxy.host}`;
  assert.deepEqual(await Promise.all([run({ HTTP_PROXY }), run({ HTTP_PROXY, NO_PROXY: "registry.test" })]), [
    "fetched",
    "registry-unreachable",
  ]);
});

Deno.test("the name that is proposed for one with capital letters is one", () => {
  assert.throws(() => parseReference("App:1"), { hint: "did you mean app:1?" });
  assert.throws(() => parseReference("B AD"), { hint: /^a name is written/ });
});
