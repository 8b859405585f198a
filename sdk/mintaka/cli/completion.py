"""`mintaka completion`: a script that teaches the shell our commands."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from mintaka.cli import COMMANDS


class Shell(StrEnum):
    """Shells that are taught."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def command(shell: Annotated[Shell, typer.Argument(help="bash, zsh or fish.")]) -> None:
    """Print a completion script: `source <(mintaka completion bash)`."""
    sys.stdout.write(script(shell))


def script(shell: Shell) -> str:
    """The script; the first word is one of our commands, the others are files."""
    words = " ".join(COMMANDS)
    if shell == Shell.FISH:
        lines = [
            f"complete -c mintaka -n __fish_use_subcommand -f -a {name} -d '{command.summary.replace("'", '')}'"
            for name, command in COMMANDS.items()
        ]
        return "\n".join([*lines, ""])
    if shell == Shell.ZSH:
        return f"_mintaka() {{ if (( CURRENT == 2 )); then compadd {words}; else _files; fi }}\ncompdef _mintaka mintaka\n"
    return (
        "_mintaka() {\n"
        '  if [ "$COMP_CWORD" = 1 ]; then\n'
        f'    COMPREPLY=($(compgen -W "{words}" -- "${{COMP_WORDS[1]}}"))\n'
        "  else\n"
        '    COMPREPLY=($(compgen -f -- "${COMP_WORDS[COMP_CWORD]}"))\n'
        "  fi\n"
        "}\n"
        "complete -o filenames -F _mintaka mintaka\n"
    )
