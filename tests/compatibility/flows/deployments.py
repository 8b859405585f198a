"""`flow.to_deployment`: names, settings, schedules of `prefect.schedules`, and what is refused"""

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

from prefect import flow
from prefect.flows import EntrypointType
from prefect.schedules import Cron, Interval, RRule, Schedule


@flow(name="Daily report", version="7")
def report(region: str = "north", days: int = 1):
    """Sales of a region."""


class Reports:
    @flow
    @staticmethod
    def static():
        """In a class."""


def inner():
    @flow
    def hidden():
        pass

    return hidden


def shown(deployment):
    return {
        "name": deployment.name,
        "flow_name": deployment.flow_name,
        "full_name": deployment.full_name,
        "entrypoint": Path(deployment.entrypoint).name,
        "tags": list(deployment.tags),
        "version": deployment.version,
        "description": deployment.description,
        "parameters": dict(deployment.parameters),
        "paused": deployment.paused,
        "enforce_parameter_schema": deployment.enforce_parameter_schema,
        "schedules": len(deployment.schedules or ()),
    }


def schedule(of):
    return [of.interval and of.interval.total_seconds(), of.cron, of.rrule, of.timezone, of.day_or, of.active, of.parameters, of.slug]


def refused(call):
    try:
        call()
    except ValueError:
        return "ValueError"
    return "accepted"


if __name__ == "__main__":
    every = datetime(2024, 1, 1, tzinfo=timezone.utc)
    print(
        json.dumps(
            {
                "plain": shown(report.to_deployment("prod")),
                "settings": shown(
                    report.to_deployment(
                        "prod.py",
                        tags=["a", "b"],
                        version="8",
                        description="Other",
                        parameters={"region": "south"},
                        paused=True,
                        enforce_parameter_schema=False,
                        cron=["0 6 * * *", "0 7 * * sun"],
                    )
                ),
                "interval": shown(report.to_deployment("a", interval=timedelta(minutes=5)))["schedules"],
                "seconds": shown(report.to_deployment("a", interval=[60, 90.5]))["schedules"],
                "rule": shown(report.to_deployment("a", rrule="FREQ=WEEKLY;BYDAY=MO"))["schedules"],
                "schedule": shown(report.to_deployment("a", schedule=Cron("0 6 * * *", timezone="Europe/Berlin")))["schedules"],
                "schedules": shown(report.to_deployment("a", schedules=[Interval(60, anchor_date=every), RRule("FREQ=DAILY")]))[
                    "schedules"
                ],
                "older form": shown(report.to_deployment("a", schedules=[{"schedule": Cron("0 6 * * *"), "active": False}]))["schedules"],
                "static method": shown(Reports.static.to_deployment("a"))["entrypoint"],
                "entrypoint type": refused(lambda: report.to_deployment("a", entrypoint_type=EntrypointType.FILE_PATH)),
                "Cron": schedule(
                    Cron("0 6 * * *", timezone="Asia/Tokyo", day_or=False, active=False, parameters={"days": 2}, slug="early")
                ),
                "Interval": schedule(Interval(90, timezone="UTC")),
                "RRule": schedule(RRule("RRULE:FREQ=DAILY;INTERVAL=1")),
                "Schedule": schedule(Schedule(cron="@daily")),
                "two kinds": refused(lambda: report.to_deployment("a", cron="0 6 * * *", interval=60)),
                "a schedule of two kinds": refused(lambda: Schedule(cron="0 6 * * *", interval=timedelta(1))),
                "cron": refused(lambda: Cron("0 25 * * *")),
                "slash": refused(lambda: report.to_deployment("a/b")),
                "no schedule": refused(lambda: report.to_deployment("a", schedules=["@daily"])),
                "a closure": refused(lambda: inner().to_deployment("a")),
                "unknown parameter": refused(lambda: report.to_deployment("a", parameters={"regoin": "x"})),
                "a rule that ends": refused(lambda: report.to_deployment("a", rrule="FREQ=DAILY;COUNT=2")),
            }
        )
    )
