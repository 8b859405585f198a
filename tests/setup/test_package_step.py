"""The package step: what it looks for, installs and says when it cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from minimal_root import ROOT

if TYPE_CHECKING:
    from pathlib import Path

#: What the step itself calls; apt-get is not among it.
_CALLED = ("awk", "bash", "cat", "cut", "dirname", "env", "grep", "id", "mktemp", "rm", "sort", "tail", "tr")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A checkout whose only listed program is `missing`, of package `package-of-it`, and in `bin` what the step calls and no apt-get."""
    shutil.copytree(ROOT / "cluster", tmp_path / "cluster", ignore=shutil.ignore_patterns("go"))
    (tmp_path / "cluster/lib/programs.list").write_text("images missing package-of-it\n")
    (tmp_path / "bin").mkdir()
    for name in _CALLED:
        (tmp_path / "bin" / name).symlink_to(shutil.which(name) or "")
    # The system's folders, which the step adds to the PATH, may have apt-get or not.
    step = tmp_path / "cluster/lib/packages.sh"
    step.write_text(step.read_text().replace("PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin", ""))
    return tmp_path


def put(machine: Path, name: str, script: str) -> None:
    """Make `script` a program of the machine."""
    file = machine / "bin" / name
    file.unlink(missing_ok=True)
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def step(machine: Path) -> subprocess.CompletedProcess[str]:
    """Run the package step with nothing but the machine's own programs on the PATH."""
    environment = {"PATH": str(machine / "bin"), "HOME": str(machine)}
    return subprocess.run([machine / "cluster/packages", "images"], env=environment, capture_output=True, text=True, check=False)


def test_a_missing_program_is_installed_with_its_package(machine: Path) -> None:
    """apt-get is asked for the package, and afterwards the program is there."""
    put(machine, "apt-get", f'echo "$@" >> {machine}/asked; [ "$1" = update ] || cp /bin/true {machine}/bin/missing')
    put(machine, "cp", 'exec /bin/cp "$@"')
    done = step(machine)
    assert done.returncode == 0, done.stderr
    assert "installing package-of-it" in done.stderr
    assert (machine / "asked").read_text().splitlines()[-1].endswith(" package-of-it")


def test_nothing_is_installed_when_nothing_is_missing(machine: Path) -> None:
    """A second time it only says so."""
    put(machine, "missing", "exit 0")
    put(machine, "apt-get", f"touch {machine}/asked")
    done = step(machine)
    assert (done.returncode, done.stderr) == (0, "no program is missing of: images\n")
    assert not (machine / "asked").exists()


def test_without_root_the_package_to_install_is_named(machine: Path) -> None:
    """Who is not root reads which package is missing and how to install it."""
    put(machine, "id", "echo 1000")
    put(machine, "apt-get", "exit 0")
    done = step(machine)
    assert done.returncode == 1
    assert done.stderr.startswith("packages: missing packages: package-of-it. Run this as root")
    assert "apt-get install package-of-it" in done.stderr


def test_without_apt_the_package_to_install_is_named(machine: Path) -> None:
    """On a system that is not like Debian the package is named as Debian names it."""
    put(machine, "id", "echo 0")
    done = step(machine)
    assert done.returncode == 1
    assert "missing packages: package-of-it" in done.stderr
    assert "no apt-get" in done.stderr
    assert "Debian" in done.stderr


def test_a_failure_of_apt_is_shown(machine: Path) -> None:
    """What apt-get said last is not lost."""
    put(machine, "id", "echo 0")
    put(machine, "apt-get", '[ "$1" = update ] || { echo "E: Unable to locate package"; exit 100; }')
    done = step(machine)
    assert done.returncode != 0
    assert "E: Unable to locate package" in done.stderr
    assert "failed: installing package-of-it" in done.stderr


def test_a_package_without_its_program_is_an_error(machine: Path) -> None:
    """If the program is not there after its package was installed, that is said at once and not when it is first called."""
    put(machine, "id", "echo 0")
    put(machine, "apt-get", "exit 0")
    done = step(machine)
    assert done.returncode == 1
    assert "missing (of package package-of-it) not found on the PATH, though installed" in done.stderr


@pytest.mark.parametrize("cover", ["missing() { :; }; export -f missing", "shopt -s expand_aliases; alias missing=true"])
def test_only_files_count(machine: Path, cover: str) -> None:
    """Neither a function nor an alias of a program's name hides that the program is missing."""
    libraries = "; ".join(f". {machine}/cluster/lib/{name}.sh" for name in ("settings", "progress", "packages"))
    script = f"set -euo pipefail\n{libraries}\n{cover}\nmissing_programs images"
    done = subprocess.run(["bash", "-c", script], env=os.environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "missing package-of-it\n"), done.stderr


def test_a_program_is_found_in_the_folders_of_its_line(machine: Path) -> None:
    """Some packages keep programs off the PATH; patterns of folders say where."""
    put(machine, "missing", "exit 0")
    (machine / "elsewhere" / "15").mkdir(parents=True)
    (machine / "bin/missing").rename(machine / "elsewhere/15/missing")
    (machine / "cluster/lib/programs.list").write_text(f"images missing package-of-it /nowhere {machine}/elsewhere/*\n")
    assert step(machine).stderr == "no program is missing of: images\n"


def test_every_listed_program_belongs_to_a_set_that_is_made_sure_of() -> None:
    """The real list: three or more fields a line, and no set that no script asks for."""
    lines = [line.split() for line in (ROOT / "cluster/lib/programs.list").read_text().splitlines() if not line.startswith("#")]
    assert all(len(fields) >= 3 for fields in lines)
    assert {fields[0] for fields in lines} == {"images", "cluster", "tests"}
