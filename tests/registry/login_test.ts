import assert from "node:assert/strict";
import { startRegistry, USER } from "../helpers/docker_registry.ts";
import { succeed } from "../helpers/host_program.ts";
import { serveFaulty } from "../helpers/registry.ts";
import { Terminal } from "../helpers/terminal.ts";
import { commandLine } from "../helpers/project.ts";
import { makeWorld, type World } from "../helpers/world.ts";

const SECRET = btoa(`${USER.username}:${USER.password}`);

/** A world with a home folder of its own, and what is in the file of credentials there. */
function makeHome(): World & { readonly env: Record<string, string>; read(): Record<string, unknown> } {
  const world = makeWorld();
  const cache = Deno.env.get("XDG_CACHE_HOME") ?? `${Deno.env.get("HOME")}/.cache`;
  const env = {
    DENO_DIR: Deno.env.get("DENO_DIR") ?? `${cache}/deno`,
    HOME: `${world.home}/me`,
    DOCKER_CONFIG: "",
    REGISTRY_AUTH_FILE: "",
    XDG_RUNTIME_DIR: `${world.home}/run`,
  };
  return Object.assign(world, {
    env,
    read: () => JSON.parse(Deno.readTextFileSync(`${env.HOME}/.docker/config.json`)),
  });
}

Deno.test("who logs in pulls and pushes, with skopeo too, until they log out", async () => {
  await using real = await startRegistry({ password: true });
  await using world = makeHome();
  const { env } = world, { host } = real;
  assert.equal((await world.cli(["images", "import", world.image, `${host}/app:1`], { env })).code, 0);
  const refused = await world.cli(["push", `${host}/app:1`], { env });
  assert.deepEqual(
    [refused.code, /wants credentials.*\n *[^\n]*sauropod login/.test(refused.stderr)],
    [125, true],
    refused.stderr,
  );

  const words = ["login", "-u", USER.username, "--password-stdin", host];
  const { code, stdout, stderr } = await world.cli(words, { env, stdin: `${USER.password}\n` });
  const file = `${env.HOME}/.docker/config.json`;
  assert.deepEqual([code, stdout, stderr], [
    0,
    "",
    `logged in to ${host} as ${USER.username}; password stored unencrypted in ${file}\n`,
  ]);
  assert.deepEqual(world.read(), { auths: { [host]: { auth: SECRET } } });
  assert.equal((Deno.statSync(file).mode ?? 0) & 0o777, 0o600);
  assert.equal((await world.cli(["push", `${host}/app:1`], { env })).code, 0);
  await succeed(["skopeo", "inspect", "--authfile", file, "--tls-verify=false", `docker://${host}/app:1`]);

  assert.equal((await world.cli(["logout", host], { env })).stderr, `logged out of ${host}\n`);
  assert.deepEqual(world.read(), { auths: {} });
  assert.equal((await world.cli(["logout", host], { env })).stderr, `not logged in to ${host}\n`);
  assert.equal((await world.cli(["push", `${host}/app:1`], { env })).code, 125);
});

Deno.test("login: credentials that the registry does not take are not kept, and what is in the file stays", async () => {
  await using real = await startRegistry({ password: true });
  await using world = makeHome();
  const { env } = world, { host } = real, target = `${world.home}/kept.json`;
  const kept = { auths: { "other.example": { auth: "eDp5" } }, HttpHeaders: { "X-Mine": "1" } };
  Deno.mkdirSync(`${env.HOME}/.docker`, { recursive: true });
  Deno.writeTextFileSync(target, JSON.stringify(kept));
  Deno.symlinkSync(target, `${env.HOME}/.docker/config.json`);
  const { code, stderr } = await world.cli(["login", "-u", "alice", "-p", "wrong", host], { env });
  assert.equal(code, 125);
  assert.match(
    stderr,
    new RegExp(`^sauropod: cannot log in at ${host}: the registry does not accept the credentials of alice`),
  );
  assert.deepEqual(world.read(), kept);
  assert.equal(
    (await world.cli(["login", "-u", USER.username, "-p", USER.password, `http://${host}/v2/`], { env })).code,
    0,
  );
  assert.deepEqual(world.read(), { ...kept, auths: { ...kept.auths, [host]: { auth: SECRET } } });
  assert.ok(Deno.lstatSync(`${env.HOME}/.docker/config.json`).isSymlink);
});

Deno.test("login: a token server is asked with the name and the password, for no repository", async () => {
  const authorized: (string | null)[] = [];
  await using registry = serveFaulty((request) => {
    const { pathname, search } = new URL(request.url);
    if (pathname === "/token") {
      authorized.push(request.headers.get("authorization"), search);
      return Response.json({ token: "good" });
    }
    if (request.headers.get("authorization") === "Bearer good") return new Response("{}");
    const challenge = `Bearer realm="http://${registry.host}/token",service="here"`;
    return new Response("", { status: 401, headers: { "www-authenticate": challenge } });
  });
  await using world = makeHome();
  const { code, stderr } = await world.cli(["login", "-u", "a", "-p", "b:ü", registry.host], { env: world.env });
  assert.equal(code, 0, stderr);
  const bytes = new TextEncoder().encode("a:b:ü");
  assert.deepEqual(authorized, [`Basic ${btoa(String.fromCharCode(...bytes))}`, "?service=here"]);
});

Deno.test("login: a credential helper keeps them instead of the file, and an entry that would count first is replaced", async () => {
  await using registry = serveFaulty(() => new Response("{}"));
  await using world = makeHome();
  const { env } = world, { host } = registry, bin = `${world.home}/bin`;
  Deno.mkdirSync(bin);
  Deno.writeTextFileSync(
    `${bin}/docker-credential-own`,
    `#!/bin/sh\n{ echo "$1"; cat; echo; } >>${world.home}/asked\n`,
  );
  Deno.chmodSync(`${bin}/docker-credential-own`, 0o755);
  Deno.mkdirSync(`${env.HOME}/.docker`, { recursive: true });
  Deno.writeTextFileSync(`${env.HOME}/.docker/config.json`, '{ "credsStore": "own" }');
  const more = { env: { ...env, PATH: `${bin}:${Deno.env.get("PATH")}` } };
  const { stderr } = await world.cli(["login", "-u", "a", "-p", "b", host], more);
  assert.equal(stderr, `logged in to ${host} as a; password stored in docker-credential-own\n`);
  assert.deepEqual(world.read(), { credsStore: "own", auths: { [host]: {} } });
  assert.equal((await world.cli(["logout", host], more)).stderr, `logged out of ${host}\n`);
  assert.equal(
    Deno.readTextFileSync(`${world.home}/asked`),
    `store\n{"ServerURL":"${host}","Username":"a","Secret":"b"}\nerase\n${host}\n`,
  );
  const first = `${env.XDG_RUNTIME_DIR}/containers`;
  Deno.mkdirSync(first, { recursive: true });
  Deno.writeTextFileSync(`${first}/auth.json`, JSON.stringify({ auths: { [host]: { auth: "eDp5" } } }));
  assert.equal((await world.cli(["login", "-u", "a", "-p", "b", host], { env })).code, 0);
  assert.deepEqual(JSON.parse(Deno.readTextFileSync(`${first}/auth.json`)), {
    auths: { [host]: { auth: btoa("a:b") } },
  });
});

Deno.test("login: on a terminal the password is asked for and not shown; without one it must be given", async () => {
  await using registry = serveFaulty(() => new Response("{}"));
  await using world = makeHome();
  const { env } = world, { host } = registry;
  await using terminal = new Terminal(commandLine(["login", "-u", "a", host]), { env });
  await terminal.shows(/Password: /);
  await terminal.types("secrex\x7ft\r");
  assert.equal(await terminal.ended(), 0);
  assert.ok(!terminal.screen.includes("secr"), terminal.screen);
  assert.deepEqual(world.read(), { auths: { [host]: { auth: btoa("a:secret") } } });
  await using stopped = new Terminal(commandLine(["login", "-u", "a", host]), { env });
  await stopped.shows(/Password: /);
  await stopped.types("\x03");
  assert.equal(await stopped.ended(), 130);
  for (
    const [words, expected] of [
      [["login", host], /username required/],
      [["login", "-u", "a", host], /password required/],
      [["login", "-u", "a", "-p", "b", "no registry"], /invalid registry/],
    ] as const
  ) {
    const { code, stderr } = await world.cli(words, { env });
    assert.deepEqual([code, expected.test(stderr)], [125, true], stderr);
  }
});

Deno.test("login replaces no device that is in the place of the file of credentials, also through a link", async () => {
  await using real = await startRegistry({ password: true });
  await using world = makeHome();
  const { env } = world, file = `${env.HOME}/.docker/config.json`;
  Deno.mkdirSync(`${env.HOME}/.docker`, { recursive: true });
  await succeed(["mknod", `${world.home}/null`, "c", "1", "3"]);
  Deno.symlinkSync(`${world.home}/null`, file);
  const words = ["login", "-u", USER.username, "--password-stdin", real.host];
  const { code } = await world.cli(words, { env, stdin: `${USER.password}\n` });
  assert.equal(code, 125);
  assert.equal(Deno.statSync(file).isCharDevice, true);
});
