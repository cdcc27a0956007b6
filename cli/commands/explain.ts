/**
 * `sauropod explain`: the system calls that `run` would make.
 *
 * @module
 */

import { planLaunch } from "../../lib/container/attached/launch.ts";
import type { ContainerOptions } from "../../lib/container/options.ts";
import { completeFromImage, hostnameOf, prepare } from "../../lib/container/spec/spec.ts";
import { newId } from "../../lib/container/state/ownership.ts";
import { explain as explainProgram, formatProgram } from "../../lib/program/explain.ts";
import { findFolders } from "../../lib/host/folders.ts";
import { InputError } from "../../lib/errors.ts";
import { FORK, resolveImage } from "../../lib/image/resolve.ts";
import { lazy } from "../../lib/lazy.ts";
import { selectNetwork } from "../../lib/network/selection.ts";
import type { ContainerSpec } from "../../lib/program/spec.ts";
import { type ContainerFlags, containerOptions } from "../args/container_flags.ts";
import { printJson, printOut } from "../output/output.ts";

/** Plans the container's interfaces on bridged networks, and what is set up for them on the host. */
async function planNetwork(
  id: string,
  options: ContainerOptions,
  containers: string,
): Promise<{ change: Partial<ContainerSpec>; host: string[] }> {
  const request = selectNetwork(options);
  if (request.mode !== "bridge") return { change: {}, host: [] };
  const { planNetworks, describeNetwork, describePorts } = await lazy.networkDescribe();
  const { memberships } = request;
  const plan = planNetworks({
    id,
    name: options.name,
    hostname: hostnameOf(id, options),
    containers,
    memberships,
    options,
  });
  const { publish = [], publishAll, expose = [] } = options;
  const [first] = plan.network.mode === "own" ? plan.network.interfaces : [];
  const ports = (first?.addresses ?? []).flatMap(({ address }) =>
    describePorts(id, publish, publishAll ? expose : [], address)
  );
  return {
    change: { network: plan.network, files: plan.files },
    host: [...plan.bridges.flatMap(describeNetwork), ...plan.guards, ...ports],
  };
}

/** Prints the program. Returns the exit status. */
export async function explain(flags: ContainerFlags, image: string, asked: readonly string[]): Promise<number> {
  const folders = findFolders(flags);
  const id = newId();
  const wishes = { ...await containerOptions(flags, folders), keep: !flags.rm };
  if (image.startsWith(FORK)) {
    throw new InputError("cannot explain a fork: its layers are known only once it exists", {
      code: "explain-unsupported",
      hint: "name the container's image",
    });
  }
  const found = await resolveImage(image, folders.images, { ...wishes, pull: wishes.pull ?? "never" });
  found.release?.();
  const { command, options } = await completeFromImage(found, asked, wishes);
  const apart = await prepare(id, found, command, options, `${folders.containers}/${id}`);
  const { change, host } = await planNetwork(id, options, folders.containers);
  const spec = { ...apart, ...change };
  const { program, last } = planLaunch(spec, flags.tty ?? Deno.stdin.isTerminal());
  if (flags.json) {
    printJson({
      id,
      ...(host.length ? { host } : {}),
      steps: explainProgram(program, flags),
      command: explainProgram(last, flags),
    });
    return 0;
  }
  if (host.length) printOut(`On the host, unless it is set up already:\n\n${host.join("\n")}\n\nThen:\n\n`);
  printOut(formatProgram(program, flags));
  const runner = options.init ? "Init runs this in its child" : "The shim, which is that process now, runs this";
  printOut(`\n${runner}:\n\n${formatProgram(last, flags)}`);
  return 0;
}
