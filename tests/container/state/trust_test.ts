/** Whose folders are taken: nobody but root and we may be able to change them, or what is above them. */

import assert from "node:assert/strict";
import { commandLine, PROJECT } from "../../helpers/project.ts";
import { makeWorld, type Result } from "../../helpers/world.ts";
import { until } from "../../helpers/life.ts";

async function sauropod(cwd: string, home: string, ...words: readonly string[]): Promise<Result> {
  const [program = "", ...args] = commandLine(words);
  const output = await new Deno.Command(program, { args, cwd, env: { SAUROPOD_HOME: home }, stdin: "null" }).output();
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  return { code: output.code, stdout: text(output.stdout), stderr: text(output.stderr) };
}

/** What another user puts into a folder: a container whose owner is dead, with our process in "its" group, and links. */
function plant(folder: string, victim: string, pid: number): void {
  const id = "aaaaaaaaaaaa", containers = `${folder}/containers`;
  for (const name of ["images", "containers/.live", "containers/.names", `containers/${id}`, `group/sauropod-${id}`]) {
    Deno.mkdirSync(`${folder}/${name}`, { recursive: true });
  }
  const group = `${folder}/group/sauropod-${id}`;
  Deno.writeTextFileSync(`${group}/cgroup.procs`, `${pid}\n`);
  const boot = Deno.readTextFileSync("/proc/sys/kernel/random/boot_id").slice(0, 8);
  const machine = Deno.readTextFileSync("/etc/machine-id").slice(0, 8);
  const namespace = (kind: string): string =>
    Number(Deno.readLinkSync(`/proc/self/ns/${kind}`).replace(/\D/g, "")).toString(16);
  // As marks were, and as they are.
  const origin = Deno.env.get("OLD_MARKS") ? boot : `${machine}.${boot}.${namespace("pid")}.${namespace("time")}`;
  Deno.symlinkSync(`${origin} 4194303.1`, `${containers}/.live/${id}`);
  Deno.symlinkSync(`${origin} 4194303.1`, `${containers}/.live/${id}.process`);
  const record = {
    ...{ version: 1, id, name: "$(id)", image: "x", lower: [], command: ["x"], options: {}, keep: true },
    ...{ created: "2026-11-28T00:00:00.000Z", cgroups: [group] },
  };
  Deno.writeTextFileSync(`${containers}/${id}/container.json`, JSON.stringify(record));
  Deno.symlinkSync(victim, `${containers}/.events`);
}

function chownAll(path: string, uid: number): void {
  Deno.chownSync(path, uid, uid);
  for (const { name, isDirectory, isSymlink } of Deno.readDirSync(path)) {
    if (isDirectory) chownAll(`${path}/${name}`, uid);
    else if (!isSymlink) Deno.chownSync(`${path}/${name}`, uid, uid);
  }
}

Deno.test("ps as root in a folder that another user has planted takes nothing of it", async () => {
  await using world = makeWorld();
  const folder = `${world.home}/planted`, victim = `${world.home}/bashrc`;
  Deno.chmodSync(world.home, 0o755);
  Deno.writeTextFileSync(victim, "mine\n");
  const process = new Deno.Command("sleep", { args: ["1000"] }).spawn();
  plant(folder, victim, process.pid);
  chownAll(folder, 1000);
  try {
    const { code, stderr } = await sauropod(folder, "", "ps", "-a");
    const isAlive = Deno.readTextFileSync(`/proc/${process.pid}/stat`).includes(") S ");
    assert.deepEqual([Deno.readTextFileSync(victim), isAlive], ["mine\n", true]);
    assert.deepEqual(
      [code, stderr],
      [
        0,
        `sauropod: ignoring ./images and ./containers: ${folder}/images belongs to user 1000\n`.replace(
          "/images b",
          " b",
        ),
      ],
    );
    for (const words of [["ps"], ["gc"], ["run", "host", "true"], ["images"], ["ps", "-c", `${folder}/containers`]]) {
      const { code, stderr } = await sauropod(folder, folder, ...words);
      assert.deepEqual([code, /cannot use .*planted belongs to user 1000/.test(stderr)], [125, true], stderr);
    }
    assert.equal(Deno.readTextFileSync(victim), "mine\n");
  } finally {
    process.kill("SIGKILL");
    await process.status;
  }
});

interface Case {
  readonly what: string;
  readonly make: (home: string) => void;
  readonly why?: string;
}

const CASES: readonly Case[] = [
  { what: "root's own", make: () => {} },
  { what: "a sticky folder above, as /tmp is", make: (home) => Deno.chmodSync(`${home}/above`, 0o1777) },
  {
    what: "a folder above that everyone can write to",
    make: (home) => Deno.chmodSync(`${home}/above`, 0o777),
    why: "above can be written to by everyone",
  },
  {
    what: "a sticky folder of containers",
    make: (home) => Deno.chmodSync(`${home}/above/home/containers`, 0o1777),
    why: "containers can be written to by everyone",
  },
  {
    what: "a folder above of another user",
    make: (home) => Deno.chownSync(`${home}/above`, 1000, 1000),
    why: "above belongs to user 1000",
  },
  {
    what: "a folder of images of another user",
    make: (home) => Deno.chownSync(`${home}/above/home/images`, 1000, 1000),
    why: "images belongs to user 1000",
  },
  {
    what: "a folder that a group can write to",
    make: (home) => {
      Deno.chownSync(`${home}/above/home`, 0, 50);
      Deno.chmodSync(`${home}/above/home`, 0o775);
    },
    why: "home can be written to by the group 50",
  },
  {
    what: "a folder that root's group can write to",
    make: (home) => Deno.chmodSync(`${home}/above/home`, 0o775),
  },
  {
    what: "a symbolic link of root's",
    make: (home) => {
      Deno.renameSync(`${home}/above/home`, `${home}/real`);
      Deno.symlinkSync("../real", `${home}/above/home`);
    },
  },
  {
    what: "a symbolic link of another user's in a sticky folder",
    make: (home) => {
      Deno.chmodSync(`${home}/above`, 0o1777);
      Deno.renameSync(`${home}/above/home`, `${home}/real`);
      Deno.symlinkSync("../real", `${home}/above/home`);
      new Deno.Command("chown", { args: ["-h", "1000", `${home}/above/home`] }).outputSync();
    },
    why: "home belongs to user 1000",
  },
  {
    what: "a link to a folder of another user's",
    make: (home) => {
      Deno.renameSync(`${home}/above/home`, `${home}/real`);
      Deno.symlinkSync(`${home}/real`, `${home}/above/home`);
      Deno.chownSync(`${home}/real`, 1000, 1000);
    },
    why: "real belongs to user 1000",
  },
  {
    what: "a circle of links",
    make: (home) => {
      Deno.removeSync(`${home}/above/home`, { recursive: true });
      Deno.symlinkSync("home", `${home}/above/home`);
    },
    why: "home leads in a circle",
  },
];

Deno.test("SAUROPOD_HOME, -i and -c are taken only if nobody else can change them or what is above", async () => {
  for (const { what, make, why } of CASES) {
    await using world = makeWorld();
    const { home } = world, place = `${home}/above/home`;
    for (const name of ["images", "containers"]) Deno.mkdirSync(`${place}/${name}`, { recursive: true });
    make(home);
    for (const flags of [[], ["-i", `${place}/images`, "-c", `${place}/containers`]]) {
      const { code, stderr } = await sauropod(home, flags.length > 0 ? "" : place, "ps", ...flags);
      const found = /cannot use .*: .*\/(\S+ .*)/.exec(stderr)?.[1];
      assert.deepEqual([code, found], [why === undefined ? 0 : 125, why], `${what}: ${stderr}`);
    }
  }
});

Deno.test("SAUROPOD_HOME: a folder on which an access control list lets another user write is not taken", async () => {
  await using world = makeWorld();
  const place = `${world.home}/home`;
  for (const name of ["images", "containers"]) Deno.mkdirSync(`${place}/${name}`, { recursive: true });
  // user::rwx user:1000:rwx group::r-x mask::rwx other::r-x
  const entry = (
    tag: number,
    bits: number,
    id = 0xffffffff,
  ): number[] => [tag, 0, bits, 0, ...new Uint8Array(Uint32Array.of(id).buffer)];
  const list = [2, 0, 0, 0, ...entry(1, 7), ...entry(2, 7, 1000), ...entry(4, 5), ...entry(16, 7), ...entry(32, 5)];
  const hex = Uint8Array.from(list).toHex();
  const { success } = new Deno.Command("setfattr", {
    args: ["-n", "system.posix_acl_access", "-v", `0x${hex}`, `${place}/containers`],
  }).outputSync();
  if (!success) return console.log("not tried: this file system has no access control lists");
  const { code, stderr } = await sauropod(world.home, place, "ps");
  assert.deepEqual([code, /containers can be written to by the group 0/.test(stderr)], [125, true], stderr);
});

Deno.test("sudo in a user's checkout runs a container of host, with its state in /var/lib/sauropod", async () => {
  await using world = makeWorld();
  const folder = `${world.home}/checkout`;
  Deno.chmodSync(world.home, 0o755);
  for (const name of ["images", "containers"]) Deno.mkdirSync(`${folder}/${name}`, { recursive: true });
  chownAll(folder, 1000);
  const script = `import { findFolders } from ${JSON.stringify(`${PROJECT}/lib/host/folders.ts`)};
    const { rule, containers, passedOver } = findFolders();
    console.log(rule, containers, passedOver?.uid);`;
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", script],
    cwd: folder,
    env: { SAUROPOD_HOME: "", SUDO_UID: "1000" },
  }).output();
  assert.equal(new TextDecoder().decode(stdout), "system /var/lib/sauropod/containers 1000\n");
  await until("nothing was made", () => [...Deno.readDirSync(`${folder}/containers`)].length === 0);
});
