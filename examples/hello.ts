// The machine's own files, copy-on-write: changes are removed with the container.
import { output } from "../mod.ts";

const { stdout, code } = await output("host", ["sh", "-c", "rm -rf /etc && ls -d /etc || echo no /etc here"]);
console.log(new TextDecoder().decode(stdout).trim(), "- exit status", code);
console.log("and the host's is", Deno.statSync("/etc").isDirectory ? "still there" : "gone");
