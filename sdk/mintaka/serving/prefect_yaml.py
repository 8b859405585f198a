"""Reading a prefect.yaml: its deployments, each with the steps that apply to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mintaka.exceptions import InvalidSettingError

_STEPS = ("build", "push", "pull")
#: `definitions` holds, by convention, the values that anchors refer to.
_KNOWN = {*_STEPS, "name", "prefect-version", "deployments", "definitions"}


@dataclass(frozen=True)
class PrefectFile:
    """The file at `path`: its `deployments`, with the `build`, `push` and `pull` of the file if they have none; and its other keys."""

    path: Path
    deployments: tuple[dict[str, Any], ...]
    unknown: tuple[str, ...]


def read_prefect_file(path: Path, text: str) -> PrefectFile:
    """Read it, anchors and merge keys resolved.

    Raises:
        InvalidSettingError: it is not YAML, or has no list of deployments.
    """
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        message = f"{path} is not YAML: {' '.join(str(error).split())}"
        raise InvalidSettingError(message) from error
    deployments = document.get("deployments") if isinstance(document, dict) else None
    if isinstance(deployments, dict):
        deployments = [deployments]
    if not isinstance(deployments, list) or not all(isinstance(one, dict) for one in deployments):
        message = f"{path} has no list of deployments: is it a prefect.yaml?"
        raise InvalidSettingError(message)
    around = {step: document[step] for step in _STEPS if step in document}
    unknown = tuple(str(key) for key in document if key not in _KNOWN)
    return PrefectFile(path, tuple({**around, **one} for one in deployments), unknown)
