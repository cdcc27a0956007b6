// The packed command (cli/pack/): executes Deno with the packed file that lies beside it. A shell would take longer.
#include "modes.h"
#include "sys.h"
#include "text.h"

enum { PATH_SIZE = 4096, OWN_VARIABLES = 2, OWN_WORDS = 7, NOT_FOUND = 127 };

// Its value, if a variable has that name.
static const char *if_named(const char *variable, const char *name) {
  while (*name && *variable == *name) variable++, name++;
  return !*name && *variable == '=' ? variable + 1 : NULL;
}

static const char *value_of(char **variables, const char *name) {
  for (; *variables; variables++)
    if (if_named(*variables, name)) return if_named(*variables, name);
  return "";
}

// Writes what the parts make to `room`, with its end; false if it does not fit.
static int join(char *room, const char *a, const char *b, const char *c) {
  struct text text = {room, room + PATH_SIZE - 1};
  put(&text, a);
  put(&text, b);
  put(&text, c);
  *text.at = 0;
  return text.at < text.end;
}

// The path of the packed file, wherever we have been moved to.
static int find_file(char *file) {
  char own[PATH_SIZE];
  long n = SYS4(readlinkat, AT_FDCWD, "/proc/self/exe", own, sizeof own - 1);
  while (n > 0 && own[n - 1] != '/') n--;
  if (n <= 0) return 0;
  own[n] = 0;
  return join(file, own, "sauropod.js", "");
}

static void execute_in(const char *folder, char *room, char **words, char **variables) {
  if (join(room, *folder ? folder : ".", "/deno", "")) SYS3(execve, room, words, variables);
}

_Noreturn void run_launch(int argc, char **argv) {
  char **variables = argv + argc + 1, file[PATH_SIZE], cache[PATH_SIZE], folder[PATH_SIZE], program[PATH_SIZE];
  int count = 0, w = 0, v = 0;
  while (variables[count]) count++;
  char *words[argc + OWN_WORDS], *all[count + OWN_VARIABLES + 1];

  if (!find_file(file)) leave(NOT_FOUND);
  words[w++] = "deno";
  words[w++] = "run";
  words[w++] = "-A";
  words[w++] = "--no-config";
  words[w++] = "--no-lock";
  words[w++] = "--v8-flags=--min-semi-space-size=4,--no-sparkplug,--no-maglev";
  words[w++] = file;
  for (int i = 1; i < argc; i++) words[w++] = argv[i];
  words[w] = NULL;

  // Deno reads more of its cache at every start the more others have put there.
  const char *home = value_of(variables, "HOME"), *caches = value_of(variables, "XDG_CACHE_HOME");
  int given = *value_of(variables, "DENO_DIR") || !*home;
  if (!given && join(folder, *caches ? caches : home, *caches ? "" : "/.cache", "/sauropod") &&
      join(cache, "DENO_DIR=", folder, ""))
    all[v++] = cache;
  for (int i = 0; i < count; i++)
    if ((given || !if_named(variables[i], "DENO_DIR")) && !if_named(variables[i], "DENO_NO_UPDATE_CHECK"))
      all[v++] = variables[i];
  all[v++] = "DENO_NO_UPDATE_CHECK=1";
  all[v] = NULL;

  const char *path = value_of(variables, "PATH");
  if (!*path) path = "/usr/local/bin:/usr/bin:/bin";
  for (const char *end = path;; path = ++end) {
    while (*end && *end != ':') end++;
    long n = end - path;
    if (n < PATH_SIZE) {
      for (long i = 0; i < n; i++) folder[i] = path[i];
      folder[n] = 0;
      execute_in(folder, program, words, all);
    }
    if (!*end) break;
  }
  static const char missing[] = "sauropod: deno is in no folder of PATH\n";
  SYS3(write, 2, missing, sizeof missing - 1);
  leave(NOT_FOUND);
}
