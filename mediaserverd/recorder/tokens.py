"""Bearer tokens of people and programs that use the API: made, listed and revoked by the command line, verified here.

A token is a random secret of 256 bits. It is shown once, when it is made; the catalogue keeps its SHA-256. A slow hash
would add nothing: there is no dictionary of such secrets to try.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from mediaserverd.recorder.catalogue.database import open_engine
from mediaserverd.recorder.catalogue.tables import tokens

SECRET_BYTES = 32
PREFIX = "msd_"  # lets a person, or a scanner of leaked secrets, see what it is


class Scope(StrEnum):
    READ = "recordings:read"
    AUDIO = "recordings:audio"
    EXPORT = "recordings:export"  # files with their keys in them, for whoever has a private key
    DELETE = "recordings:delete"
    LEDGER = "ledger:write"
    ADMIN = "admin"  # everything that people may do; not the ledger, which is for controllers


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token: all but the secret."""

    id: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None = None

    def allows(self, scope: Scope) -> bool:
        return scope in self.scopes or (Scope.ADMIN in self.scopes and scope is not Scope.LEDGER)


def create_token(database_url: str, name: str, scopes: Sequence[str], days: int = 0) -> str:
    """Makes a token and returns it, the only time that it can be seen. ``days`` 0: without end. Raises ValueError."""
    _check(name, scopes, days)
    secret = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    now = datetime.now(UTC)
    engine = open_engine(database_url)
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        connection.execute(
            insert(tokens).values(
                id=secrets.token_hex(4),
                name=name.strip(),
                sha256=_digest(secret),
                scopes=" ".join(sorted(set(scopes))),
                created_at=now,
                expires_at=now + timedelta(days=days) if days else None,
            )
        )
    engine.dispose()
    return secret


def _check(name: str, scopes: Sequence[str], days: int) -> None:
    known = [scope.value for scope in Scope]
    unknown = sorted(set(scopes) - set(known))
    if unknown:
        raise ValueError(f"there is no scope {', '.join(unknown)}; the scopes are {', '.join(known)}")
    if not scopes:
        raise ValueError(f"a token without a scope opens nothing; give one of {', '.join(known)}")
    if not name.strip():
        raise ValueError("a token needs a name, so that the audit can say who used it")
    if not 0 <= days <= 36500:
        raise ValueError("days must lie between 0 (without end) and 36500")


def list_tokens(database_url: str) -> list[Token]:
    """Those that are not revoked, oldest first; expired ones too."""
    engine = open_engine(database_url)
    with engine.connect() as connection:
        rows = connection.execute(select(tokens).where(tokens.c.revoked_at.is_(None)).order_by(tokens.c.created_at))
        found = [_token(row) for row in rows]
    engine.dispose()
    return found


def revoke_token(database_url: str, token_id: str) -> bool:
    """Whether there was such a token. It is useless from the next request on."""
    engine = open_engine(database_url)
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        living = tokens.c.id == token_id, tokens.c.revoked_at.is_(None)
        revoked = connection.execute(update(tokens).where(*living).values(revoked_at=datetime.now(UTC))).rowcount
    engine.dispose()
    return revoked > 0


def find_token(connection: Connection, secret: str, now: datetime) -> Token | None:
    """The token of a secret that somebody shows, unless it is unknown, revoked or expired."""
    row = connection.execute(select(tokens).where(tokens.c.sha256 == _digest(secret))).one_or_none()
    if row is None or row.revoked_at is not None:
        return None
    token = _token(row)
    return None if token.expires_at is not None and token.expires_at <= now else token


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def _token(row: Row[Any]) -> Token:
    return Token(
        id=row.id,
        name=row.name,
        scopes=tuple(row.scopes.split()),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )
