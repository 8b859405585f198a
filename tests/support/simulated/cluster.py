"""Everything around the operators of a simulation."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from simulated.agenda import Agenda
from simulated.api import Api
from simulated.kubelet import Kubelet
from simulated.rules import StoredRules
from simulated.server import Server

if TYPE_CHECKING:
    from random import Random

    from mintaka_controller.ports import Name


class Cluster:
    """`writes` counts the requests of operators that change what belongs to a run, by its uid; `config_maps` are those that exist. `late`: what
    happens now was asked for by somebody who has given up waiting for it.
    """

    def __init__(self, random: Random) -> None:
        self.random = random
        self.agenda = Agenda()
        self.server = Server(self.agenda)
        self.kubelet = Kubelet(self.agenda, self.server, random)
        self.api = Api(self.agenda, self.server, self.kubelet, random)
        self.rules = StoredRules(self.server)
        self.writes: Counter[str] = Counter()
        self.config_maps: set[Name] = set()
        self.late = False
