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
    Shell.BASH: r"""_mintaka() {
  local IFS=$'\n' line
  COMPREPLY=()
  while IFS= read -r line; do
    COMPREPLY+=("${line%%$'\t'*}")
  done < <(mintaka __complete bash "${COMP_LINE:0:COMP_POINT}" 2>/dev/null)
  if [ "${#COMPREPLY[@]}" = 1 ] && [[ "${COMPREPLY[0]}" == */ ]]; then compopt -o nospace; fi
}
complete -F _mintaka mintaka
""",
    Shell.ZSH: r"""#compdef mintaka
_mintaka() {
  local -a offers
  local line
  while IFS= read -r line; do
    offers+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
  done < <(mintaka __complete zsh "${LBUFFER}" 2>/dev/null)
  _describe 'mintaka' offers
}
compdef _mintaka mintaka
""",
    Shell.FISH: r"""complete -c mintaka -f -a '(mintaka __complete fish (commandline -cp) 2>/dev/null)'
""",
}


def command(shell: Annotated[Shell, typer.Argument(help="bash, zsh or fish.")]) -> None:
    """Print a completion script: `source <(mintaka completion bash)`."""
    sys.stdout.write(script(shell))


def script(shell: Shell) -> str:
    """The script for a shell."""
    return _SCRIPTS[shell]
