"""The chart carries the CRDs, and upgrades them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from tests.unit.chart.conftest import Render

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "mintaka"


def test_the_copies_are_the_originals() -> None:
    """`make crds` writes both; a difference means that one was edited."""
    originals = {path.name: path.read_bytes() for path in (ROOT / "crds").glob("*.yaml")}
    copies = {path.name: path.read_bytes() for path in (CHART / "files" / "crds").glob("*.yaml")}
    assert copies == originals


def test_they_are_rendered_whole(render: Render) -> None:
    """The spec is untouched; helm's labels come on top; uninstalling keeps them, and with them every run."""
    rendered = {crd["metadata"]["name"]: crd for crd in render().of("CustomResourceDefinition")}
    originals = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in (ROOT / "crds").glob("*.yaml")]
    assert set(rendered) == {original["metadata"]["name"] for original in originals}
    for original in originals:
        crd = rendered[original["metadata"]["name"]]
        assert crd["spec"] == original["spec"]
        assert crd["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_they_can_be_left_out_and_let_go(render: Render) -> None:
    """For sites that install CRDs otherwise, and for clusters that are to be clean afterwards."""
    assert render({"crds": {"install": False}}).of("CustomResourceDefinition") == []
    for crd in render({"crds": {"keep": False}}).of("CustomResourceDefinition"):
        assert "annotations" not in crd["metadata"]
