/**
 * `sauropod login` and `logout`, and their flags.
 *
 * @module
 */

import { buildCommand, type Command } from "npm:@stricli/core@1.3.0";
import type { Context } from "./context.ts";
import type { LoginFlags } from "./login.ts";
import { word, yes } from "./parameters.ts";

const loaded = () => import("./login.ts");
const server = {
  kind: "tuple",
  parameters: [{ ...word("HOST[:PORT] [default: docker.io]", "REGISTRY"), optional: true }],
} as const;

/** `sauropod login`. */
export const login: Command<Context> = buildCommand<LoginFlags, [string?], Context>({
  loader: async () => (await loaded()).login,
  parameters: {
    flags: {
      username: { kind: "parsed", optional: true, ...word("User [default: ask]", "NAME") },
      password: { kind: "parsed", optional: true, ...word("Password, which others see in ps(1)", "TEXT") },
      passwordStdin: yes("Read the password from standard input"),
    },
    aliases: { u: "username", p: "password" },
    positional: server,
  },
  docs: {
    brief: "Give credentials for a registry",
    fullDescription: [
      "Tries them and keeps them where docker and podman look for them too: in $REGISTRY_AUTH_FILE,",
      "~/.docker/config.json, or the credential helper that is named there.",
      "",
      "  sauropod login -u alice ghcr.io",
      "  sauropod login -u alice --password-stdin ghcr.io <token",
    ].join("\n"),
  },
});

/** `sauropod logout`. */
export const logout: Command<Context> = buildCommand<object, [string?], Context>({
  loader: async () => (await loaded()).logout,
  parameters: { flags: {}, positional: server },
  docs: { brief: "Forget the credentials for a registry", fullDescription: "  sauropod logout ghcr.io" },
});
