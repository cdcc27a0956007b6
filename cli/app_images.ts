/**
 * The commands of `sauropod images`, `sauropod commit`, and their flags.
 *
 * @module
 */

import { buildCommand, buildRouteMap, type Command, type RouteMap } from "npm:@stricli/core@1.3.0";
import type { FolderOptions } from "../lib/folders.ts";
import type { Context } from "./context.ts";
import type { BuildFlags } from "./build.ts";
import type { ChangeFlags, ListFlags, PullFlags, SaveFlags } from "./images.ts";
import { FLAGS } from "./flags.ts";
import { asInRun, folderAliases, folderFlags, json, word, yes } from "./parameters.ts";

const builder = () => import("./build.ts");
const loaded = () => import("./images.ts");

const image = word("Name, such as alpine:3.20, or the beginning of its digest", "IMAGE");
const reference = word("Reference, such as alpine:3.20 or ghcr.io/owner/name@sha256:…", "IMAGE");
const name = word("Name for the new image", "NAME");
const several = { kind: "array", minimum: 1, parameter: image } as const;
const list = { flags: { ...folderFlags, json }, aliases: folderAliases } as const;
const plain = { flags: folderFlags, aliases: folderAliases } as const;

const text = (brief: string, placeholder: string) =>
  ({ kind: "parsed", optional: true, ...word(brief, placeholder) }) as const;

const changeFlags = {
  ...folderFlags,
  entrypoint: text("What containers execute, as a JSON list or for a shell", "WORDS"),
  cmd: text("Their command, likewise", "WORDS"),
  env: { kind: "parsed", optional: true, variadic: true, ...word("Variable of theirs; can be repeated", "NAME=VALUE") },
  workdir: text("Their working directory", "DIR"),
  user: text("Their user", "USER[:GROUP]"),
  message: text("Remark for the history", "TEXT"),
  author: text("Who makes it", "TEXT"),
} as const;
const changeAliases = { ...folderAliases, m: "message", a: "author", e: "env", w: "workdir", u: "user" } as const;

const repeated = (brief: string, placeholder: string) =>
  ({ kind: "parsed", optional: true, variadic: true, ...word(brief, placeholder) }) as const;

const buildFlags = {
  ...folderFlags,
  tag: repeated("Name for the image; without one only what its steps made is kept, for later builds", "NAME"),
  file: text("The Dockerfile, - for standard input [default: Dockerfile of the context]", "FILE"),
  buildArg: repeated("Value of an ARG; NAME alone takes the caller's", "NAME=VALUE"),
  target: text("Stage to build [default: the last]", "STAGE"),
  noCache: yes("Do all steps again"),
  pull: asInRun(FLAGS.pull),
  platform: text("Kind of machine [default: this one]", "OS/ARCH"),
  network: text("Network of RUN: a bridged one, none or host [default: sauropod0]", "NAME"),
  memory: asInRun({ ...FLAGS.memory, brief: "Memory of a RUN at most, with b, k, m or g" }),
  cpus: asInRun({ ...FLAGS.cpus, brief: "CPU time of a RUN at most, in CPUs" }),
  quiet: yes("Only the digest"),
  json,
} as const;

const formats = (input: string): "oci" | "docker" => {
  if (input === "oci" || input === "docker") return input;
  throw new Error(`${JSON.stringify(input)} is not oci or docker`);
};

/** `sauropod images`. */
export const images: RouteMap<Context> = buildRouteMap({
  routes: {
    ls: buildCommand<ListFlags & { quiet?: boolean }, [], Context>({
      loader: async () => (await loaded()).ls,
      parameters: {
        flags: { ...list.flags, quiet: yes("Digests only, of the images in the store") },
        aliases: { ...folderAliases, q: "quiet" },
      },
      docs: { brief: "List images", fullDescription: "  sauropod images\n  sauropod images ls --json" },
    }),
    build: buildCommand<BuildFlags, [string], Context>({
      loader: async () => (await builder()).build,
      parameters: {
        flags: buildFlags,
        aliases: { ...folderAliases, t: "tag", f: "file", q: "quiet", m: "memory" },
        positional: { kind: "tuple", parameters: [word("Folder with the files that COPY takes", "CONTEXT")] },
      },
      docs: {
        brief: "Build an image of a Dockerfile",
        fullDescription: [
          "  sauropod images build -t app:1 .",
          "  sauropod images build -t app:1 -f docker/Dockerfile --build-arg VERSION=1 --target release .",
          "  sauropod images build -q --network none .",
          "",
          "FROM, RUN, COPY, ADD (files and archives), ENV, ARG, LABEL, WORKDIR, USER, CMD, ENTRYPOINT, EXPOSE, VOLUME,",
          "STOPSIGNAL and SHELL mean what they mean to docker, and so does .dockerignore. ONBUILD, HEALTHCHECK,",
          "RUN --mount and ADD of a URL are refused. Everything is checked before anything is made.",
          "",
          "Steps that were done before are not done again, until images prune takes away what they made. If a RUN fails,",
          "the exit code is that of its command. $SOURCE_DATE_EPOCH is the latest time that anything in the image has.",
        ].join("\n"),
      },
    }),
    pull: buildCommand<PullFlags, [string, ...string[]], Context>({
      loader: async () => (await loaded()).pull,
      parameters: {
        flags: {
          ...folderFlags,
          platform: text("Kind of machine [default: this one]", "OS/ARCH"),
          quiet: yes("Only the digest"),
        },
        aliases: { ...folderAliases, q: "quiet" },
        positional: { kind: "array", minimum: 1, parameter: reference },
      },
      docs: {
        brief: "Pull images from a registry",
        fullDescription:
          "  sauropod images pull alpine:3.20\n  sauropod images pull --platform linux/arm64 ghcr.io/owner/name",
      },
    }),
    push: buildCommand<FolderOptions, [string, string?], Context>({
      loader: async () => (await loaded()).push,
      parameters: {
        ...plain,
        positional: {
          kind: "tuple",
          parameters: [image, { ...word("Where to push it [default: its name]", "REFERENCE"), optional: true }],
        },
      },
      docs: {
        brief: "Push an image to a registry",
        fullDescription:
          "  sauropod images push ghcr.io/owner/app:1\n  sauropod images push app:1 registry.lan:5000/app:1",
      },
    }),
    import: buildCommand<ChangeFlags, [string, string], Context>({
      loader: async () => (await loaded()).importImage,
      parameters: {
        flags: changeFlags,
        aliases: changeAliases,
        positional: {
          kind: "tuple",
          parameters: [word("Folder or archive of files or of an image; - is standard input", "SOURCE"), name],
        },
      },
      docs: {
        brief: "Make an image of a folder or archive",
        fullDescription: "  tar c -C rootfs . | sauropod images import --cmd '[\"/bin/app\"]' - app:1",
      },
    }),
    load: buildCommand<FolderOptions & { input?: string }, [], Context>({
      loader: async () => (await loaded()).load,
      parameters: {
        flags: {
          containers: folderFlags.containers,
          images: folderFlags.images,
          input: text("Archive [default: standard input]", "FILE"),
        },
        aliases: { c: "containers", i: "input" },
      },
      docs: {
        brief: "Load the images of an archive that docker, podman, skopeo or this made",
        fullDescription: "  sauropod images load -i app.tar\n  docker save app:1 | sauropod images load",
      },
    }),
    save: buildCommand<SaveFlags, [string, ...string[]], Context>({
      loader: async () => (await loaded()).save,
      parameters: {
        flags: {
          ...folderFlags,
          output: text("Archive [default: standard output]", "FILE"),
          format: {
            kind: "parsed",
            optional: true,
            brief: "Kind of archive: oci or docker [default: docker]",
            placeholder: "FORMAT",
            parse: formats,
          },
        },
        aliases: { ...folderAliases, o: "output" },
        positional: several,
      },
      docs: {
        brief: "Save images as an archive that docker, podman and skopeo read",
        fullDescription: "  sauropod images save -o app.tar app:1\n  sauropod images save app:1 | docker load",
      },
    }),
    inspect: buildCommand<FolderOptions, [string, ...string[]], Context>({
      loader: async () => (await loaded()).inspect,
      parameters: { ...plain, positional: several },
      docs: { brief: "Print what images consist of, as JSON", fullDescription: "  sauropod images inspect app:1" },
    }),
    history: buildCommand<ListFlags, [string], Context>({
      loader: async () => (await loaded()).history,
      parameters: { ...list, positional: { kind: "tuple", parameters: [image] } },
      docs: { brief: "Print how an image was made", fullDescription: "  sauropod images history app:1" },
    }),
    tag: buildCommand<FolderOptions, [string, string], Context>({
      loader: async () => (await loaded()).tag,
      parameters: { ...plain, positional: { kind: "tuple", parameters: [image, name] } },
      docs: {
        brief: "Give an image another name too",
        fullDescription: "  sauropod images tag app:1 ghcr.io/owner/app:1",
      },
    }),
    rm: buildCommand<FolderOptions & { force?: boolean }, [string, ...string[]], Context>({
      loader: async () => (await loaded()).rm,
      parameters: {
        flags: { ...folderFlags, force: yes("Also if containers are made of it") },
        aliases: { ...folderAliases, f: "force" },
        positional: several,
      },
      docs: { brief: "Remove images", fullDescription: "  sauropod images rm app:1" },
    }),
    prune: buildCommand<ListFlags & { all?: boolean }, [], Context>({
      loader: async () => (await loaded()).prune,
      parameters: {
        flags: { ...list.flags, all: yes("Also images that no container is made of") },
        aliases: { ...list.aliases, a: "all" },
      },
      docs: {
        brief: "Take away what no image and no container needs",
        fullDescription: "  sauropod images prune\n  sauropod images prune --all",
      },
    }),
    verify: buildCommand<ListFlags, [], Context>({
      loader: async () => (await loaded()).verify,
      parameters: list,
      docs: {
        brief: "Read everything again and say what is damaged; ends with 1 if something is",
        fullDescription: "  sauropod images verify",
      },
    }),
  },
  defaultCommand: "ls",
  docs: {
    brief: "List, pull, push, make and remove images",
    fullDescription: [
      "Registries without TLS, and mirrors that are asked first, are named in ~/.config/sauropod/registries.json, in",
      "/etc/sauropod/registries.json, or in the file that $SAUROPOD_REGISTRIES names:",
      "",
      '  { "insecure": ["registry.lan:5000"], "mirrors": { "docker.io": ["mirror.lan:5000", "cache.example/hub"] } }',
      "",
      "Credentials are those of docker, podman and skopeo: ~/.docker/config.json, $REGISTRY_AUTH_FILE and helpers.",
      "Authorities of your own, for registries with TLS: /etc/docker/certs.d/HOST/ca.crt, or $SSL_CERT_FILE.",
    ].join("\n"),
  },
});

/** `sauropod commit`. */
export const commit: Command<Context> = buildCommand<ChangeFlags, [string, string], Context>({
  loader: async () => (await loaded()).commit,
  parameters: {
    flags: changeFlags,
    aliases: changeAliases,
    positional: { kind: "tuple", parameters: [word("Name, id or beginning of an id", "CONTAINER"), name] },
  },
  docs: {
    brief: "Make an image of a container and its changes",
    fullDescription: "  sauropod commit web web:2\n  sauropod commit --cmd '[\"/bin/app\"]' web app:1",
  },
});
