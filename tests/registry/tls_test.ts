import assert from "node:assert/strict";
import { pullImage } from "../../lib/image/pull.ts";
import { certificateFiles } from "../../lib/registry/certificates.ts";
import { host } from "../helpers/inside.ts";
import { assertApart } from "../helpers/network.ts";
import { startRegistry } from "../helpers/docker_registry.ts";
import { makeWorld, type World } from "../helpers/world.ts";

// No loopback, which is reached without TLS.
const ADDRESS = "192.0.2.1", OTHER = "192.0.2.2";

assertApart();
// What Deno has in its cache stays there for users with other homes.
Deno.env.set("DENO_DIR", Deno.env.get("DENO_DIR") ?? `${Deno.env.get("HOME")}/.cache/deno`);

/** An authority, and a certificate that it has signed for `name`; paths of PEM files. */
async function makeCertificates(folder: string, name: string) {
  await Deno.mkdir(folder);
  const path = (file: string): string => `${folder}/${file}`;
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  await host(
    ...["openssl", "req", "-x509", ...key, "-days", "2", "-subj", "/CN=a test's authority"] as const,
    ...["-keyout", path("ca.key"), "-out", path("ca.crt")],
  );
  await host(
    "openssl",
    ...["req", "-x509", ...key, "-days", "2", "-subj", "/CN=registry", "-CA", path("ca.crt"), "-CAkey", path("ca.key")],
    ...["-addext", `subjectAltName=IP:${name}`, "-addext", "basicConstraints=critical,CA:FALSE"],
    ...["-keyout", path("key"), "-out", path("certificate")],
  );
  return { authority: path("ca.crt"), tls: { certificate: path("certificate"), key: path("key") } };
}

/** A world, a registry with TLS, and an image to be pushed to it. */
async function withRegistry(
  signedFor: string,
  work: (world: World, at: { image: string; host: string; authority: string; home: string }) => Promise<void>,
): Promise<void> {
  await using world = makeWorld();
  await host("ip", "address", "add", `${ADDRESS}/32`, "dev", "lo");
  try {
    const { authority, tls } = await makeCertificates(`${world.home}/tls`, signedFor);
    await using registry = await startRegistry({ tls, address: ADDRESS });
    const image = `${registry.host}/team/app:1`, home = `${world.home}/user`;
    await Deno.mkdir(home);
    assert.equal((await world.cli(["images", "import", world.image, image])).code, 0);
    await work(world, { image, host: registry.host, authority, home });
  } finally {
    await host("ip", "address", "delete", `${ADDRESS}/32`, "dev", "lo");
  }
}

/** Pushes and removes an image, and pulls and runs it. */
async function roundTrip(world: World, image: string, env: Record<string, string>): Promise<void> {
  for (const words of [["images", "push", image], ["images", "rm", image], ["images", "pull", image]]) {
    const { code, stderr } = await world.cli(words, { env });
    assert.equal(code, 0, `${words.join(" ")}: ${stderr}`);
  }
  const { stdout } = await world.cli(["--rm", "--network", "none", image, "echo", "it works"], { env });
  assert.equal(stdout, "it works\n");
}

Deno.test("pull: a certificate that nobody known has signed is refused, and the hint says what to do", () =>
  withRegistry(ADDRESS, async (world, { image, home }) => {
    for (const verb of ["push", "pull"]) {
      const { code, stderr } = await world.cli(["images", verb, image], { env: { HOME: home } });
      assert.equal(code, 125);
      assert.match(stderr, /cannot .* of team\/app at 192\.0\.2\.1:\d+: .*certificate.*UnknownIssuer/);
      assert.match(stderr, /\/etc\/docker\/certs\.d\/HOST\/ca\.crt/);
    }
  }));

Deno.test("pull: an authority in the folders of podman and docker, or in $SSL_CERT_FILE, is believed", () =>
  withRegistry(ADDRESS, async (world, { image, host: registry, authority, home }) => {
    await roundTrip(world, image, { HOME: home, SSL_CERT_FILE: authority });

    const own = `${home}/.config/containers/certs.d/${registry}`;
    await Deno.mkdir(own, { recursive: true });
    await Deno.copyFile(authority, `${own}/ca.crt`);
    await roundTrip(world, image, { HOME: home });
    await Deno.remove(own, { recursive: true });

    await Deno.mkdir(`${home}/upper`);
    await Deno.mkdir(`${home}/work`);
    await host(
      "mount",
      "-t",
      "overlay",
      "-o",
      `lowerdir=/etc,upperdir=${home}/upper,workdir=${home}/work`,
      "o",
      "/etc",
    );
    try {
      await Deno.mkdir(`/etc/docker/certs.d/${registry}`, { recursive: true });
      await Deno.copyFile(authority, `/etc/docker/certs.d/${registry}/ca.crt`);
      await roundTrip(world, image, { HOME: home });
      // That of another registry does not count.
      await Deno.rename(`/etc/docker/certs.d/${registry}`, `/etc/docker/certs.d/${OTHER}`);
      assert.deepEqual(certificateFiles(OTHER).slice(-1), [`/etc/docker/certs.d/${OTHER}/ca.crt`]);
      assert.equal(
        (await world.cli(["images", "pull", "--images", `${home}/i`, image], { env: { HOME: home } })).code,
        125,
      );
    } finally {
      await host("umount", "/etc");
    }
  }));

Deno.test("pull: a certificate for another name is refused, also if its authority is known", () =>
  withRegistry(OTHER, async (world, { image, authority, home }) => {
    const { code, stderr } = await world.cli(["images", "push", image], {
      env: { HOME: home, SSL_CERT_FILE: authority },
    });
    assert.equal(code, 125);
    assert.match(stderr, /certificate not valid for name/);
  }));

Deno.test("pull: a file that holds no certificates is named", async () => {
  await using world = makeWorld();
  await Deno.writeTextFile(`${world.home}/empty.crt`, "nothing");
  await Deno.writeTextFile(`${world.home}/bad.crt`, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  for (const name of ["none", "empty", "bad"]) {
    const file = `${world.home}/${name}.crt`;
    Deno.env.set("SSL_CERT_FILE", file);
    try {
      await assert.rejects(pullImage(`${ADDRESS}/a:1`, world.folders.images), (error) => {
        assert.ok(error instanceof Error && "code" in error);
        assert.equal(error.code, "bad-certificates", error.message);
        assert.ok(error.message.includes(file), error.message);
        return true;
      });
    } finally {
      Deno.env.delete("SSL_CERT_FILE");
    }
  }
});
