"""Masks stored parameters of runs when a flow deployment declares them secret, as the mirror of a cluster does."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mintaka_api.row_mapping import read_deployment
from mintaka_api.stored_parameters import StoredParameters
from mintaka_history.database import DatabaseAway

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mintaka_controller.ports import Document
    from mintaka_history.database import Database
    from mintaka_history.queries.names import Names

logger = logging.getLogger("mintaka.api.documents")


class ParameterMasking:
    """Follows the flow deployments; each generation is read once."""

    def __init__(self, database: Database, names: Names) -> None:
        self._parameters = StoredParameters(database, names)
        #: The generation, by uid, of each deployment whose runs need no masking any more.
        self._done: dict[str, int] = {}

    async def mask(self, deployments: Iterable[Document]) -> None:
        """Mask what these declare secret; what fails is logged, and tried again with the next version of the deployment."""
        for document in deployments:
            metadata = document["metadata"]
            if self._done.get(metadata["uid"]) == metadata["generation"]:
                continue
            try:
                await self._parameters.mask([read_deployment(document)])
            except DatabaseAway as away:
                logger.warning(
                    "parameters of runs of flow deployment %s/%s are not masked yet: %s", metadata["namespace"], metadata["name"], away
                )
                continue
            except Exception:  # one deployment must not prevent the masking of others, nor the results of their writers
                logger.exception("parameters of runs of flow deployment %s/%s are not masked", metadata["namespace"], metadata["name"])
                continue
            self._done[metadata["uid"]] = metadata["generation"]

    def forget(self, deployments: Iterable[Document]) -> None:
        """Forget deleted deployments; their runs stay as they are."""
        uids = [document["metadata"]["uid"] for document in deployments]
        self._parameters.forget(uids)
        for uid in uids:
            self._done.pop(uid, None)
