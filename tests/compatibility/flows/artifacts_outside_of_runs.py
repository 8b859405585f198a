"""Artifacts that are made outside of flow runs: an id, and a warning"""

import json
import warnings
from uuid import UUID

from prefect.artifacts import create_link_artifact, create_markdown_artifact

if __name__ == "__main__":
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        made = [create_markdown_artifact("# Yield", key="yield"), create_link_artifact("https://example.org")]
    print(json.dumps({"ids": [isinstance(each, UUID) for each in made], "warned": len(told) >= 1}))
