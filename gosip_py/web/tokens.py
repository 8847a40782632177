"""API tokens: made and revoked by the user whom they stand for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import Field

from gosip_py.store import credentials
from gosip_py.store.accounts import ApiTokens
from gosip_py.web.endpoint import Call, Created, Done, Paged, endpoint
from gosip_py.web.problem import Detail, forbidden, invalid, not_found
from gosip_py.web.shapes import Body, Instant, IsoTime, ListQuery, Nothing, RowId, Text, View

__all__ = ["TokenCreate", "TokenCreated", "TokenResource", "TokenView"]


class TokenCreate(Body):
    """A token to make. No `scopes`: everything that the user may do."""

    name: Annotated[Text, Field(min_length=1)]
    scopes: list[Text] = Field(default_factory=list, max_length=100)
    expires_at: Instant | None = None


class TokenView(View):
    """A token, without what it is made of."""

    id: RowId
    name: str
    scopes: list[str]
    expires_at: IsoTime | None
    created_at: IsoTime
    last_used_at: IsoTime | None


class TokenCreated(TokenView):
    """A new token; `token` is shown this once."""

    token: str = Field(repr=False)


class TokenResource:
    """list, create and delete. `scopes` tells which ones there are."""

    def __init__(self, tokens: ApiTokens, scopes: Callable[[], frozenset[str]]) -> None:
        self._tokens = tokens
        self._scopes = scopes

    @endpoint("GET", "/api/auth/tokens", role="user")
    async def index(self, call: Call[Nothing, ListQuery]) -> Paged[TokenView]:
        """One's own tokens, by id."""
        query = call.query
        tokens = sorted(
            await self._tokens.by_user(call.user.id), key=lambda token: token.id, reverse=query.is_descending
        )
        rows = tokens[query.offset : query.offset + query.per_page]
        return Paged([TokenView.model_validate(row) for row in rows], len(tokens), query.page, query.per_page)

    @endpoint("POST", "/api/auth/tokens", role="user")
    async def create(self, call: Call[TokenCreate, Nothing]) -> Created[TokenCreated]:
        """Make a token; it is in this answer and never again."""
        body = call.body
        unknown = sorted(set(body.scopes) - self._scopes())
        if unknown:
            raise invalid(Detail("scopes", f"no such scope: {', '.join(unknown)}"))
        if body.expires_at is not None and body.expires_at <= call.now:
            raise invalid(Detail("expires_at", "is past"))
        held = call.identity.scopes
        if held and not (body.scopes and set(body.scopes) <= set(held)):
            raise forbidden("A token makes no token that may do more than itself", Detail("scopes", ", ".join(held)))
        token = credentials.token()
        made = await self._tokens.create(
            user_id=call.user.id,
            name=body.name,
            token_hash=credentials.token_hash(token),
            scopes=body.scopes,
            expires_at=body.expires_at,
            now=call.now,
        )
        shown = dict(TokenView.model_validate(made))
        return Created(TokenCreated(**shown, token=token), f"/api/auth/tokens/{made.id}")

    @endpoint("DELETE", "/api/auth/tokens/{id}", role="user")
    async def delete(self, call: Call[Nothing, Nothing], id: int) -> Done:
        """Revoke one of one's own tokens."""
        if not await self._tokens.delete(id, call.user.id):
            raise not_found("token")
        return Done()
