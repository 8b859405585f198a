"""Nodes that are gone: believed only when asked for, forgotten when they come back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from mintaka_kubernetes.resources import NODES
from mintaka_operator.cluster import ApiError, Cluster
from mintaka_operator.nodes import Nodes

if TYPE_CHECKING:
    from collections.abc import Callable

    from jumping import Clock
    from memory_cluster import MemoryCluster

PATH = NODES.path(None, "a")


def node(*taints: str) -> dict[str, Any]:
    """A Node object."""
    return {"metadata": {"name": "a", "uid": "n1", "resourceVersion": "7"}, "spec": {"taints": [{"key": taint} for taint in taints]}}


def told(cluster: MemoryCluster, act: Callable[[Nodes], object]) -> tuple[list[str], bool]:
    """Which nodes are reported lost after `act`, and whether the node counts as gone."""
    lost: list[str] = []

    async def story() -> bool:
        nodes = Nodes(cast("Cluster", cluster), lost.append, set)
        nodes.present(node())
        act(nodes)
        for _ in range(5):
            await asyncio.sleep(0)
        nodes.close()
        return nodes.is_gone("a")

    gone = asyncio.run(story())
    return lost, gone


def test_a_deleted_node_is_gone(cluster: MemoryCluster) -> None:
    """The API server confirms it."""
    assert told(cluster, lambda nodes: nodes.gone(node())) == (["a"], True)


def test_a_node_that_vanished_unseen_is_gone(cluster: MemoryCluster) -> None:
    """Found missing in a list."""
    assert told(cluster, lambda nodes: nodes.vanished(["n1"])) == (["a"], True)


def test_a_node_that_exists_after_all_is_not_gone(cluster: MemoryCluster) -> None:
    """It was created again under its name."""
    cluster.objects[PATH] = node()
    assert told(cluster, lambda nodes: nodes.gone(node())) == ([], False)


def test_a_node_that_no_list_has_shown_is_asked_for(cluster: MemoryCluster) -> None:
    """A pod was bound to it while no operator was there; the other one was just created."""
    cluster.objects[NODES.path(None, "new")] = node()
    assert told(cluster, lambda nodes: nodes.check(["new", "old", "", "a"]))[0] == ["old"]


def test_a_node_out_of_service_is_gone(cluster: MemoryCluster) -> None:
    """An administrator says that nothing runs there any more."""
    cluster.objects[PATH] = node("node.kubernetes.io/out-of-service")
    assert told(cluster, lambda nodes: nodes.present(cluster.objects[PATH])) == (["a"], True)


def test_another_taint_means_nothing(cluster: MemoryCluster) -> None:
    """An unreachable node may come back."""
    assert told(cluster, lambda nodes: nodes.present(node("node.kubernetes.io/unreachable"))) == ([], False)


def test_a_node_that_comes_back_is_there(cluster: MemoryCluster) -> None:
    """Its taint was taken off."""

    def act(nodes: Nodes) -> None:
        nodes.present(node("node.kubernetes.io/out-of-service"))
        asyncio.get_running_loop().call_soon(lambda: nodes.present(node()))

    cluster.objects[PATH] = node("node.kubernetes.io/out-of-service")
    assert told(cluster, act)[1] is False


@pytest.mark.parametrize("code", [0, 429, 503])
def test_without_an_answer_nothing_is_believed(cluster: MemoryCluster, code: int) -> None:
    """It is asked for again."""
    cluster.fault = lambda _method, _path: ApiError(code, "Reason", "no")
    assert told(cluster, lambda nodes: nodes.gone(node())) == ([], False)


def test_a_node_that_is_long_gone_is_forgotten_unless_a_pod_is_bound_to_it(cluster: MemoryCluster, clock: Clock) -> None:
    """Autoscalers remove nodes all the time; what a pod was judged by must not change."""
    bound = {"node-1"}

    async def story() -> list[set[str]]:
        nodes = Nodes(cast("Cluster", cluster), lambda _name: None, lambda: bound)
        gone: list[set[str]] = []
        for number, wait in enumerate((1800, 1700, 3000, 1)):
            nodes.check([f"node-{number}"])
            await asyncio.sleep(wait)
            gone.append({f"node-{each}" for each in range(4) if nodes.is_gone(f"node-{each}")})
        bound.clear()
        await asyncio.sleep(7200)
        nodes.check(["node-9"])
        await asyncio.sleep(1)
        return [*gone, {f"node-{each}" for each in range(10) if nodes.is_gone(f"node-{each}")}]

    assert clock.run(story())[2:] == [{"node-0", "node-1", "node-2"}, {"node-1", "node-2", "node-3"}, {"node-9"}]
