"""A full disk costs no flow, and no history that was acknowledged; what is lost is counted and said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from small_disk import with_small_disk

if TYPE_CHECKING:
    from pathlib import Path

FLOW = """
from mintaka import flow, task
@task
def add(n):
    return n + 1
@flow
def sums(count):
    return sum(add(n) for n in range(count))
print(sums({count}))
"""


def test_a_database_on_a_full_disk_gets_everything_when_there_is_room(tmp_path: Path) -> None:
    """The spool is on another disk: nothing is lost."""
    told = with_small_disk(
        f"""
        home = {str(tmp_path / "home")!r}
        variables = dict(MINTAKA_HISTORY="on", MINTAKA_HOME=home, MINTAKA_DATABASE_URL=f"sqlite:///{{disk}}/history.db", MINTAKA_HISTORY_GRACE_SECONDS="1")
        flow = {FLOW!r}
        first, said = run(flow.format(count=500), full=True, largest=65536, **variables)
        left = [path.name for path in Path(home, "spool").iterdir() if not path.name.startswith(".")]
        second, said_then = run(flow.format(count=10), full=False, **variables)
        with sqlite3.connect(disk / "history.db") as database:
            runs = database.execute("SELECT state, final_attempt FROM flow_runs").fetchall()
            tasks = database.execute("SELECT state, count(*) FROM task_runs GROUP BY state").fetchall()
        print(json.dumps([first, said, len(left), second, said_then, runs, tasks, os.listdir(Path(home, "spool"))]))
        """,  # noqa: S608 - a program, not a statement
        tmp_path,
    )
    first, said, left, second, said_then, runs, tasks, spool = told
    assert (first, second) == ("125250\n", "55\n")
    assert "history database" in said
    assert "is not delivered yet: it is in" in said
    assert left == 1
    assert said_then == ""
    assert (runs, tasks, spool) == ([[4, 1], [4, 1]], [[4, 510]], [])


def test_a_spool_on_a_full_disk_loses_what_it_cannot_hold_and_says_how_much(tmp_path: Path, api: Any) -> None:
    """The API is away, then there: what fitted is delivered, and the rest was counted."""
    url = api.url
    api.stop()
    told = with_small_disk(
        f"""
        variables = dict(MINTAKA_HISTORY="on", MINTAKA_HOME=str(disk), MINTAKA_API_URL={url!r}, MINTAKA_HISTORY_GRACE_SECONDS="0.5")
        out, said = run({FLOW!r}.format(count=100), full=True, **variables)
        print(json.dumps([out, said, [path.name for path in disk.rglob("*")]]))
        """,
        tmp_path,
    )
    out, said, names = told
    assert out == "5050\n"
    assert "does not take history, which is kept on disk meanwhile" in said
    assert "is full or cannot be written" in said
    assert "is incomplete: 10" in said  # 100 task runs, and what says how it ended
    assert "nothing is left to deliver" in said
    assert [name for name in names if name.startswith(".")] == []
