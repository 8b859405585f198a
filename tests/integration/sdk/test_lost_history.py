"""History that the database refuses or no longer has: the flow continues, and its end reports it."""

from __future__ import annotations

import gzip
import json
import logging
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mintaka.context import Launch
from mintaka.engine.runs import Ledger
from mintaka.recording.delivery import HistoryRecorder
from mintaka.recording.delivery_settings import DeliverySettings
from mintaka.recording.leftover_places import local_leftovers
from mintaka.recording.leftovers import deliver_all
from mintaka.recording.sinks import ApiSink
from mintaka_core.history_reasons import HistoryReason
from mintaka_core.wire_versions import WIRE_VERSION
from real_api import RealApi

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postgres_server import PostgresServer

UID = "0190f5fe-0000-7000-8000-0000000000aa"
UNSERVED = "https://mintaka.dev/problems/unserved-version"
OLD_API = {"version": WIRE_VERSION, "oldest": 1, "newest": WIRE_VERSION - 1, "detail": "upgrade the Helm release"}
NEW_API = {"version": WIRE_VERSION, "oldest": WIRE_VERSION + 1, "newest": WIRE_VERSION + 3, "detail": "rebuild the image"}


class Reporter:
    """A recorder of a run whose events the test creates."""

    def __init__(self, url: str, folder: Path) -> None:
        self.launch = Launch(flow_run_id=UID, name="run-1", namespace="team", deployment="daily")
        settings = DeliverySettings(flush_seconds=0.02, retry_seconds=0.02, retry_max_seconds=0.1, timeout_seconds=5.0, spool_folder=folder)
        self.recorder = HistoryRecorder(ApiSink(url), self.launch, settings)
        self.ledger = Ledger(self.recorder)

    def work(self, count: int = 3) -> None:
        """Some task runs, reported before this returns."""
        for _ in range(count):
            self.ledger.complete(self.ledger.open("t", "task", None))
        self.recorder.flush(time.monotonic() + 20)


@pytest.fixture
def reporter(api: Any, tmp_path: Path) -> Iterator[Reporter]:
    api.problem = UNSERVED
    made = Reporter(api.url, tmp_path / "spool")
    yield made
    made.recorder.close(time.monotonic() + 5)


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


class TestAnApiOfAnotherVersion:
    """426: the recorder sends no further request."""

    def test_one_that_is_too_new_gets_nothing_and_nothing_is_kept(
        self, api: Any, reporter: Reporter, caplog: pytest.LogCaptureFixture
    ) -> None:
        """No API will ever take it."""
        api.members, api.fault_forever = NEW_API, 426
        for _ in range(5):
            reporter.work()
        api.fault_forever = None
        reporter.work()
        delivery = reporter.recorder.close(time.monotonic() + 10)
        assert (delivery.complete, delivery.reason, delivery.spool, api.reports) == (False, HistoryReason.WIRE_VERSION_NOT_SERVED, "", [])
        assert delivery.lost >= 18
        assert errors(caplog) == ["the API does not take the history of this run: rebuild the image; the flow goes on without history"]

    def test_one_that_is_too_old_gets_it_when_it_is_upgraded(
        self, api: Any, reporter: Reporter, caplog: pytest.LogCaptureFixture, tmp_path: Path
    ) -> None:
        """Another process sends what lies on the disk."""
        api.members, api.fault_forever = OLD_API, 426
        for _ in range(5):
            reporter.work()
        delivery = reporter.recorder.close(time.monotonic() + 10)
        assert (delivery.complete, delivery.reason, delivery.lost) == (False, HistoryReason.WIRE_VERSION_NOT_SERVED, 0)
        assert len(errors(caplog)) == 1
        text = b"".join(gzip.decompress(path.read_bytes()) for path in sorted(Path(delivery.spool).glob("*.gz")))
        assert {json.loads(line)["version"] for line in text.splitlines()} == {WIRE_VERSION}
        assert self.deliver(api, tmp_path) == {"unavailable": 1}
        api.fault_forever = None
        assert self.deliver(api, tmp_path) == {"delivered": 1}
        assert sorted(api.tasks) == list(range(15))

    def test_one_that_is_too_new_for_what_lies_on_the_disk_sets_it_aside(self, api: Any, reporter: Reporter, tmp_path: Path) -> None:
        """It is not sent for ever."""
        api.members, api.fault_forever = OLD_API, 426
        reporter.work()
        reporter.recorder.close(time.monotonic() + 10)
        api.members = NEW_API
        assert self.deliver(api, tmp_path) == {"refused": 1}
        assert self.deliver(api, tmp_path) == {}

    def test_one_that_is_replaced_while_reports_wait_drops_them(self, api: Any, reporter: Reporter) -> None:
        """Reports on the disk too."""
        api.fault_forever = 503
        reporter.work()
        reporter.work()
        api.members, api.fault_forever = NEW_API, 426
        delivery = reporter.recorder.close(time.monotonic() + 10)
        assert (delivery.reason, delivery.spool, delivery.lost >= 6) == (HistoryReason.WIRE_VERSION_NOT_SERVED, "", True)

    def deliver(self, api: Any, tmp_path: Path) -> dict[str, int]:
        leftovers = list(local_leftovers(tmp_path / "spool"))
        sink = ApiSink(api.url)
        try:
            return dict(deliver_all([leftover for leftover, _ in leftovers], sink))
        finally:
            sink.close()
            for _, lock in leftovers:
                lock.release()


class Place:
    """A database that can be replaced or restored under an API, which is restarted then."""

    def __init__(self, kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
        self.kind, self.folder = kind, tmp_path
        self.file = tmp_path / "api.db"
        self.name = f"lost_{tmp_path.name.replace('-', '_')[-20:].lower()}"
        self.server: PostgresServer | None = request.getfixturevalue("postgres") if kind == "postgresql" else None
        self.api = RealApi(self.server.create_database(self.name) if self.server else f"sqlite:///{self.file}")
        self.api.start()

    def replace(self, *, start: bool = True) -> None:
        """An empty database in place of this one."""
        self.api.kill()
        if self.server:
            self.server.drop_database(self.name)
            self.server.create_database(self.name)
        else:
            self._remove()
        if start:
            self.api.start()

    def back_up(self) -> None:
        """Remember what is in it."""
        self.api.kill()
        if self.server:
            self.server.drop_database(f"{self.name}_backup")
            self.server.create_database(f"{self.name}_backup", template=self.name)
        else:
            with closing(sqlite3.connect(self.file)) as connection:
                connection.execute("VACUUM INTO ?", (str(self.folder / "backup"),))
        self.api.start()

    def restore(self) -> None:
        """As it was remembered."""
        self.api.kill()
        if self.server:
            self.server.drop_database(self.name)
            self.server.create_database(self.name, template=f"{self.name}_backup")
        else:
            self._remove()
            shutil.copy(self.folder / "backup", self.file)
        self.api.start()

    def close(self) -> None:
        self.api.kill()
        if self.server:
            self.server.drop_database(self.name)
            self.server.drop_database(f"{self.name}_backup")

    def _remove(self) -> None:
        for path in self.folder.glob("api.db*"):
            path.unlink()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    place = Place(request.param, tmp_path, request)
    yield place
    place.close()


def test_a_database_that_is_replaced_between_two_reports(database_place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The end and the run's row say so; what is reported from then on is stored."""
    reporter = Reporter(database_place.api.url, tmp_path / "spool")
    reporter.work()
    assert len(database_place.api.all_of(f"/flow-runs/{UID}/task-runs")) == 3
    database_place.replace()
    reporter.work()
    delivery = reporter.recorder.close(time.monotonic() + 20)
    assert (delivery.complete, delivery.reason, delivery.spool, delivery.lost) == (False, HistoryReason.SCHEMA_REPLACED, "", 0)
    assert [line for line in errors(caplog) if "replaced by an empty one" in line]
    run = database_place.api.get(f"/flow-runs/{UID}")
    assert run["history_complete"] is False
    assert [each["n"] for each in database_place.api.all_of(f"/flow-runs/{UID}/task-runs")] == [3, 4, 5]


def test_a_database_that_is_replaced_before_the_last_report(database_place: Place, tmp_path: Path) -> None:
    """That report is marked as the last one, and a later report revokes it."""
    reporter = Reporter(database_place.api.url, tmp_path / "spool")
    reporter.work()
    database_place.replace()
    delivery = reporter.recorder.close(time.monotonic() + 20)
    assert (delivery.complete, delivery.reason) == (False, HistoryReason.SCHEMA_REPLACED)
    assert database_place.api.get(f"/flow-runs/{UID}")["history_complete"] is False


def test_a_database_that_is_restored_from_a_backup(database_place: Place, tmp_path: Path) -> None:
    """It knows less than it had acknowledged."""
    reporter = Reporter(database_place.api.url, tmp_path / "spool")
    reporter.work()
    database_place.back_up()
    reporter.work()
    database_place.restore()
    delivery = reporter.recorder.close(time.monotonic() + 20)
    assert (delivery.complete, delivery.reason) == (False, HistoryReason.HISTORY_LOST)
    assert database_place.api.get(f"/flow-runs/{UID}")["history_complete"] is False
    assert [each["n"] for each in database_place.api.all_of(f"/flow-runs/{UID}/task-runs")] == [0, 1, 2]


def test_an_api_that_is_away_for_a_while_has_lost_nothing(database_place: Place, tmp_path: Path) -> None:
    """Killed and started again, on the same database."""
    reporter = Reporter(database_place.api.url, tmp_path / "spool")
    reporter.work()
    database_place.api.kill()
    reporter.work()
    database_place.api.start()
    delivery = reporter.recorder.close(time.monotonic() + 20)
    assert (delivery.complete, delivery.reason) == (True, None)
    assert database_place.api.get(f"/flow-runs/{UID}")["history_complete"] is True
