/** The commands cp and export. */

import assert from "node:assert/strict";
import { exportTar } from "../../../mod.ts";
import { host, inside, text } from "../../helpers/inside.ts";
import { makeWorld, type World } from "../../helpers/world.ts";
import { boxesIn, listed } from "../../helpers/boxes.ts";

const world = makeWorld(), { folder, stopped, running, treeIn } = boxesIn(world);
Deno.test.afterAll(async () => await world[Symbol.asyncDispose]());

const NONE = { network: "none" } as const;

async function cli(world: World, words: string[], stdin?: Uint8Array<ArrayBuffer>) {
  return await world.cli(words, { cwd: world.home, stdin });
}

Deno.test("cp: archives go through standard input and output, also compressed ones", async () => {
  const box = await stopped("mkdir -p /d/e; echo x > /d/e/f; chown 7:8 /d/e/f; ln -s e /d/l"), from = folder();
  const archive = `${from}/a.tar`;
  await host(
    "sh",
    "-c",
    `cd ${world.home} && SAUROPOD_HOME=${world.home} ${Deno.execPath()} run -A ${
      new URL("../../../cli.ts", import.meta.url).pathname
    } cp ${box}:/d - > ${archive}`,
  );
  assert.match(
    await host("tar", "-tvf", archive, "--numeric-owner"),
    /d\/\n.*d\/e\/\n.* 7\/8 .*d\/e\/f\n.*d\/l -> e\n$/s,
  );
  await host("sh", "-c", `cd ${from} && tar -xf a.tar && tar -czf b.tar.gz d`);
  const { code, stderr } = await cli(world, ["cp", "-a", "-", `${box}:/root`], await Deno.readFile(`${from}/b.tar.gz`));
  assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
  assert.deepEqual([...(await treeIn(box, "/root/d")).keys()], ["", "/e", "/e/f", "/l"]);
  assert.match((await treeIn(box, "/root/d")).get("/e/f") ?? "", / 7:8 /);
  const hostile = await cli(world, ["cp", "-", `${box}:/root`], await Deno.readFile("/bin/true"));
  assert.equal(hostile.code, 125);
  assert.match(hostile.stderr, /^sauropod: the tar archive is/);
});

Deno.test("mistakes of cp and export end with 125, say what is wrong and leave the target alone", async () => {
  const box = await stopped("echo x > /f"), from = folder();
  Deno.writeTextFileSync(`${from}/f`, "x");
  const table: [string[], RegExp][] = [
    [["cp", "a", "b"], /cannot copy a to b: neither is in a container\n {2}name a container/],
    [["cp", `${box}:/f`], /cp requires DESTINATION/],
    [["cp", `${box}:/nothing`, from], /no such file or directory: "\/nothing" in container box/],
    [["cp", `${box}:/f`, `${from}/none/x`], /no such file or directory: ".*none"/],
    [["cp", `${from}/nothing`, `${box}:/`], /no such file or directory: ".*nothing"\n/],
    [["cp", `${from}/f`, `${box}:/none/`], /"\/none\/": no such directory in container .*\n {2}create it first/],
    [["cp", `${from}`, `${box}:/f`], /cannot copy a directory onto a file/],
    [["cp", "nobody:/f", from], /no such container: nobody/],
    [["cp", "-", `${box}:/none`], /no such file or directory: "\/none"/],
    [["export", "nobody"], /no such container: nobody/],
    [["export", "-o", "/dev/null/x", box], /x: part of the path is not a directory\n/],
    [["diff", "nobody"], /no such container: nobody/],
  ];
  for (const [words, reason] of table) {
    const { code, stdout, stderr } = await cli(world, words);
    assert.deepEqual([code, stdout], [125, ""], words.join(" "));
    assert.match(stderr, reason, words.join(" "));
    assert.doesNotMatch(stderr, /\.ts:\d/);
  }
  assert.deepEqual(listed(from), ["f"]);
});

Deno.test("an export is the whole root without mounts, running or not, and makes an image", async () => {
  const volume = folder(), out = folder();
  Deno.writeTextFileSync(`${volume}/secret`, "volume");
  const script = "mkdir /mine; echo mine > /mine/f; rm /etc/group; mkfifo /fifo";
  const options = { volumes: [`${volume}:/data`], tmpfs: ["/scratch"] };
  const box = await stopped(script, options);
  await using live = await running(`${script}; echo x > /scratch/x`, options);
  for (const name of [box, live.name]) {
    const path = `${out}/${name}.tar`;
    assert.deepEqual(await cli(world, ["export", "-o", path, name]), { code: 0, stdout: "", stderr: "" });
    const names = (await host("tar", "-tf", path)).trim().split("\n");
    assert(names.includes("mine/f") && names.includes("fifo") && names.includes("bin/busybox"), name);
    const mounted = names.filter((entry) => /^(proc|sys|dev|data|scratch)\/.|^etc\/group$/.test(entry));
    assert.deepEqual(mounted, [], name);
    for (const point of ["proc/", "sys/", "dev/", "data/", "scratch/"]) {
      assert(names.includes(point), `${name}: ${point}`);
    }
  }
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  await exportTar(live.name, new WritableStream({ write: (chunk) => void pieces.push(chunk) }), {
    ...world.folders,
    source: "/mine",
  });
  assert(text(await new Blob(pieces).bytes()).includes("mine/f\0"));
  const imported = await cli(world, ["images", "import", `${out}/${box}.tar`, "exported"]);
  assert.equal(imported.code, 0, imported.stderr);
  const { stdout } = await inside(world, "cat /mine/f; ls /etc/group /data", { ...NONE, image: "exported" });
  assert.equal(stdout, "mine\n/data:\n");
});
