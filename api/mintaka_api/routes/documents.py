"""JSON request bodies: their OpenAPI description, and decoding with a Problem that names what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mintaka_api.examples import EXAMPLES
from mintaka_api.problems import Problem
from mintaka_core.limits import too_deep

if TYPE_CHECKING:
    from starlette.requests import Request

    from mintaka_api.services import Services

#: The maximum size of a document in bytes unless a route sets another.
_LIMIT_BYTES = 256 * 1024


def json_body(kind: type[msgspec.Struct], *, required: bool = True) -> dict[str, Any]:
    """The OpenAPI description of a body of type `kind`."""
    content = {"schema": {"$ref": f"#/components/schemas/{kind.__name__}"}, "example": EXAMPLES[kind.__name__]}
    described: dict[str, Any] = {"content": {"application/json": content}}
    return {"requestBody": {"required": True, **described} if required else described}


async def read_document[T](request: Request, kind: type[T], limit: int = _LIMIT_BYTES) -> T:
    """Decode the body of `request` as a `kind`; an empty body is `{}`. It counts among all bodies until the request is answered.

    Raises a Problem if it is not valid, is too large, does not arrive, or if there is no room for it now.
    """
    services: Services = request.app.state.services
    body = await services.intake.hold(request, limit)
    try:
        return msgspec.json.decode(body if body.strip() else b"{}", type=kind)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `")
        place = path.removesuffix("`").removeprefix("$").removeprefix(".")
        raise Problem("malformed", str(error), errors=[{"path": place, "message": text}]) from error
    except RecursionError as error:
        excess = too_deep("the body")
        raise Problem("too-large", excess.message, reason=excess.reason) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem("malformed", f"the body is not JSON: {error}") from error
