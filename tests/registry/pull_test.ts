/** Manifests and blobs from registries that fail in every way. */

import assert from "node:assert/strict";
import { ImageError } from "../../lib/errors.ts";
import { MEDIA } from "../../lib/oci.ts";
import { attempt, openRegistry } from "../../lib/registry/client.ts";
import { downloadBlob } from "../../lib/registry/download.ts";
import { fetchManifest, lookUpManifest } from "../../lib/registry/manifests.ts";
import { parseRetryAfter } from "../../lib/registry/retry.ts";
import { type Answerer, apart, cutAfter, describe, hastyClock, noise, serveFaulty } from "../helpers/registry.ts";
import { PROJECT } from "../helpers/project.ts";
import {
  ALICE,
  asManifest,
  BLOB,
  BLOB_DESCRIPTOR,
  fails,
  fetchBlob,
  MANIFEST,
  rangeStart,
  serveBlob,
  serveManifest,
  withFile,
} from "../helpers/blob.ts";

const HEX = "0123456789abcdef".repeat(4);

Deno.test("pull: Retry-After is a number of seconds or a date", () => {
  const now = Date.parse("2026-01-01T00:00:00Z");
  assert.equal(parseRetryAfter("7", now), 7000);
  assert.equal(parseRetryAfter("Thu, 01 Jan 2026 00:00:09 GMT", now), 9000);
  assert.equal(parseRetryAfter("Thu, 01 Jan 2025 00:00:09 GMT", now), 0);
  assert.equal(parseRetryAfter("soon", now), undefined);
  assert.equal(parseRetryAfter(null, now), undefined);
});

Deno.test("pull: a blob that is cut off is resumed where it ended", () =>
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

Deno.test("pull: a server that answers with the whole blob, or another part, makes it begin again", () =>
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

Deno.test("pull: a wrong beginning that was here before is fetched again, and one that is too long as well", () =>
  withFile(async (path) => {
    for (const before of [noise(1000, 9), noise(BLOB.length, 9), noise(BLOB.length + 1, 9)]) {
      Deno.writeFileSync(path, before);
      await using registry = serveFaulty((request) => serveBlob(request));
      await fetchBlob(registry, path);
      assert.deepEqual(Deno.readFileSync(path), BLOB);
    }
  }));

Deno.test("pull: a blob that is always cut off at once ends after a few tries, and keeps what came", () =>
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

Deno.test("pull: 429 and 503 are tried again after the time that the registry asks for", async () => {
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

Deno.test("pull: a registry that asks for hours, and answers that stay, are not tried again", async () => {
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

Deno.test("pull: a registry that is not there is tried twice", () =>
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

Deno.test("pull: wrong bytes and wrong lengths are refused, and nothing of them is kept", async () => {
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

Deno.test("pull: a slow drip ends by the idle time", () =>
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

Deno.test("pull: an abort ends it with its own reason, at once, and what came is kept", () =>
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

Deno.test("pull: manifests are fetched with their digest, and the parameters of their type do not count", async () => {
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

Deno.test("pull: manifests that are not what they should be are refused", async () => {
  const other = `sha256:${HEX}`;
  const json = { "content-type": MEDIA.manifest };
  const rows: [Answerer, { tag?: string; digest?: string }, string, RegExp][] = [
    [serveManifest(), { digest: other }, "digest-mismatch", /was asked for/],
    [serveManifest(MANIFEST, { ...json, "docker-content-digest": other }), {}, "digest-mismatch", /the registry says/],
    [serveManifest(MANIFEST, { "content-type": MEDIA.index }), {}, "image-malformed", /says that it is/],
    [serveManifest(MANIFEST, { "content-type": "text/html" }), {}, "image-unsupported", /"text\/html"/],
    [serveManifest("{}", { "content-type": "application/json" }), {}, "image-unsupported", /nothing/],
    [serveManifest("<html>"), {}, "image-malformed", /not JSON/],
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

Deno.test("pull: a blob that is kept elsewhere is fetched there without the token", () =>
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

Deno.test("pull: storage elsewhere that wants credentials gets none, and its signed address is not told", () =>
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

Deno.test("pull: redirects that lead nowhere, in circles, or away from the web end", async () => {
  for (const location of [undefined, "http://", "file:///etc/passwd", "data:,x", "x"]) {
    const headers: Record<string, string> = location ? { location } : {};
    await using registry = serveFaulty(() => new Response(null, { status: 307, headers }));
    const error = await asManifest(registry.host, apart()).catch((error) => error);
    assert.ok(error instanceof ImageError && ["registry-error", "registry-refused"].includes(error.code));
    assert.ok(registry.asked.length <= 6);
  }
});

Deno.test("pull: a mirror is asked first, and the registry itself where the mirror fails or lies", () =>
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

Deno.test("pull: errors that are none of a registry are not tried again", async () => {
  let tried = 0;
  const work = attempt(openRegistry("127.0.0.1:1", apart()), { what: "x", repository: "y" }, () => {
    tried++;
    return Promise.reject(new RangeError("mine"));
  });
  await assert.rejects(work, RangeError);
  assert.equal(tried, 1);
});

Deno.test("pull: a proxy is used as the environment says", async () => {
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
