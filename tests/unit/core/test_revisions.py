"""Names and contents of revisions."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from mintaka_core.names import NAME_LIMIT
from mintaka_core.resources import FlowTemplate
from mintaka_core.revisions import (
    SOURCE_COPY_LIMIT_BYTES,
    Revision,
    has_source,
    has_template,
    revision_data,
    revision_name,
    source_of,
    source_version,
    template_digest,
    template_of,
)

SPEC = {"entrypoint": "flow.py:main", "source": {"configMap": {"name": "code"}}, "parameters": {"b": 1, "a": [1.5, "é"]}}
FILES = {"flow.py": "def main(): ...\n", "data.json": "{}"}


def made(spec: dict[str, Any], files: dict[str, str] | None = None, deployment: str = "etl") -> Revision:
    """A revision as the controller makes it."""
    template = template_of(spec)
    source = source_version("code", "17", files, {}) if files is not None else None
    digest = template_digest("uid", template)
    return Revision(revision_name(deployment, digest, source.digest if source else ""), deployment, "uid", revision_data(template, source))


def test_a_name_follows_from_the_content_alone() -> None:
    """Neither the order of members nor what concerns the deployment as a whole counts."""
    reordered = {
        "parameters": {"a": [1.5, "é"], "b": 1},
        "source": SPEC["source"],
        "entrypoint": "flow.py:main",
        "schedules": [{"name": "n"}],
    }
    assert made(SPEC, FILES).name == made(reordered, dict(reversed(FILES.items()))).name


@pytest.mark.parametrize("deployment", ["etl", "a.b-c", "x" * 253, "é".encode().hex() * 60], ids=["short", "with dots", "long", "too long"])
@pytest.mark.parametrize("files", [None, FILES], ids=["without source", "with source"])
def test_a_name_is_valid(deployment: str, files: dict[str, str] | None) -> None:
    name = made(SPEC, files, deployment).name
    assert len(name) <= NAME_LIMIT
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", name)


def test_a_name_says_which_template_and_which_source_it_has() -> None:
    plain, sourced = made(SPEC), made(SPEC, FILES)
    digest = template_digest("uid", template_of(SPEC))
    assert has_template(plain.name, digest)
    assert has_template(sourced.name, digest)
    assert not has_template(plain.name, "")
    assert not has_template(plain.name, template_digest("another uid", template_of(SPEC)))
    source = source_of(sourced.data)
    assert source is not None
    assert (has_source(sourced.name, source.digest), has_source(plain.name, ""), has_source(sourced.name, "")) == (True, True, False)


def test_a_revision_is_a_template_as_a_manifest_has_it() -> None:
    """Readers need not know that it is one."""
    template = FlowTemplate.model_validate(made(SPEC, FILES).data)
    assert template.entrypoint == "flow.py:main"
    assert template.source is not None
    assert template.source.config_map is not None
    assert template.source.config_map.name == "code"


@pytest.mark.parametrize(
    "files", [None, FILES, {}, {"big.py": "x" * (SOURCE_COPY_LIMIT_BYTES + 1)}], ids=["none", "files", "no files", "too large"]
)
def test_a_revision_is_intact_after_it_was_stored(files: dict[str, str] | None) -> None:
    revision = made(SPEC if files is not None else {"entrypoint": "a:b"}, files)
    assert replace(revision, data=json.loads(json.dumps(revision.data))).intact


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"entrypoint": "flow.py:other"}, id="another entrypoint"),
        pytest.param({"image": "evil"}, id="one field more"),
        pytest.param({"source": {"configMap": {"name": "code"}}}, id="without its source"),
        pytest.param({"source": {"configMap": {"name": "code", "digest": "0123456789", "files": {}}}}, id="another source"),
        pytest.param({"source": {"inline": "x"}}, id="another kind of source"),
        pytest.param({"source": 3}, id="no source at all"),
    ],
)
def test_a_revision_with_another_content_is_not_intact(change: dict[str, Any]) -> None:
    revision = made(SPEC, FILES)
    assert not replace(revision, data={**revision.data, **change}).intact


def test_files_that_were_changed_are_noticed() -> None:
    """Although the digest that stands beside them is the right one."""
    revision = made(SPEC, FILES)
    copy = revision.data["source"]["configMap"]
    forged = {**revision.data, "source": {"configMap": {**copy, "files": {"flow.py": "evil"}}}}
    assert not replace(revision, data=forged).intact


@pytest.mark.parametrize(
    ("text", "binary", "copied"),
    [
        pytest.param({"a": "x" * (SOURCE_COPY_LIMIT_BYTES - 1)}, {}, True, id="at the limit"),
        pytest.param({"a": "x" * SOURCE_COPY_LIMIT_BYTES}, {}, False, id="beyond it"),
        pytest.param({"a": "é" * (SOURCE_COPY_LIMIT_BYTES // 2)}, {}, False, id="beyond it in UTF-8"),
        pytest.param({"a": "x"}, {"b": "AA=="}, False, id="not text"),
        pytest.param({}, {}, True, id="empty"),
    ],
)
def test_what_is_copied_of_a_source(text: dict[str, str], binary: dict[str, str], *, copied: bool) -> None:
    assert (source_version("code", "1", text, binary).files is not None) == copied


def test_a_source_that_is_not_copied_has_a_digest_all_the_same() -> None:
    """So that a change of it makes another revision."""
    big = "x" * SOURCE_COPY_LIMIT_BYTES
    digests = {source_version("code", "1", {"a": big + end}, {}).digest for end in ("1", "2")}
    assert len(digests | {source_version("code", "1", {}, {"a": end}).digest for end in ("AA==", "AB==")}) == 4
