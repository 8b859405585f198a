"""`job_variables` of Prefect as overrides of a run: an image, and a partial PodTemplateSpec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mintaka.exceptions import InvalidSettingError
from mintaka.serving.job_variables import TemplateParts

#: The text after their first dot is one name, even if it contains dots.
_NAMED = frozenset({"env", "labels", "annotations", "node_selector"})


def overrides_of(job_variables: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The overrides of a run, as the API accepts them; None if there are none. Keys may have dots: `env.MODE`, `resources.limits`.

    Raises:
        InvalidSettingError: one of them has no meaning for one run.
    """
    if not job_variables:
        return None
    parts = TemplateParts()
    parts.add(_nested(job_variables))
    image = parts.spec.pop("image", None)
    problems = [*parts.notes, *(f"{field} is a setting of the deployment, not of one run" for field in parts.spec)]
    if "namespace" in parts.metadata:
        problems.append("namespace: a run is in the namespace of its deployment: call 'namespace/deployment'")
    if problems:
        message = f"job_variables of run_deployment: {'; '.join(problems)}"
        raise InvalidSettingError(message)
    return {key: value for key, value in (("image", image), ("pod_template", parts.pod_template)) if value is not None} or None


def _nested(variables: Mapping[str, Any]) -> dict[str, Any]:
    """The variables as nested mappings, split at the dots."""
    nested: dict[str, Any] = {}
    for key, value in variables.items():
        first, _, rest = str(key).partition(".")
        path = [] if not rest else [rest] if first in _NAMED else rest.split(".")
        inside: Any = value
        for part in reversed(path):
            inside = {part: inside}
        nested[first] = _merged(nested.get(first), inside)
    return nested


def _merged(one: Any, other: Any) -> Any:
    if not (isinstance(one, Mapping) and isinstance(other, Mapping)):
        return other
    return {**one, **{name: _merged(one.get(name), value) for name, value in other.items()}}
