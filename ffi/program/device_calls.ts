/**
 * System calls on control groups' devices, netlink sockets and terminals as data.
 *
 * @module
 */

import { describeMessages, encodeMessages, type Message } from "../netlink/messages.ts";
import { allOf, constant, flags, UAPI } from "./flags.ts";
import { type Argument, type Bytes, type Call, call, type Descriptor, little, type Register } from "./model.ts";

/** Loads the instructions of `deviceFilter`; the result is a descriptor: `BPF_PROG_LOAD` of bpf(2). */
export function loadDeviceFilter(instructions: Uint8Array): Call {
  const count = instructions.length / 8;
  const program = { bytes: instructions, text: `[${count} instructions]` };
  // union bpf_attr: prog_type and insn_cnt, insns, license, …, expected_attach_type in the upper half of the last word.
  const type = BigInt(UAPI.BPF_PROG_TYPE_CGROUP_DEVICE) + (BigInt(count) << 32n);
  const words: Argument[] = [type, program, "", 0, 0, 0, 0, 0, BigInt(UAPI.BPF_CGROUP_DEVICE) << 32n];
  const text = `{prog_type=BPF_PROG_TYPE_CGROUP_DEVICE, insns=${program.text}}`;
  return call("bpf", constant("BPF_PROG_LOAD"), { words, text }, words.length * 8);
}

/** Attaches a loaded device filter to an open v2 group for the lifetime of the group: `BPF_PROG_ATTACH` of bpf(2). */
export function attachDeviceFilter(group: Register, filter: Register): Call {
  const how = BigInt(UAPI.BPF_CGROUP_DEVICE) + (BigInt(UAPI.BPF_F_ALLOW_MULTI) << 32n);
  const words: Argument[] = [{ ...group, high: filter.register }, how];
  const text = `{target_fd=${group.register}, attach_bpf_fd=${filter.register}, ` +
    "attach_type=BPF_CGROUP_DEVICE, attach_flags=BPF_F_ALLOW_MULTI}";
  return call("bpf", constant("BPF_PROG_ATTACH"), { words, text }, words.length * 8);
}

// Network

/** Returns a call of socket(2) for {@linkcode netlink}. */
function netlinkSocket(protocol: "NETLINK_ROUTE" | "NETLINK_NETFILTER"): Call {
  const type = allOf(constant("SOCK_RAW"), constant("SOCK_CLOEXEC"));
  return call("socket", constant("AF_NETLINK"), type, constant(protocol));
}

/** Opens a socket for rtnetlink(7). */
export const routeSocket: Call = netlinkSocket("NETLINK_ROUTE");

/** Opens a socket for nf_tables (nft(8)). */
export const filterSocket: Call = netlinkSocket("NETLINK_NETFILTER");

/** Sets an option of a netlink(7) socket: setsockopt(2). */
export function setNetlinkOption(socket: Descriptor, option: "NETLINK_CAP_ACK" | "NETLINK_EXT_ACK"): Call {
  const yes = { bytes: little(4, [[0, 1]]), text: "[1]" };
  return call("setsockopt", socket, constant("SOL_NETLINK"), constant(option), yes, 4);
}

// Shared by all requests: only the answer to the failed one is read.
const answer: Bytes = { bytes: new Uint8Array(512), text: "answer" };

/** Sends messages and waits for their acknowledgements: sendto(2), recvfrom(2). */
export function netlink(socket: Descriptor, messages: readonly Message[]): Call {
  const bytes = encodeMessages(messages);
  const text = `{${describeMessages(messages)}}`;
  return { call: "netlink", args: [socket, { bytes, text }, bytes.length, answer, answer.bytes.length] };
}

// Terminals

/** Unlocks the slave of a pseudo-terminal: `TIOCSPTLCK` of ioctl_tty(2). */
export function unlockTerminal(master: Descriptor): Call {
  return call("ioctl", master, constant("TIOCSPTLCK"), { bytes: new Uint8Array(4), text: "[0]" });
}

/** Opens the slave of a pseudo-terminal without a path: `TIOCGPTPEER` of ioctl_tty(2). */
export function openTerminalPeer(master: Descriptor): Call {
  return call("ioctl", master, constant("TIOCGPTPEER"), flags("O", "RDWR", "NOCTTY", "CLOEXEC"));
}

/** Sets the size of a terminal: `TIOCSWINSZ` of ioctl_tty(2). */
export function setWindowSize(terminal: Descriptor, columns: number, rows: number): Call {
  const bytes = little(8, [[0, rows | (columns << 16)]]);
  return call("ioctl", terminal, constant("TIOCSWINSZ"), { bytes, text: `{${rows} rows, ${columns} columns}` });
}

/** Makes `terminal` the controlling terminal of this session: `TIOCSCTTY` of ioctl_tty(2). */
export function controlTerminal(terminal: Descriptor): Call {
  return call("ioctl", terminal, constant("TIOCSCTTY"), 0);
}
