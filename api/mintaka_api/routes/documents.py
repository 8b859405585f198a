"""Reading a request's JSON body into a document, with a Problem that names the place where it is wrong."""

from __future__ import annotations

import msgspec

from mintaka_api.problems import Problem


def decoded[T](body: bytes, kind: type[T]) -> T:
    """`body` as a `kind`, all members left out where it is empty; a Problem where it is none."""
    try:
        return msgspec.json.decode(body if body.strip() else b"{}", type=kind)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `")
        place = path.removesuffix("`").removeprefix("$").removeprefix(".")
        raise Problem("malformed", str(error), errors=[{"path": place, "message": text}]) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem("malformed", f"the body is not JSON: {error}") from error
