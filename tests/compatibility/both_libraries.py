"""What each flow shows under each library.

Prefect's outcomes are kept by content (flow file, the script that runs it, Prefect's lock file) under the user's cache, so
only what changed is run again, all of it in one process with one server. Ours are run anew each time, in one process too.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
FLOWS = HERE / "flows"
RUN_FLOWS = HERE / "run_flows.py"
LOCK = HERE / "prefect.lock"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mintaka" / "compatibility"

#: Whole words of imports that are not the library's name alone.
RENAMED = {"prefect_dask": "mintaka.task_runners", "PrefectException": "MintakaError", "prefect": "mintaka"}

PREFECT_SECONDS, MINTAKA_SECONDS = 420, 180
PREFECT_TRIES = 3


@dataclass(frozen=True)
class Case:
    """One flow file, with what its YAML file beside it says about differences."""

    path: Path
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name, for tests and the table."""
        return self.path.stem

    @cached_property
    def title(self) -> str:
        """Its first line: what it tries."""
        return self.path.read_text(encoding="utf-8").split('"""')[1].strip()

    @property
    def differs(self) -> dict[str, dict[str, Any]]:
        """By the key of the document: what `mintaka` shows instead, and `why`; `covered` where MINTAKA_SEMANTICS=prefect3 gives what
        Prefect shows, else perhaps `prefect3`: what Mintaka shows with it.
        """
        found: dict[str, dict[str, Any]] = self.notes.get("differs", {})
        return found


def cases() -> list[Case]:
    """Every flow, by name."""
    found = []
    for path in sorted(FLOWS.glob("*.py")):
        notes = path.with_suffix(".yaml")
        found.append(Case(path, yaml.safe_load(notes.read_text(encoding="utf-8")) if notes.exists() else {}))
    return found


def translated(text: str) -> str:
    """A flow's text with Prefect's name replaced by ours, as a user would."""
    for theirs, ours in RENAMED.items():
        text = text.replace(theirs, ours)
    return text


def mintaka_results(folder: Path, wanted: list[Case], semantics: str = "mintaka") -> dict[str, Any]:
    """What each flow shows under Mintaka; copies of the flows go into `folder`, which is also their home."""
    paths = []
    for case in wanted:
        copy = folder / case.path.name
        copy.write_text(translated(case.path.read_text(encoding="utf-8")), encoding="utf-8")
        paths.append(copy)
    homes = dict.fromkeys(("MINTAKA_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"), str(folder / "home"))
    environment = {**homes, "MINTAKA_SEMANTICS": semantics}
    return _run(Path(sys.executable), "mintaka", paths, folder / "results.json", environment, MINTAKA_SECONDS)


def prefect_results(folder: Path, wanted: list[Case]) -> dict[str, Any]:
    """What each flow shows under Prefect, from the cache where it is there. What does not end well is tried again: its servers
    take seconds to start, and give up where the machine is busy.
    """
    results: dict[str, Any] = {}
    left = []
    for case in wanted:
        kept = _kept_at(case)
        if kept.exists():
            results[case.path.name] = json.loads(kept.read_text(encoding="utf-8"))
        else:
            left.append(case)
    for n in range(PREFECT_TRIES):
        if left:
            home = folder / f"try-{n}"
            home.mkdir()
            results |= _under_prefect(home, left)
            left = [case for case in left if "document" not in results[case.path.name]]
    return results


def _under_prefect(folder: Path, cases: list[Case]) -> dict[str, Any]:
    environment = {
        "PREFECT_HOME": str(folder / "home"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "WARNING",
    }
    paths = [case.path for case in cases]
    results = _run(_prefect_python(), "prefect", paths, folder / "results.json", environment, PREFECT_SECONDS)
    for case in cases:
        if "document" in results[case.path.name]:
            kept = _kept_at(case)
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.with_suffix(".new").write_text(json.dumps(results[case.path.name]), encoding="utf-8")
            kept.with_suffix(".new").replace(kept)
    return results


def _kept_at(case: Case) -> Path:
    digest = hashlib.sha256()
    for path in (LOCK, RUN_FLOWS, case.path):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return CACHE / "outcomes" / f"{case.name}-{digest.hexdigest()[:24]}.json"


def _prefect_python() -> Path:
    """Prefect's interpreter, as tools/prefect made it."""
    made = subprocess.run([HERE.parents[1] / "tools" / "prefect"], capture_output=True, text=True, check=True)
    return Path(made.stdout.strip().splitlines()[-1])


def _run(python: Path, library: str, paths: list[Path], output: Path, environment: dict[str, str], seconds: int) -> dict[str, Any]:
    command = [python, RUN_FLOWS, library, output, *paths]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MINTAKA_"))}
    log = output.with_suffix(".log")
    with log.open("w", encoding="utf-8") as stream, suppress(subprocess.TimeoutExpired):
        subprocess.run(command, env=inherited | environment, cwd=output.parent, stdout=stream, stderr=stream, timeout=seconds, check=False)
    results: dict[str, Any] = json.loads(output.read_text(encoding="utf-8")) if output.exists() else {}
    for path in paths:
        told = f"the process ended before this flow did, or after {seconds} s: {log.read_text(encoding='utf-8')[-1500:]}"
        results.setdefault(path.name, {"error": told})
    return results
