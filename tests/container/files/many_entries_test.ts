import assert from "node:assert/strict";
import { host, text } from "../../helpers/inside.ts";
import { commandLine } from "../../helpers/project.ts";

// A command without work takes some 80 MiB; what grows is the names in one folder, and what folders are to be at the end.
const ENTRIES = 100_000, MOST_MB = 240;

const MEASURE = `
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
sys.exit(code)`;

const MAKE = `
import os, sys
for i in range(${ENTRIES / 2}): open(f"flat/file-{i:07d}", "w").close()
for i in range(${ENTRIES / 4}):
    os.mkdir(f"tree/{i:07d}")
    open(f"tree/{i:07d}/f", "w").close()`;

Deno.test(`${ENTRIES} entries are imported, unpacked, copied, exported and committed in less than ${MOST_MB} MiB`, async (t) => {
  const home = await Deno.makeTempDir({ prefix: "sauropod-test-" });
  // In memory: this measures no disk.
  await host("mount", "-t", "tmpfs", "-o", "size=1g,nr_inodes=1000000", "entries", home);
  try {
    for (const name of ["images", "containers", "many", "many/flat", "many/tree"]) Deno.mkdirSync(`${home}/${name}`);
    await host("sh", "-c", `cd ${home}/many && python3 -c '${MAKE}'`);
    const step = (...words: string[]) =>
      t.step(words.slice(0, 2).join(" "), async () => {
        const { success, stdout, stderr } = await new Deno.Command("python3", {
          args: ["-c", MEASURE, ...commandLine(words)],
          cwd: home,
          env: { SAUROPOD_HOME: home },
        }).output();
        assert(success, text(stderr));
        const used = Number(text(stdout));
        assert(used > 20 && used < MOST_MB, `${words.join(" ")}: ${used} MiB`);
      });
    await step("images", "import", `${home}/many`, "many:1");
    await step("create", "--name", "box", "--network", "none", "many:1", "/none");
    await step("cp", "many", "box:/copied");
    await step("export", "-o", "/dev/null", "box");
    await step("commit", "box", "committed:1");
  } finally {
    await host("umount", home);
    await Deno.remove(home);
  }
});
