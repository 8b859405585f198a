"""Masks stored parameters when a change of the deployment's schema makes them secret.

This also masks parameters that an earlier release stored in clear. It runs once per process for each version of a
deployment whose schema marks secrets, before the deployment itself is written, one page of runs at a time so that other
writes do not wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mintaka_api.queries import mirrored
from mintaka_core.secret_parameters import UNKNOWN_SCHEMA, SecretParameters
from mintaka_history.enum_codes import NameKind
from mintaka_history.json_text import encode_storable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mintaka_core.resources import FlowDeployment
    from mintaka_history.database import Database
    from mintaka_history.queries.names import Names

_PAGE = 1000


class StoredParameters:
    """The parameters of runs in the database."""

    def __init__(self, database: Database, names: Names) -> None:
        self._database = database
        self._names = names
        #: The generation, by uid, of each deployment whose runs are masked.
        self._masked: dict[str, int] = {}

    def forget(self, uids: Iterable[str]) -> None:
        """Forget deployments that left the cluster; their runs stay as they are."""
        for uid in uids:
            self._masked.pop(uid, None)

    async def mask(self, deployments: Iterable[FlowDeployment]) -> None:
        """Mask the stored parameters of the runs of `deployments`, unless this was done for the current generation."""
        for deployment in deployments:
            metadata = deployment.metadata
            if self._masked.get(metadata.uid) == metadata.generation:
                continue
            schema = deployment.spec.parameter_schema
            # A spec that cannot be read says nothing about runs that are already stored.
            if schema != UNKNOWN_SCHEMA and (secrets := SecretParameters(schema)):
                namespace, name = (NameKind.NAMESPACE, metadata.namespace), (NameKind.DEPLOYMENT, metadata.name)
                ids = await self._database.in_writer(self._names.ids_of, self._database, {namespace, name})
                after: int | None = 0
                while after is not None:
                    after = await self._database.in_writer(self._mask_page, secrets, ids[namespace], ids[name], after)
                self._masked[metadata.uid] = metadata.generation
            else:
                self._masked.pop(metadata.uid, None)

    def _mask_page(self, secrets: SecretParameters, namespace: int, deployment: int, after: int) -> int | None:
        """Mask a page of runs (in a writer's thread); return the number of its last run, None after the last page."""
        with self._database.writing() as connection:
            rows = mirrored.parameters_after(connection, namespace, deployment, after, _PAGE)
            shown = {number: encode_storable(secrets.masked(msgspec.json.decode(parameters))) for number, parameters in rows}
            mirrored.replace_parameters(connection, {number: shown[number] for number, parameters in rows if shown[number] != parameters})
        return rows[-1][0] if len(rows) == _PAGE else None
