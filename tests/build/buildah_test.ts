/** What is built, beside what buildah builds. */

import assert from "node:assert/strict";
import { tar } from "../helpers/tar.ts";
import { makeWorld } from "../helpers/world.ts";
import { built, context } from "../helpers/building.ts";
import { skipWithout } from "../helpers/skip.ts";

/** The files of an image as umoci unpacks them, one a line. */
async function unpacked(layout: string, name: string, to: string): Promise<string[]> {
  const unpack = await new Deno.Command("umoci", { args: ["unpack", "--image", `${layout}:${name}`, to] }).output();
  assert.ok(unpack.success, new TextDecoder().decode(unpack.stderr));
  const find = new Deno.Command("find", {
    args: [
      ".",
      "-printf",
      "%p %M %U:%G %l",
      "(",
      "-type",
      "f",
      "-exec",
      "sha256sum",
      "{}",
      ";",
      "-o",
      "-printf",
      "\n",
      ")",
    ],
    cwd: `${to}/rootfs`,
  });
  return new TextDecoder().decode((await find.output()).stdout).trim().split("\n").sort();
}

async function settings(layout: string, name: string): Promise<Record<string, unknown>> {
  const { stdout } = await new Deno.Command("skopeo", { args: ["inspect", "--config", `oci:${layout}:${name}`] })
    .output();
  return JSON.parse(new TextDecoder().decode(stdout)).config;
}

const COMPARED = `
FROM scratch AS base
ADD root.tar.gz /
ENV X=1
FROM base AS tools
RUN mkdir -p /out/deep; echo tool > /out/deep/tool; chmod 711 /out/deep; ln -s tool /out/deep/link
FROM base
ARG V=7
LABEL a=b c="d e" \\
  f='g h'
LABEL old style
ENV PATH=/bin:/usr/bin Y="$X two" Z=\${V:-none}\${NO:+x}
WORKDIR /w
WORKDIR sub
COPY d d1
COPY d d2/
COPY d /d3/
COPY one two files/
COPY --chown=app one renamed
COPY --chown=1000:50 one renamed2
COPY --chown=app:0 --chmod=640 two mode
COPY followed .
COPY *e t?o all/
COPY ["with blank", "/w/"]
COPY --from=tools /out /out
COPY --from=tools /out/deep/link /followed
ADD more.tar added/
RUN echo $V > v; id -un > who; mkdir -m 700 m; ln v v2; rm -rf d2/sub; rm /d3/a; chmod 1777 files
EXPOSE 80 53/udp
USER app
RUN ["/bin/sh", "-c", "id -u > /tmp/x; pwd > /tmp/y; echo $Y $Z > /tmp/z"]
STOPSIGNAL SIGINT
CMD ["none"]
ENTRYPOINT ["/bin/sh"]
CMD echo hi
VOLUME /data
`;

function hasBuildah(): boolean {
  try {
    return Deno.statSync("/usr/bin/buildah").isFile;
  } catch {
    return false;
  }
}

Deno.test("what is built is what buildah builds of the same Dockerfile", {
  ignore: skipWithout("buildah", hasBuildah()),
}, async () => {
  await using world = makeWorld({ ownImage: true });
  const folder = context(world, {
    Dockerfile: COMPARED,
    "d/a": { text: "a", mode: 0o640 },
    "d/sub/b": "b",
    "d/link": { link: "a" },
    one: "1",
    two: { text: "2", mode: 0o755 },
    followed: { link: "one" },
    "with blank": "",
  });
  Deno.chmodSync(`${folder}/d/sub`, 0o750);
  const root = world.image;
  for (const name of ["dev", "proc", "sys", "run"]) Deno.mkdirSync(`${root}/${name}`);
  for (const name of ["hosts", "hostname", "resolv.conf"]) Deno.writeTextFileSync(`${root}/etc/${name}`, "");
  Deno.writeTextFileSync(`${root}/etc/passwd`, "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/:/bin/sh\n");
  await new Deno.Command("tar", { args: ["czf", `${folder}/root.tar.gz`, "-C", root, "."] }).output();
  Deno.writeFileSync(
    `${folder}/more.tar`,
    tar({ name: "x/", type: "5", mode: 0o711 }, { name: "x/y", uid: 4, gid: 5 }),
  );

  const storage = [
    "--root",
    `${world.home}/buildah`,
    "--runroot",
    `${world.home}/buildah-run`,
    "--storage-driver",
    "vfs",
  ];
  const buildah = async (...args: string[]): Promise<void> => {
    const { success, stderr } = await new Deno.Command("buildah", { args: [...storage, ...args], cwd: folder })
      .output();
    assert.ok(success, new TextDecoder().decode(stderr));
  };
  await buildah("bud", "--isolation", "chroot", "--build-arg", "V=8", "-t", "theirs", ".");
  await buildah("push", "theirs", `oci:${world.home}/theirs:1`);
  await buildah("rmi", "--all", "--force");
  await built(world, "-t", "ours:1", "--build-arg", "V=8", folder);
  const saved = await world.cli(["images", "save", "--format", "oci", "-o", `${world.home}/ours.tar`, "ours:1"]);
  assert.equal(saved.code, 0, saved.stderr);
  Deno.mkdirSync(`${world.home}/ours`);
  await new Deno.Command("tar", { args: ["xf", `${world.home}/ours.tar`, "-C", `${world.home}/ours`] }).output();

  const name = "docker.io/library/ours:1";
  const theirs = await unpacked(`${world.home}/theirs`, "1", `${world.home}/their-files`);
  const ours = await unpacked(`${world.home}/ours`, name, `${world.home}/our-files`);
  // It makes the folders of volumes.
  assert.deepEqual(ours, theirs.filter((line) => !/^\.\/data /.test(line)));
  const { Labels: labels, ...theirSettings } = await settings(`${world.home}/theirs`, "1");
  const { "io.buildah.version": _, ...theirLabels } = Object.fromEntries(Object.entries(labels ?? {}));
  assert.deepEqual(await settings(`${world.home}/ours`, name), { ...theirSettings, Labels: theirLabels });
});
