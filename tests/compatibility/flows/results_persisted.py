"""`persist_result`, serializers, `result_storage_key`, storage in a folder"""

import json
import tempfile
from pathlib import Path

from prefect import flow, task
from prefect.filesystems import LocalFileSystem

folder = Path(tempfile.mkdtemp())
storage = LocalFileSystem(basepath=str(folder))
storage.save("compatibility-results", overwrite=True)


@task(persist_result=True, result_serializer="json", result_storage_key="{parameters[name]}.json")
def as_json(name):
    return {"name": name}


@task(persist_result=True, result_serializer="pickle", result_storage_key="pickled")
def pickled():
    return {1, 2}


@task(persist_result=True, result_serializer="compressed/json", result_storage_key="compressed")
def compressed():
    return "x" * 1000


@flow(persist_result=True, result_storage=storage)
def main():
    return [as_json("one"), sorted(pickled()), len(compressed())]


if __name__ == "__main__":
    value = main()
    names = sorted(path.name for path in folder.rglob("*") if path.is_file())
    print(json.dumps({"value": value, "files": [name for name in names if name in ("one.json", "pickled", "compressed")]}))
