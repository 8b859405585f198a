"""The programs that a script calls are found wherever they hide."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from called_programs.calls import read_script
from called_programs.dockerfiles import commands
from called_programs.makefiles import recipes
from called_programs.python_calls import python_calls
from called_programs.syntax import UnreadableScriptError

if TYPE_CHECKING:
    from pathlib import Path

#: Scripts that call `hidden`, by how.
HIDING = {
    "plainly": "hidden --option",
    "with a variable set for it": "LANG=C hidden",
    "in a pipeline": "echo | hidden | sort",
    "in a condition": "if ! hidden; then :; fi",
    "in a command substitution": 'echo "it is $(hidden)"',
    "in backquotes": "echo `hidden`",
    "in a process substitution": "read -r line < <(hidden)",
    "in a here document": "cat <<TXT\n$(hidden)\nTXT",
    "in an arithmetic expression": "echo $(( $(hidden) + 1 ))",
    "in a default value": 'echo "${NAME:-$(hidden)}"',
    "in an array": "files=($(hidden))",
    "in a function that is called": "work() { hidden; }; work",
    "in a function that nobody calls": "work() { hidden; }",
    "behind a function of its name": 'hidden() { command hidden --quiet "$@"; }; hidden',
    "beside a function of its name": "hidden() { :; }; exec hidden",
    "as an argument of a function that runs it": 'run() { echo "$1"; shift; "$@"; }; run title hidden',
    "through two functions": 'inner() { shift 2; "$@"; }; outer() { inner a b "$@"; }; outer hidden',
    "as the name that a function is given": 'report() { local how=$2; "$how" 1; }; report title hidden',
    "as a part of a name": 'save() { "${1}den" --all; }; save hid',
    "in a variable": 'program=hidden; "$program" --option',
    "in an array's first word": 'command=(hidden --option); "${command[@]}"',
    "as a loop's variable": 'for program in true hidden; do "$program"; done',
    "as an alternative": '"${PROGRAM:-hidden}"',
    "behind env": "env -u HOME LANG=C hidden",
    "behind env that splits a string": "env -S 'hidden --option'",
    "behind exec": "exec -a name hidden",
    "behind command": "command hidden",
    "behind sudo": "sudo -u nobody hidden",
    "behind timeout": "timeout --signal KILL 5 hidden",
    "behind nice": "nice -n 5 hidden",
    "behind setsid": "setsid hidden &",
    "behind nohup": "nohup hidden",
    "behind flock": "flock -w 5 file hidden",
    "behind xargs": "find . | xargs -r -n 1 hidden --option",
    "behind two": "xargs timeout 5 nice hidden",
    "behind find": "find . -name x -exec hidden {} +",
    "behind find, second": "find . -exec true {} ';' -exec hidden {} ';'",
    "behind unshare": "unshare --mount --fork hidden",
    "behind time": "time hidden",
    "in a string for bash": "bash -c 'hidden --option'",
    "in a string for sh with a variable": 'sh -ec "cd $folder && hidden"',
    "in a string for bash behind xargs": "xargs -I{} bash -c 'hidden {}'",
    "in a string for su": "su nobody -c 'hidden'",
    "in a script on standard input": "bash <<'TXT'\nhidden\nTXT",
    "in a here string": "sh <<< 'hidden'",
    "in eval": "eval 'hidden --option'",
    "in a trap": "trap 'hidden' EXIT",
    "in an alias": "alias short='hidden --option'",
    "in a coprocess": "coproc hidden",
    "in the background of a subshell": "(cd / && hidden) &",
    "in a case": "case $1 in a) hidden ;; esac",
}


@pytest.mark.parametrize("script", HIDING.values(), ids=HIDING)
def test_a_program_is_found(script: str) -> None:
    """However a script calls a program, it is found by name."""
    calls = read_script(script, "script", lambda _: None).calls
    assert "hidden" in {call.name for call in calls if call.kind == "program"}


#: Scripts that do not call `hidden`.
INNOCENT = {
    "a function": "hidden() { :; }; hidden",
    "a function that another runs": 'run() { "$@"; }; hidden() { :; }; run hidden',
    "an argument": "echo hidden",
    "a comment": "# hidden",
    "a word in a string": "echo 'hidden; hidden'",
    "text of a here document": "cat <<TXT\nhidden\nTXT",
    "a check for a file": "type -P hidden >/dev/null || exit 1",
    "an option's value": "xargs -I hidden true",
    "a program of another root": "chroot /other hidden",
}


@pytest.mark.parametrize("script", INNOCENT.values(), ids=INNOCENT)
def test_what_is_no_call_is_none(script: str) -> None:
    """A word that is not called is no program."""
    calls = read_script(script, "script", lambda _: None).calls
    assert "hidden" not in {call.name for call in calls}


@pytest.mark.parametrize("script", ["$(hidden_path)/tool", '"$(printf x)"', 'read -r program; "$program"', ". $(find_library)"])
def test_a_command_word_that_cannot_be_told_is_reported(script: str) -> None:
    """What the text does not say is no reason to overlook a call: it is reported, for the caller to judge."""
    calls = read_script(script, "script", lambda _: None).calls
    assert {call.kind for call in calls} & {"unreadable", "path", "output of", "environment"}


def test_functions_of_sourced_files_count() -> None:
    """A script has the functions of the files it sources, and calls what they call."""
    files = {"/lib/more.sh": ("helper() { hidden; }\ncovered() { :; }", "lib/more.sh")}
    script = read_script('. "$(dirname "$0")/lib/more.sh"\nhelper\ncovered', "script", files.get)
    assert {(call.name, call.where) for call in script.calls} == {("dirname", "script:1"), ("hidden", "lib/more.sh:1")}


def test_the_sets_that_a_script_makes_sure_of_are_known() -> None:
    """`provide_programs` is followed by the names of sets."""
    script = read_script("provide_programs() { :; }\nprovide_programs cluster images", "script", lambda _: None)
    assert script.provides == {"cluster", "images"}


@pytest.mark.parametrize("check", ["command -v hidden", "hash hidden", "type hidden"])
def test_checks_that_a_function_would_satisfy_are_noted(check: str) -> None:
    """`command -v`, `hash` and `type` without -P find more than files."""
    assert read_script(f"if {check}; then :; fi", "script", lambda _: None).loose_checks == {"script:1"}


def test_a_script_that_cannot_be_parsed_is_an_error() -> None:
    """What cannot be parsed is not passed over."""
    with pytest.raises(UnreadableScriptError, match=r"broken.*'if <cond>' must be followed by|broken"):
        read_script("if hidden; fi", "broken", lambda _: None)


def test_commands_of_dockerfiles_are_found() -> None:
    """RUN in both forms, over several lines and as a here document; CMD, ENTRYPOINT and HEALTHCHECK."""
    dockerfile = """
# syntax comment
FROM base AS first
RUN --mount=type=cache,target=/x first \\
  # in between
  && second
RUN ["third", "an option"]
RUN <<TXT
fourth
TXT
COPY fifth .
HEALTHCHECK --interval=5s CMD sixth
ENTRYPOINT ["seventh"]
"""
    calls = read_script("\n".join(commands(dockerfile)), "Dockerfile", lambda _: None).calls
    assert {call.name for call in calls} == {"first", "second", "third", "fourth", "sixth", "seventh"}


def test_an_unknown_instruction_is_an_error() -> None:
    """An instruction that is not understood may run something."""
    with pytest.raises(ValueError, match="SHELL"):
        commands('SHELL ["/bin/zsh", "-c"]')


def test_recipes_are_those_of_every_target(tmp_path: Path) -> None:
    """Every target's recipe counts, with variables and functions of make expanded, and nothing of it is run."""
    makefile = "PROGRAM := first\nall: other\n\t@$(PROGRAM) $(or $(MODE),fast)\n\nother:\n\t-second \\\n\t  --option && touch run\n"
    (tmp_path / "Makefile").write_text(makefile)
    calls = read_script(recipes(tmp_path), "Makefile", lambda _: None).calls
    assert {call.name for call in calls} == {"first", "second", "touch"}
    assert not (tmp_path / "run").exists()


#: Python sources that call `hidden`, by how.
HIDING_IN_PYTHON = {
    "a list": 'subprocess.run(["hidden", "x"], check=True)',
    "a tuple": 'Popen(("hidden", *more))',
    "a list that is assigned": 'words = ["hidden"]\nsubprocess.run(words)',
    "a list that is unpacked": 'BASE = ["hidden", "x"]\nsubprocess.run([*BASE, "y"])',
    "a sum of lists": 'subprocess.run(["hidden"] + more)',
    "a command that another function runs": 'command = ["hidden", str(path)]\nrun_it(command)',
    "an argument named command": 'Kind(command=("hidden", "-i"))',
    "words of asyncio's": 'await asyncio.create_subprocess_exec("hidden", "x")',
    "what is looked for": 'shutil.which("hidden")',
}


@pytest.mark.parametrize("source", HIDING_IN_PYTHON.values(), ids=HIDING_IN_PYTHON)
def test_a_program_is_found_in_python(source: str) -> None:
    """Command lines that begin with a literal string are found."""
    assert {call.name for call in python_calls(source, "file.py")} == {"hidden"}


def test_our_own_interpreter_is_no_program_to_look_for() -> None:
    """`sys.executable`, paths that are put together and option lists are no names of programs."""
    source = 'subprocess.run([sys.executable, "-c", "x"])\nsubprocess.run([ROOT / "tool"])\narguments = ["--flag"]\n'
    assert python_calls(source, "file.py") == set()
