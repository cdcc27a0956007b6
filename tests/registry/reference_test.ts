/** Names of images, and how registries are configured. */

import assert from "node:assert/strict";
import { InputError } from "../../lib/errors.ts";
import { parseConfiguration, placesOf, readConfiguration } from "../../lib/registry/configuration.ts";
import { familiarReference, formatReference, parseReference } from "../../lib/registry/reference.ts";
import { withEnvironment } from "../helpers/environment.ts";

const HEX = "0123456789abcdef".repeat(4);

Deno.test("parseReference: references are read as Docker reads them", () => {
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

Deno.test("parseReference: names that are no references are refused with a reason", () => {
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

Deno.test("parseReference: a configuration of registries that makes no sense is refused", () => {
  const rows = ["", "[]", `{"insecure": "x"}`, `{"insecure": ["http://x"]}`, `{"mirrors": []}`, `{"mirror": {}}`];
  for (const row of [...rows, `{"mirrors": {"x": ["a b"]}}`, `{"mirrors": {"x": ["a/../b"]}}`]) {
    assert.throws(
      () => parseConfiguration(row, "/x.json"),
      (error) => error instanceof InputError && error.code === "bad-registries-file" && /\/x\.json/.test(error.message),
      row,
    );
  }
});

Deno.test("parseReference: the configuration is the named file, or the user's own", async () => {
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

Deno.test("parseReference: the name that is proposed for one with capital letters is one", () => {
  assert.throws(() => parseReference("App:1"), { hint: "did you mean app:1?" });
  assert.throws(() => parseReference("B AD"), { hint: /^a name is written/ });
});
