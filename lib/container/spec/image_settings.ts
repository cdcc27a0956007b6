/**
 * Image config as defaults of container options: Entrypoint, Cmd, Env, User, Labels.
 *
 * @module
 */

import type { ContainerOptions } from "../options.ts";
import { InputError } from "../../errors.ts";
import type { ImageSettings } from "../../oci.ts";

/** Returns the environment variables of an image, without entries that have no name (Windows tools leave such). */
export function variables(env: readonly string[] = []): Record<string, string> {
  const entries = env.map((entry): [string, string] => {
    const at = entry.indexOf("=");
    return at < 0 ? [entry, ""] : [entry.slice(0, at), entry.slice(at + 1)];
  });
  return Object.fromEntries(entries.filter(([name]) => name !== ""));
}

/** Returns a path of an image config as an absolute one: relative paths begin at the root, and `..` ends there. */
export function absolute(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return "/" + parts.join("/");
}

/**
 * Completes command and options from the image config: entry point, command, environment, working directory, user,
 * exposed ports, stop signal and labels.
 *
 * @throws {InputError} `no-command` if neither the user nor the image names a command.
 */
export function applySettings<T extends ContainerOptions>(
  command: readonly string[],
  options: T,
  settings: ImageSettings = {},
): { command: readonly string[]; options: T } {
  const { entrypoint } = options;
  const given = typeof entrypoint === "string" ? (entrypoint === "" ? [] : [entrypoint]) : entrypoint;
  const first = given ?? settings.Entrypoint ?? [];
  const rest = command.length > 0 || given ? command : settings.Cmd ?? [];
  const words = [...first, ...rest];
  if (words.length === 0) {
    throw new InputError("command required: the image has none", {
      code: "no-command",
      hint: "add one after the image, such as /bin/sh",
    });
  }
  const cwd = options.cwd ?? (settings.WorkingDir ? absolute(settings.WorkingDir) : undefined);
  const user = options.user ?? settings.User;
  const stopSignal = options.stopSignal ?? settings.StopSignal;
  const exposed = Object.keys(settings.ExposedPorts ?? {});
  return {
    command: words,
    options: {
      ...options,
      env: { ...variables(settings.Env), ...options.env },
      ...(cwd === undefined ? {} : { cwd }),
      ...(user === undefined ? {} : { user }),
      ...(stopSignal === undefined ? {} : { stopSignal }),
      ...(settings.Labels ? { labels: { ...settings.Labels, ...options.labels } } : {}),
      ...(exposed.length ? { expose: [...exposed, ...options.expose ?? []] } : {}),
    },
  };
}
