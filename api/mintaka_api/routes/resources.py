"""Documents of a local server: apply, create, read, list, delete. In a cluster kubectl does this, and the answer is 404."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from mintaka_api.documents import KINDS, NAMESPACE, NO_NAMESPACE, WRITABLE, Documents
from mintaka_api.paging import encode_cursor
from mintaka_api.permissions import GUARDED, PREFIX
from mintaka_api.problems import Problem
from mintaka_api.request_bodies import BODY_LIMIT
from mintaka_api.response_models import AppliedAnswer, AppliedPage, DocumentAnswer, DocumentPage
from mintaka_api.routes.documents import json_body, read_document
from mintaka_api.routes.query_parameters import DocumentQuery, NoQuery, Text
from mintaka_api.routes.responses import documented_responses, json_response
from mintaka_api.services import Here, Services
from mintaka_core.limits import check_resource
from mintaka_core.names import CLUSTER_RULE
from mintaka_core.secret_parameters import UNKNOWN, SecretParameters, masked_deployment, masked_run

if TYPE_CHECKING:
    from collections.abc import Sequence

router = APIRouter(prefix=PREFIX, tags=["documents"], dependencies=GUARDED)
DocumentQuery.key_types = {"name": (str, str)}
_REFUSALS = ("invalid-document", "malformed", "too-large", "not-found", "already-exists", "conflict")

type _Document = dict[str, Any]


class NewDocumentQuery(BaseModel):
    """Query parameters of the creation of a document."""

    model_config = ConfigDict(extra="forbid")

    dry_run: Annotated[Literal["All"] | None, Field(alias="dryRun", description="All: everything is checked, and nothing is stored.")] = (
        None
    )


class NewDocuments(msgspec.Struct, forbid_unknown_fields=True):
    """Documents to apply, as `kubectl apply` does: all are validated before the first is stored. `dry_run` stores none of them."""

    documents: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1, max_length=1000)]
    dry_run: bool = False


class NewDocument(msgspec.Struct):
    """A document to create."""

    kind: str
    metadata: dict[str, Any]
    api_version: str = msgspec.field(name="apiVersion")
    spec: Any = None
    data: Any = None


@router.put(
    "/documents",
    responses=documented_responses(AppliedPage, "invalid-parameter", *_REFUSALS),
    openapi_extra=json_body(NewDocuments),
)
async def apply_documents(request: Request, _query: Annotated[NoQuery, Query()], here: Here) -> Response:
    """Create or change documents. If one is not valid, none is stored, and the answer has every error of all of them."""
    store = _store(here)
    body = await read_document(request, NewDocuments, BODY_LIMIT)
    documents = [_checked(document, f"documents[{position}]") for position, document in enumerate(body.documents)]
    results = await _apply_all(store, documents, dry_run=body.dry_run)
    masking = _Masking(store)
    items = []
    for document, result in results:
        metadata = document["metadata"]
        shown = await masking.masked(document)
        items.append(AppliedAnswer(document["kind"], metadata.get("namespace") or "", metadata["name"], result, shown))
    return json_response({"items": items})


@router.post(
    "/documents",
    status_code=201,
    responses=documented_responses(DocumentAnswer, "invalid-parameter", *_REFUSALS, status=201),
    openapi_extra=json_body(NewDocument),
)
async def create_document(request: Request, query: Annotated[NewDocumentQuery, Query()], here: Here) -> Response:
    """Create a document; without a name it gets one from `metadata.generateName`. With `dryRun=All` nothing is stored."""
    store = _store(here)
    document = _checked(await read_document(request, dict), "", generated=True)
    created = await store.create(document["kind"], document, dry_run=query.dry_run is not None)
    return json_response(await _Masking(store).masked(created), status=201)


@router.get("/documents/{kind}", responses=documented_responses(DocumentPage, "invalid-parameter", "invalid-cursor", "not-found"))
async def list_documents(kind: Text, query: Annotated[DocumentQuery, Query()], here: Here) -> Response:
    """The documents of a kind, by namespace and name; deleted ones remain as long as a finalizer holds them."""
    store = _store(here)
    _require_kind(kind)
    page = query.page(kind)
    after = (str(page.after[0]), str(page.after[1])) if page.after is not None else None
    found = list(await store.list(kind, query.namespace, after=after, limit=page.limit + 1))
    shown, masking = found[: page.limit], _Masking(store)
    last = (shown[-1]["metadata"].get("namespace") or "", shown[-1]["metadata"]["name"]) if len(found) > len(shown) else None
    items = [await masking.masked(document) for document in shown]
    return json_response({"items": items, "next": encode_cursor(query.question(kind), last)})


@router.get("/documents/{kind}/{namespace}/{name}", responses=documented_responses(DocumentAnswer, "invalid-parameter", "not-found"))
async def get_document(kind: Text, namespace: Text, name: Text, _query: Annotated[NoQuery, Query()], here: Here) -> Response:
    """One document, its secret parameters masked."""
    store = _store(here)
    _require_kind(kind)
    return json_response(await _Masking(store).masked(await store.read(kind, _key(namespace, name))))


@router.delete(
    "/documents/{kind}/{namespace}/{name}",
    status_code=202,
    responses=documented_responses(DocumentAnswer, "invalid-parameter", "not-found", "conflict", status=202),
)
async def delete_document(kind: Text, namespace: Text, name: Text, _query: Annotated[NoQuery, Query()], here: Here) -> Response:
    """Delete a document and what it owns. A flow run is cancelled first; the answer is the last version of the document."""
    store = _store(here)
    _require_kind(kind, WRITABLE)
    before = await store.read(kind, _key(namespace, name))
    left = await store.delete(kind, _key(namespace, name), uid=before["metadata"]["uid"])
    return json_response(await _Masking(store).masked(left or before), status=202)


def _store(here: Services) -> Documents:
    if here.documents is None:
        detail = "this API stores no documents: use kubectl in its cluster, such as kubectl apply, or mintaka apply --cluster"
        raise Problem("not-found", detail)
    return here.documents


def _key(namespace: str, name: str) -> tuple[str, str]:
    """The key of a document; "-" stands for no namespace."""
    return "" if namespace == NO_NAMESPACE else namespace, name


def _require_kind(kind: str, kinds: tuple[str, ...] = tuple(KINDS)) -> None:
    if kind not in kinds:
        raise Problem("not-found", f"there is no kind {kind!r} here: use one of {', '.join(kinds)}")


def _checked(document: _Document, place: str, *, generated: bool = False) -> _Document:
    """A document with a kind, a name and a namespace; without `status`, which is the server's. `place` is where it is in the body."""
    kind, version, metadata = document.get("kind"), document.get("apiVersion"), document.get("metadata")
    if kind not in WRITABLE:
        raise _malformed(place, "kind", f"use one of {', '.join(WRITABLE)}, not {kind!r:.100}")
    if version != KINDS[kind]:
        raise _malformed(place, "apiVersion", f"a {kind} has apiVersion {KINDS[kind]}, not {version!r:.100}")
    if not isinstance(metadata, dict):
        raise _malformed(place, "metadata", "it is missing, or not an object")
    named = metadata.get("name") or (generated and metadata.get("generateName"))
    if not isinstance(named, str):
        raise _malformed(place, "metadata.name", "a text is needed")
    if not isinstance(metadata.get("namespace", ""), str):
        raise _malformed(place, "metadata.namespace", "it is not a text")
    checked = {name: value for name, value in document.items() if name != "status"}
    if kind != "ConfigMap" and (excess := check_resource(checked)) is not None:
        raise Problem("too-large", f"{kind} {named}: {excess.message}", reason=excess.reason)
    if kind == CLUSTER_RULE:
        return checked
    return {**checked, "metadata": {**metadata, "namespace": metadata.get("namespace") or NAMESPACE}}


def _malformed(place: str, path: str, message: str) -> Problem:
    where = f"{place}.{path}" if place else path
    return Problem("malformed", f"{where}: {message}", errors=[{"path": where, "message": message}])


async def _apply_all(store: Documents, documents: list[_Document], *, dry_run: bool) -> Sequence[tuple[_Document, Any]]:
    """Apply all, or raise a Problem with the errors of all."""
    from mintaka_validation import InvalidDocument  # noqa: PLC0415 - start-up time: not without a store

    try:
        return await store.apply_all([(document["kind"], document) for document in documents], dry_run=dry_run)
    except InvalidDocument as first:
        raise await _all_errors(store, documents) from first


async def _all_errors(store: Documents, documents: list[_Document]) -> Problem:
    """The errors of all documents: the store stops at the first that is not valid."""
    from mintaka_api.document_problems import of_invalid_documents  # noqa: PLC0415 - start-up time: not without a store
    from mintaka_validation import InvalidDocument  # noqa: PLC0415 - likewise

    refused: list[tuple[int, InvalidDocument]] = []
    for position, document in enumerate(documents):
        try:
            await store.apply_all([(document["kind"], document)], dry_run=True)
        except InvalidDocument as invalid:
            refused.append((position, invalid))
    if not refused:  # the stored document has changed meanwhile
        return Problem("conflict", "a stored document changed during validation: apply the documents again")
    return of_invalid_documents(refused)


class _Masking:
    """Documents without their secrets: the deployment's schema declares which parameters of a run are secret."""

    def __init__(self, store: Documents) -> None:
        self._store = store
        self._known: dict[tuple[str, str], SecretParameters] = {}

    async def masked(self, document: _Document) -> _Document:
        """`document` without its secrets."""
        if document["kind"] == "FlowDeployment":
            return masked_deployment(document)
        if document["kind"] != "FlowRun":
            return document
        deployment = document.get("spec", {}).get("deployment")
        return masked_run(document, await self._of((document["metadata"]["namespace"], deployment)) if deployment else UNKNOWN)

    async def _of(self, key: tuple[str, str]) -> SecretParameters:
        from mintaka_controller.ports import Missing  # noqa: PLC0415 - start-up time

        if key not in self._known:
            try:
                deployment = await self._store.read("FlowDeployment", key)
            except Missing:
                self._known[key] = UNKNOWN
            else:
                self._known[key] = SecretParameters(deployment.get("spec", {}).get("parameterSchema"))
        return self._known[key]
