"""A small ETL: measurements of 178 wines in, a table of averages per cultivar out.

The data set (UCI "Wine", 1991) comes with scikit-learn, so that nothing is downloaded. On your own machine:

    python examples/etl/flow.py
"""

from statistics import fmean, stdev

from mintaka import flow, get_run_logger, task, unmapped

type Wine = dict[str, float]


@task
def extract() -> list[list[Wine]]:
    """The wines, one list for each cultivar."""
    from sklearn.datasets import load_wine  # noqa: PLC0415 - one task needs it, so only that one waits for it

    data = load_wine()
    cultivars: list[list[Wine]] = [[] for _ in data.target_names]
    for cultivar, row in zip(data.target, data.data, strict=True):
        cultivars[cultivar].append(dict(zip(data.feature_names, map(float, row), strict=True)))
    return cultivars


@task(retries=2, retry_delay_seconds=1)
def summarise(wines: list[Wine], feature: str) -> dict[str, float]:
    """How many wines, and their mean and spread of `feature`."""
    values = [wine[feature] for wine in wines]
    get_run_logger().info("%d wines, %s between %s and %s", len(values), feature, min(values), max(values))
    return {"wines": len(values), "mean": round(fmean(values), 2), "spread": round(stdev(values), 2)}


@task
def report(summaries: list[dict[str, float]], feature: str) -> str:
    """The summaries as a table."""
    lines = [f"{feature} of wines, by cultivar", f"{'cultivar':>8} {'wines':>6} {'mean':>8} {'spread':>8}"]
    for cultivar, summary in enumerate(summaries, start=1):
        lines.append(f"{cultivar:>8} {summary['wines']:>6} {summary['mean']:>8} {summary['spread']:>8}")
    return "\n".join(lines)


@flow(log_prints=True)
def wine_report(feature: str = "alcohol") -> str:
    """Extract, summarise each cultivar in a task of its own, report."""
    summaries = summarise.map(extract(), unmapped(feature))
    table = report(summaries, feature)
    print(table)
    return table


if __name__ == "__main__":
    wine_report()
