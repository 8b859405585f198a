"""Deployments of a prefect.yaml as FlowDeployments, with a note for each thing that does not carry over. No code is imported."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from mintaka.exceptions import InvalidSettingError
from mintaka.manifests import checked_manifest, deployment_object_name
from mintaka.schedules import Schedule
from mintaka.serving.job_variables import TemplateParts
from mintaka.serving.placeholders import Placeholders
from mintaka.serving.schedule_arguments import manifest_schedules
from mintaka.serving.steps import Steps, read_steps
from mintaka_core.errors import MintakaError
from mintaka_core.limits import check_source, refuse

if TYPE_CHECKING:
    from pathlib import Path

    from mintaka.serving.prefect_yaml import PrefectFile

_KNOWN = {"name", "version", "tags", "description", "schedule", "schedules", "paused", "flow_name", "entrypoint", "parameters", "build", "push",
          "pull", "work_pool", "enforce_parameter_schema"}  # fmt: skip
_NO_COUNTERPART = {
    "triggers": "what reacts to events has to create the FlowRun (docs/api.md, POST)",
    "sla": "no counterpart; conditions and metrics can be watched",
    "version_type": "version is a text",
    "concurrency_limit": "write it as spec.concurrency: {limit: …} (docs/concurrency.md)",
    "is_schedule_active": "a schedule has `active`",
}
_FLOW = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_FILE_ENTRY = re.compile(r"[^\s:]+\.py:[A-Za-z_][A-Za-z0-9_.]*")


@dataclass
class Converted:
    """One deployment: its `title`, the `manifest` (None: it cannot be converted), and `notes`, a sentence each."""

    title: str
    manifest: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)


def converted(
    file: PrefectFile, variables: Mapping[str, str], now: datetime, *, inline: bool = False, namespace: str | None = None
) -> list[Converted]:
    """All deployments of the file. `variables` are those of the environment; `inline` puts the code of a flow without an image into
    its manifest.
    """
    found: list[Converted] = []
    for index, fields in enumerate(file.deployments):
        one = Converted(f"deployment {index + 1}, {fields.get('name') or 'without a name'}")
        try:
            _Conversion(file, fields, one, variables).fill(now, inline=inline, namespace=namespace)
        except (MintakaError, OSError) as error:
            one.manifest = None
            one.notes.append(f"not converted: {' '.join(str(error).split())}")
        names = [other.manifest["metadata"]["name"] for other in found if other.manifest]
        if one.manifest and (name := one.manifest["metadata"]["name"]) in names:
            one.manifest["metadata"]["name"] = f"{name}-{index + 1}"
            one.notes.append(f"name: {name} is the name of an earlier deployment")
        found.append(one)
    return found


class _Conversion:
    """The conversion of one deployment."""

    def __init__(self, file: PrefectFile, fields: dict[str, Any], into: Converted, variables: Mapping[str, str]) -> None:
        self._path = file.path
        self._into = into
        self._steps: Steps = read_steps(fields.get("build"), fields.get("push"), fields.get("pull"))
        self._placeholders = Placeholders(variables, self._steps.outputs)
        self._fields: dict[str, Any] = {
            key: self._placeholders.filled(value, key) for key, value in fields.items() if key not in ("build", "push", "pull")
        }
        self._note = into.notes.append

    def fill(self, now: datetime, *, inline: bool, namespace: str | None) -> None:
        """Make the manifest. Raises MintakaError if that is not possible."""
        fields, parts = self._fields, TemplateParts()
        entrypoint = self._entrypoint()
        flow = str(fields.get("flow_name") or _flow_name(self._path, entrypoint))
        name = str(fields.get("name") or "default")
        self._into.title = f"{flow}/{name}"
        self._pool(parts)
        if self._steps.folder:
            parts.add({"working_dir": self._steps.folder})
        source = self._source(entrypoint, parts, inline=inline)
        spec: dict[str, Any] = {
            "entrypoint": f"{entrypoint.rpartition(':')[0].rpartition('/')[2]}:{entrypoint.rpartition(':')[2]}" if source else entrypoint,
            "source": {"inline": source} if source else None,
            "parameters": _json(fields.get("parameters")) or None,
            "schedules": self._schedules(now) or None,
            "suspend": _boolean(fields.get("paused")) or None,
            "tags": self._tags() or None,
            "version": _text(fields.get("version")),
            "description": _text(fields.get("description")),
            "podTemplate": parts.pod_template,
            **parts.spec,
        }
        self._rest()
        metadata = {"name": deployment_object_name(flow, name), **parts.metadata, **({"namespace": namespace} if namespace else {})}
        self._into.notes[:0] = [*self._steps.notes, *self._placeholders.notes, *(f"work_pool.job_variables.{note}" for note in parts.notes)]
        self._into.manifest = checked_manifest(metadata, spec, now=now)

    def _entrypoint(self) -> str:
        given = self._fields.get("entrypoint")
        if not isinstance(given, str) or not given:
            message = "it has no entrypoint: write path/to/file.py:flow or module.flow"
            raise InvalidSettingError(message)
        if ":" in given:
            return given.removeprefix("./")
        module, _, function = given.rpartition(".")
        if not module or not _FLOW.fullmatch(given):
            message = f"entrypoint {given!r} is not of the form path/to/file.py:flow or module.flow"
            raise InvalidSettingError(message)
        return f"{module}:{function}"

    def _pool(self, parts: TemplateParts) -> None:
        pool = self._fields.get("work_pool")
        if not isinstance(pool, Mapping):
            return
        for key, value in pool.items():
            if key == "job_variables" and isinstance(value, Mapping):
                parts.add(_json(value))
            elif value is not None:
                self._note(f"work_pool.{key}: {value!r:.80}: runs are started where this is applied")

    def _source(self, entrypoint: str, parts: TemplateParts, *, inline: bool) -> str | None:
        """The code for the manifest, if it has to contain it; else a note on where the code has to be."""
        place = entrypoint.rpartition(":")[0]
        if "image" in parts.spec or self._steps.fetches_code:
            return None
        if inline and _FILE_ENTRY.fullmatch(entrypoint):
            path = self._path.parent / place
            text = path.read_text(encoding="utf-8")
            refuse(check_source(text, str(path)))
            return text
        hint = ", or convert with --inline" if place.endswith(".py") else ""
        self._note(f"entrypoint: {place} has to be in the operator's image, or in one that spec.image names{hint}")
        return None

    def _schedules(self, now: datetime) -> list[dict[str, Any]]:
        """The schedules that carry over, and notes on the others."""
        given = self._fields.get("schedules")
        single = self._fields.get("schedule")
        items = given if isinstance(given, list) else [single] if single else []
        found: list[Schedule] = []
        for index, item in enumerate(items):
            if not item:
                continue
            try:
                schedule = _schedule(item)
                manifest_schedules([schedule], now)
            except (InvalidSettingError, TypeError, ValueError) as error:
                self._note(f"schedules[{index}]: {' '.join(str(error).split())}")
                continue
            if isinstance(item, Mapping) and item.get("replaces"):
                self._note(f"schedules[{index}].replaces: applying replaces a schedule of the same name (slug)")
            if schedule.interval is not None and schedule.anchor_date is None:
                self._note(f"schedules[{index}]: without anchor_date it counts from 2020-01-01T00:00:00Z, not from when it is applied")
            found.append(schedule)
        return [
            {**one, **({"parameters": _json(one["parameters"])} if "parameters" in one else {})} for one in manifest_schedules(found, now)
        ]

    def _tags(self) -> list[str]:
        given = self._fields.get("tags")
        return sorted({str(tag) for tag in (given if isinstance(given, list) else [given]) if tag not in (None, "")})

    def _rest(self) -> None:
        """Add notes on the remaining fields."""
        for key, value in self._fields.items():
            if key not in _KNOWN and value not in (None, [], {}):
                self._note(f"{key}: {_NO_COUNTERPART.get(key, 'not a field of a deployment that Mintaka knows')}")
        if self._fields.get("enforce_parameter_schema") is True:
            self._note("enforce_parameter_schema: spec.parameterSchema makes it so; mintaka deploy FILE:FLOW prints it")


def _flow_name(path: Path, entrypoint: str) -> str:
    """The flow's name: that of `@flow(name=…)` in its file, else the function's name with dashes."""
    place, _, function = entrypoint.rpartition(":")
    file = path.parent / (place if place.endswith(".py") else f"{place.replace('.', '/')}.py")
    function = function.rpartition(".")[2]
    with suppress(OSError, SyntaxError, ValueError):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == function:
                for call in (decorator for decorator in node.decorator_list if isinstance(decorator, ast.Call)):
                    for word in call.keywords:
                        if word.arg == "name" and isinstance(word.value, ast.Constant) and isinstance(word.value.value, str):
                            return word.value.value
    return function.replace("_", "-").strip("-") or function


def _schedule(item: Any) -> Schedule:
    """One schedule of the file. Raises TypeError, ValueError, InvalidSettingError."""
    if not isinstance(item, Mapping):
        message = "a schedule has one of cron, interval and rrule"
        raise InvalidSettingError(message)
    fields = dict(item)
    rrule, zone = fields.get("rrule"), fields.get("timezone")
    if isinstance(rrule, str) and rrule.lstrip().startswith("{"):  # JSON, which Prefect accepts too
        import json  # noqa: PLC0415 - rarely needed

        inner = json.loads(rrule)
        rrule, zone = inner.get("rrule"), zone or inner.get("timezone")
    return Schedule(
        interval=None if fields.get("interval") is None else _duration(fields["interval"]),
        cron=fields.get("cron"),
        rrule=rrule,
        timezone=zone,
        anchor_date=None if fields.get("anchor_date") is None else _time(fields["anchor_date"]),
        day_or=_boolean(fields.get("day_or", True)),
        active=_boolean(fields.get("active", True)),
        parameters=dict(fields.get("parameters") or {}),
        slug=fields.get("slug"),
    )


def _duration(value: Any) -> timedelta:
    """Seconds, or a text in ISO 8601 or HH:MM:SS."""
    from pydantic import TypeAdapter  # noqa: PLC0415 - start-up time

    return TypeAdapter(timedelta).validate_python(float(value) if str(value).replace(".", "", 1).isdigit() else value)


def _time(value: Any) -> datetime:
    from pydantic import TypeAdapter  # noqa: PLC0415 - start-up time

    return TypeAdapter(datetime).validate_python(value)


def _boolean(value: Any) -> bool:
    return value if isinstance(value, bool) else str(value).strip().lower() in ("true", "1", "yes", "on")


def _text(value: Any) -> str | None:
    return None if value in (None, "") else str(value)


def _json(value: Any) -> dict[str, Any]:
    """A mapping of YAML as JSON values: dates are texts, keys too."""
    from pydantic_core import to_jsonable_python  # noqa: PLC0415 - start-up time

    found: dict[str, Any] = to_jsonable_python(dict(value or {}))
    return found
