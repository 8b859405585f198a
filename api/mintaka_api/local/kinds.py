"""The kinds of documents that a local server stores, as Kubernetes defines them, and the errors about one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mintaka_controller.ports import Conflict, Exists, Missing, Rejected
from mintaka_core.names import API_VERSION, GROUP

if TYPE_CHECKING:
    from mintaka_controller.ports import Name


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind. `custom`: it is one of ours, with schema, generation and a status of its own. `namespaced`: else its namespace is ""."""

    name: str
    plural: str
    api_version: str
    custom: bool = False
    namespaced: bool = True

    def missing(self, key: Name) -> Missing:
        """There is no such document."""
        return Missing(f'{self.plural} "{key[0]}/{key[1]}" not found')

    def exists(self, key: Name) -> Exists:
        """A document of that name exists already."""
        return Exists(f'{self.plural} "{key[0]}/{key[1]}" already exists')

    def changed(self, key: Name) -> Conflict:
        """It is not the version on which the decision was based."""
        return Conflict(
            f'Operation cannot be fulfilled on {self.plural} "{key[0]}/{key[1]}": the object has been modified; '
            "please apply your changes to the latest version and try again"
        )


_KINDS = {
    kind.name: kind
    for kind in (
        Kind("FlowDeployment", f"flowdeployments.{GROUP}", API_VERSION, custom=True),
        Kind("FlowRun", f"flowruns.{GROUP}", API_VERSION, custom=True),
        Kind("OrchestrationRule", f"orchestrationrules.{GROUP}", API_VERSION, custom=True),
        Kind("ClusterOrchestrationRule", f"clusterorchestrationrules.{GROUP}", API_VERSION, custom=True, namespaced=False),
        Kind("ControllerRevision", "controllerrevisions.apps", "apps/v1"),
        Kind("ConfigMap", "configmaps", "v1"),
    )
}


def kind_of(name: str) -> Kind:
    """The kind of that name. Raises Rejected if its documents are not stored."""
    try:
        return _KINDS[name]
    except KeyError:
        message = f"a local server stores documents of the kinds {', '.join(_KINDS)}, not {name!r:.100}"
        raise Rejected(message) from None
