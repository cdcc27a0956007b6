/** Images that skopeo, podman and umoci have made, or take. */

import assert from "node:assert/strict";
import { loadImages } from "../../lib/image/exchange/load.ts";
import { saveImages } from "../../lib/image/exchange/save.ts";
import { layerFolder } from "../../lib/store/layer_paths.ts";
import { storeFolder } from "../../lib/store/store.ts";
import { host } from "../helpers/inside.ts";
import { listTree, unpackedByUmoci } from "../helpers/umoci.ts";
import { makeWorld } from "../helpers/world.ts";
import { archive, configOf, documents, layoutFiles, names, partials, write } from "../helpers/image_files.ts";

const skopeo = (from: string, to: string): Promise<string> => host("skopeo", "copy", "--insecure-policy", from, to);

Deno.test("images save: an image keeps names, settings and layers on its way through skopeo and back, in all formats", async () => {
  await using world = makeWorld();
  const { images } = world.folders;
  const [first] = await loadImages(images, write(world, "in", archive(layoutFiles())));
  assert.equal(first?.name, "docker.io/a/b:1");
  await saveImages(images, ["a/b:1"], `${world.home}/o.tar`, "oci");
  await saveImages(images, ["a/b:1"], `${world.home}/d.tar`, "docker");
  await saveImages(images, ["a/b:1"], `${world.home}/layout/`, "oci");

  await skopeo(`oci-archive:${world.home}/o.tar:docker.io/a/b:1`, `docker-archive:${world.home}/d2.tar:x/fromoci:2`);
  await skopeo(`docker-archive:${world.home}/d.tar:a/b:1`, `oci-archive:${world.home}/o2.tar:x/fromdocker:2`);
  await skopeo(`oci:${world.home}/layout`, `oci:${world.home}/layout2:x/folder:2`);
  await skopeo(`oci:${storeFolder(images)}:docker.io/a/b:1`, `oci-archive:${world.home}/o3.tar:x/store:2`);
  for (const source of ["d2.tar", "o2.tar", "layout2", "o3.tar"]) await loadImages(images, `${world.home}/${source}`);

  const all = ["a/b:1", "x/folder:2", "x/fromdocker:2", "x/fromoci:2", "x/store:2"].map((name) => `docker.io/${name}`);
  assert.deepEqual(names(images), all);
  const [wanted] = all.map((name) => documents(images, name));
  for (const name of all) {
    const { config } = documents(images, name);
    assert.deepEqual(config.rootfs, wanted?.config.rootfs);
    assert.deepEqual(config.config, wanted?.config.config);
  }
  assert.deepEqual(documents(images, "docker.io/x/store:2").manifest.config, wanted?.manifest.config);

  const rootfs = await unpackedByUmoci(world, `${world.home}/layout2`, "x/folder:2");
  assert.equal(await host("cat", `${rootfs}/etc/kept`), "2");
  assert.deepEqual((await listTree(rootfs)).map((line) => line.split(" ")[0]), ["etc", "etc/kept", "link", "run"]);
  assert.deepEqual(partials(images), []);
});

Deno.test("images save: podman loads what is saved and saves what is loaded, names kept", async () => {
  await using world = makeWorld();
  const { images } = world.folders;
  // Podman leaves locks and state in these folders of the machine's.
  const own = 'for d in /run /dev/shm; do mount -t tmpfs podman $d; done; exec "$@"';
  const podman = (...words: string[]): Promise<string> =>
    host(
      ...["unshare", "--mount", "--propagation", "private", "sh", "-ec", own, "sh"] as const,
      ...["podman", "--root", `${world.home}/p`, "--runroot", `${world.home}/r`, "--storage-driver", "vfs"] as const,
      ...["--cgroup-manager", "cgroupfs", "--events-backend", "none", ...words],
    );
  await loadImages(images, write(world, "in", archive(layoutFiles())));
  for (const format of ["docker", "oci"] as const) {
    await saveImages(images, ["a/b:1"], `${world.home}/${format}.tar`, format);
    assert.match(await podman("load", "-i", `${world.home}/${format}.tar`), /docker\.io\/a\/b:1/);
    await podman("tag", "docker.io/a/b:1", `quay.io/p/${format}:x`);
    await podman("save", "-q", "--format", `${format}-archive`, "-o", `${world.home}/p.tar`, `quay.io/p/${format}:x`);
    Deno.renameSync(`${world.home}/p.tar`, `${world.home}/p-${format}.tar`);
    await podman("rmi", "-f", "docker.io/a/b:1");
    const loaded = await loadImages(images, `${world.home}/p-${format}.tar`);
    assert.deepEqual(loaded.map(({ name }) => name), [`quay.io/p/${format}:x`]);
    assert.deepEqual(documents(images, `quay.io/p/${format}:x`).config.rootfs.diff_ids, configOf().rootfs.diff_ids);
  }
});

Deno.test("images save: what umoci makes is loaded, and its tree is that of umoci unpack", async () => {
  await using world = makeWorld();
  const { images } = world.folders, layout = `${world.home}/u`;
  await host("umoci", "init", "--layout", layout);
  await host("umoci", "new", "--image", `${layout}:made:1`);
  const bundle = `${world.home}/bundle`;
  await host("umoci", "unpack", "--image", `${layout}:made:1`, bundle);
  await host("cp", "-a", `${images}/busybox/.`, `${bundle}/rootfs`);
  await host("umoci", "repack", "--image", `${layout}:made:1`, bundle);
  await host("umoci", "config", "--image", `${layout}:made:1`, "--config.cmd", "/bin/sh");
  const [image] = await loadImages(images, layout);
  assert.equal(image?.name, "docker.io/library/made:1");
  const [diffId = ""] = documents(images, image.name).config.rootfs.diff_ids;
  const rootfs = await unpackedByUmoci(world, layout, "made:1");
  assert.deepEqual(await listTree(`${layerFolder(storeFolder(images), diffId)}/diff`), await listTree(rootfs));
});
