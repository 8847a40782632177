"""What happens to a request between its route and its answer, the same for every endpoint.

origin -> identity -> role and scope -> query -> body -> the endpoint -> the envelope.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, get_args, get_origin
from urllib.parse import parse_qsl

from klein import Klein
from pydantic import BaseModel, ValidationError
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from zope.interface import implementer

from gosip_py.store.database import DatabaseUnavailable, IntegrityError
from gosip_py.web.access import Access
from gosip_py.web.endpoint import (
    NOBODY,
    Answer,
    Call,
    Created,
    Document,
    Done,
    Endpoint,
    Identity,
    One,
    Paged,
    Stream,
    endpoints_of,
    has_body,
)
from gosip_py.web.problem import Detail, Problem, conflict, forbidden, invalid, not_found, unauthenticated, unavailable
from gosip_py.web.request import WebRequest
from gosip_py.web.shapes import Nothing

__all__ = ["Routing"]


class Routing:
    """The endpoints of all resources, on one Klein. `clock` gives epoch seconds."""

    log = Logger()

    def __init__(self, access: Access, clock: Callable[[], float]) -> None:
        self.endpoints: list[Endpoint] = []
        self.klein = Klein()
        # Two slashes are another path, not a reason to send somebody to a host that he named himself.
        self.klein.url_map.merge_slashes = False
        refuse: Any = _refuse_route
        self.klein.handle_errors(HTTPException)(refuse)
        self._access = access
        self._clock = clock

    def add(self, resource: object) -> None:
        """Route what the resource declares."""
        for endpoint in endpoints_of(resource):
            self.endpoints.append(endpoint)
            route = self.klein.route(endpoint.route, methods=[endpoint.method], endpoint=endpoint.name)
            route(self._entrance(endpoint))

    def scopes(self) -> frozenset[str]:
        """What an API token can be limited to."""
        return frozenset(endpoint.scope for endpoint in self.endpoints if endpoint.role != "nobody")

    def _entrance(self, endpoint: Endpoint) -> Callable[..., Deferred[bytes]]:
        def enter(request: WebRequest, **parameters: Any) -> Deferred[bytes]:
            request.route = endpoint.path
            return _shielded(Deferred.fromCoroutine(self._answer(endpoint, request, parameters)))

        enter.__name__ = endpoint.name
        return enter

    async def _answer(self, endpoint: Endpoint, request: WebRequest, parameters: Mapping[str, Any]) -> bytes:
        try:
            call = await self._checked(endpoint, request)
            return await _render(request, await endpoint.perform(call, **parameters))
        except Exception as error:
            problem = _problem_of(error)
            if problem is None:
                problem = Problem(500, "INTERNAL_ERROR", "Something went wrong here; the log says more")
                self.log.failure(
                    "{route} failed, request {request_id}", route=request.route, request_id=request.request_id
                )
            if request.startedWriting:
                # Half a file is out: a broken connection tells the client, an orderly end would not.
                if request.channel is not None:
                    request.channel.forceAbortClient()
                return b""
            return request.prepare(problem)

    async def _checked(self, endpoint: Endpoint, request: WebRequest) -> Call[Any, Any]:
        now = self._clock()
        identity = NOBODY
        if endpoint.role != "nobody":
            identity = await self._access.identify(request, now)
        if endpoint.is_write and not identity.is_bearer:
            self._access.check_origin(request)
        _permit(endpoint, identity)
        query = _read_query(endpoint.query, request)
        body = _read_body(endpoint, request)
        return Call(body, query, identity, request, now)


def _shielded(running: Deferred[bytes]) -> Deferred[bytes]:
    """Klein cancels what it waits for when the client goes away; a change that has begun is finished all the same."""
    waiting: Deferred[bytes] = Deferred()
    _ = running.addCallbacks(waiting.callback, waiting.errback)
    return waiting


def _permit(endpoint: Endpoint, identity: Identity) -> None:
    if endpoint.role == "nobody":
        return
    if identity.user is None:
        raise unauthenticated()
    if endpoint.role == "admin" and not identity.is_admin:
        raise forbidden("Only an administrator may do this")
    if identity.scopes and endpoint.scope not in identity.scopes:
        raise forbidden(f"This token lacks the scope {endpoint.scope}")


# -- what comes in ----------------------------------------------------------------------------------------------------


def _read_query(model: type[BaseModel], request: WebRequest) -> BaseModel:
    if model is Nothing:
        # Whoever puts a query where none is read, as a cache-buster does, means no harm.
        return model()
    _, _, text = request.uri.partition(b"?")
    try:
        pairs = parse_qsl(text.decode(), keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        raise invalid(message="The query cannot be read") from None
    given: dict[str, Any] = {}
    for name, value in pairs:
        if "\0" in value:
            raise invalid(Detail(name, "a NUL is in no value"))
        if _is_list(model, name):
            given.setdefault(name, []).append(value)
        elif name in given:
            raise invalid(Detail(name, "is given more than once"))
        else:
            given[name] = value
    return _validated(lambda: model.model_validate(given))


def _is_list(model: type[BaseModel], name: str) -> bool:
    field = model.model_fields.get(name)
    if field is None:
        return False
    return any(get_origin(choice) is tuple for choice in (field.annotation, *get_args(field.annotation)))


def _read_body(endpoint: Endpoint, request: WebRequest) -> BaseModel:
    if not has_body(endpoint):
        return endpoint.body()
    if not request.body and getattr(endpoint.body, "is_optional", False):
        return endpoint.body()
    media_type = (request.getHeader("Content-Type") or "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise Problem(415, "UNSUPPORTED_MEDIA_TYPE", "The body is asked for as application/json")
    return _validated(lambda: endpoint.body.model_validate_json(request.body))


def _validated(validate: Callable[[], BaseModel]) -> BaseModel:
    try:
        return validate()
    except ValidationError as error:
        raise invalid(*fault_details(error)) from None


def fault_details(error: ValidationError) -> list[Detail]:
    """What pydantic found, by field, without the values."""
    faults: Sequence[Any] = error.errors(include_url=False, include_context=False, include_input=False)
    return [
        Detail(".".join(str(part) for part in fault["loc"]), fault["msg"].removeprefix("Value error, "))
        for fault in faults
    ]


# -- what goes out ----------------------------------------------------------------------------------------------------


async def _render(request: WebRequest, answer: Answer) -> bytes:
    match answer:
        case One(value):
            return _send(request, 200, _envelope(value))
        case Created(value, location):
            request.setHeader("Location", location)
            return _send(request, 201, _envelope(value))
        case Paged():
            return _send(request, 200, _page(answer))
        case Document(content, media_type, status):
            return _send(request, status, content, media_type)
        case Stream():
            return await _pour(request, answer)
        case Done():
            request.setResponseCode(204)
            return b""


def _envelope(value: BaseModel) -> bytes:
    return b'{"data":' + value.model_dump_json().encode() + b"}"


def _page(page: Paged[Any]) -> bytes:
    rows = ",".join(row.model_dump_json() for row in page.rows)
    text = f'{{"data":[{rows}],"page":{page.page},"per_page":{page.per_page},"total":{page.total}}}'
    return text.encode()


def _send(request: WebRequest, status: int, body: bytes, media_type: str = "application/json") -> bytes:
    request.setResponseCode(status)
    request.setHeader("Content-Type", media_type)
    request.setHeader("Content-Length", str(len(body)))
    return body


async def _pour(request: WebRequest, stream: Stream) -> bytes:
    request.setHeader("Content-Type", stream.media_type)
    request.setHeader("Content-Disposition", f'attachment; filename="{stream.filename}"')
    if request.method == b"HEAD" or request.channel is None:
        await _close(stream.chunks)
        return b""
    reader = _Reader()
    _ = request.notifyFinish().addBoth(reader.leave)
    request.registerProducer(reader, True)
    try:
        async for chunk in stream.chunks:
            await reader.ready()
            if reader.has_left:
                break
            request.write(chunk)
    finally:
        if not reader.has_left:
            request.unregisterProducer()
        await _close(stream.chunks)
    return b""


async def _close(chunks: AsyncIterator[bytes]) -> None:
    """End a generator that was left half-way, so that it is not ended wherever memory is next tidied up."""
    close = getattr(chunks, "aclose", None)
    if close is not None:
        await close()


@implementer(IPushProducer)
class _Reader:
    """Makes the writer of a stream wait while the client reads slower than it writes."""

    def __init__(self) -> None:
        self.has_left = False
        self._waiting: Deferred[None] | None = None
        self._is_paused = False

    async def ready(self) -> None:
        """Return when more may be written, or when the client has left."""
        while self._is_paused and not self.has_left:
            self._waiting = Deferred()
            await self._waiting

    def pauseProducing(self) -> None:
        self._is_paused = True

    def resumeProducing(self) -> None:
        self._is_paused = False
        self._wake()

    def stopProducing(self) -> None:
        self.leave(None)

    def leave(self, _reason: object) -> None:
        """The client is gone."""
        self.has_left = True
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            waiting.callback(None)


# -- what goes wrong --------------------------------------------------------------------------------------------------


def _refuse_route(request: WebRequest, failure: Failure) -> bytes:
    error = failure.value
    if isinstance(error, MethodNotAllowed):
        allow = ", ".join(sorted(error.valid_methods or ()))
        problem = Problem(405, "METHOD_NOT_ALLOWED", f"Allowed here: {allow}", headers=[("Allow", allow)])
        return request.prepare(problem)
    return request.prepare(not_found("page"))


def _problem_of(error: Exception) -> Problem | None:
    """What to answer, or None for what can only be our mistake."""
    match error:
        case Problem():
            return error
        case DatabaseUnavailable():
            return unavailable()
        case IntegrityError(violation="unique"):
            return conflict(error.field, "is taken")
        case IntegrityError(violation="foreign"):
            return invalid(Detail(error.field, "names nobody"))
    return None
