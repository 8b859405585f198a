"""Objects are decoded one by one: none keeps the others from being read, and of an unreadable one as much as possible is delivered."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintaka_core.limits import DEPTH_LIMIT, RESOURCE_LIMIT_BYTES, check_resource
from mintaka_core.names import MIRROR_FINALIZER
from mintaka_kubernetes.decoding import Unreadable, decode, decode_event, decode_page, depth_of
from mintaka_kubernetes.json_scanner import is_deeper, scan_items, scan_members
from poison import event, flow_deployment_json, flow_run_json, nested, nested_objects, page, poisons

POISONS = poisons()
GOOD = flow_run_json("good", '{"a":[1,{"b":"c]}"}]}')


def names(found: Any) -> list[str]:
    """Names of objects, readable or not."""
    return [(each.document if isinstance(each, Unreadable) else each)["metadata"]["name"] for each in found]


@pytest.mark.parametrize(("parameters", "reason"), POISONS.values(), ids=POISONS)
class TestPoison:
    def test_an_object_is_delivered_without_what_is_wrong_with_it(self, parameters: str, reason: str) -> None:
        """Metadata, status and the plain fields of its spec remain; the message has a limit or the place."""
        found = decode(flow_run_json("bad", parameters))
        assert isinstance(found, Unreadable)
        assert found.reason == reason
        assert "spec.parameters" in found.message
        assert found.document["metadata"]["finalizers"] == [MIRROR_FINALIZER]
        assert found.document["status"] == {"sequence": 3}
        assert found.document["spec"] == {"deployment": "nightly"}

    def test_the_event_it_comes_in_is_delivered(self, parameters: str, reason: str) -> None:
        """With its type."""
        found = decode_event(event("MODIFIED", flow_run_json("bad", parameters)))
        assert found["type"] == "MODIFIED"
        assert found["object"].reason == reason

    def test_the_page_it_is_in_is_delivered_with_all_others(self, parameters: str, reason: str) -> None:
        """In order."""
        found = decode_page(page(GOOD, flow_run_json("bad", parameters), GOOD, next_page="more"))
        assert (found.version, found.next_page) == ("10", "more")
        assert names(found) == ["good", "bad", "good"]
        assert [each.reason for each in found if isinstance(each, Unreadable)] == [reason]

    def test_a_flow_deployment_is_guarded_alike(self, parameters: str, reason: str) -> None:
        """The kind makes no difference."""
        found = decode(flow_deployment_json("nightly", parameters))
        assert isinstance(found, Unreadable)
        assert (found.reason, found.document["spec"]) == (reason, {"entrypoint": "etl:main"})


@pytest.mark.parametrize("levels", [DEPTH_LIMIT, DEPTH_LIMIT + 1])
@pytest.mark.parametrize("objects", [False, True])
def test_the_depth_limit_is_the_published_one(levels: int, objects: bool) -> None:
    """What `check_resource` allows is ordinary here, what it refuses is not; for every encoder there is room above it."""
    found = decode(flow_run_json("one", nested_objects(levels) if objects else f'{{"x":{nested(levels - 1)}}}'))
    assert isinstance(found, Unreadable) is (levels > DEPTH_LIMIT)
    if isinstance(found, dict):
        assert check_resource(found) is None
        orjson.dumps({"type": "MODIFIED", "object": found})


@pytest.mark.parametrize("excess", [-200, 400])
def test_the_size_limit_counts_what_its_author_wrote(excess: int) -> None:
    """Not the status, nor managedFields, nor kubectl's copy, nor the escapes with which the API server writes `<`."""
    text = json.dumps("<" * (RESOURCE_LIMIT_BYTES - 300 + excess)).replace("<", "\\u003c")
    copy = json.dumps({"kubectl.kubernetes.io/last-applied-configuration": "y" * 200_000})
    managed = json.dumps([{"fieldsV1": {f"f:{number}": {} for number in range(30_000)}}])
    raw = flow_run_json(
        "one", f'{{"x":{text}}}', metadata=f'"annotations":{copy},"managedFields":{managed}', status=f'{{"x":"{"s" * 90_000}"}}'
    )
    found = decode(raw)
    assert isinstance(found, Unreadable) is (excess > 0)


def test_managed_fields_are_never_delivered_however_deep() -> None:
    """They repeat the structure of the whole object, which is then deeper than any decoder goes."""
    for managed in ("[]", nested(9000), '[{"a":1}]'):
        found = decode(flow_run_json("one", "{}", metadata=f'"managedFields":{managed}'))
        assert isinstance(found, dict)
        assert "managedFields" not in found["metadata"]


@pytest.mark.parametrize(
    ("members", "left"),
    [
        ({"status": nested(9000)}, {"metadata"}),
        ({"status": '{"x":"\\ud800"}'}, {"metadata"}),
        ({"metadata": f'"annotations":{nested_objects(1500)}'}, {"metadata", "status"}),
        ({"tail": f',"more":{nested(1500)}'}, {"metadata", "status"}),
    ],
    ids=["status too deep", "status not text", "annotations too deep", "a member nobody knows"],
)
def test_any_part_that_is_wrong_is_left_out_and_the_others_are_delivered(members: dict[str, str], left: set[str]) -> None:
    """Of the metadata, too, what is in order remains."""
    found = decode(flow_run_json("one", "{}", **members))
    assert isinstance(found, Unreadable)
    assert {"metadata", "status"} & found.document.keys() == left
    assert found.document["metadata"]["name"] == "one"
    assert "annotations" not in found.document["metadata"]


def test_kinds_whose_fields_the_api_server_knows_are_not_limited() -> None:
    """A pod of any size is delivered whole: its end must not be missed."""
    pod = json.dumps({"metadata": {"name": "p"}, "spec": {"x": "y" * 1_000_000}, "status": {"phase": "Failed"}}).encode()
    found = decode(pod, typed=True)
    assert isinstance(found, dict)
    assert found["status"] == {"phase": "Failed"}


def test_of_a_page_only_what_has_changed_or_is_leaving_is_decoded() -> None:
    """And what is met is no longer missing."""
    leaving = flow_run_json("leaving", "{}", metadata='"deletionTimestamp":"2026-01-01T00:00:00Z"')
    items = [
        flow_run_json("same", "{}"),
        flow_run_json("changed", "{}"),
        leaving,
        flow_run_json("new", "{}"),
        flow_run_json("deep", nested(9000)),
    ]
    known = {"uid-same": "7", "uid-changed": "6", "uid-leaving": "7", "uid-gone": "7"}
    assert names(decode_page(page(*items)).changed(known)) == ["changed", "leaving", "new", "deep"]
    assert known == {"uid-gone": "7"}


def test_an_item_that_is_no_object_does_not_end_the_page() -> None:
    """Null, numbers, lists."""
    found = list(decode_page(page(b"null", GOOD, b"3", b"[]")))
    assert [isinstance(each, Unreadable) for each in found] == [True, False, True, True]


@pytest.mark.parametrize("text", [b"", b"<html>", b"[]", b'"x"', b'{"metadata":', b'{"items":3}'])
def test_what_is_no_answer_at_all_is_an_error(text: bytes) -> None:
    """A proxy's page is not an empty list."""
    with pytest.raises(ValueError, match=r".+"):
        decode_page(text)
    with pytest.raises(ValueError, match=r".+"):
        decode_event(text)


@pytest.mark.parametrize("depth", [1, 2, 5, 200, 5000])
def test_depth_is_counted_up_to_a_limit(depth: int) -> None:
    """Without recursion."""
    value: Any = {}
    for _ in range(depth - 1):
        value = [1, value, "text"]
    assert depth_of(value, 300) == min(depth, 301)
    assert depth_of("text", 10) == 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=5), st.sampled_from([None, 2]), st.booleans())
def test_the_scanner_finds_the_members_a_decoder_finds(value: dict[str, Any], indent: int | None, escaped: bool) -> None:
    """In whatever way the text is written."""
    raw = json.dumps(value, indent=indent, ensure_ascii=escaped).encode()
    assert {name: json.loads(bytes(member)) for name, member in scan_members(raw, levels=1).items()} == value
    items = json.dumps(list(value.values()), indent=indent, ensure_ascii=escaped).encode()
    assert [json.loads(bytes(item)) for item in scan_items(items)] == list(value.values())


@given(JSON, st.integers(0, 6))
def test_the_scanner_counts_levels_as_a_walk_does(value: Any, limit: int) -> None:
    """Brackets in strings do not count."""
    assert is_deeper(json.dumps(value).encode(), limit) is (depth_of(value, 100) > limit)


@pytest.mark.parametrize("text", ['{"a" 1}', '{"a":1', '{"a":[1,2}', "{a:1}", '{"a":1 "b":2}', '{"a":"x}', "{,}", '{"a":}', '{"a":1,}'])
def test_text_that_is_no_json_ends_the_scan(text: str) -> None:
    """With a position; never with an endless or quadratic search."""
    with pytest.raises(ValueError, match="malformed JSON at byte"):
        scan_members((text + " " * 100_000).encode(), levels=1)
