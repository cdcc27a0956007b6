/**
 * Descriptors and terminal size for the launch of a program, beside its specification.
 *
 * @module
 */

/**
 * One of the command's standard streams: a descriptor of the caller, or the container's own terminal. A pipe can get a
 * mode with which the command's user opens it by name.
 */
export type Stream = { readonly fd: number; readonly mode?: number } | "terminal";

/** Mode of a pipe between only the caller and the container. */
export const OWN_PIPE = 0o666;

/** The size of a terminal in characters. */
export interface TerminalSize {
  /** Characters in a row. */
  readonly columns: number;
  /** Rows. */
  readonly rows: number;
}

/** Descriptors of the caller that a program uses. */
export interface LaunchFds {
  /** Standard input, output and error. */
  readonly streams: readonly [Stream, Stream, Stream];
  /** The size of the container's terminal, if a stream is one. Default: the kernel's, 0 by 0. */
  readonly terminalSize?: TerminalSize;
  /** The shim's sealed memfd. */
  readonly shim: number;
  /** A descriptor of the caller's network namespace, for a container with interfaces. */
  readonly hostNetwork: number;
  /**
   * The sealed memfd that holds the command's program, or, for a container that is made ahead, the pipe through which
   * it will come; -1 for a monitor, which needs none without an init.
   */
  readonly lastProgram: number;
  /** The write end of the pipe that reports how the command's program failed; unused without that. */
  readonly report: number;
  /** The descriptor that is to hold the container's network namespace, for one that can be started again. */
  readonly networkPlace?: number;
}

/** Register names that the launcher reads after a run. */
export const REGISTERS = { pidfd: "pidfd", pid: "pid", terminal: "terminal" } as const;
