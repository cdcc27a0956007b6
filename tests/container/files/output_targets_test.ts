/** What a command writes to is a file or folder: devices, FIFOs, sockets and links that have the name stay what they are. */

import assert from "node:assert/strict";
import { boxesIn } from "../../helpers/boxes.ts";
import { host } from "../../helpers/inside.ts";
import { commandLine } from "../../helpers/project.ts";
import { makeWorld } from "../../helpers/world.ts";

const world = makeWorld(), { folder, stopped } = boxesIn(world);
Deno.test.afterAll(async () => await world[Symbol.asyncDispose]());

/** A folder with a null device, a FIFO, a socket, links to them, and a link to a file. */
async function special(): Promise<string> {
  const at = folder();
  await host(
    "sh",
    "-ec",
    `cd ${at}; mknod null c 1 3; mkfifo fifo; ln -s null tonull; ln -s fifo tofifo; echo old > file; ln -s file tofile
    python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'; ln -s socket tosocket`,
  );
  return at;
}

async function kinds(at: string): Promise<string> {
  return (await host("sh", "-ec", `cd ${at}; for f in *; do stat -c '%n %F %t:%T' $f; done`)).trim();
}

async function shell(script: string): Promise<string> {
  return await host("sh", "-c", `export SAUROPOD_HOME=${world.home}; ${script}`);
}

const SAUROPOD = commandLine([]).join(" ");

Deno.test("cp C:/f onto a device, FIFO or socket, also through a link or in a folder, is refused and replaces nothing", async () => {
  const names = ["null", "fifo", "socket"];
  const box = await stopped(
    `echo x > /f; mkdir /all; for n in ${names.join(" ")}; do mkdir /$n; echo x > /$n/$n; done`,
  );
  const at = await special(), before = await kinds(at);
  for (const name of [...names, ...names.map((name) => `to${name}`)]) {
    const { code, stderr } = await world.cli(["cp", `${box}:/f`, `${at}/${name}`]);
    assert.equal(code, 125, name);
    assert.match(stderr, /a device, FIFO or socket is not replaced.*\n {2}name a file/, name);
  }
  for (const name of names) {
    const { code, stderr } = await world.cli(["cp", `${box}:/${name}/.`, `${at}/`]);
    assert.equal(code, 125, name);
    assert.match(stderr, /: there is a device, FIFO or socket, which it does not replace\n/, name);
  }
  assert.equal(await kinds(at), before);
  // Into a container likewise.
  const inside = await stopped("mknod /null c 1 3; mkfifo /fifo", { capAdd: ["MKNOD"] });
  for (const name of ["null", "fifo"]) {
    const { code, stderr } = await world.cli(["cp", `${at}/file`, `${inside}:/${name}`]);
    assert.equal(code, 125, name);
    assert.match(stderr, /is not replaced in container/);
  }
  const file = await world.cli(["cp", `${box}:/f`, `${at}/tofile`]);
  assert.deepEqual([file.code, file.stderr], [0, ""]);
  assert.equal(Deno.readLinkSync(`${at}/tofile`), "file");
  assert.equal(Deno.readTextFileSync(`${at}/file`), "x\n");
});

Deno.test("cp C:/f /dev/stdout > out is refused, and out is what the shell has opened", async () => {
  const box = await stopped("echo x > /f"), out = `${folder()}/out`;
  for (const target of ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"]) {
    Deno.writeTextFileSync(out, "");
    const { ino } = Deno.statSync(out);
    const said = await shell(`${SAUROPOD} cp ${box}:/f ${target} 2>&1 > ${out} | cat; echo more >> ${out}`);
    assert.match(said, /cannot write "[^"]*": a virtual file system of the kernel/, target);
    assert.deepEqual([Deno.readTextFileSync(out), Deno.statSync(out).ino], ["more\n", ino], target);
  }
});

Deno.test("a folder with a FIFO is copied a second time over the first copy", async () => {
  const box = await stopped("mkdir /d; mkfifo /d/fifo; echo x > /d/f"), at = folder();
  for (const time of ["first", "second"]) {
    const { code, stderr } = await world.cli(["cp", `${box}:/d`, at]);
    assert.deepEqual([code, stderr], [0, ""], time);
  }
  assert.equal(await kinds(`${at}/d`), "f regular file 0:0\nfifo fifo 0:0");
});

Deno.test("export -o and images save -o write to devices, FIFOs, links and /dev/stdout, and replace only regular files, at once", async () => {
  const box = await stopped("echo x > /f");
  assert.equal((await world.cli(["images", "import", world.image, "tool:1"])).code, 0);
  for (const words of [["export", box], ["images", "save", "tool:1"]]) {
    const at = await special(), before = await kinds(at), line = `${SAUROPOD} ${words.join(" ")} -o`;
    // Longer than any archive here: what is written over has an end of its own.
    await host("truncate", "-s", "40M", `${at}/file`);
    const [old, ours] = [Deno.statSync(`${at}/file`), `tar -tf - >/dev/null`];
    await shell(`${line} ${at}/null && ${line} ${at}/tonull`);
    for (const name of ["fifo", "tofifo"]) await shell(`cat ${at}/${name} | ${ours} & ${line} ${at}/${name}; wait $!`);
    await shell(`${line} /dev/stdout | ${ours}`);
    await shell(`cd ${at}; ${line} /dev/stdout > out; ${ours} < out; rm out`);
    await shell(`cd ${at}; ${line} tofile`);
    assert.equal(Deno.statSync(`${at}/file`).ino, old.ino);
    await shell(`cd ${at}; ${ours} < file; test $(stat -c %s file) -lt 40000000`);
    const socket = await world.cli([...words, "-o", `${at}/socket`]);
    assert.equal(socket.code, 125);
    assert.match(socket.stderr, /no process has the other end open/);
    assert.equal(await kinds(at), before);
    await shell(`cd ${at}; ${line} file; ${ours} < file`);
    assert.notEqual(Deno.statSync(`${at}/file`).ino, old.ino);
    assert.equal(await kinds(at), before);
  }
});

Deno.test("an export that fails leaves the file that was there", async () => {
  const at = folder();
  Deno.writeTextFileSync(`${at}/web.tar`, "old");
  await host("mount", "-t", "tmpfs", "-o", "size=64k", "small", at);
  try {
    const box = await stopped("true");
    Deno.writeTextFileSync(`${at}/web.tar`, "old");
    const { code, stderr } = await world.cli(["export", "-o", `${at}/web.tar`, box]);
    assert.equal(code, 125);
    assert.match(stderr, /No space left|disk is full/);
    assert.deepEqual([...Deno.readDirSync(at)].map(({ name }) => name), ["web.tar"]);
    assert.equal(Deno.readTextFileSync(`${at}/web.tar`), "old");
  } finally {
    await host("umount", at);
  }
});

Deno.test("run --cidfile takes only a new file: a device, FIFO or dangling link is refused and stays", async () => {
  const at = await special(), before = await kinds(at);
  for (const name of ["null", "fifo", "tonull", "tofile"]) {
    const { code, stderr } = await world.cli(["--cidfile", `${at}/${name}`, "--network", "none", "busybox", "true"]);
    assert.equal(code, 125, name);
    assert.match(stderr, /the file exists/);
  }
  Deno.symlinkSync(`${at}/victim`, `${at}/dangling`);
  const dangling = await world.cli(["--cidfile", `${at}/dangling`, "--network", "none", "busybox", "true"]);
  assert.equal(dangling.code, 125);
  Deno.removeSync(`${at}/dangling`);
  assert.equal(await kinds(at), before);
});
