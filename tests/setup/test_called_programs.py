"""Every program that a script, the Makefile, the Dockerfile or a test calls is there on a machine that has only what README.md names."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest

from called_programs.project import Project
from fresh_machine import failing_calls, failing_calls_in_base_image
from minimal_root import BUILD_IMAGE, ROOT, output_after_step

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(1800)


def test_every_called_program_is_a_file_on_the_path_after_the_package_step() -> None:
    """On Debian trixie; tests/soak tries more releases. Printed are the only exclusions, as README.md has them."""
    given = Project(ROOT).given
    print("given:", *sorted(given.always), "; with CLUSTER=current also:", *sorted(given.own_cluster))
    assert failing_calls("trixie") == []


def test_every_program_called_in_the_dockerfile_is_in_the_base_image() -> None:
    """What the Dockerfile's RUN lines and the scripts in docker/ call is there before the Dockerfile installs anything."""
    assert failing_calls_in_base_image() == []


def test_an_image_is_built_after_the_package_step() -> None:
    """What the image builder calls in turn is there as well: on Debian trixie; tests/soak tries more releases."""
    assert output_after_step("trixie", ("images",), BUILD_IMAGE).strip() == "localhost/tried:1"


def test_the_folder_of_network_plugins_has_all_that_are_used() -> None:
    """What pods' networks are made by are files of one folder, which is not taken for another that has a program of the same name."""
    plugins = {"loopback", *re.findall(r'"type": "([a-z-]+)"', (ROOT / "cluster/config/cni/10-mintaka.conflist").read_text())}
    script = "for library in settings progress packages configuration; do . /project/cluster/lib/$library.sh; done; ls $(cni_folder)"
    assert plugins - set(output_after_step("trixie", ("cluster",), script).split()) == set()


def test_a_package_that_is_taken_off_the_list_is_missed(tmp_path: Path) -> None:
    """Without its entry buildah is not installed, and the call that would fail is named, though a function has the same name."""
    checkout = without("buildah", tmp_path)
    assert [sentence for sentence in failing_calls("trixie", checkout, frozenset({"cluster/image"})) if "buildah" not in sentence] == []
    assert any(
        sentence.startswith("cluster/lib/images.sh:") for sentence in failing_calls("trixie", checkout, frozenset({"cluster/image"}))
    )


def test_no_script_looks_for_programs_with_what_a_function_would_satisfy() -> None:
    """`command -v`, `hash` and `type` find functions, aliases and builtins; only `type -P` asks for a file."""
    loose = {place for _, script in Project(ROOT).scripts() for place in script.loose_checks}
    assert loose == set()


def without(program: str, folder: Path) -> Path:
    """Return a copy of what the package step is made of, with no line for `program` in its list."""
    shutil.copytree(ROOT / "cluster", folder / "cluster", ignore=shutil.ignore_patterns("go"))
    programs = folder / "cluster/lib/programs.list"
    kept = [line for line in programs.read_text(encoding="utf-8").splitlines(keepends=True) if line.split()[1:2] != [program]]
    programs.write_text("".join(kept), encoding="utf-8")
    return folder
