"""Queries and bodies of the admin API, read into the operation's models."""

import json
from collections.abc import Sequence
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ValidationError

from sidecar.admin.answers import Refused
from sidecar.admin.bodies import BodyRefused, read_body
from sidecar.core.strict_json import NotStrictJSON, read_json_object

MOST_BYTES = 64 * 1024
_JSON = "application/json"


def read_query(request: web.BaseRequest, model: type[BaseModel]) -> BaseModel:
    """Return the query. Raises Refused: 400."""
    query = request.query
    if len(query) != len(set(query)):
        raise Refused(400, "a parameter is there more than once")
    try:
        return model.model_validate(dict(query))
    except ValidationError as error:
        raise Refused(400, _words(error)) from None


async def read_posted(
    request: web.BaseRequest, model: type[BaseModel], seconds: float
) -> BaseModel:
    """Return the body; none at all counts as an empty object.

    A form's media types are what a page of another site may post unasked: so it has to be JSON.

    Raises:
        Refused: 400, 408, 413, 415 or 422.
    """
    if request.content_type != _JSON or not request.headers.get("Content-Type"):
        raise Refused(415, f"the body has to be {_JSON}")
    try:
        body = await read_body(request, MOST_BYTES, seconds)
    except BodyRefused as refused:
        raise Refused(refused.status, refused.message, {"Connection": "close"}) from None
    try:
        posted = read_json_object(body) if body.strip() else {}
    except NotStrictJSON as problem:
        raise Refused(400, str(problem)) from None
    try:
        return model.model_validate(posted)
    except ValidationError as error:
        raise _refusal(error, posted) from None


def _refusal(error: ValidationError, posted: dict[str, Any]) -> Refused:
    missing = _missing(error, posted)
    if missing:
        return Refused(400, "\n".join(missing))
    status = posted.get("status")
    if isinstance(status, str) and any(each["loc"] == ("status",) for each in error.errors()):
        return Refused(422, f"wrong status value {json.dumps(status[:64])}")
    wrong_type = any(
        each["type"].endswith("_type") or not isinstance(each["input"], str)
        for each in error.errors()
    )
    return Refused(400 if wrong_type else 422, _words(error))


def _missing(error: ValidationError, posted: dict[str, Any]) -> Sequence[str]:
    """Return the gateway's own words for what is absent or empty, as its clients know them."""
    names = [
        str(each["loc"][0])
        for each in error.errors()
        if len(each["loc"]) == 1 and posted.get(str(each["loc"][0])) in (None, "")
    ]
    return [
        f"Key: 'ServiceAccount.{name.title()}' Error:"
        f"Field validation for '{name.title()}' failed on the 'required' tag"
        for name in names
    ]


def _words(error: ValidationError) -> str:
    # What was sent is not quoted: a secret may be in it.
    return "; ".join(
        f"{'.'.join(str(part)[:64] for part in each['loc'])}: {each['msg']}"
        for each in error.errors(include_url=False, include_input=False)[:8]
    )
