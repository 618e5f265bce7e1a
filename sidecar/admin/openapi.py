"""The OpenAPI 3.1 document of the admin API, made from the table that answers it."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from sidecar import __version__
from sidecar.admin.operations import Operation
from sidecar.admin.schemas import Message

PATH = "/api/openapi.json"
"""Where the document is."""

_REFERENCE = "#/components/schemas/{model}"
_JSON = "application/json"
_WORDS = {
    200: "Done",
    201: "Created",
    204: "Gone",
    400: "It cannot be read",
    401: "Credentials are missing or bad",
    403: "Not an admin, or a page of another site",
    404: "There is none",
    408: "The body did not come in time",
    409: "It exists already, or others kept changing it",
    413: "The body is too large",
    415: "The body is no JSON by its media type",
    422: "It cannot stand as an account",
    429: "Too many attempts",
    500: "A defect",
    503: "The account store, or the keys, cannot be had",
}
_ALWAYS = frozenset({400, 401, 403, 429, 500, 503})
_OF_BODIES = frozenset({408, 413, 415, 422})


def document(rows: Sequence[Operation]) -> Mapping[str, Any]:
    """Return the document as JSON."""
    schemas = _Schemas(rows)
    paths: dict[str, dict[str, Any]] = {}
    for row in rows:
        paths.setdefault(row.path, {})[row.method.lower()] = _operation(row, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Authorization sidecar",
            "version": __version__,
            "description": "Service accounts, revocation, streams in flight, and decisions.",
        },
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An admin's access token, or the secret; or a client"
                    " certificate, and no header.",
                }
            },
            "schemas": schemas.definitions,
        },
    }


class _Schemas:
    """The JSON Schemas of all that is read and answered."""

    def __init__(self, rows: Sequence[Operation]) -> None:
        wanted: dict[tuple[Any, JsonSchemaMode], None] = {(Message, "serialization"): None}
        for row in rows:
            kinds = [row.events, *row.answers.values()]
            wanted |= {(kind, "serialization"): None for kind in kinds if kind is not None}
            if row.body is not None:
                wanted[row.body, "validation"] = None
        found, rest = TypeAdapter.json_schemas(
            [(repr(kind), mode, TypeAdapter(kind)) for kind, mode in wanted],
            ref_template=_REFERENCE,
        )
        self._found = found
        self.definitions = rest["$defs"]

    def of(self, kind: Any, mode: JsonSchemaMode = "serialization") -> Any:
        """Return the schema of a type."""
        return self._found[repr(kind), mode]


def _operation(row: Operation, schemas: _Schemas) -> Mapping[str, Any]:
    described: dict[str, Any] = {
        "operationId": row.name,
        "summary": row.summary,
        "parameters": [*_path_parameters(row), *_query_parameters(row.query)],
        "responses": _responses(row, schemas),
    }
    if row.body is not None:
        described["requestBody"] = {
            "content": {_JSON: {"schema": schemas.of(row.body, "validation")}},
            # Also where nothing has to be in it: that it is JSON keeps other sites' pages out.
            "required": True,
        }
    return described


def _path_parameters(row: Operation) -> Sequence[Mapping[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "minLength": 1},
        }
        for name in row.parameters
    ]


def _query_parameters(query: type[BaseModel]) -> Sequence[Mapping[str, Any]]:
    properties = query.model_json_schema().get("properties", {})
    return [
        {
            "name": name,
            "in": "query",
            "required": False,
            "schema": {key: schema[key] for key in schema if key not in ("title", "description")},
            **({"description": schema["description"]} if "description" in schema else {}),
        }
        for name, schema in properties.items()
    ]


def _responses(row: Operation, schemas: _Schemas) -> Mapping[str, Any]:
    responses: dict[str, Any] = {}
    for status, kind in row.answers.items():
        responses[str(status)] = {"description": _WORDS[status]}
        if kind is not None:
            content = {_JSON: {"schema": schemas.of(kind)}}
            if row.events is not None:
                content["text/event-stream"] = {"schema": {"type": "string"}}
            responses[str(status)]["content"] = content
    refusals = _ALWAYS | row.refusals | (_OF_BODIES if row.body is not None else frozenset())
    for status in sorted(refusals):
        responses[str(status)] = {
            "description": _WORDS[status],
            "content": {_JSON: {"schema": schemas.of(Message)}},
        }
    return responses
