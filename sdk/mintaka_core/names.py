"""Deterministic names: repeating a creation fails with `AlreadyExists` instead of creating a second object.

Kubernetes limits: object names 253 characters (DNS subdomain), label values 63.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime

from mintaka_core.errors import InvalidNameError

GROUP = "mintaka.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

#: For people and other tools, which may overwrite it: nothing of ours selects by it.
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGED_BY = "mintaka"
LABEL_DEPLOYMENT = f"{GROUP}/deployment"
#: On all our pods, so that one watch covers them and no other pod.
LABEL_FLOW_RUN = f"{GROUP}/flow-run"
LABEL_ATTEMPT = f"{GROUP}/attempt"
LABEL_SCHEDULE = f"{GROUP}/schedule"
#: On flow runs that another one called: its uid.
LABEL_CALLED_BY = f"{GROUP}/called-by"
#: "true" on pods whose flow container leaves a report (the SDK runs in it); other containers are judged by exit code.
LABEL_REPORTS = f"{GROUP}/reports"
LABEL_TOMBSTONE = f"{GROUP}/tombstone"
#: On tombstones: the namespace of the run.
LABEL_NAMESPACE = f"{GROUP}/namespace"
#: On pods whose flow container is not named `flow`: its name.
ANNOTATION_CONTAINER = f"{GROUP}/container"
#: On pods of flows with inline source: that source, which the pod mounts as a file.
ANNOTATION_SOURCE = f"{GROUP}/source"
#: On pods: the ControllerRevision that the attempt runs. On flow runs: `latest` (REVISION_LATEST), for attempts that run the newest.
ANNOTATION_REVISION = f"{GROUP}/revision"
REVISION_LATEST = "latest"
#: On podTemplates: how many processes of a group run at once on a local server, as JSON: `{"group": 3}`.
ANNOTATION_PROCESS_LIMITS = f"{GROUP}/process-limits"
#: On ControllerRevisions: the uid of the flow deployment, and their number, which listings of metadata do not show otherwise.
ANNOTATION_DEPLOYMENT_UID = f"{GROUP}/deployment-uid"
ANNOTATION_REVISION_NUMBER = f"{GROUP}/revision-number"

#: On flow runs that another one called: in which attempt and try of it that was last requested, `ATTEMPT.TRY`.
ANNOTATION_CALLED_IN = f"{GROUP}/called-in"
#: On flow runs: the name that their caller gave them, as it was written.
ANNOTATION_RUN_NAME = f"{GROUP}/flow-run-name"

#: Holds a flow run in the cluster until the mirror has its whole history.
MIRROR_FINALIZER = f"{GROUP}/mirror"
#: Holds the pod of an attempt in the cluster until its end is recorded.
POD_FINALIZER = f"{GROUP}/attempt"

#: The key, in history, of the local server whose database it is; clusters have keys of their own.
LOCAL_CLUSTER = "local"

#: The container of a pod that runs the flow; all others are sidecars.
FLOW_CONTAINER = "flow"

LABEL_LIMIT = 63
NAME_LIMIT = 253
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def checked_namespace(name: str) -> str:
    """`name`, if Kubernetes allows it as the name of a namespace (a DNS label, RFC 1123).

    Raises:
        InvalidNameError: it does not.
    """
    if _NAMESPACE.fullmatch(name):
        return name
    message = f"a namespace has 1 to 63 lower case letters, digits and '-', with a letter or digit at both ends, not {name!r:.300}"
    raise InvalidNameError(message)


def pod_name(flow_run: str, attempt: int) -> str:
    """The name of the pod of one attempt: `RUN-ATTEMPT`."""
    return shortened(flow_run, f"-{attempt}", NAME_LIMIT)


def scheduled_run_name(deployment: str, schedule: str, nominal_time: datetime) -> str:
    """The name of the run that `schedule` creates for `nominal_time` (aware; the UTC instant counts).

    It does not depend on the deployment's uid: a deployment that is deleted and created anew, while its operators' clocks differ,
    does not create the run of a time again. The digest distinguishes runs within one minute; a collision would lose a run, so it
    has 40 bits.
    """
    instant = nominal_time.astimezone(UTC)
    key = f"{deployment}/{schedule}/{instant.isoformat()}"
    return shortened(deployment, f"-{instant:%Y%m%d%H%M}-{_digest(key, 10)}", LABEL_LIMIT)


def called_run_name(prefix: str, deployment: str, caller: str, key: str) -> str:
    """The name of the run of `deployment` that stands for one call: `key` of the flow run with the uid `caller` ("": of no flow run).

    It begins with `prefix`. A collision would give a caller another run's result, so the digest has 64 bits.
    """
    return shortened(prefix, f"-{_digest(f'{caller}/{deployment}/{key}', 16)}", LABEL_LIMIT)


def object_name(text: str) -> str:
    """`text` with what Kubernetes allows in the name of an object (a DNS label); "" if nothing of it is left."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def label_value(name: str) -> str:
    """`name` as a label value: unchanged if it fits, else its beginning and a digest."""
    return name if len(name) <= LABEL_LIMIT else shortened(name, "", LABEL_LIMIT)


def draw(*parts: object) -> float:
    """A number in [0, 1) that depends only on `parts`: jitter that is the same after a restart."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:6]) / 2**48


def shortened(name: str, suffix: str, limit: int) -> str:
    """`name + suffix`; if that exceeds `limit` characters, the end of `name` is replaced by a digest of it."""
    if len(name) + len(suffix) <= limit:
        return name + suffix
    digest = "-" + _digest(name, 8)
    return name[: limit - len(suffix) - len(digest)].rstrip("-.") + digest + suffix


def _digest(text: str, length: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]


#: The kinds of orchestration rules, which differ in their scope alone.
NAMESPACED_RULE, CLUSTER_RULE = "OrchestrationRule", "ClusterOrchestrationRule"
RULE_KINDS = (NAMESPACED_RULE, CLUSTER_RULE)
