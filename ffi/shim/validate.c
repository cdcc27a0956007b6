// Validation of programs and jobs. What is trusted, and why: see validate.h.
#include "validate.h"

#include <limits.h>
#include <stddef.h>

static int holds(uint64_t size, uint64_t offset, uint64_t count, uint64_t each, uint64_t alignment) {
  return offset % alignment == 0 && offset <= size && count <= (size - offset) / each;
}

static int is_register(const struct program *p, uint64_t number) { return number < p->register_count; }

static int is_valid_step(const struct program *p, const struct step *s, uint64_t size) {
  if (s->save != NONE && !is_register(p, s->save)) return 0;
  if (s->when != NONE && !is_register(p, s->when)) return 0;
  if (s->actor > CONTAINER) return 0;
  for (int k = 0; k < MAX_ARGUMENTS; k++) {
    uint64_t value = s->arguments[k];
    switch (s->kinds[k]) {
      case IMMEDIATE: break;
      case POINTER:
        if (value > size) return 0;
        break;
      case REGISTER:
      case REGISTER_POINTER:
        if (!is_register(p, value)) return 0;
        break;
      default: return 0;
    }
  }
  return 1;
}

int is_valid_program(const struct program *p, uint64_t size) {
  if (size < sizeof *p || p->magic != MAGIC) return 0;
  if (!holds(size, p->steps, p->step_count, sizeof(struct step), _Alignof(struct step))) return 0;
  if (!holds(size, p->registers, p->register_count, sizeof(int64_t), _Alignof(int64_t))) return 0;
  if (!holds(size, p->relocations, p->relocation_count, sizeof(uint32_t), _Alignof(uint32_t))) return 0;
  const struct step *steps = (const void *)((const char *)p + p->steps);
  for (uint32_t i = 0; i < p->step_count; i++)
    if (!is_valid_step(p, &steps[i], size)) return 0;
  const uint32_t *relocations = (const void *)((const char *)p + p->relocations);
  for (uint32_t i = 0; i < p->relocation_count; i++)
    if (!holds(size, relocations[i], 1, sizeof(uint64_t), _Alignof(uint64_t))) return 0;
  return 1;
}

static int ends(const char *text, size_t size) { return text[size - 1] == 0; }

int is_valid_job(const struct job *j) {
  return j->magic == JOB_MAGIC && j->restart <= ALWAYS && j->base >= 0 && j->base < INT_MAX - PLACES &&
         ends(j->origin, sizeof j->origin) && ends(j->id, sizeof j->id) && ends(j->attributes, sizeof j->attributes) &&
         ends(j->oom_file, sizeof j->oom_file);
}

struct program *program_of_job(char *file, uint64_t size, uint32_t offset, const struct registers *names) {
  struct program *p = (struct program *)(file + offset);
  if (offset % _Alignof(struct step) || offset > size || !is_valid_program(p, size - offset)) return NULL;
  if (!names) return p;
  if (names->terminal != NONE && !is_register(p, names->terminal)) return NULL;
  return is_register(p, names->pid) && is_register(p, names->pidfd) ? p : NULL;
}
