/** Files that builds copy: what, where to, and whose they are. */

import assert from "node:assert/strict";
import { assertNothingLeft } from "../helpers/life.ts";
import { bytesOf, concat, item, tar } from "../helpers/tar.ts";
import { makeWorld } from "../helpers/world.ts";
import { build, built, configOf, context, namesIn, say } from "../helpers/building.ts";

Deno.test("COPY and ADD put files where docker does", async () => {
  await using world = makeWorld();
  const folder = context(world, {
    Dockerfile: [
      "FROM busybox",
      "WORKDIR /w",
      "COPY d d1",
      "COPY d/ /d2/",
      "COPY f one",
      "COPY f g dir/",
      'COPY ["with blank", "./"]',
      "COPY *.txt t?/ txt/",
      "ENV WHERE=where",
      "COPY f $WHERE/${WHERE:+in}/",
      "COPY f /tmp",
      "COPY link .",
      "COPY <<'A' <<B docs/",
      "$WHERE",
      "A",
      "$WHERE",
      "B",
      "ADD t.tgz un",
      "ADD --chown=5:6 t.tgz /un2",
      "COPY t.tgz packed",
      "ADD f plain",
      "COPY --chown=1000 f owned",
      "COPY --from=busybox /etc/passwd /etc/group etc/",
      "COPY d d1/sub",
    ].join("\n"),
    "d/a": { text: "a", mode: 0o640 },
    "d/sub/b": "b",
    "d/dangling": { link: "nowhere" },
    f: "f",
    g: "g",
    "with blank": "",
    "1.txt": "",
    "2.txt": "",
    "t1/x": "",
    link: { link: "f" },
  });
  Deno.chmodSync(`${folder}/d/sub`, 0o700);
  const archive = new Blob([tar({ name: "x/y", body: "y", uid: 3, mode: 0o600 })]).stream();
  Deno.writeFileSync(`${folder}/t.tgz`, await new Response(archive.pipeThrough(new CompressionStream("gzip"))).bytes());
  await built(world, "-t", "a", folder);
  const found = await say(
    world,
    "a",
    "cd /; find w d2 tmp un2 | sort | while read f; do stat -c '%N %A %u:%g' $f; done",
  );
  const expected = [
    "d2 drwxr-xr-x 0:0",
    "d2/a -rw-r----- 0:0",
    "d2/dangling -> nowhere lrwxrwxrwx 0:0",
    "d2/sub drwx------ 0:0",
    "d2/sub/b -rw-r--r-- 0:0",
    "tmp drwxrwxrwt 0:0",
    "tmp/f -rw-r--r-- 0:0",
    "un2 drwxr-xr-x 5:6",
    "un2/x drwxr-xr-x 0:0",
    "un2/x/y -rw------- 5:6",
    "w drwxr-xr-x 0:0",
    "w/d1 drwxr-xr-x 0:0",
    "w/d1/a -rw-r----- 0:0",
    "w/d1/dangling -> nowhere lrwxrwxrwx 0:0",
    "w/d1/sub drwx------ 0:0",
    "w/d1/sub/a -rw-r----- 0:0",
    "w/d1/sub/b -rw-r--r-- 0:0",
    "w/d1/sub/dangling -> nowhere lrwxrwxrwx 0:0",
    "w/d1/sub/sub drwx------ 0:0",
    "w/d1/sub/sub/b -rw-r--r-- 0:0",
    "w/dir drwxr-xr-x 0:0",
    "w/dir/f -rw-r--r-- 0:0",
    "w/dir/g -rw-r--r-- 0:0",
    "w/docs drwxr-xr-x 0:0",
    "w/docs/A -rw-r--r-- 0:0",
    "w/docs/B -rw-r--r-- 0:0",
    "w/etc drwxr-xr-x 0:0",
    "w/etc/group -rw-r--r-- 0:0",
    "w/etc/passwd -rw-r--r-- 0:0",
    "w/link -rw-r--r-- 0:0",
    "w/one -rw-r--r-- 0:0",
    "w/owned -rw-r--r-- 1000:1000",
    "w/packed -rw-r--r-- 0:0",
    "w/plain -rw-r--r-- 0:0",
    "w/txt drwxr-xr-x 0:0",
    "w/txt/1.txt -rw-r--r-- 0:0",
    "w/txt/2.txt -rw-r--r-- 0:0",
    "w/txt/x -rw-r--r-- 0:0",
    "w/un drwxr-xr-x 0:0",
    "w/un/x drwxr-xr-x 0:0",
    "w/un/x/y -rw------- 3:0",
    "w/where drwxr-xr-x 0:0",
    "w/where/in drwxr-xr-x 0:0",
    "w/where/in/f -rw-r--r-- 0:0",
  ];
  const lines = found.replaceAll(/['`]/g, "").trim().split("\n").filter((line) => !line.startsWith("w/with"));
  assert.deepEqual(lines, expected);
  assert.equal(
    await say(world, "a", "ls /w/with*; cat /w/docs/A /w/docs/B /w/link"),
    "/w/with blank\n$WHERE\nwhere\nf",
  );
});

Deno.test(".dockerignore leaves out what docker leaves out", async () => {
  await using world = makeWorld();
  const folder = context(world, {
    ".dockerignore": "# not needed\n*.log\n**/secret\nnode_modules\n!node_modules/kept/*.js\nempty/*\n",
    Dockerfile: "FROM busybox\nCOPY . /c/\n",
    "a.log": "",
    "sub/a.log": "",
    "sub/secret": "",
    "sub/secrets": "",
    "node_modules/x/index.js": "",
    "node_modules/kept/index.js": "",
    "node_modules/kept/readme": "",
    "empty/file": "",
    alias: { link: "sub/secret" },
  });
  await built(world, "-t", "a", folder);
  const found = await say(world, "a", "cd /c; find . | sort | tr '\\n' ' '");
  assert.equal(
    found,
    ". ./.dockerignore ./Dockerfile ./alias ./empty ./node_modules ./node_modules/kept ./node_modules/kept/index.js ./sub " +
      "./sub/a.log ./sub/secrets ",
  );
  for (const source of ["sub/secret", "a.log", "alias", "*.log"]) {
    Deno.writeTextFileSync(`${folder}/Dockerfile`, `FROM busybox\n\nCOPY ${source} /c/\n`);
    const { code, stderr } = await build(world, folder);
    assert.equal(code, 125);
    assert.match(stderr, /^sauropod: Dockerfile:3: .* is left out by \.dockerignore\n {2}a line with ! takes it back/);
  }
  Deno.writeTextFileSync(`${folder}/Other`, "FROM busybox\nCOPY sub/secret /\n");
  Deno.writeTextFileSync(`${folder}/Other.dockerignore`, "a.log\n");
  await built(world, "-f", `${folder}/Other`, folder);
});

Deno.test("build COPY: a context cannot show more than itself, nor an image lead a copy out of it", async () => {
  await using world = makeWorld();
  Deno.writeTextFileSync(`${world.home}/secret`, "secret");
  Deno.mkdirSync(`${world.home}/outside`);
  Deno.writeTextFileSync(`${world.home}/outside/file`, "secret");
  const folder = context(world, {
    "d/up": { link: "../../secret" },
    "d/abs": { link: `${world.home}/secret` },
    "d/folder": { link: `${world.home}/outside` },
    "d/proc": { link: "/proc/self/root/etc/passwd" },
    away: { link: `${world.home}/outside` },
    climbing: { link: "../outside" },
    loop: { link: "loop" },
    f: "f",
  });
  await new Deno.Command("mkfifo", { args: [`${folder}/d/fifo`] }).output();
  const socket = Deno.listen({ transport: "unix", path: `${folder}/d/socket` });
  const dockerfile = (...lines: string[]): void =>
    Deno.writeTextFileSync(`${folder}/Dockerfile`, ["FROM busybox", ...lines].join("\n"));

  dockerfile("COPY d /d", "COPY ../f ../../f /up/");
  await built(world, "-t", "a", folder);
  const links = await say(world, "a", "cd /d; for f in *; do stat -c '%F' $f; readlink $f; done; ls -A /up");
  const { home } = world;
  assert.equal(
    links,
    `symbolic link\n${home}/secret\nfifo\nsymbolic link\n${home}/outside\nsymbolic link\n/proc/self/root/etc/passwd\n` +
      "symbolic link\n../../secret\nf\n",
  );
  Deno.removeSync(`${folder}/Dockerfile`);
  Deno.symlinkSync(`${world.home}/secret`, `${folder}/Dockerfile`);
  assert.match((await build(world, folder)).stderr, /there is no .*\/Dockerfile and no .*\/Containerfile/);
  await new Deno.Command("mkfifo", { args: [`${folder}/Containerfile`] }).output();
  assert.match((await build(world, folder)).stderr, /cannot read Containerfile in .*: not a file/);
  for (const name of ["Dockerfile", "Containerfile"]) Deno.removeSync(`${folder}/${name}`);
  for (const source of ["away", "climbing", "d/up", "d/proc", "away/file", "loop", "d/folder/file", "away/*"]) {
    dockerfile(`COPY ${source} /x/`);
    const { code, stderr } = await build(world, folder);
    assert.equal(code, 125, source);
    assert.match(stderr, /Dockerfile:2: .*(is not in the context|nothing in the context)/, source);
  }
  socket.close();

  await new Deno.Command("mknod", { args: [`${folder}/d/disk`, "b", "7", "0"] }).output();
  dockerfile("COPY d /d");
  const device = await build(world, folder);
  assert.match(device.stderr, /Dockerfile:2: "d\/disk" of the context is a device\n {2}name it in \.dockerignore/);
  Deno.removeSync(`${folder}/d/disk`);

  // Links of the image: as roots have them, absolute and climbing, to what is there and to what is not.
  const host = `${world.home}/host`;
  Deno.mkdirSync(host);
  dockerfile(
    `RUN ln -s ${host} /app; ln -s ../../../..${host} /app2; mkdir /real /new; ln -s /real /app3; ln -s /new/deep /app4; ` +
      `ln -s ${host}/file /app5; mkdir /m; ln -s ${host} /m/sub`,
    "COPY f /app/",
    "COPY f /app2/",
    "COPY f /app3",
    "COPY d /app4/",
    "COPY f /app5",
    "WORKDIR /app/made",
  );
  await built(world, "-t", "b", folder);
  assert.deepEqual(namesIn(host), []);
  const inside = await say(world, "b", `ls /real ${host}; readlink /new/deep/up; cat /app5`);
  assert.equal(inside, `/real:\nf\n\n${host}:\nf\nfile\nmade\n../../secret\nf`);
  dockerfile(`RUN mkdir /m; ln -s ${host} /m/sub`, "COPY m /m");
  context(world, { "m/sub/evil": "" });
  const nested = await build(world, folder);
  assert.match(nested.stderr, /Dockerfile:3: .*"sub\/": is a folder; what is there is none/);

  // An archive, too.
  Deno.writeFileSync(`${folder}/evil.tar`, tar({ name: "l", type: "2", target: host }, { name: "l/evil", body: "" }));
  dockerfile("ADD evil.tar /");
  assert.match((await build(world, folder)).stderr, /Dockerfile:2: the archive is unsafe: "l\/evil" goes through "l"/);
  Deno.writeFileSync(`${folder}/evil.tar`, tar({ name: "../../evil", body: "" }));
  assert.match((await build(world, folder)).stderr, /Dockerfile:2: the archive is unsafe/);
  assert.deepEqual(namesIn(host), []);
  assertNothingLeft(world);
});

Deno.test("ADD unpacks archives, and nothing that only looks like one", async () => {
  await using world = makeWorld();
  const folder = context(world, {
    Dockerfile: "FROM scratch\nADD root.tar /\nADD text.gz zeros /x/\nFROM busybox\nCOPY --from=0 / /all/",
    zeros: "\0".repeat(2048),
  });
  const gz = new Blob(["text"]).stream().pipeThrough(new CompressionStream("gzip"));
  Deno.writeFileSync(`${folder}/text.gz`, await new Response(gz).bytes());
  const old = item({ name: "etc/old", body: "archive", mode: 0o600, uid: 9 });
  Deno.writeFileSync(
    `${folder}/root.tar`,
    concat(
      item({ name: "./", type: "5", mode: 0o711 }),
      item({ name: "etc/", type: "5", mode: 0o750 }),
      old,
      item({ name: "dev/null", type: "3", major: 1, minor: 3, mode: 0o666 }),
      bytesOf("\0".repeat(1024)),
    ),
  );
  await built(world, "-t", "a", folder);
  assert.equal(
    await say(world, "a", "cd /all; stat -c '%n %a %u' etc etc/old; find . -type c; cat etc/old; ls -A x"),
    "etc 750 0\netc/old 600 9\n./dev/null\narchivetext.gz\nzeros\n",
  );
  Deno.writeFileSync(`${folder}/text.gz`, new Uint8Array([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 0, 0]));
  assert.match((await build(world, folder)).stderr, /Dockerfile:3: .*xz/);
});

Deno.test("build COPY: users and folders are as docker makes them", async () => {
  await using world = makeWorld();
  const folder = context(world, {
    Dockerfile: [
      "FROM busybox AS base",
      "ARG INHERITED=yes",
      "USER alice",
      "WORKDIR /home/alice",
      "RUN touch mine; id -u > who; echo $HOME >> who; echo $INHERITED",
      "VOLUME /home/alice/data",
      "RUN mkdir -p data; echo kept > data/file",
      'SHELL ["/bin/sh", "-e", "-c"]',
      "FROM base",
      "RUN [ $INHERITED = yes ]; echo $0 $- > shell",
      'RUN ["/bin/sh", "-c", "echo $PWD > exec"]',
      "EXPOSE 80/tcp 53/udp",
      "STOPSIGNAL SIGQUIT",
    ].join("\n"),
  });
  await built(world, "-t", "a", folder);
  const { config } = configOf(world, "a");
  assert.deepEqual(config, {
    User: "alice",
    WorkingDir: "/home/alice",
    Volumes: { "/home/alice/data": {} },
    ExposedPorts: { "80/tcp": {}, "53/udp": {} },
    StopSignal: "SIGQUIT",
  });
  assert.equal(
    await say(world, "a", "cat who shell exec; stat -c %U . /home mine; cat data/file"),
    "1000\n/home/alice\n/bin/sh ce\n/home/alice\nalice\nalice\nalice\nkept\n",
  );
});

Deno.test("files of a stage keep their owners, and folders that a copy makes are those of --chown, for all to enter", async () => {
  await using world = makeWorld();
  const dockerfile = (owner: string) =>
    [
      "FROM busybox AS make",
      `RUN mkdir -p /d/sub; touch /d/sub/f; chown -R ${owner} /d; chmod 700 /d`,
      "FROM busybox",
      "COPY --from=make /d /all/d",
      "COPY --from=make /d/sub/f /f",
      "COPY --chown=5:6 --chmod=640 Dockerfile /on/the/way",
      "COPY --chown=5:6 . /here",
      "COPY --chmod=600 . /open",
    ].join("\n");
  for (const owner of ["3:4", "7:8"]) {
    const folder = context(world, { Dockerfile: dockerfile(owner) });
    await built(world, "-t", "a", folder);
    assert.equal(
      await say(
        world,
        "a",
        "stat -c '%a %u:%g %n' /all /all/d /all/d/sub /all/d/sub/f /f /on /on/the /on/the/way /here /open",
      ),
      `755 0:0 /all\n755 0:0 /all/d\n755 ${owner} /all/d/sub\n644 ${owner} /all/d/sub/f\n644 ${owner} /f\n` +
        "755 5:6 /on\n755 5:6 /on/the\n640 5:6 /on/the/way\n755 5:6 /here\n755 0:0 /open\n",
    );
  }
});
