/**
 * A container as tutorials make it: unshare, mount and chroot, all by path, with all privileges. It is the control of
 * every attack.
 *
 * @module
 */

import { type Engine, type Live, quote, quoted } from "./engines.ts";
import { type Evidence, exists, type Order, runHost, type Scene } from "./scene.ts";

const GATEWAY = "10.99.0.1";
/** Asks who a user is only when the root is the container's. */
const LOOK_UP = "import os, pwd, sys; os.chroot(sys.argv[1]); pwd.getpwall()";
/** Where the library knows filters, none is wanted. */
const UNTAR =
  "import tarfile, sys; trusting = {'filter': 'fully_trusted'} if hasattr(tarfile, 'data_filter') else {}; " +
  "tarfile.open(sys.argv[1]).extractall(sys.argv[2], **trusting)";
/** The name of the network namespace in which it is on a bridge. */
const NAMESPACE = `naive-${Deno.pid}`;

/** Unpacks the image by path, and takes what its configuration says as it is. */
async function unpack(scene: Scene, order: Order): Promise<Order> {
  const { image } = order;
  if (!image) return order;
  if (order.layers) {
    for (const [i, layer] of order.layers.entries()) {
      await Deno.writeFile(`${scene.room}/layer${i}.tar`, layer);
      await runHost([
        "python3",
        "-c",
        UNTAR,
        `${scene.room}/layer${i}.tar`,
        scene.rootfs,
      ]);
    }
  }
  const env: Record<string, string> = {};
  for (const entry of image.Env ?? []) {
    const [name = "", value] = entry.split(/=(.*)/s);
    const callers = order.callersEnv ?? {};
    for (const one of name === "*" ? Object.keys(callers) : [name]) env[one] = value ?? callers[one] ?? "";
  }
  const log = image.Labels?.["containerd.io/restart.loguri"]?.replace("binary://", "");
  if (log) await runHost([log]);
  for (const volume of Object.keys(image.Volumes ?? {})) {
    // What the image has there is copied to the new volume.
    await runHost([
      "sh",
      "-c",
      `mkdir -p "$1/.vol"; cp -r "$2/." "$1/.vol/"`,
      "sh",
      scene.rootfs,
      `${scene.rootfs}${volume}`,
    ]);
  }
  return {
    ...order,
    env: { ...env, ...order.env },
    user: image.User ?? order.user,
    cwd: image.WorkingDir ?? order.cwd,
  };
}

function volume(source: string, target: string, readOnly?: boolean): string {
  const at = `"$R"${quote(target)}`;
  return `if [ -d ${quote(source)} ]; then mkdir -p ${at}; else mkdir -p "$(dirname ${at})"; touch ${at}; fi
    mount --bind ${quote(source)} ${at}${readOnly ? `; mount -o remount,bind,ro ${at}` : ""}`;
}

/** The hierarchies of the host, or one of its own where that can be made. */
const CGROUPS = `mount -t cgroup -o none,name=sauropod-naive naive "$R/sys/fs/cgroup" ||
      mount --bind /sys/fs/cgroup/unified "$R/sys/fs/cgroup" || mount --bind /sys/fs/cgroup "$R/sys/fs/cgroup"`;

/** Lets the kernel give up hierarchies that were not quite empty when they were last unmounted. */
async function forget(): Promise<void> {
  for (const [, name = ""] of (await Deno.readTextFile("/proc/self/cgroup")).matchAll(/name=(sauropod-\w+):/g)) {
    const script = `d=$(mktemp -d); mount -t cgroup -o none,name="$0" x "$d" && umount "$d"; rmdir "$d"`;
    await runHost(["unshare", "--mount", "sh", "-c", script, name]);
  }
}

function setUp(order: Order): string {
  const { terminal, cgroups, sysctl = {} } = order;
  const volumes = order.volumes?.map((one) => ({ ...one, late: /^\/(proc|sys|dev)(\/|$)/.test(one.target) })) ?? [];
  const mount = (late: boolean): string =>
    volumes.filter((one) => one.late === late).map((one) => volume(one.source, one.target, one.readOnly)).join("\n");
  return `
    ${mount(false)}
    mkdir -p "$R/proc" "$R/sys" "$R/dev"
    mount -t proc proc "$R/proc"; mount -t sysfs sysfs "$R/sys"
    ${cgroups ? CGROUPS : ""}
    mknod -m 666 "$R/dev/null" c 1 3; mknod -m 666 "$R/dev/zero" c 1 5
    rm -f "$R/dev/ptmx"; ln -s pts/ptmx "$R/dev/ptmx"; ln -sf /proc/self/fd "$R/dev/fd"
    ${terminal ? `touch "$R/dev/console"; mount --bind /dev/zero "$R/dev/console"` : ""}
    echo 127.0.0.1 localhost >"$R/etc/hosts"; cat /etc/resolv.conf >"$R/etc/resolv.conf"
    echo '{}' >"$R/.krun_config.json"
    ${mount(true)}
    for f in kcore keys timer_list; do mount --bind "$R/dev/null" "$R/proc/$f"; done
    ${
    Object.entries(sysctl).map(([name, value]) => `echo ${value} >"$R/proc/sys/${name.replaceAll(".", "/")}"`).join(
      "\n",
    )
  }
    ${order.cwd ? `mkdir -p "$R"${quote(order.cwd)}` : ""}`;
}

/** A link to the host on which the host believes everything. */
async function wire(): Promise<void> {
  await runHost([
    "sh",
    "-c",
    `ip netns add ${NAMESPACE}; ip link add naive0 type veth peer name eth0 netns ${NAMESPACE}
    ip addr add ${GATEWAY}/24 dev naive0; ip -n ${NAMESPACE} addr add 10.99.0.2/24 dev eth0; ip -n ${NAMESPACE} link set eth0 up
    cd /proc/sys/net; echo 1 >ipv4/conf/naive0/route_localnet; echo 0 >ipv4/conf/naive0/rp_filter
    echo 0 >ipv6/conf/naive0/disable_ipv6; echo 2 >ipv6/conf/naive0/accept_ra; ip link set naive0 up; sleep 0.2`,
  ]);
}

function command(scene: Scene, order: Order): string[] {
  const { user = "0", cwd, args, network } = order;
  const env = Object.entries({ PATH: "/bin:/sbin:/usr/bin", ...order.env }).map(([name, value]) => `${name}=${value}`);
  const there = cwd ? `/bin/busybox sh -c 'cd "$0" 2>/dev/null; exec "$@"' ${quote(cwd)} ` : "";
  const script = `R=${quote(scene.rootfs)}
    { ${setUp(order)}
    user=${quote(user.replace(/:.*/, ""))}; uid=$(awk -F: -v u="$user" '$1 == u { print $3; exit }' "$R/etc/passwd")
    case "$user" in *[!0-9]*) ;; *) [ -n "$uid" ] || uid=$((user & 0xffffffff)) ;; esac
    chown "\${uid:-0}" "$R/dev/null"
    } 2>/dev/null
    cd "$R" && exec setpriv --inh-caps=+chown env -i ${quoted(env)} \
      ${quote(order.executable ?? naive.executable)} --groups=+4444 --userspec="+\${uid:-0}:+\${uid:-0}" . ${there}${
    quoted(args)
  }`;
  const own = network ? [] : ["--net"];
  const bridged = network === "bridge" || network === "ipv6" ? ["nsenter", `--net=/run/netns/${NAMESPACE}`] : [];
  return [
    ...bridged,
    "unshare",
    "--mount",
    "--pid",
    "--uts",
    "--ipc",
    ...own,
    "--fork",
    "--kill-child",
    "--",
    "bash",
    "-c",
    script,
  ];
}

/** The control. */
export const naive: Engine = {
  name: "naive",
  executable: "/usr/sbin/chroot",
  has: [
    "images",
    "bridge",
    "internal networks",
    "users by name",
    "sysctls",
    "terminals",
    "detached containers",
    "storage",
    "program",
  ],
  async command(scene, order) {
    if (order.network === "bridge" || order.network === "ipv6") await wire();
    return command(scene, await unpack(scene, order));
  },
  async end() {
    await runHost(["ip", "netns", "del", NAMESPACE]);
    await forget();
  },
  async live(scene, asked): Promise<Live> {
    const order = await unpack(scene, asked);
    const [program = "", ...args] = command(scene, order);
    const child = new Deno.Command(program, {
      args,
      cwd: scene.host,
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const control = new Deno.Command(`${scene.rootfs}/attack`, {
      args: ["listen", "naive-control"],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    await new Promise((end) => setTimeout(end, 300));
    const root = scene.rootfs, { volumes = [] } = order;
    const host = (script: string, ...words: string[]): Promise<Evidence> =>
      runHost(["bash", "-c", script, ...words], { cwd: scene.host });
    return {
      // The user is not listened to.
      exec: (words) => {
        const [first = ""] = Deno.readTextFileSync(`/proc/${child.pid}/task/${child.pid}/children`).split(" ");
        return host(`exec setpriv --inh-caps=+chown nsenter -m -p -t "$0" chroot "$@"`, first, root, ...words);
      },
      copyOut: (source, target) => host(`python3 -c ${quote(LOOK_UP)} "$0"; cp -r "$0$1" "$2"`, root, source, target),
      copyIn: async (source, target, archive) => {
        for (const one of volumes) {
          await host(`mkdir -p "$1"; mount --bind "$0" "$1"`, one.source, `${root}${one.target}`);
        }
        return archive
          ? await host(`chroot "$0" /bin/gzip -dc <"$1" | tar -C "$0$2" -xf -`, root, source, target)
          : await host(`cp "$1" "$0$2"`, root, source, target);
      },
      top: () => host(`chroot "$0" /bin/ps`, root),
      look: (path) => Promise.resolve(exists(`${root}${path}`)),
      async [Symbol.asyncDispose]() {
        for (const one of [child, control]) {
          try {
            one.kill("SIGKILL");
          } catch {
            // It has ended.
          }
          await one.status;
        }
        await host(
          `awk -v r="$0" 'index($5, r) == 1 { print $5 }' /proc/self/mountinfo | tac | xargs -r umount -l`,
          scene.room,
        );
      },
    };
  },
  // Understands one stage and one COPY, and resolves it by path.
  build: (scene, context) =>
    runHost(["bash", "-c", `cat "$1"/stage/link/secret; cat "$2"/Dockerfile >/dev/null`, "bash", scene.room, context]),
};
