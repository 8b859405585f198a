"""Values that are missing: set to null, or kept from an older chart by `helm upgrade --reuse-values`."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from itertools import batched, chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from tests.unit.chart.conftest import Render

    type Template = Callable[..., subprocess.CompletedProcess[str]]
    type ValuePath = tuple[str, ...]

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "mintaka"
OLDER = sorted((Path(__file__).parent / "values").glob("*.yaml"))

#: Everything switched on, so that each value has an effect.
EVERYTHING = {
    "api": {
        "database": {"existingSecret": {"name": "database"}},
        "autoscaling": {"enabled": True},
        "ingress": {"enabled": True, "hosts": ["mintaka.example"]},
        "httpRoute": {"enabled": True, "parentRefs": [{"name": "gateway"}]},
        "podDisruptionBudget": {"enabled": True},
    },
    "operator": {"replicas": 2, "podDisruptionBudget": {"enabled": True}},
    "metrics": {"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}, "dashboard": {"enabled": True}},
    "networkPolicy": {"enabled": True},
    "crds": {"install": False},  # they are most of what is rendered, and none of it differs
}
#: What null leaves out, by the last name of the value's path: a field of a pod, or of its container.
LEFT_OUT = {
    "podSecurityContext": ("pod", "securityContext"),
    "securityContext": ("container", "securityContext"),
    "resources": ("container", "resources"),
    "startupProbe": ("container", "startupProbe"),
    "livenessProbe": ("container", "livenessProbe"),
    "readinessProbe": ("container", "readinessProbe"),
}
#: A probe cannot do without it (test_unusual_values replaces it by another).
HANDLER = "httpGet"


def _paths(values: dict[str, Any], path: ValuePath = ()) -> Iterator[ValuePath]:
    for name, value in values.items():
        yield (*path, name)
        if isinstance(value, dict):
            yield from _paths(value, (*path, name))


def _null(path: ValuePath) -> dict[str, Any]:
    values: Any = None
    for name in reversed(path):
        values = {name: values}
    return values


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in over.items():
        inner = merged.get(name)
        merged[name] = _merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return merged


def _without(values: dict[str, Any], path: ValuePath) -> dict[str, Any]:
    name, *rest = path
    if name not in values:
        return values
    if not rest or not isinstance(values[name], dict):
        return {other: value for other, value in values.items() if other != name}
    return {**values, name: _without(values[name], tuple(rest))}


PATHS = list(_paths(yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))))
WITH_DEFAULTS = [path for path in PATHS if path[0] == "flows" or not LEFT_OUT.keys() & {*path}]


def test_a_value_set_to_null_has_its_default(template: Template) -> None:
    """Each value of values.yaml and each section: null is the same as not giving it, with everything switched on."""
    assert template(EVERYTHING).returncode == 0

    def outcome(values: dict[str, Any]) -> tuple[int, str, str]:
        done = template(values)
        return done.returncode, done.stdout, done.stderr

    def differing(paths: tuple[ValuePath, ...]) -> list[str]:
        """Those of `paths` whose null matters: all at once first, since each rendering takes a tenth of a second."""
        null = reduce(_merged, map(_null, paths), EVERYTHING)
        if outcome(null) == outcome(reduce(_without, paths, EVERYTHING)):
            return []
        return [".".join(paths[0])] if len(paths) == 1 else [name for path in paths for name in differing((path,))]

    sections = [path for path in WITH_DEFAULTS if any(other[: len(path)] == path for other in PATHS if other != path)]
    leaves = [path for path in WITH_DEFAULTS if path not in sections]
    with ThreadPoolExecutor(4) as pool:
        names = pool.map(differing, [*batched(leaves, 12), *((path,) for path in sections)])
        assert [*chain(*names)] == []


@pytest.mark.parametrize("component", ["operator", "api"])
def test_null_leaves_out_what_may_be_left_out(component: str, render: Render) -> None:
    """Security contexts, resources and probes: nothing takes their place, and all else stays."""
    plain = render().pod(component)["spec"]
    for where, field in LEFT_OUT.values():
        del (plain if where == "pod" else plain["containers"][0])[field]
    assert render({component: dict.fromkeys(LEFT_OUT)}).pod(component)["spec"] == plain


@pytest.mark.parametrize("component", ["operator", "api"])
def test_null_leaves_out_a_single_field_too(component: str, render: Render) -> None:
    """Helm cannot remove a field otherwise: `podSecurityContext.fsGroup: null` leaves the other fields."""
    fields = {
        name: [path for path in PATHS if path[:2] == (component, name) and len(path) == 3 and path[-1] != HANDLER] for name in LEFT_OUT
    }
    plain = render().pod(component)["spec"]
    for paths in zip_longest(*fields.values()):  # one field of each at a time
        nulls = [path for path in paths if path]
        spec = render(reduce(_merged, map(_null, nulls))).pod(component)["spec"]
        for _, name, left_out in nulls:
            where, field = LEFT_OUT[name]
            expected = dict((plain if where == "pod" else plain["containers"][0])[field])
            del expected[left_out]
            assert (spec if where == "pod" else spec["containers"][0])[field] == expected, f"{component}.{name}.{left_out}"


def test_the_hook_of_uninstall_may_have_no_resources(render: Render) -> None:
    """Null leaves them out there too."""
    job = render({"uninstall": {"resources": None}}).one("Job", "mintaka-uninstall")
    assert "resources" not in job["spec"]["template"]["spec"]["containers"][0]


@pytest.fixture(params=OLDER, ids=lambda path: path.stem)
def reusing(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The chart with the values of an older one for its own: what `helm upgrade --reuse-values` makes of it."""
    copy = tmp_path / "mintaka"
    shutil.copytree(CHART, copy)
    shutil.copy(request.param, copy / "values.yaml")
    return copy


def test_values_kept_from_an_older_chart_render_as_the_defaults_do(reusing: Path, render: Render) -> None:
    """`--reuse-values` brings none of the new defaults: the templates do."""
    assert render(chart=reusing).objects == render().objects


def test_every_value_kept_from_an_older_chart_still_has_its_effect(reusing: Path, render: Render) -> None:
    """What was set under the older chart is what the new one renders."""
    values = {
        "operator": {"relistSeconds": 7, "resources": {"limits": {"memory": "1Gi"}}},
        "api": {"database": {"existingSecret": {"name": "database"}}, "replicas": 3},
        "watchNamespaces": ["team-a"],
    }
    release = render(values, chart=reusing)
    assert release.objects == render(values).objects
    assert release.environment("operator")["MINTAKA_RELIST_SECONDS"] == "7"
    assert release.container("operator")["securityContext"]["readOnlyRootFilesystem"] is True


def test_resources_that_an_older_chart_left_out_stay_out(reusing: Path, render: Render) -> None:
    """It knew them, so their absence was meant."""
    assert "resources" not in render({"api": {"resources": None}}, chart=reusing).container("api")


def test_no_value_of_an_older_chart_is_gone() -> None:
    """A value that the schema no longer knows would refuse the upgrade."""
    for older in OLDER:
        assert {*_paths(yaml.safe_load(older.read_text(encoding="utf-8")))} <= {*PATHS}
