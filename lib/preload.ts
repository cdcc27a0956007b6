/**
 * Imports all that `lazy.ts` loads when it is needed.
 *
 * @module
 */

import "./image/archive.ts";
import "./image/unpack.ts";
import "./image/decompress.ts";
import "./image/chunks.ts";
import "./image/stored.ts";
import "./image/full.ts";
import "./image/implied.ts";
import "./image/layers.ts";
import "./image/pull.ts";
import "./image/push.ts";
import "./image/exchange/import.ts";
import "./image/exchange/load.ts";
import "./image/exchange/save.ts";
import "./image/build/build.ts";
import "./image/manage.ts";
import "./container/commit.ts";
import "./image/settings.ts";
import "./image/volumes.ts";
import "./image/passwd.ts";
import "./cgroup/host.ts";
import "./cgroup/plan.ts";
import "./cgroup/remove.ts";
import "./cgroup/usage.ts";
import "./container/list.ts";
import "./container/events.ts";
import "./container/ahead.ts";
import "./container/exec.ts";
import "./container/start.ts";
import "./container/stop.ts";
import "./container/rename.ts";
import "./cgroup/freezer.ts";
import "./container/freeze.ts";
import "./container/files.ts";
import "./container/fork.ts";
import "./container/failure.ts";
import "./container/leftovers.ts";
import "./container/names.ts";
import "./container/parse.ts";
import "./container/pump.ts";
import "./container/volumes.ts";
import "./container/pause.ts";
import "./container/stats.ts";
import "./container/top.ts";
import "./container/update.ts";
import "./network/attach.ts";
import "./network/join.ts";
import "./network/manage.ts";
import "./network/describe.ts";
import "./network/install.ts";
import "./network/publication.ts";
import "./environment.ts";
import "./environment_file.ts";
