/**
 * `sauropod completions`: shell scripts that ask `sauropod __complete WORDS…` for candidates: a word, a tab and a
 * description on each line, and `:files` if paths fit, too.
 *
 * @module
 */

import { UsageError } from "../args/flag_schema.ts";
import { printOut } from "../output/output.ts";

const SCRIPTS = {
  bash: `# Completion of sauropod for bash.
_sauropod() {
  local line=\${COMP_LINE:0:COMP_POINT} words=() files= blank word typed done i
  local -a found
  # Bash takes words apart at : and =, and replaces only what is behind the last.
  for ((i = 0; i <= COMP_CWORD; i++)); do
    blank=\${line%%[^[:blank:]]*} line=\${line#"\${line%%[^[:blank:]]*}"} word=\${COMP_WORDS[i]}
    ((i < COMP_CWORD)) || word=$line
    line=\${line#"$word"}
    if ((i == 0)) || [[ -n $blank ]]; then words+=("$word"); else words[-1]+=$word; fi
  done
  typed=\${words[-1]} done=\${typed%"\${typed##*["$COMP_WORDBREAKS"]}"}
  while IFS=$'\\t' read -r word _; do
    if [[ $word == :files ]]; then files=yes; continue; fi
    [[ $word != *[:=] ]] || compopt -o nospace 2>/dev/null
    found+=("\${word#"$done"}")
  done < <(sauropod __complete "\${words[@]:1}" 2>/dev/null)
  if [[ $files ]] && ((\${#found[@]})); then mapfile -t -O "\${#found[@]}" found < <(compgen -f -- "\${typed#"$done"}")
  elif [[ $files ]]; then compopt -o default 2>/dev/null; fi
  # Bash inserts words as they are, and a name may hold what it would execute.
  for word in "\${found[@]}"; do COMPREPLY+=("$(printf %q "$word")"); done
}
complete -F _sauropod sauropod
`,
  zsh: `#compdef sauropod
# Completion of sauropod for zsh.
_sauropod() {
  local -a found open
  local line word files
  for line in "\${(@f)$(sauropod __complete "\${words[@]:1:$((CURRENT - 1))}" 2>/dev/null)}"; do
    word=\${line%%$'\\t'*} word=\${word//\\\\/\\\\\\\\}
    if [[ $line == :files ]]; then files=yes
    elif [[ $word == *[:=] ]]; then open+=("\${word//:/\\\\:}:\${line#*$'\\t'}")
    elif [[ -n $word ]]; then found+=("\${word//:/\\\\:}:\${line#*$'\\t'}"); fi
  done
  (( \${#found} )) && _describe sauropod found
  (( \${#open} )) && _describe sauropod open -S ''
  [[ -z $files ]] || { [[ $PREFIX == -*=* ]] && compset -P '*='; _files; }
}
if [ "$funcstack[1]" = _sauropod ]; then _sauropod "$@"; else compdef _sauropod sauropod; fi
`,
  fish: `# Completion of sauropod for fish.
function __sauropod
  set -l typed (commandline -ct)
  for line in (sauropod __complete (commandline -opc)[2..-1] "$typed" 2>/dev/null)
    if test "$line" != :files
      echo $line
      continue
    end
    set -l flag (string match -r -- '^-[^=]*=' "$typed")
    for path in (__fish_complete_path (string replace -- "$flag" '' "$typed"))
      echo "$flag$path"
    end
  end
end
complete -c sauropod -f -a '(__sauropod)'
`,
} as const;

/** Prints the script for `shell`. */
export function completions(_flags: object, shell: string): void {
  const [, script] = Object.entries(SCRIPTS).find(([name]) => name === shell) ?? [];
  if (script === undefined) {
    const cause = new Error("expected bash, zsh or fish");
    throw new UsageError("completions", { kind: "bad-word", value: shell }, cause);
  }
  printOut(script);
}
