"""Bound methods of two instances, taken before either is called"""

import json

from prefect import task


class Named:
    def __init__(self, name):
        self.name = name

    @task
    def who(self):
        return self.name


if __name__ == "__main__":
    of_a, of_b = Named("a").who, Named("b").who
    print(json.dumps({"who": [of_a(), of_b()]}))
