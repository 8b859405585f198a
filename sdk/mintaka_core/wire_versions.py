"""The version of what flow pods, the operator and the API say to each other, and which versions are served.

It numbers the format of reports, of a pod's environment (`MINTAKA_WIRE_VERSION`) and of termination messages together. A
release that changes one of them incompatibly raises it by one. API and operator of version N serve SDKs of N-2 to N, so
that flow images need not be rebuilt with each upgrade. A report without a version has version 0.
"""

from __future__ import annotations

#: The version that this release sends.
WIRE_VERSION = 1
_SERVED_BEFORE = 2


def oldest_served(version: int) -> int:
    """The oldest version that API and operator of `version` serve; 0 was never released."""
    return max(1, version - _SERVED_BEFORE)


#: The oldest version that this release serves.
OLDEST_WIRE_VERSION = oldest_served(WIRE_VERSION)
#: The environment variable in which the operator passes its own version to a pod.
VARIABLE = "MINTAKA_WIRE_VERSION"


def is_served(version: int) -> bool:
    """True if this release reads what is of `version`."""
    return OLDEST_WIRE_VERSION <= version <= WIRE_VERSION


def served_versions() -> str:
    """The range for people."""
    return f"{OLDEST_WIRE_VERSION}" if OLDEST_WIRE_VERSION == WIRE_VERSION else f"{OLDEST_WIRE_VERSION} to {WIRE_VERSION}"


def why_unserved(version: int, reader: str) -> str:
    """The sentence about something of a `version` that `reader` ("the API") does not serve: both versions, and what to upgrade."""
    sender = f"wire version {version}" if version else "wire version 0 (it names none)"
    remedy = (
        "upgrade the Helm release, which is older than the flow's image"
        if version > WIRE_VERSION
        else "rebuild the flow's image with a newer Mintaka SDK, or upgrade that of the script"
    )
    return f"it has {sender}, but {reader} serves {served_versions()}: {remedy}"


def why_not_of_this_operator(operator: int) -> str:
    """What is wrong with running this release's SDK in a pod of an operator of another version; "" if nothing is."""
    oldest = oldest_served(operator)
    if oldest <= WIRE_VERSION <= operator:
        return ""
    remedy = "upgrade the Helm release" if operator < WIRE_VERSION else "rebuild the flow's image with a newer Mintaka SDK"
    return (
        f"this flow's image has wire version {WIRE_VERSION}, but the operator that started its pod serves {oldest} to {operator}: the end of "
        f"the run is read from its exit code alone, and its history may be refused; {remedy}"
    )
