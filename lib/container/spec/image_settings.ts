/**
 * What an image says that its containers are to be, under what the user says.
 *
 * @module
 */

import type { ContainerOptions } from "../options.ts";
import { InputError } from "../../errors.ts";
import type { ImageSettings } from "../../oci.ts";

/** The variables of an image. Entries without a name, as tools of Windows leave them, are left out: runc refuses them. */
export function variables(env: readonly string[] = []): Record<string, string> {
  const entries = env.map((entry): [string, string] => {
    const at = entry.indexOf("=");
    return at < 0 ? [entry, ""] : [entry.slice(0, at), entry.slice(at + 1)];
  });
  return Object.fromEntries(entries.filter(([name]) => name !== ""));
}

/** A path as an image may have it: relative to the root, with `..` at its top. */
export function absolute(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return "/" + parts.join("/");
}

/**
 * The command and options of a container, completed from its image: entry point, command, environment, working
 * directory, user, exposed ports, the signal to stop it, and labels.
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
    throw new InputError("there is no command to run, and the image names none", {
      code: "no-command",
      hint: "name one after the image: /bin/sh",
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
