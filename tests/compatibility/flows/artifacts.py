"""Artifacts: markdown, table, link, progress, image"""

import json

from prefect import flow, task
from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)


@task
def makes():
    made = [
        create_markdown_artifact(key="report", markdown="# Report", description="told"),
        create_table_artifact(key="table", table=[{"a": 1}, {"a": 2}]),
        create_link_artifact(key="link", link="https://example.invalid", link_text="here"),
        create_image_artifact(key="image", image_url="https://example.invalid/a.png"),
        progress := create_progress_artifact(key="progress", progress=10.0),
    ]
    update_progress_artifact(progress, progress=100.0)
    try:
        create_markdown_artifact(key="Not A Key", markdown="x")
        refused = None
    except Exception as error:
        refused = True
    return [all(each is not None for each in made), len({str(each) for each in made}), refused]


@flow
def main():
    return makes()


if __name__ == "__main__":
    print(json.dumps({"made": main()}))
