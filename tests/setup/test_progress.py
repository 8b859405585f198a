"""What takes long says how far it is; what fails shows its last words; each stage's time is told at the end."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from minimal_root import ROOT

if TYPE_CHECKING:
    from pathlib import Path

_LIBRARIES = f". {ROOT}/cluster/lib/settings.sh; . {ROOT}/cluster/lib/progress.sh"


def bash(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `script` with the library of progress."""
    command = ["bash", "-euo", "pipefail", "-c", f"{_LIBRARIES}\n{script}"]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


def test_a_line_says_how_far_it_is_again_and_again() -> None:
    """Each line has what is done, how far it is and how long it has taken."""
    count = 'count() { for step in 1 2 3 4; do echo "step $step"; sleep 1; done; }'
    done = bash(f'{count}\nwith_progress "counting" last_line count', MINTAKA_PROGRESS_SECONDS="1")
    lines = done.stderr.splitlines()
    assert lines[0] == "counting"
    assert len(lines) >= 3
    assert all(re.fullmatch(r"  counting: step \d, \d s so far", line) for line in lines[1:]), lines


def test_without_a_setting_no_more_than_twenty_seconds_are_silent() -> None:
    """The interval users get."""
    assert int(bash('echo "$progress_seconds"').stdout) <= 20


def test_what_fails_shows_its_output_and_keeps_its_status() -> None:
    """The output, which was in a log, is shown, and the script ends with the same status."""
    done = bash('with_progress "trying" last_line bash -c "echo last words >&2; exit 7"; echo not reached')
    assert (done.returncode, done.stdout) == (7, "")
    assert done.stderr.splitlines() == ["trying", "last words", "failed: trying"]


def test_what_succeeds_keeps_its_output_to_itself() -> None:
    """Of a success only its title is shown."""
    done = bash('with_progress "trying" last_line echo chatter')
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "trying\n")


def test_nothing_is_left_when_the_script_is_killed() -> None:
    """No process that reports progress outlives its script and keeps the terminal or a pipe of CI's open."""
    command = ["bash", "-c", f'{_LIBRARIES}\nwith_progress "waiting" last_line sleep 1000 & echo $!; wait']
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        assert process.stdout
        caller = int(process.stdout.readline())
        assert process.stderr.readline() == "waiting\n"
        children = subprocess.run(["ps", "--ppid", str(caller), "-o", "pid=,comm="], capture_output=True, text=True, check=True).stdout
        process.kill()
        os.kill(caller, 9)
        assert process.communicate(timeout=10) == ("", "")
    for line in children.splitlines():
        if line.split()[1] == "sleep":
            os.kill(int(line.split()[0]), 9)


#: Stands for Go: knows what is to be compiled, and names each package as it compiles it.
_GO = """#!/bin/bash
case $1 in
  env) echo go1.24.1 ;;
  list) printf '%s\\n' first/a first/b second/c ;;
  build)
    while [ $# -gt 1 ]; do if [ "$1" = -o ]; then target=$2; fi; shift; done
    echo "go: downloading something" >&2
    case $target in */etcd.new) packages="first/a first/b" ;; *) packages=second/c ;; esac
    for package in $packages; do echo $package >&2; sleep 3; done
    touch "$target" && chmod +x "$target" ;;
esac
"""


def build(folder: Path, *names: str, go: str = _GO) -> subprocess.CompletedProcess[str]:
    """Run cluster/build with an empty cache and `go` instead of Go."""
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "bin/go").write_text(go)
    (folder / "bin/go").chmod(0o755)
    environment = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "XDG_CACHE_HOME": str(folder), "MINTAKA_PROGRESS_SECONDS": "1"}
    command = [ROOT / "cluster/build", *names]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


def test_building_says_which_package_of_how_many_is_compiled(tmp_path: Path) -> None:
    """The total is that of all binaries; what Go has cached counts in neither."""
    done = build(tmp_path, "etcd", "kubectl")
    lines = done.stderr.splitlines()
    assert done.returncode == 0, done.stderr
    assert lines[0] == "downloading the sources of etcd kubectl"
    for step in (
        r"  building etcd \(1 of 2\): package 1 of 3, first/a, \d s so far",
        r"  building etcd \(1 of 2\): package 2 of 3, first/b, \d s so far",
        r"  building kubectl \(2 of 2\): package 3 of 3, second/c, \d s so far",
    ):
        assert any(re.fullmatch(step, line) for line in lines), lines
    assert sorted(file.name for file in tmp_path.glob("mintaka/cluster/bin-*/*") if os.access(file, os.X_OK)) == ["etcd", "kubectl"]


def test_what_is_built_is_not_built_again(tmp_path: Path) -> None:
    """The second time only the folder is printed."""
    first, second = build(tmp_path, "etcd"), build(tmp_path, "etcd")
    assert second.stdout == first.stdout
    assert second.stderr == ""


def test_a_compiler_error_is_shown(tmp_path: Path) -> None:
    """What Go said is not lost, and no half a binary is left."""
    done = build(tmp_path, "etcd", go=_GO.replace("for package", "echo 'undefined: x' >&2; exit 1; for package"))
    assert done.returncode == 1
    assert "undefined: x" in done.stderr
    assert list(tmp_path.glob("mintaka/cluster/bin-*/etcd")) == []


@pytest.mark.parametrize(
    ("version", "sentence"), [("go1.19.8", "is go1.19.8: install Go 1.24 or newer"), ("go1.23.12", "install Go 1.24 or newer")]
)
def test_an_old_go_is_named(tmp_path: Path, version: str, sentence: str) -> None:
    """Debian's own Go may be too old: that is said before anything is built."""
    done = build(tmp_path, "etcd", go=_GO.replace("go1.24.1", version))
    assert done.returncode == 1
    assert sentence in done.stderr


def test_an_unknown_binary_is_refused(tmp_path: Path) -> None:
    """And those that there are are named."""
    done = build(tmp_path, "kubectll")
    assert done.returncode == 1
    assert "no binary is named kubectll" in done.stderr
    assert "kube-apiserver" in done.stderr


def stages(*names: str) -> subprocess.CompletedProcess[str]:
    """Run stages of the Makefile."""
    return subprocess.run([ROOT / "tools/stages", *names], capture_output=True, text=True, check=False)


def test_the_time_of_each_stage_is_told_at_the_end() -> None:
    """Stages run in their order, and then a table says what each took."""
    done = stages("help", "help")
    assert done.returncode == 0
    assert re.search(r"\nTime taken:\n  help +\d+ s\n  help +\d+ s\n  total +\d+ s\n$", done.stdout), done.stdout


def test_the_times_are_told_when_a_stage_fails_too() -> None:
    """The stage that failed is named, none after it is begun, and the status is make's."""
    done = stages("help", "no-such-stage", "help")
    assert done.returncode == 2
    assert re.search(r"  help +\d+ s\n  no-such-stage +\d+ s, then it failed\n  total +\d+ s\n$", done.stdout), done.stdout


def test_a_soak_that_selects_nothing_fails() -> None:
    """`make soak` is no success when there was nothing to run."""
    done = subprocess.run([ROOT / "tools/soak", "-k", "no_such_soak"], capture_output=True, text=True, check=False)
    assert done.returncode == 5, done.stdout


def test_every_folder_of_tests_is_run_by_test_or_soak() -> None:
    """No folder is forgotten, and `make test` runs no soak."""
    dry_run = ["make", "--dry-run", "--always-make", "test-all", "test-soak"]
    text = subprocess.run(dry_run, cwd=ROOT, capture_output=True, text=True, check=True).stdout + (ROOT / "tools/soak").read_text()
    folders = {f"tests/{file.relative_to(ROOT / 'tests').parts[0]}" for file in (ROOT / "tests").rglob("test_*.py")}
    assert {folder for folder in folders if not re.search(rf"{folder}\b", text)} == set()
    assert "tests/soak" not in next(line for line in text.splitlines() if "tools/test" in line)
