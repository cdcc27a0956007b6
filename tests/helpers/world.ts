/**
 * A place for tests to make containers in: directories of its own, images, the command line.
 *
 * @module
 */

import { makeBusybox, sharedBusybox } from "./busybox.ts";
import { ALPINE, commandLine, hasAlpine } from "./project.ts";

/** What a command line wrote and how it ended. */
export interface Result {
  /** The exit code. */
  code: number;
  /** Standard output. */
  stdout: string;
  /** Standard error. */
  stderr: string;
}

/** How to run a command line. */
export interface CliOptions {
  /** What to send to standard input. Default: nothing, /dev/null. */
  stdin?: string | Uint8Array<ArrayBuffer>;
  /** Variables to add to the environment. */
  env?: Record<string, string>;
  /** The working directory. Default: the world's folder. */
  cwd?: string;
}

/** A folder with `images/` and `containers/`, removed at the end of the scope. */
export interface World extends AsyncDisposable {
  /** The folder, absolute. */
  readonly home: string;
  /** Options for the library: where images and containers live. */
  readonly folders: { images: string; containers: string };
  /** The directory of the image `busybox`, which may be changed only if it is the world's own. */
  readonly image: string;
  /** Runs `sauropod WORDS…` to its end. */
  cli(words: readonly string[], options?: CliOptions): Promise<Result>;
  /** Starts `sauropod WORDS…` with piped streams; the caller ends it. */
  start(words: readonly string[], options?: CliOptions): Deno.ChildProcess;
}

/** How to make a world. */
export interface WorldOptions {
  /** Makes an image `busybox` that the test may change. Default: false, it is one that all share, read-only. */
  ownImage?: boolean;
}

/** Makes a world with the image `busybox`, and `alpine` where the real one is at hand. */
export function makeWorld({ ownImage = false }: WorldOptions = {}): World {
  const home = Deno.makeTempDirSync({ prefix: "sauropod-test-" });
  const folders = { images: `${home}/images`, containers: `${home}/containers` };
  Deno.mkdirSync(folders.images);
  Deno.mkdirSync(folders.containers);
  const image = ownImage ? `${folders.images}/busybox` : sharedBusybox();
  if (ownImage) {
    Deno.mkdirSync(image);
    makeBusybox(image);
  } else Deno.symlinkSync(image, `${folders.images}/busybox`);
  if (hasAlpine()) Deno.symlinkSync(ALPINE, `${folders.images}/alpine.tar.gz`);

  const command = (words: readonly string[], options: CliOptions): Deno.Command => {
    const [program = "", ...args] = commandLine(words);
    return new Deno.Command(program, {
      args,
      cwd: options.cwd ?? home,
      env: { SAUROPOD_HOME: home, ...options.env },
      stdin: options.stdin === undefined ? "null" : "piped",
      stdout: "piped",
      stderr: "piped",
    });
  };
  return {
    home,
    folders,
    image,
    start: (words, options = {}) => command(words, options).spawn(),
    async cli(words, options = {}): Promise<Result> {
      const child = command(words, options).spawn();
      const { stdin } = options;
      const fed = stdin === undefined ? undefined : (async (): Promise<void> => {
        const writer = child.stdin.getWriter();
        await writer.write(typeof stdin === "string" ? new TextEncoder().encode(stdin) : stdin);
        await writer.close();
      })().catch(() => {});
      const output = await child.output();
      await fed;
      const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
      return { code: output.code, stdout: text(output.stdout), stderr: text(output.stderr) };
    },
    async [Symbol.asyncDispose](): Promise<void> {
      await Deno.remove(home, { recursive: true });
    },
  };
}
