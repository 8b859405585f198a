"""Where a new process finds a flow, for flows in scripts, modules, packages, classes and functions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SDK = Path(__file__).parents[4] / "sdk"

PRINT = """
from mintaka.serving.flow_places import place_of
def show(flow, *kind):
    try:
        place = place_of(flow, *kind)
        print(place.entrypoint, place.path, place.settings_differ, sep="|")
    except ValueError as error:
        print(error)
"""

BEGIN = "from mintaka import flow, task\nfrom shown import show\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the module `shown`."""
    (tmp_path / "shown.py").write_text(PRINT, encoding="utf-8")
    return tmp_path


def shown(folder: Path, text: str, *command: str, name: str = "script.py", cwd: Path | None = None) -> list[str]:
    """The lines that a script prints."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(BEGIN + text, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": f"{SDK}:{folder}", "MINTAKA_HISTORY": "off"}
    ended = subprocess.run(
        [sys.executable, *(command or (str(path),))], cwd=cwd or folder, env=environment, capture_output=True, text=True, check=False
    )
    assert not ended.returncode, ended.stderr
    return ended.stdout.splitlines()


SCRIPT = """
import functools
@flow
def plain(): ...

def doubled(fn):
    @functools.wraps(fn)
    def inner(*args): return fn(*args)
    return inner

@flow
@doubled
def wrapped(): ...

class Jobs:
    @flow
    @staticmethod
    def static(): ...
    @flow
    @classmethod
    def of_class(cls): ...
    @flow
    def method(self): ...

renamed = plain.with_options(name="renamed")
show(plain)
show(wrapped)
show(Jobs.static)
show(Jobs.of_class)
show(renamed)
show(plain.with_options(retries=3))
show(Jobs.method)
show(Jobs().method)
def factory():
    @flow
    def inner(): ...
    return inner
show(factory())
show(flow(lambda: None, name="nameless"))
show(flow(functools.partial(print, 1), name="partial"))
show(plain, "module_path")
show(plain, "somewhere")
"""


def test_a_flow_of_a_script_is_found_by_its_file_and_name_or_refused_with_what_to_do(folder: Path) -> None:
    lines = shown(folder, SCRIPT)
    assert lines[:6] == [
        "script.py:plain||False",
        "script.py:wrapped||False",
        "script.py:Jobs.static||False",
        "script.py:Jobs.of_class||False",
        "script.py:renamed||False",
        "script.py:plain||True",
    ]
    refusals = [
        "is a method, which needs an instance",
        "is bound to an instance of Jobs",
        r"is defined inside factory(), so no other process can find it: move it to the top level",
        "has no name in its module",
        "not of a function that has a name",
        "which has no name as a module",
        "entrypoint_type is one of file_path, module_path",
    ]
    assert len(lines) == 6 + len(refusals)
    for line, refusal in zip(lines[6:], refusals, strict=True):
        assert refusal in line


def test_a_script_elsewhere_is_named_by_its_whole_path(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert shown(folder, "@flow\ndef plain(): ...\nshow(plain)", cwd=elsewhere) == [f"{folder}/script.py:plain||False"]


def test_a_flow_of_a_package_is_found_by_its_module_from_the_folder_of_the_package(folder: Path) -> None:
    (folder / "pkg").mkdir()
    (folder / "pkg" / "__init__.py").write_text("", encoding="utf-8")
    text = "@flow\ndef plain(): ...\nshow(plain)"
    assert shown(folder, text, "-m", "pkg.flows", name="pkg/flows.py") == ["pkg.flows:plain||False"]
    apart = folder / "apart"
    apart.mkdir()
    assert shown(folder, text, "-c", "import pkg.flows", name="pkg/flows.py", cwd=apart) == [f"pkg.flows:plain|{folder}|False"]


def test_a_module_beside_the_script_is_found_by_its_file_or_by_its_name(folder: Path) -> None:
    text = "@flow\ndef plain(): ...\nshow(plain)\nshow(plain, 'module_path')"
    assert shown(folder, text, "-c", "import script") == ["script.py:plain||False", "script:plain||False"]


def test_a_flow_without_a_file_is_refused(folder: Path) -> None:
    shown(folder, "")
    assert "not defined in a file" in shown(folder, "", "-c", BEGIN + "@flow\ndef plain(): ...\nshow(plain)")[0]


def test_a_path_that_an_entrypoint_cannot_have_is_refused(folder: Path) -> None:
    assert "no spaces or colons" in shown(folder, "@flow\ndef plain(): ...\nshow(plain)", name="my flows.py")[0]
