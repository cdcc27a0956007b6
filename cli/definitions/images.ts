/**
 * The commands of `sauropod images`, and `sauropod commit`.
 *
 * @module
 */

import type { FolderOptions } from "../../lib/host/folders.ts";
import { type Command, command, type CommandGroup, type Word } from "../args/command.ts";
import type { BuildFlags } from "../commands/build.ts";
import type { ChangeFlags, ListFlags, PullFlags, SaveFlags } from "../commands/images.ts";
import { many, word, yes } from "../args/flag_schema.ts";
import { FLAGS } from "../args/container_flags.ts";
import { CONTAINER, folderFlags, json, oneOf } from "../args/shared_flags.ts";

const IMAGE: Word = { name: "IMAGE", brief: "Name, such as alpine:3.20, or a prefix of its digest" };
const IMAGES: Word = { ...IMAGE, repeated: true };
const NAME: Word = { name: "NAME", brief: "Name of the new image" };

const loadActions = () => import("../commands/images.ts");
const platform = word("OS/ARCH", "Platform [default: this machine's]");

const build = command<BuildFlags>({
  brief: "Build an image from a Dockerfile",
  description: [
    "  sauropod images build -t app:1 .",
    "  sauropod images build -t app:1 -f docker/Dockerfile --build-arg VERSION=1 --target release .",
    "  sauropod images build -q --network none .",
    "",
    "FROM, RUN, COPY, ADD (files and archives), ENV, ARG, LABEL, WORKDIR, USER, CMD, ENTRYPOINT, EXPOSE, VOLUME,",
    "STOPSIGNAL and SHELL mean what they mean to docker, and so does .dockerignore. ONBUILD, HEALTHCHECK,",
    "RUN --mount and ADD of a URL are refused. Everything is checked before anything is made.",
    "",
    "Steps are cached until images prune removes their layers. If a RUN fails, its exit status is the build's.",
    "$SOURCE_DATE_EPOCH limits every time stamp in the image.",
  ].join("\n"),
  flags: {
    ...folderFlags,
    tag: many("NAME", "Name of the image; without one only the cache is filled"),
    file: word("FILE", "Dockerfile, or - for standard input [default: CONTEXT/Dockerfile]"),
    buildArg: many("NAME=VALUE", "Value of an ARG; NAME alone takes yours"),
    target: word("STAGE", "Stage to build [default: the last]"),
    noCache: yes("Do not use the cache"),
    pull: FLAGS.pull,
    platform,
    network: word("NAME", "Network of RUN: a bridge, none or host [default: sauropod0]"),
    memory: { ...FLAGS.memory, brief: "Memory limit of a RUN" },
    cpus: { ...FLAGS.cpus, brief: "CPU limit of a RUN" },
    quiet: yes("Print the digest only"),
    json,
  },
  short: { t: "tag", f: "file", q: "quiet", m: "memory" },
  words: [{ name: "CONTEXT", brief: "Directory of the files that COPY takes" }],
  load: async () => (await import("../commands/build.ts")).build,
});

const ls = command<ListFlags & { quiet?: boolean }>({
  brief: "List images",
  description: "  sauropod images\n  sauropod images ls --json",
  flags: { ...folderFlags, json, quiet: yes("Print digests only") },
  short: { q: "quiet" },
  load: async () => (await loadActions()).ls,
});

const pull = command<PullFlags>({
  brief: "Pull images from a registry",
  description: "  sauropod images pull alpine:3.20\n  sauropod images pull --platform linux/arm64 ghcr.io/owner/name",
  flags: { ...folderFlags, platform, quiet: yes("Print the digest only") },
  short: { q: "quiet" },
  words: [{ name: "IMAGE", brief: "Such as alpine:3.20 or ghcr.io/owner/name@sha256:…", repeated: true }],
  load: async () => (await loadActions()).pull,
});

const push = command<FolderOptions>({
  brief: "Push an image to a registry",
  description: "  sauropod images push ghcr.io/owner/app:1\n  sauropod images push app:1 registry.lan:5000/app:1",
  flags: folderFlags,
  words: [IMAGE, { name: "REFERENCE", brief: "Where to push it [default: its name]", optional: true }],
  load: async () => (await loadActions()).push,
});

const CHANGE_FLAGS = {
  ...folderFlags,
  entrypoint: word("WORDS", "Entry point: a JSON list, or a line for the shell"),
  cmd: word("WORDS", "Command, likewise"),
  env: many("NAME=VALUE", "Environment variable"),
  workdir: word("DIR", "Working directory"),
  user: word("USER[:GROUP]", "User"),
  message: word("TEXT", "Comment for the history"),
  author: word("TEXT", "Author"),
} as const;
const CHANGE_LETTERS = { m: "message", a: "author", e: "env", w: "workdir", u: "user" } as const;

const importImage = command<ChangeFlags>({
  brief: "Make an image from a directory or archive",
  description: "  tar c -C rootfs . | sauropod images import --cmd '[\"/bin/app\"]' - app:1",
  flags: CHANGE_FLAGS,
  short: CHANGE_LETTERS,
  words: [{ name: "SOURCE", brief: "Directory or archive of files or of an image; - is standard input" }, NAME],
  load: async () => (await loadActions()).importImage,
});

const load = command<FolderOptions & { input?: string }>({
  brief: "Load images from an archive of docker, podman or skopeo",
  description: "  sauropod images load -i app.tar\n  docker save app:1 | sauropod images load",
  flags: { ...folderFlags, input: word("FILE", "Archive to read [default: standard input]") },
  short: { i: "input" },
  load: async () => (await loadActions()).load,
});

const save = command<SaveFlags>({
  brief: "Save images as an archive for docker, podman or skopeo",
  description: "  sauropod images save -o app.tar app:1\n  sauropod images save app:1 | docker load",
  flags: {
    ...folderFlags,
    output: word("FILE", "Archive to write [default: standard output]"),
    format: oneOf("FORMAT", "oci or docker [default: docker]", ["oci", "docker"]),
  },
  short: { o: "output" },
  words: [IMAGES],
  load: async () => (await loadActions()).save,
});

const inspect = command<FolderOptions>({
  brief: "Print images as JSON",
  description: "  sauropod images inspect app:1",
  flags: folderFlags,
  words: [IMAGES],
  load: async () => (await loadActions()).inspect,
});

const history = command<ListFlags>({
  brief: "Print how an image was made",
  description: "  sauropod images history app:1",
  flags: { ...folderFlags, json },
  words: [IMAGE],
  load: async () => (await loadActions()).history,
});

const tag = command<FolderOptions>({
  brief: "Give an image one more name",
  description: "  sauropod images tag app:1 ghcr.io/owner/app:1",
  flags: folderFlags,
  words: [IMAGE, NAME],
  load: async () => (await loadActions()).tag,
});

const rm = command<FolderOptions & { force?: boolean }>({
  brief: "Remove images",
  description: "  sauropod images rm app:1",
  flags: { ...folderFlags, force: yes("Remove it even if containers use it") },
  short: { f: "force" },
  words: [IMAGES],
  load: async () => (await loadActions()).rm,
});

const prune = command<ListFlags & { all?: boolean }>({
  brief: "Remove what no image and no container needs",
  description: "  sauropod images prune\n  sauropod images prune --all",
  flags: { ...folderFlags, json, all: yes("Remove unused images, too") },
  short: { a: "all" },
  load: async () => (await loadActions()).prune,
});

const verify = command<ListFlags>({
  brief: "Check every stored file; ends with 1 if one is damaged",
  description: "  sauropod images verify",
  flags: { ...folderFlags, json },
  load: async () => (await loadActions()).verify,
});

/** `sauropod images`. */
export const images: CommandGroup = {
  brief: "List, pull, push, make and remove images",
  description: [
    "Registries without TLS, and mirrors that are asked first, are named in ~/.config/sauropod/registries.json, in",
    "/etc/sauropod/registries.json, or in the file that $SAUROPOD_REGISTRIES names:",
    "",
    '  { "insecure": ["registry.lan:5000"], "mirrors": { "docker.io": ["mirror.lan:5000", "cache.example/hub"] } }',
    "",
    "Credentials are those of docker, podman and skopeo: ~/.docker/config.json, $REGISTRY_AUTH_FILE and helpers.",
    "Certificate authorities for registries with TLS: /etc/docker/certs.d/HOST/ca.crt, or $SSL_CERT_FILE.",
  ].join("\n"),
  commands: { ls, build, pull, push, import: importImage, load, save, inspect, history, tag, rm, prune, verify },
  fallback: ls,
};

/** `sauropod commit`. */
export const commit: Command = command<ChangeFlags>({
  brief: "Make an image from a container",
  description: "  sauropod commit web web:2\n  sauropod commit --cmd '[\"/bin/app\"]' web app:1",
  flags: CHANGE_FLAGS,
  short: CHANGE_LETTERS,
  words: [CONTAINER, NAME],
  load: async () => (await loadActions()).commit,
});
