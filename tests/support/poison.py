"""Objects that decoders refuse: too deep, too large, not UTF-8; as the bytes that an API server would send."""

from __future__ import annotations

import json
from typing import Any

from mintaka_core.names import API_VERSION, MIRROR_FINALIZER

#: The depths that users have tried, on both sides of every decoder's limit, and the API server's own.
DEPTHS = (101, 260, 1023, 1024, 1500, 9000, 9999)
LARGE_BYTES = 1_400_000


def nested(levels: int, opening: str = "[", closing: str = "]", innermost: str = "") -> str:
    """JSON of so many levels."""
    return opening * levels + innermost + closing * levels


def nested_objects(levels: int) -> str:
    """The same, of objects."""
    return nested(levels, '{"a":', "}", "1")


def flow_run_json(
    name: str, parameters: str, *, namespace: str = "", status: str = '{"sequence":3}', metadata: str = "", tail: str = ""
) -> bytes:
    """A FlowRun whose parameters, status and further metadata are any text; with a namespace as users write it, else as it is stored."""
    head = _metadata(name, namespace, finalizers=[MIRROR_FINALIZER])
    more = f",{metadata}" if metadata else ""
    rest = "" if namespace else f',"status":{status}{tail}'
    return (
        f'{{"apiVersion":"{API_VERSION}","kind":"FlowRun","metadata":{head[:-1]}{more}}},'
        f'"spec":{{"deployment":"nightly","parameters":{parameters}}}{rest}}}'
    ).encode()


def flow_deployment_json(name: str, parameters: str, *, namespace: str = "") -> bytes:
    """A FlowDeployment whose parameters are any text; with a namespace as users write it, else as it is stored."""
    return (
        f'{{"apiVersion":"{API_VERSION}","kind":"FlowDeployment","metadata":{_metadata(name, namespace)},'
        f'"spec":{{"entrypoint":"etl:main","parameters":{parameters}}}}}'
    ).encode()


def _metadata(name: str, namespace: str, **others: Any) -> str:
    stored = {} if namespace else {"uid": f"uid-{name}", "resourceVersion": "7"}
    return json.dumps({"name": name, "namespace": namespace or "ns", **stored, **others})


def poisons() -> dict[str, tuple[str, str]]:
    """Parameters by what is wrong with them, and the reason they are refused for."""
    found = {f"lists {depth} deep": (f'{{"x":{nested(depth - 1)}}}', "TooDeep") for depth in DEPTHS}
    found |= {f"objects {depth} deep": (nested_objects(depth), "TooDeep") for depth in DEPTHS}
    found |= {
        "1.4 MB of text": (json.dumps({"x": "y" * LARGE_BYTES}), "ResourceTooLarge"),
        "1.4 MB of brackets": (json.dumps({"x": [[]] * (LARGE_BYTES // 3)}, separators=(",", ":")), "ResourceTooLarge"),
        "large and deep": (f'{{"x":[{"[]," * 400_000}{nested(9998)}]}}', "ResourceTooLarge"),
        "half a surrogate pair": ('{"x":"\\ud800"}', "Unreadable"),
        "no number": ('{"x":01}', "Unreadable"),
        "not JSON": ('{"x":NaN}', "Unreadable"),
    }
    return found


def event(kind: str, raw: bytes) -> bytes:
    """A line of a watch."""
    return f'{{"type":"{kind}","object":'.encode() + raw + b"}\n"


def page(*items: bytes, version: str = "10", next_page: str = "") -> bytes:
    """A page of a list."""
    metadata: dict[str, Any] = {"resourceVersion": version, "continue": next_page}
    return b'{"kind":"List","metadata":' + json.dumps(metadata).encode() + b',"items":[' + b",".join(items) + b"]}"
