/**
 * Descriptors that the monitor of a detached container inherits.
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

/** Descriptors of a monitor. */
export interface MonitorFds {
  /** The container's standard streams. */
  readonly streams: LaunchFds["streams"];
  /** Read ends of its standard output and error; -1 for none. */
  readonly outputs: readonly [number, number];
  /** The write end of its standard input. Default: closed. */
  readonly input?: number;
  /** The container's directory. */
  readonly folder: number;
  /** The directory of ownership marks. */
  readonly live: number;
  /** The report pipe of the first start: the end of this process, and the monitor's. */
  readonly reports: readonly [ownEnd: number, monitorEnd: number];
  /** /dev/null, in place of that pipe at later starts. */
  readonly devNull: number;
  /** The lock of networks, held until the container runs; -1 for none. */
  readonly lock: number;
  /** The host's network namespace; -1 if not needed. */
  readonly network: number;
  /** Sockets that hold the published ports. */
  readonly ports: readonly number[];
  /** The program of the init process, with --init. */
  readonly init?: RemoteProgram & { readonly fd: number };
  /** All descriptors that the monitor inherits. */
  readonly inherited: readonly number[];
  /** Releases one of them, which the caller closes. */
  readonly release: (fd: number) => void;
  /** Closes one of them, or all. */
  readonly close: (fd?: number) => void;
}

function openFolder(path: string): number {
  return openAt(AT_FDCWD, path, flags("O", "RDONLY", "DIRECTORY"));
}

type Connections = Pick<MonitorFds, "streams" | "outputs" | "input">;

/** Opens pipes or a terminal for a detached container. Passes every descriptor to `keep`. */
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
 * Opens the descriptors that the monitor of `spec` needs; `reservation` is that of its networks. With `ownInput`, this process
 * keeps the write end of the container's standard input, and otherwise the monitor.
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
    const devNull = keep(openAt(AT_FDCWD, "/dev/null", flags("O", "WRONLY")));
    const reports = pipe();
    const [ownEnd, monitorEnd] = reports;
    keep(monitorEnd);
    const network = hostNetwork(spec);
    const launchFds = { streams: connected.streams, shim: -1, hostNetwork: -1, lastProgram: -1, report: -1 };
    const program = spec.process.init ? initCommand(spec.process, launchFds) : undefined;
    const init = program && { program, ...programFile(program) };
    if (init) keep(init.fd);
    const lock = reservation?.lock ?? -1, ports = reservation?.publication.descriptors ?? [];
    const inherited = [
      ...opened.filter((fd) => !ownInput || fd !== connected.input),
      ...ports,
      ...(lock < 0 ? [] : [lock]),
      ...(network < 0 ? [] : [network]),
      ...(init ? [shimFd] : []),
    ];
    keep(ownEnd);
    const fds = {
      ...connected,
      folder,
      live,
      devNull,
      reports,
      lock,
      network,
      ports,
      ...(init ? { init } : {}),
      inherited,
    };
    return { ...fds, release, close: (fd) => fd === undefined ? closeAll() : closeOne(fd) };
  } catch (error) {
    closeAll();
    throw error;
  }
}
