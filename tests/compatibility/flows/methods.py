"""`@flow` and `@task` on methods, class methods and static methods"""

import json

from prefect import flow, task


class Counter:
    def __init__(self, start):
        self.start = start

    @task
    def plus(self, n):
        return self.start + n

    @flow
    def run(self, n):
        return [self.plus(n), self.plus.submit(n + 1).result()]

    @classmethod
    @flow
    def made(cls, n):
        return [cls.__name__, n]

    @staticmethod
    @flow
    def plain(n):
        return n


if __name__ == "__main__":
    print(json.dumps({"method": Counter(10).run(1), "class method": Counter.made(2), "static method": Counter.plain(3)}))
