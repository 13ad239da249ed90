"""Who asks, and whether they may: bearer tokens and scopes. Not responsible for making tokens."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import structlog
from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from mediaserverd.process.http import client_certificate_roles
from mediaserverd.process.tokens import bearer_token, same_token
from mediaserverd.recorder import metrics
from mediaserverd.recorder.api.problems import Problem
from mediaserverd.recorder.catalogue.database import Database
from mediaserverd.recorder.tokens import Scope, Token, find_token

log = structlog.get_logger()

REFUSALS_LOGGED_EVERY_S = 10.0  # one line an interval: somebody who tries tokens does not fill the disk with log
TOKEN_LENGTH_LIMIT = 512

_BEARER = HTTPBearer(auto_error=False, description="A token made by `mediaserverd token create`.")

Authorisation = Callable[..., Awaitable[Token]]


def _ledger() -> Token:
    return Token("ledger", "controller", (Scope.LEDGER,), datetime.now(UTC), None)


def _by_certificate(request: Request) -> Token | None:
    """A controller of the site on another host shows its certificate instead of a token."""
    return _ledger() if "controller" in client_certificate_roles(request.scope) else None


class Access:
    """``ledger_token`` is the secret that controllers show; it opens the ledger and nothing else."""

    def __init__(self, database: Database, ledger_token: str) -> None:
        self.ledger_token = ledger_token
        self._database = database
        self._refused = 0
        self._logged_at = -REFUSALS_LOGGED_EVERY_S

    def require(self, scope: Scope) -> Authorisation:
        """A dependency that gives the token of the request, or refuses it."""

        async def authorised(request: Request, _: object = Depends(_BEARER)) -> Token:
            return await self._authorise(request, scope)

        return authorised

    async def _authorise(self, request: Request, scope: Scope) -> Token:
        secret = bearer_token(request.headers.get("Authorization"))
        token = await self._find(secret) if secret else _by_certificate(request)
        if token is None:
            self._count_refusal(request, 401)
            told = "this token is not valid: unknown, revoked or expired" if secret else "a bearer token is needed"
            error = ', error="invalid_token"' if secret else ""
            raise Problem(
                401,
                f"{told}; `mediaserverd token create` makes one, to be sent as `Authorization: Bearer TOKEN`",
                {"WWW-Authenticate": f'Bearer realm="mediaserverd"{error}'},
            )
        if not token.allows(scope):
            self._count_refusal(request, 403)
            raise Problem(
                403,
                f"the token {token.name!r} lacks the scope {scope}; make one that has it",
                {"WWW-Authenticate": f'Bearer realm="mediaserverd", error="insufficient_scope", scope="{scope}"'},
            )
        return token

    async def _find(self, secret: str) -> Token | None:
        if len(secret) > TOKEN_LENGTH_LIMIT:
            return None
        if same_token(secret, self.ledger_token):
            return _ledger()
        return await self._database.read(find_token, secret, datetime.now(UTC))

    def _count_refusal(self, request: Request, status: int) -> None:
        metrics.REFUSED_REQUESTS.labels(str(status)).inc()
        self._refused += 1
        now = time.monotonic()
        if now - self._logged_at < REFUSALS_LOGGED_EVERY_S:
            return
        client = request.client.host if request.client else ""
        log.warning(
            "requests_refused", requests=self._refused, status=status, client=client, path=request.url.path[:200]
        )
        self._logged_at = now
        self._refused = 0
