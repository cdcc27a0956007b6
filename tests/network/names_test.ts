import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { ContainerError, createNetwork, remove, removeNetwork, run, runDetached, SauropodError } from "../../mod.ts";
import { converse, host, type InsideOptions, say } from "../helpers/inside.ts";
import { assertApart, awaitQuiet, bare, HERE, inhabit, type Inhabitant, settleElsewhere } from "../helpers/network.ts";
import { ANSWER, resolveName } from "../helpers/peer.ts";
import { makeWorld } from "../helpers/world.ts";

assertApart();
const world = makeWorld();
const scene = new AsyncDisposableStack();
const SUBNETS = ["10.66.0.0/24", "fd66::/64"];

Deno.test.beforeAll(async () => {
  makeImage("aside", (folder) => Deno.symlinkSync("etc", `${folder}/conf`));
  scene.use(await settleElsewhere());
  for (
    const [name, options] of [["six", { subnets: SUBNETS }], ["other", {}], ["inner", { internal: true }]] as const
  ) {
    await createNetwork(name, { ...world.folders, ...options });
    scene.defer(() => removeNetwork(name, world.folders));
  }
});
Deno.test.afterAll(async () => {
  await scene.disposeAsync();
  await awaitQuiet();
  await world[Symbol.asyncDispose]();
});

/** Runs `body` while a file of the host's holds something else. */
async function withHostFile<T>(path: string, content: string, body: () => Promise<T>): Promise<T> {
  const file = Deno.makeTempFileSync({ dir: world.home });
  Deno.writeTextFileSync(file, content);
  await host("mount", "--bind", file, path);
  try {
    return await body();
  } finally {
    await host("umount", path);
  }
}

/** All that is below a folder: links' targets, files' contents and times. */
function contents(folder: string): string[] {
  return [...Deno.readDirSync(folder)].flatMap(({ name, isDirectory, isSymlink }): string[] => {
    const path = `${folder}/${name}`;
    const { mode, mtime } = Deno.lstatSync(path);
    if (isSymlink) return [`${path} -> ${Deno.readLinkSync(path)}`];
    if (isDirectory) return [path, ...contents(path)];
    return [`${path} ${mode?.toString(8)} ${mtime?.toISOString()} ${Deno.readTextFileSync(path)}`];
  }).sort();
}

Deno.test("run --network: siblings find each other by name, host name, alias and id, over IPv4 and IPv6, while they live", async () => {
  await using a = await inhabit(world, "a", { network: "six" });
  {
    const options = { network: ["six:alias=db,alias=db2"], hostname: "host-b", networkAliases: ["store"] };
    await using b = await inhabit(world, "b", options);
    for (const name of ["b", "host-b", "store", "db", "db2", b.container.id]) {
      assert.equal(await a.ask("udp", name), `b from ${a.address}`, name);
      assert.equal(await a.ask("tcp6", name), `b from ${a.address6}`, name);
    }
    // Its own names are those of its addresses too, and the one who was there first is known to the one who came.
    assert.equal(await b.ask("tcp6", "db"), `b from ${b.address6}`);
    assert.equal(await b.ask("udp", "a"), `a from ${b.address}`);
    assert.equal(await b.ask("tcp6", a.container.id), `a from ${b.address6}`);
  }
  assert.equal(await a.ask("udp", "b"), "nothing");
  assert.equal(await a.ask("udp", "a"), `a from ${a.address}`);
});

Deno.test("run --network: names are known on the networks that a container is on, and on no other", async () => {
  const live = (name: string, network: string[]): Promise<Inhabitant> => inhabit(world, name, { network });
  await using left = await live("left", ["bridge"]);
  await using right = await live("right", ["other"]);
  await using both = await live("both", ["bridge:alias=west", "other:alias=east"]);
  const [west, east] = both.container.networks.map(({ addresses }) => bare(addresses[0]));
  const questions = [
    [left, "both", `both from ${left.address}`],
    [left, "west", `both from ${left.address}`],
    [left, "east", "nothing"],
    [left, "right", "nothing"],
    [right, "both", `both from ${right.address}`],
    [right, "east", `both from ${right.address}`],
    [right, "west", "nothing"],
    [both, "left", `left from ${west}`],
    [both, "right", `right from ${east}`],
  ] as const;
  for (const [from, name, answer] of questions) assert.equal(await from.ask("udp", name), answer, name);
});

/** Reads the files by which a container finds names. */
async function read(options: InsideOptions): Promise<{ hosts: string[]; hostname: string; resolvers: string[] }> {
  const script = "cat /etc/hosts; echo --; cat /etc/hostname; echo --; cat /etc/resolv.conf";
  const [hosts = "", hostname = "", resolvers = ""] = (await say(world, script, options)).split("--\n");
  const lines = (text: string): string[] => text.trimEnd().split("\n").map((line) => line.replaceAll("\t", " "));
  return { hosts: lines(hosts), hostname: hostname.trim(), resolvers: lines(resolvers) };
}

const LOOPBACK = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"];

Deno.test("run --network: options say what is in the files", async () => {
  const files = await read({
    hostname: "web.example.org",
    name: "web",
    containerAddress: "10.10.10.77/24",
    dns: ["192.0.2.9", "2001:db8::9"],
    dnsSearch: ["example.org", "example.com"],
    dnsOptions: ["ndots:2", "timeout:1"],
    addHosts: ["db:192.168.1.7", "six:[fd00::7]", "six2:fd00::8", "this:host-gateway"],
  });
  assert.equal(files.hosts.length, 7);
  assert.match(files.hosts.splice(2, 1).join(), /^10\.10\.10\.77 web\.example\.org web [0-9a-f]{12}$/);
  assert.deepEqual(files, {
    hosts: [...LOOPBACK, "192.168.1.7 db", "fd00::7 six", "fd00::8 six2", "10.10.10.1 this"],
    hostname: "web.example.org",
    resolvers: [
      "nameserver 192.0.2.9",
      "nameserver 2001:db8::9",
      "search example.org example.com",
      "options ndots:2 timeout:1",
    ],
  });
});

Deno.test("run --network: without options the host's resolvers, domains and options are the container's", async () => {
  const cases = [
    ["nameserver 192.0.2.3\n# a remark\nsearch lab.example\nnameserver 192.0.2.4 # another\noptions edns0 trust-ad\n", [
      "nameserver 192.0.2.3",
      "nameserver 192.0.2.4",
      "search lab.example",
      "options edns0 trust-ad",
    ]],
    ["nameserver 127.0.0.53\nnameserver 192.0.2.3\n", ["nameserver 192.0.2.3"]],
    ["domain old.example\nsearch new.example\nnameserver 127.0.0.1\n", ["nameserver 10.10.10.1", "search new.example"]],
    ["", ["nameserver 10.10.10.1"]],
  ] as const;
  for (const [text, resolvers] of cases) {
    await withHostFile("/etc/resolv.conf", text, async () => assert.deepEqual((await read({})).resolvers, resolvers));
  }
});

const LOOKUP = "nslookup -type=a service.example.org";

Deno.test("run --network: a resolver on the host's loopback answers containers, on every network", async () => {
  const socket = createSocket("udp4");
  socket.on("message", (bytes, { address, port }) => socket.send(resolveName(bytes), port, address));
  await new Promise<void>((resolve) => socket.bind(53, "127.0.0.53", resolve));
  try {
    await withHostFile("/etc/resolv.conf", "nameserver 127.0.0.53\n", async () => {
      for (const network of ["bridge", "other", "six"]) {
        assert.match(await say(world, LOOKUP, { network }), new RegExp(`Address: ${ANSWER}\n`), network);
      }
      // What is asked there leaves the host (CVE-2024-29018).
      const options = { network: "inner" };
      assert.match(await say(world, `timeout 1 ${LOOKUP} 2>/dev/null; echo over`, options), /^over\n$/);
      // Only the gateway's own port leads there.
      assert.match(await say(world, `timeout 1 ${LOOKUP} ${HERE} 2>/dev/null; echo over`), /^over\n$/);
    });
  } finally {
    socket.close();
  }
});

Deno.test("run --network: a resolver on another machine answers containers", async () => {
  await using server = await inhabit(world, "server", { ports: [53], network: "other", publish: ["53:53/udp"] });
  assert.equal(server.container.ports.length, 1);
  await withHostFile("/etc/resolv.conf", `nameserver ${HERE}\n`, async () => {
    assert.match(await say(world, LOOKUP), new RegExp(`Address: ${ANSWER}\n`));
    assert.match(await say(world, LOOKUP, { network: "host" }), new RegExp(`Address: ${ANSWER}\n`));
  });
  assert.match(await say(world, LOOKUP, { dns: [HERE] }), new RegExp(`Address: ${ANSWER}\n`));
});

const OVERWRITE = `
  for name in hosts hostname resolv.conf; do echo mine > /etc/$name || exit 1; done
  cat /etc/hosts /etc/hostname /etc/resolv.conf`;

function makeImage(name: string, make: (folder: string) => void): string {
  const folder = `${world.folders.images}/${name}`;
  new Deno.Command("cp", { args: ["-a", world.image, folder] }).outputSync();
  make(folder);
  return folder;
}

Deno.test("run --network: the files are the container's own: writing them changes neither image, host nor the container's folder", async () => {
  const full = makeImage("full", (folder) => {
    for (const name of ["hosts", "hostname", "resolv.conf"]) Deno.writeTextFileSync(`${folder}/etc/${name}`, "image\n");
  });
  const linked = makeImage("linked", (folder) => {
    Deno.symlinkSync("/run/systemd/resolve/stub-resolv.conf", `${folder}/etc/resolv.conf`);
    Deno.symlinkSync("../../../../etc/hosts", `${folder}/etc/hosts`);
    Deno.symlinkSync("hostname", `${folder}/etc/hostname`);
  });
  const hosts = ["hosts", "hostname", "resolv.conf"].map((name) => `/etc/${name}`).filter((path) => {
    return Deno.lstatSync(path).isFile;
  });
  const look = (): string[][] => [contents(full), contents(linked), hosts.map((path) => Deno.readTextFileSync(path))];
  const before = look();
  for (const image of ["busybox", "full", "linked"]) {
    for (const network of ["bridge", "none", "host"]) {
      const { id, status, stdout } = await (async () => {
        const box = await run(image, ["/bin/sh", "-c", OVERWRITE], {
          ...world.folders,
          network,
          keep: true,
          stdout: "piped",
        });
        return { id: box.id, status: await box.status, stdout: await new Response(box.stdout).text() };
      })();
      assert.deepEqual([status.code, stdout], [0, "mine\n".repeat(3)], `${image} ${network}`);
      const upper = `${world.folders.containers}/${id}/upper`;
      const sizes = [...Deno.readDirSync(upper)].length === 0
        ? []
        : contents(upper).filter((line) => line.includes("mine") || line.includes("image"));
      assert.deepEqual(sizes, [], `${image} ${network}`);
      assert.equal((await world.cli(["rm", id])).code, 0);
    }
  }
  assert.deepEqual(look(), before);
});

Deno.test("a container with a read-only root, or another user, has its files too", async () => {
  for (const options of [{ readOnly: true }, { user: "alice" }, { readOnly: true, image: "host" }]) {
    const { hosts, hostname, resolvers } = await read({ hostname: "own", ...options });
    assert.equal(hosts.length, 3);
    assert.equal(hostname, "own");
    assert.match(resolvers.join(), /^nameserver /);
  }
});

/** Ways to put a host's folder over a container's /etc; `/conf` is a link to it. */
const COVERS = ["/etc", "/etc:ro", "//etc/", "/./etc/.", "/conf", "/conf/"];

Deno.test("run --network: a host's folder mounted at /etc is what is seen there, and is not changed, whatever it holds", async () => {
  const secret = `${world.home}/secret`;
  Deno.writeTextFileSync(secret, "secret\n");
  const makeFolders: Record<string, (folder: string) => void> = {
    empty: () => {},
    full: (folder) => ["hosts", "hostname"].forEach((name) => Deno.writeTextFileSync(`${folder}/${name}`, "host\n")),
    linked: (folder) => {
      Deno.writeTextFileSync(`${folder}/hosts`, "host\n");
      Deno.symlinkSync("/run/nowhere/resolv.conf", `${folder}/resolv.conf`);
      Deno.symlinkSync(secret, `${folder}/hostname`);
    },
  };
  for (const [kind, make] of Object.entries(makeFolders)) {
    const folder = `${world.home}/etc-${kind}`;
    Deno.mkdirSync(folder);
    make(folder);
    const names = [...Deno.readDirSync(folder)].map(({ name }) => name).sort().join(" ");
    const before = [contents(folder), Deno.statSync(folder).mtime, Deno.readTextFileSync(secret)];
    for (const target of COVERS) {
      const options = { image: "aside", volumes: [`${folder}:${target}`] };
      await using box = await converse(world, "echo $(ls /etc); read line", options);
      assert.equal(await box.ask(), names, `${kind} at ${target}`);
      await say(world, "true");
      assert.deepEqual([contents(folder), Deno.statSync(folder).mtime, Deno.readTextFileSync(secret)], before, target);
    }
  }
});

Deno.test("a host's file mounted at /etc/hosts is seen, and siblings do not change it", async () => {
  const script = "while read line; do cat /etc/hosts; done";
  for (const path of [`${world.home}/my-hosts`, "/dev/shm/sauropod-test-hosts"]) {
    Deno.writeTextFileSync(path, "192.0.2.99 mine\n");
    try {
      for (const options of [{}, { readOnly: true }, { privileged: true }]) {
        for (const target of ["/etc/hosts", "/conf/hosts"]) {
          await using box = await converse(world, script, {
            image: "aside",
            volumes: [`${path}:${target}`],
            ...options,
          });
          await using _sibling = await converse(world, "read line");
          assert.equal(await box.ask("look"), "192.0.2.99 mine");
          assert.equal(Deno.readTextFileSync(path), "192.0.2.99 mine\n");
        }
      }
    } finally {
      Deno.removeSync(path);
    }
  }
});

Deno.test("images with a strange /etc work, or are refused with nothing left", async () => {
  const cases: [name: string, works: boolean, make: (etc: string) => void][] = [
    ["no-etc", true, () => {}],
    ["etc-link", true, (etc) => Deno.symlinkSync("/tmp", etc)],
    ["etc-up", true, (etc) => Deno.symlinkSync("../../../../../../tmp", etc)],
    ["etc-file", false, (etc) => Deno.writeTextFileSync(etc, "")],
    ["etc-lost", true, (etc) => Deno.symlinkSync("/nowhere", etc)],
    ["hosts-folder", false, (etc) => Deno.mkdirSync(`${etc}/hosts`, { recursive: true })],
    ["hosts-fifo", true, (etc) => {
      Deno.mkdirSync(etc);
      new Deno.Command("mkfifo", { args: [`${etc}/hosts`] }).outputSync();
    }],
  ];
  const before =
    () => [Deno.readTextFileSync("/etc/hosts"), [...Deno.readDirSync("/tmp")].filter(({ name }) => name === "hosts")];
  const host = before();
  for (const [name, works, make] of cases) {
    makeImage(name, (folder) => {
      Deno.removeSync(`${folder}/etc`, { recursive: true });
      make(`${folder}/etc`);
    });
    const said = await say(world, "grep -c localhost /etc/hosts", { image: name }).catch((error) => error);
    if (works) assert.equal(said, "2\n", name);
    else assert.ok(said instanceof SauropodError, `${name}: ${said}`);
  }
  assert.deepEqual(before(), host);
  await awaitQuiet();
});

Deno.test("a container that plays with its /etc/hosts harms nobody", async () => {
  const folder = `${world.home}/shared`;
  Deno.mkdirSync(folder);
  Deno.writeTextFileSync(`${folder}/victim`, "victim\n");
  const tricks: Record<string, string> = {
    "a file of the host's over it": "umount /etc/hosts; mount --bind /shared/victim /etc/hosts",
    "a link to it": "umount /etc/hosts; rm -f /etc/hosts; ln -s /shared/victim /etc/hosts",
    "a hard link": "umount /etc/hosts; rm -f /etc/hosts; ln /shared/victim /etc/hosts 2>/dev/null",
    "a fifo": "umount /etc/hosts; rm -f /etc/hosts; mkfifo /etc/hosts",
    "a device": "umount /etc/hosts; mount --bind /dev/zero /etc/hosts",
    "another /etc": "mount --bind /shared /etc; ln -sf victim /shared/hosts",
    "the host's folder as /dev": "mount --bind /shared /dev; umount /etc/hosts; mount --bind /shared/victim /etc/hosts",
    "very long": "dd if=/dev/zero of=/etc/hosts bs=1000000 count=3 2>/dev/null",
    "nothing": "umount /etc/hosts; rm -f /etc/hosts",
  };
  for (const [what, script] of Object.entries(tricks)) {
    await using bad = await converse(world, `${script}; echo done; read line`, {
      privileged: true,
      volumes: [`${folder}:/shared`],
    });
    assert.equal(await bad.ask(), "done", what);
    await using sibling = await converse(world, "echo up; read line");
    assert.equal(await sibling.ask(), "up", what);
    assert.equal(Deno.readTextFileSync(`${folder}/victim`), "victim\n", what);
  }
});

Deno.test("run --network: without privileges a container cannot take its files away", async () => {
  const script =
    "umount /etc/hosts 2>/dev/null || echo kept; rm /etc/hosts 2>/dev/null || echo kept; echo >> /etc/hosts";
  assert.equal(await say(world, script), "kept\nkept\n");
});

Deno.test("run --network: network none has names for itself only, and network host the host's", async () => {
  await withHostFile("/etc/hosts", "127.0.0.1 localhost\n192.0.2.50 known-to-host", async () => {
    const none = await read({ network: "none", hostname: "own", addHosts: ["x:192.0.2.7"] });
    assert.deepEqual(none.hosts, [...LOOPBACK, "127.0.1.1 own", "192.0.2.7 x"]);
    const shared = await read({ network: "host", hostname: "own", addHosts: ["x:192.0.2.7"] });
    assert.deepEqual(shared.hosts, [
      "127.0.0.1 localhost",
      "192.0.2.50 known-to-host",
      "127.0.1.1 own",
      "192.0.2.7 x",
    ]);
  });
  const text = `nameserver 127.0.0.53\nsearch lab.example\n`;
  await withHostFile("/etc/resolv.conf", text, async () => {
    assert.deepEqual((await read({ network: "host" })).resolvers, text.trim().split("\n"));
  });
});

Deno.test("network container:NAME shares interfaces, names and resolvers", async () => {
  const script = "ip -o -4 address; readlink /proc/self/ns/net; cat /etc/hosts /etc/resolv.conf; hostname; echo end";
  const options = { name: "owner", dns: ["192.0.2.9"], dnsSearch: ["lab.example"] };
  await using owner = await converse(world, `while read line; do ${script}; done`, options);
  await using _sibling = await converse(world, "read line", { name: "sibling" });
  const own: string[] = [];
  for (let line = await owner.ask("look"); line !== "end" && line !== undefined; line = await owner.ask()) {
    own.push(line);
  }
  const seen = (await say(world, script, { network: "container:owner" })).trim().split("\n");
  assert.equal(own.some((line) => line.includes("sibling")), true);
  assert.equal(seen.pop(), "end");
  const name = seen.pop();
  assert.notEqual(name, own.pop());
  assert.deepEqual(seen.filter((line) => line !== `127.0.1.1\t${name}`), own);
  assert.equal(seen.length, own.length + 1, "it finds itself, too");
  const { stdout } = await world.cli([
    "--rm",
    "--network",
    `container:${owner.container.id}`,
    "busybox",
    "ip",
    "-o",
    "route",
  ]);
  assert.match(stdout, /^default via 10\.10\.10\.1 /);
});

Deno.test("run --network: the network of a container that has ended or never was cannot be joined", async () => {
  const box = await run("busybox", ["true"], { ...world.folders, name: "past", keep: true });
  await box.status;
  for (const [name, code] of [["past", "not-running"], ["never", "container-not-found"]]) {
    await assert.rejects(
      run("busybox", ["true"], { ...world.folders, network: `container:${name}` }),
      (error) => error instanceof ContainerError && error.code === code,
    );
  }
  assert.equal((await world.cli(["rm", "past"])).code, 0);
});

Deno.test("run --network: the network of a container whose owner's name space is shared outlives it for those that joined", async () => {
  const owner = await converse(world, "echo up; read line", { name: "owner" });
  await owner.ask();
  await using guest = await converse(world, "while read line; do ip -o -4 address | grep -c eth0; done", {
    network: "container:owner",
  });
  assert.equal(await guest.ask("look"), "1");
  await owner[Symbol.asyncDispose]();
  assert.equal(await guest.ask("look"), "1");
  const address = bare(owner.container.networks[0]?.addresses[0]);
  // Its address is still in use, and nobody else gets it.
  await using other = await converse(world, "read line");
  assert.notEqual(bare(other.container.networks[0]?.addresses[0]), address);
});

Deno.test("run --network: siblings are not left with the name of a container that could not be started", async () => {
  const folders = world.folders;
  const id = await runDetached("busybox", ["sleep", "1000"], { ...folders, name: "witness" });
  try {
    const known = (): string => Deno.readTextFileSync(`${folders.containers}/${id}/hosts`);
    await assert.rejects(runDetached("busybox", ["no-such-command"], { ...folders, name: "stillborn" }), {
      code: "command-not-found",
    });
    assert.doesNotMatch(known(), /stillborn/);
    const next = await runDetached("busybox", ["sleep", "1000"], { ...folders, name: "born" });
    assert.equal(known().match(/\bborn\b/g)?.length, 1);
    await remove(next, { ...folders, force: true });
    assert.doesNotMatch(known(), /\bborn\b/);
  } finally {
    await remove(id, { ...folders, force: true });
  }
});
