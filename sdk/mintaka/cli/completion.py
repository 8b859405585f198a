"""`mintaka completion`: a script that teaches the shell our commands, options, runs and flows.

The script is a few lines that ask `mintaka __complete` at each TAB (`mintaka.cli.completing`), so it never gets old.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

EPILOG = """
Examples:
  source <(mintaka completion bash)                                            in ~/.bashrc
  source <(mintaka completion zsh)                                             in ~/.zshrc, after compinit
  mintaka completion fish > ~/.config/fish/completions/mintaka.fish            once
"""


class Shell(StrEnum):
    """Shells that are taught."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


_SCRIPTS = {
    # Readline takes what is offered as it is: outside of quotes, what the shell would read otherwise is escaped here.
    Shell.BASH: r"""_mintaka() {
  local line word
  COMPREPLY=()
  while IFS= read -r line; do
    word=${line%%$'\t'*}
    case ${COMP_WORDS[COMP_CWORD]} in \'* | \"* | \~*) ;; *) printf -v word %q "$word" ;; esac
    COMPREPLY+=("$word")
  done < <(mintaka __complete bash "${COMP_LINE:0:COMP_POINT}" 2>/dev/null)
  if [ "${#COMPREPLY[@]}" = 1 ] && [[ "${COMPREPLY[0]}" == */ ]]; then compopt -o nospace; fi
}
complete -F _mintaka mintaka kubectl-mintaka
""",
    # LBUFFER would be all of the line: `words` is this command alone, also after `&&`, an assignment or sudo.
    Shell.ZSH: r"""#compdef mintaka kubectl-mintaka
_mintaka() {
  local -a offers folders verbatim
  local line word told
  if [[ $PREFIX == \~* ]]; then verbatim=(-Q); fi
  while IFS= read -r line; do
    word=${${line%%$'\t'*}//:/\\:} told=${line#*$'\t'}
    if [[ $word == */ ]]; then folders+=("$word"); else offers+=("$word${told:+:$told}"); fi
  done < <(mintaka __complete zsh "${(j: :)words[1,CURRENT-1]} $QIPREFIX$PREFIX" 2>/dev/null)
  _describe mintaka offers $verbatim -- folders $verbatim -S ''
}
compdef _mintaka mintaka kubectl-mintaka
""",
    Shell.FISH: r"""for program in mintaka kubectl-mintaka
  complete -c $program -f -a '(mintaka __complete fish (commandline -cp) 2>/dev/null)'
end
""",
}


def command(shell: Annotated[Shell, typer.Argument(help="bash, zsh or fish.")]) -> None:
    """Print a completion script: `source <(mintaka completion bash)`."""
    sys.stdout.write(script(shell))


def script(shell: Shell) -> str:
    """The script for a shell."""
    return _SCRIPTS[shell]
