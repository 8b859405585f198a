r"""Artifacts: what a run wants people to see, kept with its history.

    from mintaka.artifacts import create_markdown_artifact

    create_markdown_artifact("# Yield\n\n92 %", key="yield", description="of the day")

Each belongs to the flow run, and the task run, that makes it. Artifacts of one `key` (small letters, digits, dashes) are
versions of the same thing across runs. Every function returns the artifact's id; it is written with the rest of the history.
In async code they are awaited (`mintaka.calling.dual_functions`), although nothing here waits for anything; those with `a` in
front are coroutine functions.
"""

from __future__ import annotations

import json
import re
import uuid
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from mintaka.calling.dual_functions import dual
from mintaka.context import CURRENT
from mintaka.engine.entries import now_micros
from mintaka_core.reports import storable
from mintaka_history.json_numbers import storable_integer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from mintaka.engine.runs import Run

type Kind = Literal["markdown", "table", "link", "image", "progress"]

_KEY = re.compile(r"[a-z0-9]([a-z0-9-]{0,198}[a-z0-9])?")
_DATA_LIMIT_BYTES = 512 * 1024
_WHOLE = 100.0
#: A warning is about the line of the user's that called into here.
_HERE = str(Path(__file__).parent)
#: Artifacts that a process changed and may change again: the progress of what is under way.
_REMEMBERED = 1000
_progresses: dict[UUID, ArtifactVersion] = {}


class ArtifactVersion(NamedTuple):
    """An artifact as it is now: `seq` counts its versions, `data` is JSON, instants are µs since the epoch.

    It was made in task run `n` (None: in none) of the flow run `called` (None: of the outermost one).
    """

    id: UUID
    seq: int
    kind: Kind
    created: int
    updated: int
    data: bytes
    key: str | None = None
    description: str | None = None
    n: int | None = None
    called: Run | None = None

    def adopted(self, runs: Mapping[int, Run], task_run: Run) -> ArtifactVersion:
        """The same artifact in the main process: a worker that ran `task_run` made it; `runs` are the runs of that worker by its own numbers."""
        if self.n is None and self.called is not None:
            return self._replace(called=runs.get(self.called.n))
        run = runs.get(-1 if self.n is None else self.n, task_run)
        return self._replace(n=run.n, called=run.owner)


async def acreate_markdown_artifact(markdown: str, key: str | None = None, description: str | None = None) -> UUID:
    """`create_markdown_artifact` for `await`."""
    return create_markdown_artifact(markdown, key, description, _sync=True)


@dual(acreate_markdown_artifact)
def create_markdown_artifact(markdown: str, key: str | None = None, description: str | None = None) -> UUID:
    """Keep a text in Markdown. Outside of a flow run it is not stored, which a warning says.

    Raises:
        ValueError: the key is none, or the artifact is too large (512 KiB as JSON).
    """
    return _created("markdown", markdown, key, description)


async def acreate_table_artifact(table: Any, key: str | None = None, description: str | None = None) -> UUID:
    """`create_table_artifact` for `await`."""
    return create_table_artifact(table, key, description, _sync=True)


@dual(acreate_table_artifact)
def create_table_artifact(
    table: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]] | Sequence[Sequence[Any]],
    key: str | None = None,
    description: str | None = None,
) -> UUID:
    """Keep a table: columns by name, rows as mappings, or rows as lists; errors as for `create_markdown_artifact`.

    What JSON cannot say is kept as text, NaN as null.
    """
    return _created("table", table, key, description)


async def acreate_link_artifact(link: str, link_text: str | None = None, key: str | None = None, description: str | None = None) -> UUID:
    """`create_link_artifact` for `await`."""
    return create_link_artifact(link, link_text, key, description, _sync=True)


@dual(acreate_link_artifact)
def create_link_artifact(link: str, link_text: str | None = None, key: str | None = None, description: str | None = None) -> UUID:
    """Keep a link, shown as `link_text`; errors as for `create_markdown_artifact`."""
    return _created("link", {"link": link, "link_text": link_text or link}, key, description)


async def acreate_image_artifact(image_url: str, key: str | None = None, description: str | None = None) -> UUID:
    """`create_image_artifact` for `await`."""
    return create_image_artifact(image_url, key, description, _sync=True)


@dual(acreate_image_artifact)
def create_image_artifact(image_url: str, key: str | None = None, description: str | None = None) -> UUID:
    """Keep the address of an image; errors as for `create_markdown_artifact`."""
    return _created("image", {"image_url": image_url}, key, description)


async def acreate_progress_artifact(progress: float, key: str | None = None, description: str | None = None) -> UUID:
    """`create_progress_artifact` for `await`."""
    return create_progress_artifact(progress, key, description, _sync=True)


@dual(acreate_progress_artifact)
def create_progress_artifact(progress: float, key: str | None = None, description: str | None = None) -> UUID:
    """Keep how far something is, in percent; errors as for `create_markdown_artifact`.

    Raises:
        ValueError: it is not between 0 and 100.
    """
    return _created("progress", _percent(progress), key, description)


async def aupdate_progress_artifact(artifact_id: UUID, progress: float, description: str | None = None) -> UUID:
    """`update_progress_artifact` for `await`."""
    return update_progress_artifact(artifact_id, progress, description, _sync=True)


@dual(aupdate_progress_artifact)
def update_progress_artifact(artifact_id: UUID, progress: float, description: str | None = None) -> UUID:
    """Say how far it is now, in percent; None leaves the description as it is. Only in the process that made the artifact.

    Raises:
        ValueError: the percentage is not between 0 and 100, or this process made no such artifact.
    """
    before = _progresses.get(artifact_id)
    if before is None:
        message = f"no progress artifact {artifact_id} was made in this process (or more than {_REMEMBERED} since)"
        raise ValueError(message)
    version = before._replace(
        seq=before.seq + 1,
        updated=now_micros(),
        data=_encoded(_percent(progress)),
        description=before.description if description is None else description,
    )
    _progresses[artifact_id] = version
    _keep(version)
    return artifact_id


def _created(kind: Kind, value: Any, key: str | None, description: str | None) -> UUID:
    if key is not None and not (isinstance(key, str) and _KEY.fullmatch(key)):
        message = f"an artifact's key has small letters, digits and dashes, at most 200, not {key!r}"
        raise ValueError(message)
    context = CURRENT.get()
    now = now_micros()
    n, called = (None, None) if context is None else context.place
    version = ArtifactVersion(uuid.uuid4(), 1, kind, now, now, _encoded(value), key, description, n, called)
    if kind == "progress":
        if len(_progresses) >= _REMEMBERED:
            _progresses.pop(next(iter(_progresses)), None)
        _progresses[version.id] = version
    _keep(version)
    return version.id


def _keep(version: ArtifactVersion) -> None:
    """Write it with the history of the flow run, or warn where there is none: then it is written nowhere."""
    context = CURRENT.get()
    if context is not None and context.flow is not None:
        context.ledger.recorder.keep(version)
        return
    message = (
        f"{version.kind} artifact {version.key or version.id} is not stored, because it was made outside of a flow run: make it in a "
        "function under @flow, or in a task that a flow calls"
    )
    warnings.warn(message, skip_file_prefixes=(_HERE,))


def _percent(progress: float) -> float:
    if not isinstance(progress, (int, float)) or not 0 <= progress <= _WHOLE:
        message = f"progress is a percentage between 0 and 100, not {progress!r}"
        raise ValueError(message)
    return float(progress)


def _encoded(value: Any) -> bytes:
    data = json.dumps(_plain(value), default=lambda other: storable(str(other))).encode()
    if len(data) > _DATA_LIMIT_BYTES:
        message = f"an artifact may have {_DATA_LIMIT_BYTES} bytes as JSON, not {len(data)}: keep it elsewhere and make a link artifact"
        raise ValueError(message)
    return data


def _plain(value: Any) -> Any:
    """`value` with null for what is not a number: JSON has no NaN; and texts and integers as databases take them."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, float) and value not in (float("inf"), float("-inf")):
        return value if value == value else None  # noqa: PLR0124 - NaN is the one that differs from itself
    if isinstance(value, float):
        return None
    if isinstance(value, dict):
        return {storable(str(key)): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return storable_integer(value) if isinstance(value, int) else value
