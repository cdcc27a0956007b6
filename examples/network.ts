// Two containers that find each other by name, on an internal network, and a published port.
import { createNetwork, removeNetwork, run } from "../mod.ts";

await createNetwork("example", { internal: true });
try {
  const answer = "while true; do echo hello from $(hostname) | nc -l -p 80; done";
  await using web = await run("alpine", ["sh", "-c", answer], { name: "web", network: "example", publish: ["80"] });
  await using client = await run("alpine", ["sh", "-c", "sleep 1; nc web 80"], { network: "example", stdout: "piped" });
  const stdout = await new Response(client.stdout).text();
  console.log(`by name: ${stdout}through port ${web.ports[0]?.hostPort} of this machine the same`);
} finally {
  await removeNetwork("example");
}
