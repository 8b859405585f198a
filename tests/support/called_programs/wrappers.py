"""Programs and builtins that run the command among their arguments: where that command begins."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from called_programs.values import known

if TYPE_CHECKING:
    from called_programs.values import Values

_ASSIGNMENT = re.compile(r"\w+=")


@dataclass(frozen=True)
class Wrapper:
    """How a program that runs another is called."""

    #: Options that are followed by a value of their own.
    valued: tuple[str, ...] = ()
    #: How many arguments come before the command, options not counted.
    operands: int = 0
    #: Whether NAME=VALUE may come before the command.
    assignments: bool = False


WRAPPERS = {
    "chrt": Wrapper(operands=1),
    "doas": Wrapper(valued=("-u", "-C")),
    "env": Wrapper(valued=("-u", "--unset", "-C", "--chdir", "-S", "--split-string"), assignments=True),
    "flock": Wrapper(valued=("-w", "--wait", "--timeout", "-E", "--conflict-exit-code"), operands=1),
    "ionice": Wrapper(valued=("-c", "-n", "-t", "--class", "--classdata")),
    "nice": Wrapper(valued=("-n", "--adjustment")),
    "nohup": Wrapper(),
    "nsenter": Wrapper(valued=("-t", "--target", "-S", "-G")),
    "prlimit": Wrapper(),
    "runuser": Wrapper(valued=("-u", "--user", "-g", "--group")),
    "setarch": Wrapper(operands=1),
    "setpriv": Wrapper(valued=("--reuid", "--regid", "--groups")),
    "setsid": Wrapper(),
    "stdbuf": Wrapper(valued=("-i", "-o", "-e")),
    "strace": Wrapper(valued=("-e", "-o", "-p", "-s")),
    "sudo": Wrapper(valued=("-u", "--user", "-g", "--group", "-h", "-p", "-C", "-D"), assignments=True),
    "systemd-run": Wrapper(valued=("-p", "--property", "--unit", "-E", "--slice")),
    "taskset": Wrapper(operands=1),
    "time": Wrapper(valued=("-f", "-o")),
    "timeout": Wrapper(valued=("-k", "--kill-after", "-s", "--signal"), operands=1),
    "unshare": Wrapper(valued=("--propagation", "--setgroups", "-S", "-G", "-R", "-w", "--map-users", "--map-groups")),
    "watch": Wrapper(valued=("-n", "--interval")),
    "xargs": Wrapper(valued=("-a", "-d", "-E", "-I", "-L", "-n", "-P", "-s", "--arg-file", "--delimiter", "--max-args", "--max-procs")),
}
#: Their `-c STRING` is a script; without it, so is what comes in on standard input.
SHELLS = ("ash", "bash", "dash", "ksh", "sh", "zsh")
#: What is run in another system is no program of this machine's.
ELSEWHERE = ("chroot", "ssh")


def wrapped_commands(program: str, arguments: list[Values]) -> list[list[Values]]:
    """Return the commands, each with its arguments, that `program` runs when it is called with these."""
    words = [known(alternatives[0]) for alternatives in arguments]
    if program == "find":
        starts = [number + 1 for number, word in enumerate(words) if word in ("-exec", "-execdir", "-ok", "-okdir")]
        return [arguments[start : _end_of_exec(words, start)] for start in starts]
    if program == "ip" and words[:2] == ["netns", "exec"]:
        return [arguments[3:]]
    if program not in WRAPPERS:
        return []
    start = _start_of_command(WRAPPERS[program], words)
    return [arguments[start:]] if start < len(arguments) else []


def wrapped_scripts(program: str, arguments: list[Values]) -> list[Values]:
    """Return the strings that `program` has a shell run: `-c STRING` of a shell, `su`, `flock`, `script`; `env -S STRING`."""
    flag = {
        "env": r"-S|--split-string",
        "script": r"-[a-z]*c|--command",
        "su": r"-c|--command",
        "runuser": r"-c|--command",
        "flock": r"-c|--command",
    }
    pattern = flag.get(program, r"-[a-z]*c" if program in SHELLS else None)
    if pattern is None:
        return []
    return [
        arguments[number + 1] for number, alternatives in enumerate(arguments[:-1]) if re.fullmatch(pattern, known(alternatives[0]) or "")
    ][:1]


def _end_of_exec(words: list[str | None], start: int) -> int:
    return next((number for number in range(start, len(words)) if words[number] in (";", "+")), len(words))


def _start_of_command(wrapper: Wrapper, words: list[str | None]) -> int:
    number, operands = 0, wrapper.operands
    while number < len(words):
        word = words[number]
        if word == "--":
            return number + 1 + operands
        if word in wrapper.valued:
            number += 2
        elif word is not None and (word.startswith("-") or (wrapper.assignments and _ASSIGNMENT.match(word))):
            number += 1
        elif operands:
            operands, number = operands - 1, number + 1
        else:
            return number
    return number
