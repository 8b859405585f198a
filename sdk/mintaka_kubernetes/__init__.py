"""The way to a kube-apiserver that operator and API share: credentials and a thin client on plain JSON.

Typed clients cost four to ten times the CPU per request (measured); what is needed here is a dozen requests.
"""

from mintaka_kubernetes.client import JSON_PATCH, MERGE_PATCH, ApiError, Client, ClusterAway, ClusterRefusal
from mintaka_kubernetes.credentials import Credentials, NoCluster, Token, find_credentials

__all__ = [
    "JSON_PATCH",
    "MERGE_PATCH",
    "ApiError",
    "Client",
    "ClusterAway",
    "ClusterRefusal",
    "Credentials",
    "NoCluster",
    "Token",
    "find_credentials",
]
