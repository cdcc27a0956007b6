/** Pushes to registries that fail in every way. */

import assert from "node:assert/strict";
import { MEDIA } from "../../lib/oci.ts";
import { openRegistry } from "../../lib/registry/client.ts";
import { pushManifest } from "../../lib/registry/manifests.ts";
import { pushBlob } from "../../lib/registry/upload.ts";
import { apart, describe, noise, serveFaulty } from "../helpers/registry.ts";
import { BLOB, BLOB_DESCRIPTOR, fails, MANIFEST } from "../helpers/blob.ts";

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
