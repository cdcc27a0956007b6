/**
 * The descriptors that a container's monitor is given.
 *
 * @module
 */

import { programFile, shimFd } from "../../../ffi/program/execute.ts";
import { flags } from "../../../ffi/program/flags.ts";
import { AT_FDCWD, close, openAt } from "../../../ffi/fs/fs.ts";
import { pipe } from "../../../ffi/process/process.ts";
import type { NetworkReservation } from "../../network/reserve.ts";
import { initCommand } from "../../program/process.ts";
import { type LaunchFds, OWN_PIPE, type Stream } from "../../program/launch_fds.ts";
import type { ContainerSpec } from "../../program/spec.ts";
import { hostNetwork } from "../attached/launch.ts";
import type { ContainerOptions } from "../options.ts";
import type { RemoteProgram } from "../attached/report.ts";

/** What a monitor is given. */
export interface MonitorFds {
  /** The container's standard streams. */
  readonly streams: LaunchFds["streams"];
  /** What the monitor is to read of its standard output and error; -1 is nothing. */
  readonly outputs: readonly [number, number];
  /** The end of its standard input to write to. Default: it is closed. */
  readonly input?: number;
  /** The container's folder. */
  readonly folder: number;
  /** The folder of marks. */
  readonly live: number;
  /** The pipe of the first start: our end, and the monitor's. */
  readonly reports: readonly [ours: number, theirs: number];
  /** /dev/null, which stands for that pipe at later starts. */
  readonly silence: number;
  /** The lock on networks that is to be held until the container runs; -1 if there is none. */
  readonly lock: number;
  /** The host's network namespace; -1 if it is not needed. */
  readonly network: number;
  /** What holds the published ports. */
  readonly ports: readonly number[];
  /** With an init: its program. */
  readonly init?: RemoteProgram & { readonly fd: number };
  /** All that the monitor gets. */
  readonly given: readonly number[];
  /** Lets go of one of them, which somebody else closes. */
  readonly release: (fd: number) => void;
  /** Closes one of them, or all. */
  readonly close: (fd?: number) => void;
}

function openFolder(path: string): number {
  return openAt(AT_FDCWD, path, flags("O", "RDONLY", "DIRECTORY"));
}

type Connections = Pick<MonitorFds, "streams" | "outputs" | "input">;

/** Pipes or a terminal for a container that nobody is connected with. `keep` is told of every descriptor. */
function connections({ interactive, tty }: ContainerOptions, keep: (fd: number) => number): Connections {
  if (tty) return { streams: ["terminal", "terminal", "terminal"], outputs: [-1, -1] };
  const owned = (fd: number): Stream => ({ fd, mode: OWN_PIPE });
  const makePipe = (): number[] => pipe().map(keep);
  const [out = -1, outOfIt = -1] = makePipe(), [err = -1, errOfIt = -1] = makePipe();
  const outputs = [out, err] as const;
  if (!interactive) {
    const nothing = keep(openAt(AT_FDCWD, "/dev/null", flags("O", "RDONLY")));
    return { streams: [{ fd: nothing }, owned(outOfIt), owned(errOfIt)], outputs };
  }
  const [stdin = -1, input = -1] = makePipe();
  return { streams: [owned(stdin), owned(outOfIt), owned(errOfIt)], outputs, input };
}

/**
 * Opens what the monitor of `spec` needs; `reservation` is that of its networks. The monitor keeps the container's
 * standard input open, unless that is `ownInput`, this process's.
 */
export function openMonitorFds(
  spec: ContainerSpec,
  options: ContainerOptions,
  containers: string,
  reservation: NetworkReservation | undefined,
  ownInput: boolean,
): MonitorFds {
  const opened: number[] = [];
  const keep = (fd: number): number => {
    opened.push(fd);
    return fd;
  };
  const release = (fd: number): void => void opened.splice(opened.indexOf(fd), 1);
  const closeOne = (fd: number): void => {
    release(fd);
    close(fd);
  };
  const closeAll = (): void => opened.splice(0).forEach(close);
  try {
    const connected = connections(options, keep);
    const folder = keep(openFolder(spec.rootfs.folder)), live = keep(openFolder(`${containers}/.live`));
    const silence = keep(openAt(AT_FDCWD, "/dev/null", flags("O", "WRONLY")));
    const reports = pipe();
    const [ours, theirs] = reports;
    keep(theirs);
    const network = hostNetwork(spec);
    const wiring = { streams: connected.streams, shim: -1, hostNetwork: -1, lastProgram: -1, report: -1 };
    const program = spec.process.init ? initCommand(spec.process, wiring) : undefined;
    const init = program && { program, ...programFile(program) };
    if (init) keep(init.fd);
    const lock = reservation?.lock ?? -1, ports = reservation?.publication.descriptors ?? [];
    const given = [
      ...opened.filter((fd) => !ownInput || fd !== connected.input),
      ...ports,
      ...(lock < 0 ? [] : [lock]),
      ...(network < 0 ? [] : [network]),
      ...(init ? [shimFd] : []),
    ];
    keep(ours);
    const outfit = {
      ...connected,
      folder,
      live,
      silence,
      reports,
      lock,
      network,
      ports,
      ...(init ? { init } : {}),
      given,
    };
    return { ...outfit, release, close: (fd) => fd === undefined ? closeAll() : closeOne(fd) };
  } catch (error) {
    closeAll();
    throw error;
  }
}
