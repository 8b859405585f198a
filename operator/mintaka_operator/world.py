"""What the operator's parts share: the cluster, what is known of it, and the settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from mintaka_operator.cluster import Cluster
from mintaka_operator.pods import PodDefaults
from mintaka_operator.settings import Settings
from mintaka_operator.stores import Name, PodStore, ResourceStore


@dataclass
class World:
    """The cluster as this operator sees it."""

    cluster: Cluster
    settings: Settings
    runs: ResourceStore = field(default_factory=ResourceStore)
    deployments: ResourceStore = field(default_factory=ResourceStore)
    pods: PodStore = field(default_factory=PodStore)
    #: Told of every write of ours: the flow run it is about, and the resource version it made.
    wrote: Callable[[Name, int], None] = lambda _run, _version: None

    @property
    def pod_defaults(self) -> PodDefaults:
        """What every pod is given."""
        return PodDefaults(self.settings.flow_image, self.settings.api_url, template=self.settings.pod_template)
