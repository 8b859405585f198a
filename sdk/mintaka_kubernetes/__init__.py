"""Access to a kube-apiserver, shared by operator and API: credentials, a thin client on plain JSON, an informer, leader election.

Typed clients cost four to ten times the CPU per request (measured); only a dozen requests are needed here.
"""

from mintaka_kubernetes.client import JSON_PATCH, MERGE_PATCH, OPENED, ApiError, Client, ClusterAway, ClusterRefusal
from mintaka_kubernetes.credentials import Credentials, NoCluster, find_credentials
from mintaka_kubernetes.decoding import Decoded, Document, Page, Unreadable
from mintaka_kubernetes.informer import EventHandler, Informer
from mintaka_kubernetes.leader_election import Leadership, LeaseLost, LeaseTimes
from mintaka_kubernetes.resources import CONFIG_MAPS, CONTROLLER_REVISIONS, FLOW_DEPLOYMENTS, FLOW_RUNS, LEASES, PODS, Resource

__all__ = [
    "CONFIG_MAPS",
    "CONTROLLER_REVISIONS",
    "FLOW_DEPLOYMENTS",
    "FLOW_RUNS",
    "JSON_PATCH",
    "LEASES",
    "MERGE_PATCH",
    "OPENED",
    "PODS",
    "ApiError",
    "Client",
    "ClusterAway",
    "ClusterRefusal",
    "Credentials",
    "Decoded",
    "Document",
    "EventHandler",
    "Informer",
    "Leadership",
    "LeaseLost",
    "LeaseTimes",
    "NoCluster",
    "Page",
    "Resource",
    "Unreadable",
    "find_credentials",
]
