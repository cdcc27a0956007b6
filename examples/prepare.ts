// Runs each line of standard input in a container of its own; the next one is always prepared:
//     printf 'uname -a\nid\n' | deno run -A examples/prepare.ts
import { prepare } from "../mod.ts";

const make = () => prepare("host", { network: "none", readOnly: true });
const lines = (await new Response(Deno.stdin.readable).text()).split("\n").filter((line) => line !== "");

let next = make();
for (const line of lines) {
  const container = await (await next).run(["sh", "-c", line]);
  next = make();
  await container.status;
}
await (await next)[Symbol.asyncDispose]();
