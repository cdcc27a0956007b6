/**
 * `sauropod login` and `logout`.
 *
 * @module
 */

import { type Command, command, type Word } from "../args/command.ts";
import { word, yes } from "../args/flag_schema.ts";
import type { LoginFlags } from "../commands/login.ts";

const loadActions = () => import("../commands/login.ts");
const REGISTRY: Word = { name: "REGISTRY", brief: "HOST[:PORT] [default: docker.io]", optional: true };

/** `sauropod login`. */
export const login: Command = command<LoginFlags>({
  brief: "Log in to a registry",
  description: [
    "Tries the credentials and stores them where docker and podman look, too: $REGISTRY_AUTH_FILE,",
    "~/.docker/config.json, or the credential helper that is named there.",
    "",
    "  sauropod login -u alice ghcr.io",
    "  sauropod login -u alice --password-stdin ghcr.io <token",
  ].join("\n"),
  flags: {
    username: word("NAME", "Username [default: ask]"),
    password: word("TEXT", "Password; others see it in ps(1)"),
    passwordStdin: yes("Read the password from standard input"),
  },
  short: { u: "username", p: "password" },
  words: [REGISTRY],
  load: async () => (await loadActions()).login,
});

/** `sauropod logout`. */
export const logout: Command = command<Record<never, never>>({
  brief: "Log out of a registry",
  description: "  sauropod logout ghcr.io",
  flags: {},
  words: [REGISTRY],
  load: async () => (await loadActions()).logout,
});
