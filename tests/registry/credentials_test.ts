/** Credentials, where they are found and what becomes of them, and tokens. */

import assert from "node:assert/strict";
import { MEDIA } from "../../lib/oci.ts";
import { parseChallenges } from "../../lib/registry/challenge.ts";
import { openRegistry } from "../../lib/registry/client.ts";
import { findCredentials } from "../../lib/registry/credentials.ts";
import { fetchManifest } from "../../lib/registry/manifests.ts";
import { apart, type FaultyRegistry, hastyClock, serveFaulty } from "../helpers/registry.ts";
import { ALICE, asManifest, fails, MANIFEST, serveManifest } from "../helpers/blob.ts";
import { withEnvironment } from "../helpers/environment.ts";

Deno.test("findCredentials: credentials are found in the files of docker and skopeo, the most special first", async () => {
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

Deno.test("findCredentials: credential helpers are asked by the name of the registry", async () => {
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

Deno.test("findCredentials: challenges are read with quotes, escapes and several schemes", () => {
  assert.deepEqual(parseChallenges(`Bearer realm="https://a/t?x=1,2",service="s\\"q",scope="r:a/b:pull,push"`), [
    { scheme: "bearer", parameters: { realm: "https://a/t?x=1,2", service: `s"q`, scope: "r:a/b:pull,push" } },
  ]);
  assert.deepEqual(parseChallenges(`Basic realm="x", BEARER Realm=y , service = "z"`), [
    { scheme: "basic", parameters: { realm: "x" } },
    { scheme: "bearer", parameters: { realm: "y", service: "z" } },
  ]);
  assert.deepEqual(parseChallenges(`realm="x"`), []);
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

Deno.test("findCredentials: a token is asked for once, with the credentials, and used until it ends", async () => {
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

Deno.test("findCredentials: without credentials a token is asked for anonymously; an identity token is exchanged", async () => {
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

Deno.test("findCredentials: a registry that always answers 401 ends in a refusal", async () => {
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

Deno.test("findCredentials: token servers that answer nonsense are errors that say so", async () => {
  const rows: [Response, string, RegExp][] = [
    [new Response("{"), "registry-error", /not JSON/],
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

Deno.test("findCredentials: credentials go to no token server that is not secure, unless the registry is not either", async () => {
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
  const { makeAuthority } = await import("../../lib/registry/auth.ts");
  const { watchIdle } = await import("../../lib/registry/http.ts");
  const place = { host: "secure.example", origin: "https://secure.example", secure: true, prefix: "" };
  const authority = makeAuthority({ place, credentials: () => Promise.resolve(ALICE), clock: hastyClock() });
  using watch = watchIdle(5000);
  const challenge = `Bearer realm="${realm}"`;
  const task = { what: "fetch it", repository: "a", host: "secure.example" };
  await fails("registry-refused", /is not secure/, authority.answer(task, watch, { scope: "x", challenge, words: "" }));
  assert.equal(foreign.asked.length, 1);
});
