"""The OpenAPI 3.1 document, made of the endpoints' declarations, and the page that serves it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gosip_py import __version__
from gosip_py.web.endpoint import SHAPES, Call, Created, Document, Done, Endpoint, One, Paged, endpoint, has_body
from gosip_py.web.shapes import Nothing

__all__ = ["OpenApiResource", "describe"]

REF = "#/components/schemas/{model}"

CONFLICTING = frozenset({"users", "devices", "setup", "ring_groups", "feature_codes", "calls"})
"""Resources whose changes may contradict what is there."""

ERROR_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "details"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "details": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["field", "message"],
                        "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
                    },
                },
            },
        }
    },
}


class OpenApiResource:
    """/api/openapi.json; the document is made when it is first asked for."""

    def __init__(self, endpoints: Callable[[], Sequence[Endpoint]]) -> None:
        self._endpoints = endpoints
        self._text = b""

    @endpoint("GET", "/api/openapi.json", role="nobody")
    async def get(self, call: Call[Nothing, Nothing]) -> Document:
        """This document."""
        if not self._text:
            self._text = json.dumps(describe(self._endpoints()), separators=(",", ":")).encode()
        return Document(self._text, "application/json")


def describe(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The document for these endpoints; pages for browsers are left out."""
    described = [declared for declared in endpoints if not declared.is_page]
    paths: dict[str, Any] = {}
    for declared in described:
        paths.setdefault(declared.path, {})[declared.method.lower()] = _operation(declared)
    return {
        "openapi": "3.1.0",
        "info": {"title": "gosip", "version": __version__, "description": "The admin API of a telephony server."},
        "paths": paths,
        "components": {
            "schemas": {**_schemas(described), "Error": ERROR_SCHEMA},
            "securitySchemes": {
                "session": {"type": "apiKey", "in": "cookie", "name": "gosip_session"},
                "token": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _schemas(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    bodies = {declared.body for declared in endpoints if has_body(declared)}
    views = {declared.view for declared in endpoints if declared.view is not None}
    models: list[Any] = [(model, "validation") for model in sorted(bodies, key=_name)]
    models += [(model, "serialization") for model in sorted(views, key=_name)]
    _, schema = models_json_schema(models, ref_template=REF)
    definitions: dict[str, Any] = schema.get("$defs", {})
    return definitions


def _name(model: type[BaseModel]) -> str:
    return model.__name__


def _operation(declared: Endpoint) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _operation_id(declared),
        "summary": declared.summary,
        "tags": [declared.tag],
        "parameters": [*_path_parameters(declared), *_query_parameters(declared)],
        "responses": _responses(declared),
        "security": [] if declared.role == "nobody" else [{"session": []}, {"token": []}],
    }
    if declared.role != "nobody":
        operation["x-role"], operation["x-scope"] = declared.role, declared.scope
    if has_body(declared):
        schema = {"$ref": REF.format(model=_name(declared.body))}
        is_required = not getattr(declared.body, "is_optional", False)
        operation["requestBody"] = {"required": is_required, "content": {"application/json": {"schema": schema}}}
    return operation


def _operation_id(declared: Endpoint) -> str:
    # The path is part of it: one method may serve two paths.
    words = declared.path.replace(".", "/").replace("{", "").replace("}", "").strip("/").split("/")
    return "_".join([declared.method.lower(), *(word for word in words if word != "api")])


def _path_parameters(declared: Endpoint) -> list[dict[str, Any]]:
    schemas: dict[type, dict[str, Any]] = {int: {"type": "integer", "minimum": 0}, str: {"type": "string"}}
    return [
        {"name": name, "in": "path", "required": True, "schema": schemas[kind]}
        for name, kind in declared.parameters.items()
    ]


def _query_parameters(declared: Endpoint) -> list[dict[str, Any]]:
    schema = declared.query.model_json_schema(ref_template=REF)
    return [_query_parameter(name, field) for name, field in schema.get("properties", {}).items()]


def _query_parameter(name: str, field: dict[str, Any]) -> dict[str, Any]:
    described = {key: value for key, value in field.items() if key not in ("title", "description", "anyOf")}
    if "anyOf" in field:
        # A parameter is left out to say null.
        described |= next(choice for choice in field["anyOf"] if choice.get("type") != "null")
        described.pop("default", None)
    parameter = {"name": name, "in": "query", "required": False, "schema": described}
    return parameter | ({"description": field["description"]} if "description" in field else {})


def _responses(declared: Endpoint) -> dict[str, Any]:
    status = SHAPES[declared.shape]
    answer: dict[str, Any] = {"description": "As asked for."}
    if declared.shape is not Done:
        answer["content"] = {declared.media_type: {"schema": _answer_schema(declared)}}
    if declared.shape is Created:
        answer["headers"] = {"Location": {"schema": {"type": "string"}, "description": "The path of what was made."}}
    refusals = {str(code): _refusal(text) for code, text in _refusals(declared).items()}
    return {str(status): answer, **refusals}


def _answer_schema(declared: Endpoint) -> dict[str, Any]:
    if declared.view is None:
        return {"type": "object"} if declared.media_type == "application/json" else {"type": "string"}
    one = {"$ref": REF.format(model=_name(declared.view))}
    if declared.shape in (One, Created):
        return _object(data=one)
    assert declared.shape is Paged
    number = {"type": "integer"}
    return _object(data={"type": "array", "items": one}, page=number, per_page=number, total=number)


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _refusals(declared: Endpoint) -> dict[int, str]:
    """The errors that may come, by status."""
    refusals = {503: "Not now: the store is away."}
    if has_body(declared) or declared.query is not Nothing:
        refusals[400] = "The body or the query cannot be used."
    if declared.role != "nobody" or declared.path == "/api/auth/login":
        refusals[401] = "Nobody is signed in, or not rightly."
    if declared.role != "nobody" or declared.is_write:
        refusals[403] = "Not allowed."
    if declared.parameters:
        refusals[404] = "There is no such thing."
    if has_body(declared):
        refusals |= {413: "The body is too long.", 415: "The body is not JSON."}
    if declared.is_write and declared.tag in CONFLICTING:
        refusals[409] = "It contradicts what is there."
    if declared.tag in ("auth", "setup") and has_body(declared):
        refusals[429] = "Too many failures; Retry-After says for how long."
    return dict(sorted(refusals.items()))


def _refusal(text: str) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": {"$ref": REF.format(model="Error")}}}}
