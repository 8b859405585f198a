"""Splitting the arguments of `.map()` into those of its calls."""

from __future__ import annotations

from collections.abc import Iterator
from io import IOBase
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from mintaka.annotations import Annotation, quote, unmapped
from mintaka.exceptions import MappingLengthMismatch, MappingMissingIterable
from mintaka.futures import Future
from mintaka.states import State

if TYPE_CHECKING:
    from mintaka.calling.dependencies import Edge, Place
    from mintaka.calling.lineage import Lineage


_SIZED = (list, tuple, set, frozenset, dict, range)


class MappedCalls(NamedTuple):
    """The arguments of each call, and where which runs' results were mapped over."""

    calls: list[tuple[tuple[Any, ...], dict[str, Any]]]
    edges: tuple[Edge, ...]


def mapped_calls(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], lineage: Lineage) -> MappedCalls:
    """One call of task `name` per element of the iterable arguments; all others are repeated.

    A future that is mapped over is waited for, because its length has to be known; its run is upstream of every call.
    Strings, bytes and files are single values; a dict is split over its keys, as iterating over it does.

    Raises:
        MappingMissingIterable: there is nothing to split.
        MappingLengthMismatch: the iterables differ in length.
    """
    edges: dict[Edge, None] = {}
    shortest = min((len(value) for value in (*args, *kwargs.values()) if isinstance(value, _SIZED)), default=None)
    given = {index: _split(value, index, lineage, edges, shortest) for index, value in enumerate(args)}
    named = {key: _split(value, key, lineage, edges, shortest) for key, value in kwargs.items()}
    split = [*((str(index), value) for index, value in given.items()), *named.items()]
    lengths = {key: len(value) for key, value in split if isinstance(value, list)}
    if not lengths:
        message = f"map() of task {name} was given nothing to map over: pass at least one list, or call the task with submit()"
        raise MappingMissingIterable(message)
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{key} has {length}" for key, length in lengths.items())
        message = f"map() of task {name} takes iterables of one length, but argument {told}: wrap what is not to be split in unmapped(…)"
        raise MappingLengthMismatch(message)
    calls = [
        (
            tuple(value[index] if isinstance(value, list) else value.value for value in given.values()),
            {key: value[index] if isinstance(value, list) else value.value for key, value in named.items()},
        )
        for index in range(next(iter(lengths.values())))
    ]
    return MappedCalls(calls, tuple(edges))


def _split(value: Any, place: Place, lineage: Lineage, edges: dict[Edge, None], shortest: int | None) -> list[Any] | unmapped:
    """The elements of `value`, or what is repeated, as `unmapped`.

    Of an iterator, which may never end, one more than the `shortest` of the others: enough to tell that their lengths differ.
    """
    whole: Any = value
    if isinstance(value, unmapped):
        return value
    if isinstance(value, quote):
        parts = _elements(value.value, shortest) if _is_iterable(value.value) else None
        return unmapped(value) if parts is None else [quote(part) for part in parts]
    if isinstance(value, Annotation):
        inside = _split(value.value, place, lineage, edges, shortest)
        annotate = type(value)
        return [annotate(part) for part in inside] if isinstance(inside, list) else unmapped(annotate(inside.value))
    if isinstance(value, (Future, State)):
        whole = value.result()
    if isinstance(value, Future):
        if not _is_iterable(whole):
            return unmapped(value)
        edges[place, value.run.n] = None
    if not _is_iterable(whole):
        return unmapped(whole)
    if (origin := lineage.origin(whole)) is not None:
        edges[place, origin] = None
    return _elements(whole, shortest)


def _elements(whole: Any, shortest: int | None) -> list[Any]:
    return list(whole if shortest is None or not isinstance(whole, Iterator) else islice(whole, shortest + 1))


def _is_iterable(value: Any) -> bool:
    return not isinstance(value, (str, bytes, bytearray, IOBase, quote)) and hasattr(value, "__iter__")
