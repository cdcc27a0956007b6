// Untrusted code with a memory limit, a process limit, no network, a read-only root and a deadline.
import { run } from "../mod.ts";

const code = Deno.args.join(" ") || 'while true; do echo "spending time"; sleep 0.3; done';
await using box = await run("host", ["sh", "-c", code], {
  network: "none",
  stdout: "piped",
  stderr: "inherit",
  readOnly: true,
  tmpfs: ["/tmp:size=16m"],
  user: "65534:65534",
  limits: { memory: 64 * 1024 * 1024, pids: 32 },
  signal: AbortSignal.timeout(1000),
});
for await (const chunk of box.stdout) Deno.stdout.writeSync(chunk);
const { code: exit, oomKilled } = await box.status;
console.log(`ended with ${exit}${oomKilled ? ", out of memory" : ""}`);
