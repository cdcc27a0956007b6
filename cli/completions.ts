/**
 * `sauropod completions`: scripts for shells, which ask `sauropod __complete WORDS…` for what can follow.
 *
 * @module
 */

import type { Context } from "./context.ts";
import { print } from "./text.ts";

const SCRIPTS = {
  bash: `# Completion of sauropod for bash.
_sauropod() {
  local IFS=$'\\n'
  COMPREPLY=($(sauropod __complete "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f1 | grep -F -- "\${COMP_WORDS[COMP_CWORD]}"))
  [ "\${#COMPREPLY[@]}" -gt 0 ] || compopt -o default 2>/dev/null
}
complete -F _sauropod sauropod
`,
  zsh: `#compdef sauropod
# Completion of sauropod for zsh.
_sauropod() {
  local -a found
  local line
  for line in "\${(@f)$(sauropod __complete "\${words[@]:1:$((CURRENT - 1))}" 2>/dev/null)}"; do
    [[ -n $line ]] && found+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
  done
  if (( \${#found} )); then _describe sauropod found; else _files; fi
}
if [ "$funcstack[1]" = _sauropod ]; then _sauropod "$@"; else compdef _sauropod sauropod; fi
`,
  fish: `# Completion of sauropod for fish.
complete -c sauropod -a '(sauropod __complete (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
`,
} as const;

/** Prints the script for `shell`. */
export function completions(this: Context, _flags: Record<never, never>, shell: "bash" | "zsh" | "fish"): void {
  print(SCRIPTS[shell]);
}
