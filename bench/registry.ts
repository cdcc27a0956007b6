/**
 * Debian's docker-registry for the benches.
 *
 * @module
 */

import { outside, type Room } from "./room.ts";

/** A registry on a loopback, or on several. */
export interface BenchRegistry {
  /** `127.0.0.1:PORT`. */
  readonly address: string;
  /** Serves the same images on the loopback of a room, as long as the room is there. */
  serveAlso(room: Room): Promise<void>;
  /** Ends it. */
  close(): Promise<void>;
}

const PORT = 5000, TRIES = 200;

function start(room: Room, config: string): Deno.ChildProcess {
  const [program = "", ...args] = room.inside("docker-registry", "serve", config);
  return new Deno.Command(program, { args, stdin: "null", stdout: "null", stderr: "null" }).spawn();
}

/** Whether something listens on the port in the network namespace of a process. */
function listens(pid: number): boolean {
  const port = PORT.toString(16).toUpperCase().padStart(4, "0");
  return new RegExp(`0100007F:${port} 00000000:0000 0A`).test(Deno.readTextFileSync(`/proc/${pid}/net/tcp`));
}

/** Serves images that are kept in `folder`. */
export async function serveRegistry(folder: string): Promise<BenchRegistry> {
  const address = `127.0.0.1:${PORT}`, config = `${folder}/config.yml`;
  await Deno.mkdir(folder, { recursive: true });
  // JSON is YAML.
  await Deno.writeTextFile(
    config,
    JSON.stringify({
      version: 0.1,
      log: { level: "error", accesslog: { disabled: true } },
      storage: { filesystem: { rootdirectory: `${folder}/data` } },
      http: { addr: address },
    }),
  );
  const children: Deno.ChildProcess[] = [];
  const serve = async (room: Room): Promise<void> => {
    children.push(start(room, config));
    for (let tries = 0; !listens(room.pid); tries++) {
      if (tries === TRIES) throw new Error(`docker-registry does not listen on ${address}`);
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  };
  const close = async (): Promise<void> => {
    for (const child of children) {
      child.kill("SIGTERM");
      await child.status;
    }
  };
  await serve(outside);
  return { address, serveAlso: serve, close };
}
