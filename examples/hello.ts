// The machine's own files, copy-on-write: whatever the command does to them is gone with the container.
import { output } from "../mod.ts";

const { stdout, code } = await output("host", ["sh", "-c", "rm -rf /etc && ls -d /etc || echo no /etc here"]);
console.log(new TextDecoder().decode(stdout).trim(), "- exit code", code);
console.log("and the host's is", Deno.statSync("/etc").isDirectory ? "still there" : "gone");
