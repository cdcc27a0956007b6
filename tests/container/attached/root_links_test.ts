/** Symbolic links of an image to what is missing, as places for mounts, working directories and files. */

import assert from "node:assert/strict";
import { compile } from "../../../lib/program/compile.ts";
import { SpawnError } from "../../../mod.ts";
import { inside, say } from "../../helpers/inside.ts";
import { SPEC, WIRING } from "../../helpers/spec.ts";
import { fingerprint } from "../../helpers/unchanged.ts";
import { makeWorld, type World } from "../../helpers/world.ts";

/** A world whose image has `links`, and a folder `data` and a file `zone` to mount. */
function worldWith(links: Readonly<Record<string, string>>): World {
  const world = makeWorld({ ownImage: true }), image = world.image;
  for (const [name, target] of Object.entries(links)) {
    const folder = `${image}${name.slice(0, name.lastIndexOf("/"))}`;
    Deno.mkdirSync(folder, { recursive: true });
    Deno.symlinkSync(target, `${image}${name}`);
  }
  Deno.mkdirSync(`${world.home}/data`);
  Deno.writeTextFileSync(`${world.home}/data/file`, "data\n");
  Deno.writeTextFileSync(`${world.home}/zone`, "UTC0\n");
  return world;
}

Deno.test("run -v FILE:/etc/localtime:ro where that links to a file that the image lacks", async () => {
  await using world = worldWith({ "/etc/localtime": "/usr/share/zoneinfo/Etc/UTC" });
  const before = await fingerprint(world.folders.images);
  const words = ["--rm", "-v", `${world.home}/zone:/etc/localtime:ro`, "busybox", "sh", "-c"];
  const script = "cat /etc/localtime; readlink /etc/localtime; cat /usr/share/zoneinfo/Etc/UTC; echo x >/etc/localtime";
  const { stdout, stderr } = await world.cli([...words, script]);
  assert.equal(stdout, "UTC0\n/usr/share/zoneinfo/Etc/UTC\nUTC0\n");
  assert.match(stderr, /^\S+ can't create \/etc\/localtime: Read-only file system\n$/);
  assert.equal(await fingerprint(world.folders.images), before);
});

Deno.test("run -v, --tmpfs and -w where a link leads to a folder that the image lacks", async () => {
  const links = {
    "/data": "var/lib/data", // relative
    "/var/lib/data": "/srv/./deep//er/",
    "/opt/run": "../../../../var/run/made", // climbs above the top
    "/work": "/home/../home/alice",
  };
  await using world = worldWith(links);
  const volumes = [`${world.home}/data:/data`];
  assert.equal(
    await say(world, "cat /data/file /srv/deep/er/file; ls -d /srv/deep", { volumes }),
    "data\ndata\n/srv/deep\n",
  );
  const below = [`${world.home}/data:/data/below`, `${world.home}/zone:/data/zone`];
  assert.equal(await say(world, "cat /srv/deep/er/below/file /srv/deep/er/zone", { volumes: below }), "data\nUTC0\n");
  assert.equal(await say(world, "stat -Lc %a /data /srv/deep/er", { volumes: ["/data"] }), "755\n755\n");
  const memory = await say(world, "grep ' /var/run/made tmpfs' /proc/mounts | wc -l", { tmpfs: ["/opt/run"] });
  assert.equal(memory, "1\n");
  for (const init of [false, true]) {
    assert.equal(
      await say(world, "readlink /proc/self/cwd; stat -c %a /home", { cwd: "/work", init }),
      "/home/alice\n755\n",
    );
  }
});

Deno.test("run -w in an image whose /etc links to a folder that it lacks", async () => {
  await using world = makeWorld({ ownImage: true });
  const image = world.image;
  Deno.removeSync(`${image}/etc`, { recursive: true });
  Deno.symlinkSync("private/etc", `${image}/etc`);
  assert.equal(await say(world, "hostname; cat /private/etc/hostname", { hostname: "box", cwd: "/etc" }), "box\nbox\n");
});

Deno.test("run -v: links that lead in circles, below files, or are too long are refused, and make nothing", async () => {
  const long = `${"a/".repeat(2000)}b`;
  const links = { "/a": "b", "/b": "/a", "/self": "self/self", "/file": "/etc/passwd/x", "/long": long };
  await using world = worldWith(links);
  const cases = [["/a", "ELOOP"], ["/self/x", "ELOOP"], ["/file", "ENOTDIR"], [
    `/long/${"c/".repeat(100)}d`,
    "ENAMETOOLONG",
  ]];
  for (const [target, errno] of cases) {
    for (const options of [{ volumes: [`${world.home}/data:${target}`] }, { tmpfs: [`${target}`] }, { cwd: target }]) {
      const error: unknown = await inside(world, "true", options).catch((error) => error);
      assert.ok(error instanceof SpawnError && error.facts.errno === errno, `${JSON.stringify(options)} ${error}`);
    }
  }
  assert.deepEqual([...Deno.readDirSync(world.folders.containers)].filter(({ name }) => !name.startsWith(".")), []);
});

Deno.test("run -v: a link leads to what the image lacks and the host has: it is made in the container", async () => {
  await using world = makeWorld({ ownImage: true });
  const victim = `${world.home}/victim`, image = world.image;
  Deno.mkdirSync(victim);
  Deno.mkdirSync(`${world.home}/data`);
  Deno.symlinkSync(`${victim}/new`, `${image}/link`);
  Deno.symlinkSync(`${"../".repeat(30)}${victim}/up`, `${image}/up`);
  for (const link of ["/link", "/up"]) {
    const volumes = [`${world.home}/data:${link}`], tmpfs = [link];
    for (const options of [{ volumes }, { tmpfs }, { cwd: link }]) {
      assert.equal(await say(world, `readlink -f ${link}`, options), `${victim}/${link === "/up" ? "up" : "new"}\n`);
    }
  }
  assert.deepEqual([...Deno.readDirSync(victim)], []);
});

Deno.test("links of /proc as targets lead nowhere else: -v /proc:/outside -v data:/outside/1/root/victim/new", async () => {
  await using world = makeWorld();
  const victim = `${world.home}/victim`;
  Deno.mkdirSync(victim);
  Deno.mkdirSync(`${world.home}/data`);
  Deno.writeTextFileSync(`${world.home}/data/file`, "data\n");
  const links = ["/outside/1/root", `/outside/${Deno.pid}/root`, "/outside/self/root"];
  for (const link of links) {
    for (const kind of ["volume", "tmpfs", "cwd"] as const) {
      const target = `${link}${victim}/${kind}`;
      await inside(world, "true", {
        volumes: ["/proc:/outside", ...(kind === "volume" ? [`${world.home}/data:${target}`] : [])],
        ...(kind === "tmpfs" ? { tmpfs: [target] } : {}),
        ...(kind === "cwd" ? { cwd: target } : {}),
      }).catch((error) => assert.ok(error instanceof SpawnError));
    }
  }
  assert.deepEqual([...Deno.readDirSync(victim)], []);
});

Deno.test("cp C:/data/file of a stopped container whose volume lies where a link leads", async () => {
  await using world = worldWith({ "/data": "/srv/data" });
  const words = ["run", "--name", "kept", "-v", `${world.home}/data:/data`, "busybox", "true"];
  assert.equal((await world.cli(words)).code, 0);
  const { stdout, stderr } = await world.cli(["cp", "kept:/data/file", "-"]);
  assert.equal(stderr, "");
  assert.match(stdout, /data\n/);
  assert.equal((await world.cli(["rm", "kept"])).code, 0);
});

Deno.test("run -v: a file of the container's own is covered by a volume also where a link leads to its folder", async () => {
  await using world = worldWith({ "/conf": "etc" });
  const volumes = [`${world.home}/zone:/conf/hosts`];
  assert.equal(await say(world, "cat /etc/hosts", { volumes }), "UTC0\n");
});

Deno.test("run -v: what shares a volume cannot lead a mount elsewhere: its target is looked up once", () => {
  const bind = { kind: "bind", source: "/data", target: "/s/sub", directory: true, readOnly: false } as const;
  const tmpfs = { kind: "tmpfs", target: "/s/memory", data: "", executable: false } as const;
  const program = compile({ ...SPEC, mounts: [bind, tmpfs] }, WIRING), targets: unknown[] = [bind.target, tmpfs.target];
  const naming = program.filter(({ args }) => args.some((argument) => targets.includes(argument)));
  assert.deepEqual(naming.map(({ call }) => call), ["open_target", "open_target"]);
});
