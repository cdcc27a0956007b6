// A detached container that runs further commands and is forked: sudo deno run -A examples/life.ts

import { changes, exec, fork, remove, runDetached, stop } from "../mod.ts";

const id = await runDetached("host", ["sleep", "1000"], { network: "none", keep: true });
try {
  await (await exec(id, ["sh", "-c", "mkdir /experiment && echo made once >/experiment/file"])).status;

  // The same files for two experiments at once; neither sees the other, nor does the original.
  const experiments = ["a", "b"].map(async (name) => {
    await using box = await fork(id, ["sh", "-c", `echo ${name} >>/experiment/file; cat /experiment/file`], {
      stdout: "piped",
    });
    return new TextDecoder().decode(await new Blob(await Array.fromAsync(box.stdout)).bytes());
  });
  console.log(await Promise.all(experiments));

  await stop(id, { timeout: 0 });
  for (const { kind, path } of await changes(id)) console.log(kind, path);
} finally {
  await remove(id, { force: true });
}
