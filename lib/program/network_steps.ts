/**
 * Network steps: namespace, interfaces, and the files for name resolution.
 *
 * @module
 */

import * as call from "../../ffi/program/calls.ts";
import { flags } from "../../ffi/program/flags.ts";
import type { Message } from "../../ffi/netlink/netlink.ts";
import { callerStep, type Program, register, type Step, step } from "../../ffi/program/model.ts";
import { newRateLimit, newVeth, settleLink, setUp } from "../../ffi/netlink/rtnetlink.ts";
import { newAddress } from "../../ffi/netlink/addresses.ts";
import { newDefaultRoute } from "../../ffi/netlink/routes.ts";
import { formatAddress, formatCidr } from "../text/address.ts";
import type { ContainerSpec, FileSpec, InterfaceSpec } from "./spec.ts";
import { mountOnTop } from "./mount_point.ts";
import { type LaunchFds, REGISTERS } from "./launch_fds.ts";

const LOOPBACK = 1;

const OURS = "netlink", HOSTS = "host-netlink";

/** Returns the steps that open the network namespace to join, or a socket in the host's. */
export function openNetwork({ network }: ContainerSpec): Program {
  if (network.mode === "join") {
    const open = call.open(network.namespace, flags("O", "RDONLY"));
    return [callerStep("open the network namespace to join", open, { save: "network" })];
  }
  return network.mode === "own" && network.interfaces.length > 0
    ? [callerStep("open a socket to ask for the host's interfaces", call.routeSocket, { save: HOSTS })]
    : [];
}

/** Enters the network namespace that the container is to join. */
export function joinNetwork({ network }: ContainerSpec): Program {
  if (network.mode !== "join") return [];
  return [step("enter the network namespace", call.setns(register("network"), "NEWNET"))];
}

/** Hands the container's network namespace to the caller, which outlives it: addresses stay when it starts again. */
export function keepNetwork({ network }: ContainerSpec, { networkPlace }: LaunchFds): Program {
  if (networkPlace === undefined || network.mode !== "own" || network.interfaces.length === 0) return [];
  const own = register("own-network"), kept = register("kept-network");
  return [
    step("open its network namespace", call.open("/proc/self/ns/net", flags("O", "RDONLY")), { save: own.register }),
    callerStep("fetch the network namespace", call.pidfdGetfd(register(REGISTERS.pidfd), own), { save: kept.register }),
    callerStep("keep it for restarts", call.dup(kept, networkPlace)),
    step("close the network namespace", call.close(own)),
  ];
}

function setting(path: string, value: string, label: string): Program {
  const file = `file:${path}`;
  return [
    step(label, call.open(path, flags("O", "WRONLY")), { save: file, ignore: ["ENOENT"] }),
    step(label, call.write(register(file), value), { when: file }),
  ];
}

/** Settings that must hold before the container has interfaces. */
export function prepareNetwork({ network }: ContainerSpec): Program {
  if (network.mode !== "own") return [];
  const ipv4 = "/proc/sys/net/ipv4";
  const everyone = [
    ...setting(`${ipv4}/ping_group_range`, "0 2147483647", "let every group ping"),
    ...setting(`${ipv4}/ip_unprivileged_port_start`, "0", "let every user listen on ports below 1024"),
  ];
  if (network.interfaces.length === 0) return everyone;
  const six = network.interfaces.some(({ addresses }) => addresses.some(({ address }) => address.length === 16));
  const conf = "/proc/sys/net/ipv6/conf/default";
  return [
    ...everyone,
    ...(six
      ? setting(`${conf}/accept_ra`, "0", "believe no IPv6 router that announces itself")
      : setting(`${conf}/disable_ipv6`, "1", "no IPv6 on the interfaces to come")),
  ];
}

function ask(message: Message, socket = OURS): Step {
  return step(message.text ?? "configure the network", call.netlink(register(socket), [message]));
}

function connect(spec: InterfaceSpec, wiring: LaunchFds): Message[] {
  const { name, index, addresses, rate } = spec;
  return [
    newVeth({ ...spec, master: spec.bridge, hostNamespace: wiring.hostNetwork }),
    ...addresses.map(({ address, prefix }) =>
      newAddress(index, address, prefix, `${name} ${formatCidr({ address, prefix })}`)
    ),
    setUp(index, name),
    ...addresses.flatMap(({ gateway }) => gateway ? [newDefaultRoute(index, gateway, formatAddress(gateway))] : []),
    ...(rate === undefined ? [] : [newRateLimit(index, rate, name)]),
  ];
}

/** Sets the container's interfaces up. */
export function connectNetwork({ network }: ContainerSpec, wiring: LaunchFds): Program {
  if (network.mode !== "own") return [];
  const socket = register(OURS);
  return [
    step("open a socket to configure the network", call.routeSocket, { save: OURS }),
    step("request extended error messages", call.setNetlinkOption(socket, "NETLINK_EXT_ACK")),
    step("request short error replies", call.setNetlinkOption(socket, "NETLINK_CAP_ACK")),
    ask(setUp(LOOPBACK, "lo")),
    ...network.interfaces.flatMap((one) => connect(one, wiring)).map((message) => ask(message)),
    // Otherwise the first packets could be lost, and it takes a second until they are sent again.
    ...network.interfaces.flatMap(({ host, bridgeName }) => [host, bridgeName]).map((name) =>
      ask(settleLink(name), HOSTS)
    ),
  ];
}

const PLACE = "/dev", HIDDEN = `${PLACE}/.file`;

/** Opens the files of the host's that are to be the container's own. */
export function openFiles({ files }: ContainerSpec): Program {
  return files.flatMap(({ path, source }) =>
    source === undefined ? [] : [step(`open ${source} for ${path}`, call.openTree(source), { save: `file:${path}` })]
  );
}

/** Returns the steps that mount a file over the image's; a symbolic link there is replaced first. */
function putFile(path: string, mount: Step): Program {
  const link = `link:${path}`;
  const memory = { bytes: new Uint8Array(8), text: "target" };
  return [
    step(`check whether ${path} is a symbolic link`, call.readlink(path, memory), {
      save: link,
      ignore: ["ENOENT", "EINVAL"],
    }),
    step("replace it with a file", call.unlink(path), { when: link }),
    step(`make ${path}`, call.createFile(path, 0o644), { ignore: ["EEXIST"] }),
    mount,
  ];
}

function makeFile({ path, text, source }: FileSpec): Program {
  const file = `file:${path}`, label = `mount it on ${path}`;
  if (source !== undefined) return putFile(path, step(label, call.attach(register(file), path)));
  return [
    step(`write ${path}`, call.open(HIDDEN, flags("O", "WRONLY", "CREAT", "EXCL"), 0o644), { save: file }),
    step(`write ${path}`, call.write(register(file), text)),
    ...putFile(path, step(label, call.mount(HIDDEN, path, null, flags("MS", "BIND")))),
    step("detach the temporary file", call.unlink(HIDDEN)),
  ];
}

/**
 * Returns the steps that create the container's own files in a tmpfs that is reachable only through their mounts. They
 * precede the user's mounts, which they therefore cannot reach.
 */
export function makeFiles({ files }: ContainerSpec): Program {
  if (files.length === 0) return [];
  return [
    ...mountOnTop("tmpfs", PLACE, flags("MS", "NOSUID", "NODEV", "NOEXEC"), "mode=755,size=1m"),
    step("make /etc", call.openTarget("/etc", "directory"), { ignore: ["EROFS"] }),
    ...files.flatMap(makeFile),
    step(`unmount ${PLACE}`, call.umount(PLACE, flags("MNT", "DETACH"))),
  ];
}
