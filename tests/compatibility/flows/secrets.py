"""Secrets: `Secret.load(...)`"""

import json

from prefect import flow
from prefect.blocks.system import Secret


@flow
def main():
    Secret(value="hidden").save("compatibility-secret", overwrite=True)
    secret = Secret.load("compatibility-secret")
    return [secret.get(), "hidden" in repr(secret)]


if __name__ == "__main__":
    print(json.dumps({"found": main()}))
