"""Copies of logs: one at a time per node, and no node waits for another."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from mintaka_controller.log_copies import LogCopies, LogCopy
from mintaka_controller.ports import Missing, NodeUnavailable, Rejected, Unavailable
from mintaka_core.workloads import Phase, Workload

if TYPE_CHECKING:
    from collections.abc import Callable

    from jumping import Clock
    from mintaka_controller.ports import Name, Ports

BEGIN = datetime(2026, 3, 4, 5, tzinfo=UTC)
#: How long a request to a kubelet that does not answer takes.
HANGS = 60.0


class Kubelets:
    """Logs by node: how many seconds reading takes, and what then happens (None: it succeeds); notes every attempt."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._begin = clock, clock.now()
        self.seconds: dict[str, float] = {}
        self.faults: dict[str, Callable[[Workload], Exception | None]] = {}
        self.begun: list[tuple[str, float]] = []
        self.done: dict[str, float] = {}
        self.at_once: dict[str, int] = {}
        self.most_at_once: dict[str, int] = {}

    @property
    def time(self) -> float:
        """Seconds since the beginning."""
        return self._clock.now() - self._begin

    def now(self) -> datetime:
        """The same, as the controller's clock."""
        return BEGIN + timedelta(seconds=self.time)

    async def copy_log(self, _namespace: str, _run_uid: str, workload: Workload) -> None:
        """Copy one log."""
        node = workload.node
        self.begun.append((workload.name, self.time))
        self.at_once[node] = self.at_once.get(node, 0) + 1
        self.most_at_once[node] = max(self.at_once[node], self.most_at_once.get(node, 0))
        await asyncio.sleep(self.seconds.get(node, 0.1))
        self.at_once[node] -= 1
        if (fault := self.faults.get(node, lambda _workload: None)(workload)) is not None:
            raise fault
        self.done[workload.name] = round(self.time, 1)

    def hang(self, *nodes: str) -> None:
        """Let these not answer."""
        for node in nodes:
            self.seconds[node] = HANGS
            self.faults[node] = lambda _workload: NodeUnavailable("the kubelet did not answer")


class Play:
    """Copies of the pods of nodes, and what became of them when."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.kubelets = clock, Kubelets(clock)
        ports = cast("Ports", SimpleNamespace(workloads=self.kubelets, clock=self.kubelets))
        self.woken: dict[str, float] = {}
        self.copies = LogCopies(ports, self._wake)
        self.requested: dict[str, LogCopy] = {}

    def _wake(self, run: Name) -> None:
        self.woken[run[1]] = round(self.kubelets.time, 1)

    def request(self, node: str, name: str, patience: float = 60) -> LogCopy:
        """Request the copy of one pod, each of a run of its own."""
        workload = Workload(name, f"uid-{name}", 1, Phase.ENDED, BEGIN, node=node, container="flow")
        copy = self.copies.request(("sales", name), "9f1c", workload, self.kubelets.now() + timedelta(seconds=patience))
        self.requested[name] = copy
        return copy

    def run(self, begin: Callable[[], Any], seconds: float = 600) -> None:
        """Begin, and let the workers work."""

        async def story() -> None:
            begin()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self.copies.run()

        self.clock.run(story())


@pytest.fixture
def play(clock: Clock) -> Play:
    """Nothing requested yet."""
    return Play(clock)


class TestNodes:
    def test_logs_of_a_node_are_copied_one_at_a_time_and_those_of_others_meanwhile(self, play: Play) -> None:
        play.run(lambda: [play.request(node, f"{node}{number}") for number in range(5) for node in "abc"])
        assert play.kubelets.most_at_once == {"a": 1, "b": 1, "c": 1}
        assert play.kubelets.done == {f"{node}{number}": round(0.1 * (number + 1), 1) for number in range(5) for node in "abc"}
        assert play.woken == play.kubelets.done

    def test_logs_whose_node_is_not_known_do_not_wait_for_each_other(self, play: Play) -> None:
        play.run(lambda: [play.request("", f"x{number}") for number in range(8)])
        assert set(play.kubelets.done.values()) == {0.1}

    @pytest.mark.parametrize("pods", [1, 24, 200])
    def test_a_node_that_does_not_answer_delays_no_other(self, play: Play, pods: int) -> None:
        play.kubelets.hang("bad")
        play.run(lambda: [*(play.request("bad", f"bad{number}") for number in range(pods)), *(play.request("good", f"good{number}") for number in range(5))])  # fmt: skip
        assert [play.kubelets.done[f"good{number}"] for number in range(5)] == [0.1, 0.2, 0.3, 0.4, 0.5]

    def test_many_nodes_that_do_not_answer_delay_others_only_until_that_is_known(self, play: Play) -> None:
        bad = [f"bad{number}" for number in range(20)]
        play.kubelets.hang(*bad)

        def begin() -> None:
            for node in bad:
                for number in range(10):
                    play.request(node, f"{node}-{number}", patience=3600)
            for second in range(200, 1000, 50):
                play.clock.loop.call_later(second, play.request, "good", f"good{second}")

        play.run(begin, 1200)
        assert {name: done for name, done in play.kubelets.done.items() if name.startswith("good")} == {
            f"good{second}": second + 0.1 for second in range(200, 1000, 50)
        }

    def test_a_node_that_does_not_answer_is_asked_again_with_growing_waits(self, play: Play) -> None:
        play.kubelets.hang("bad")
        play.run(lambda: [play.request("bad", f"bad{number}", patience=3600) for number in range(3)], 600)
        times = [time for _, time in play.kubelets.begun]
        waits = [round(later - earlier - HANGS, 1) for earlier, later in itertools.pairwise(times)]
        assert waits[:6] == [0.5, 1, 2, 4, 8, 16]
        assert {name for name, _ in play.kubelets.begun} == {"bad0", "bad1", "bad2"}, "the log of one pod may be at fault"

    def test_a_node_that_answers_again_is_served_as_before(self, play: Play) -> None:
        play.kubelets.hang("bad")

        def mend() -> None:
            play.kubelets.seconds.clear()
            play.kubelets.faults.clear()

        def begin() -> None:
            for number in range(3):
                play.request("bad", f"bad{number}", patience=3600)
            play.clock.loop.call_later(65, mend)

        play.run(begin)
        done = sorted(play.kubelets.done.values())
        assert len(done) == 3
        assert done[-1] - done[0] < 1


class TestDeadlines:
    def test_logs_of_a_node_that_does_not_answer_are_lost_at_their_deadlines(self, play: Play) -> None:
        """Their pods are held for no longer than that, and for one request that was begun before."""
        play.kubelets.hang("bad")
        play.kubelets.seconds["bad"] = 10.0
        play.run(lambda: [play.request("bad", f"bad{number}") for number in range(24)])
        assert all(copy.lost.endswith("in time: the kubelet did not answer") for copy in play.requested.values())
        assert len(play.woken) == 24
        assert max(play.woken.values()) <= 70
        assert min(play.woken.values()) >= 60
        assert len(play.kubelets.begun) < 8

    def test_a_deadline_that_is_moved_forward_counts_at_once(self, play: Play) -> None:
        """The pod was deleted meanwhile."""
        play.kubelets.hang("bad")
        play.kubelets.seconds["bad"] = 1.0

        def begin() -> None:
            play.request("bad", "a", patience=3600)
            play.clock.loop.call_later(300, play.request, "bad", "a", 5)

        play.run(begin)
        assert 305 <= play.woken["a"] < 307

    @pytest.mark.parametrize("node", ["good", "bad"])
    def test_a_copy_whose_deadline_was_over_before_it_was_requested_is_tried_once(self, play: Play, node: str) -> None:
        """The operator was away."""
        play.kubelets.hang("bad")
        play.run(lambda: play.request(node, "late", patience=-3600))
        assert len(play.kubelets.begun) == 1
        assert (play.requested["late"].done, bool(play.requested["late"].lost)) == (node == "good", node == "bad")
        assert "late" in play.woken

    def test_copies_that_wait_for_a_slow_node_are_given_up_at_their_deadlines(self, play: Play) -> None:
        play.kubelets.seconds["slow"] = 25.0
        play.run(lambda: [play.request("slow", f"slow{number}") for number in range(5)])
        assert set(play.kubelets.done) == {"slow0", "slow1", "slow2"}
        assert play.requested["slow4"].lost.endswith("in time: other logs of its node took too long")
        assert max(play.woken.values()) == 75


class TestFaults:
    def test_an_api_that_is_away_is_tried_again_until_the_deadline(self, play: Play) -> None:
        """That is not a fault of the node: its other logs are tried as well."""
        play.kubelets.faults["a"] = lambda workload: Unavailable("the API is away") if workload.name == "one" else None
        play.run(lambda: [play.request("a", name) for name in ("one", "two", "three")])
        assert play.kubelets.done == {"two": 0.2, "three": 0.3}
        assert "the API is away" in play.requested["one"].lost
        assert 60 <= play.woken["one"] < 61
        assert 5 < sum(name == "one" for name, _ in play.kubelets.begun) < 10

    @pytest.mark.parametrize("asked_for", [77.0, 86_400.0])
    def test_a_wait_that_is_asked_for_is_obeyed_up_to_two_minutes(self, play: Play, asked_for: float) -> None:
        play.kubelets.faults["a"] = lambda _workload: Unavailable("slow down", asked_for) if len(play.kubelets.begun) == 1 else None
        play.run(lambda: play.request("a", "one", patience=3600))
        assert play.kubelets.done == {"one": round(min(asked_for, 120) + 0.2, 1)}

    @pytest.mark.parametrize("fault", [Missing("gone"), Rejected("never started"), RuntimeError("a bug")], ids=repr)
    def test_a_log_that_cannot_be_copied_is_lost_at_once(self, play: Play, fault: Exception) -> None:
        play.kubelets.faults["a"] = lambda workload: fault if workload.name == "one" else None
        play.run(lambda: [play.request("a", name) for name in ("one", "two")])
        assert play.woken == {"one": 0.1, "two": 0.2}
        assert str(fault) in play.requested["one"].lost

    def test_a_copy_of_a_workload_that_is_gone_is_not_tried(self, play: Play) -> None:
        def begin() -> None:
            for name in ("one", "two", "three"):
                play.request("a", name)
            play.copies.forget("uid-two")

        play.run(begin)
        assert set(play.kubelets.done) == {"one", "three"}
        assert len(play.copies._nodes) == 0, "no queue stays behind"

    def test_a_copy_that_was_made_is_not_made_again(self, play: Play) -> None:
        play.run(lambda: play.request("a", "one"))
        play.copies.forget("uid-one")
        play.run(lambda: play.request("a", "one"))
        assert play.requested["one"].done
        assert len(play.kubelets.begun) == 1
