import assert from "node:assert/strict";
import { PROJECT } from "../helpers/project.ts";
import { makeWorld } from "../helpers/world.ts";

const DOCUMENTS = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/design.md"];
// A path below a folder of the project, in code.
const PATH =
  /(?<=[`\s])(?:\.\/)?(?:\.ci|bench|cli|docs|examples|ffi|lib|tests|tools)\/[\w.\/*-]*\w\*?\/?(?=[`\s,;:.)]|$)/g;

Deno.test("README, CONTRIBUTING, SECURITY, docs: every path named in them exists", () => {
  for (const document of DOCUMENTS) {
    const code = Deno.readTextFileSync(`${PROJECT}/${document}`).matchAll(/```[^]*?```|^ {4}.*$|`[^`\n]+`/gm);
    const paths = [...code].flatMap(([text]) => text.match(PATH) ?? []).filter((path) => !path.includes("*"));
    if (document !== "SECURITY.md") assert.ok(paths.length > 1, `${document}: ${paths}`);
    for (const path of paths) assert.ok(exists(path), `${document} names ${path}`);
  }
});

function exists(path: string): boolean {
  try {
    return Deno.statSync(`${PROJECT}/${path}`) !== undefined;
  } catch {
    return false;
  }
}

Deno.test("every command runs from sources with an empty DENO_DIR and no network, and prints nothing else", async () => {
  await using world = makeWorld();
  const run = async (...args: string[]): Promise<string> => {
    const directory = Deno.makeTempDirSync({ dir: world.home });
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", `${PROJECT}/cli.ts`, ...args],
      env: { DENO_DIR: directory, SAUROPOD_HOME: world.home, HTTPS_PROXY: "http://127.0.0.1:9", NO_COLOR: "1" },
      stdin: "null",
    }).output();
    assert.deepEqual([code, new TextDecoder().decode(stderr)], [0, ""], args.join(" "));
    return new TextDecoder().decode(stdout);
  };
  assert.equal(await run("--rm", "--network", "none", "busybox", "echo", "hello"), "hello\n");
  assert.match(await run("run", "-d", "--name", "one", "--network", "none", "busybox", "sleep", "1000"), /^\w{12}\n$/);
  assert.equal(await run("exec", "one", "id", "-u"), "0\n");
  assert.match(await run("ps"), / one\n/);
  assert.equal(await run("rm", "-f", "one"), "one\n");
  assert.match(await run("explain", "busybox", "true"), /mount overlay on \//);
  assert.match(await run("--help"), /^USAGE/);
  assert.match(await run("images", "build", "--help"), /Dockerfile/);
  assert.match(await run("__complete", "im"), /^images\t/m);
  assert.match(await run("completions", "bash"), /complete -F/);
  assert.match(await run("images"), /busybox/);
  assert.match(await run("doctor"), /ok/);
});
