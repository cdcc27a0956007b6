/**
 * Variables of the environment, and a home, for the time of a test.
 *
 * @module
 */

/** Runs `use` with variables of the environment, and a folder; both are gone afterwards. */
export async function withEnvironment(variables: Record<string, string>, use: (home: string) => void | Promise<void>) {
  const names = ["HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "PATH"];
  const all = [...names, "SAUROPOD_REGISTRIES"];
  const before = all.map((name) => [name, Deno.env.get(name)] as const);
  const home = Deno.makeTempDirSync({ prefix: "sauropod-home-" });
  try {
    for (const name of all) if (name !== "PATH") Deno.env.delete(name);
    const here = { HOME: home, XDG_RUNTIME_DIR: `${home}/run`, ...variables };
    for (const [name, value] of Object.entries(here)) Deno.env.set(name, value.replace("HOME", home));
    await use(home);
  } finally {
    for (const [name, value] of before) value === undefined ? Deno.env.delete(name) : Deno.env.set(name, value);
    Deno.removeSync(home, { recursive: true });
  }
}
