"""Tokens: made once, kept as a hash, refused with a sentence when they would open nothing."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mediaserverd.recorder.catalogue.database import open_engine
from mediaserverd.recorder.tokens import Scope, create_token, find_token, list_tokens


def url(directory: Path) -> str:
    return f"sqlite:///{directory / 'catalogue.sqlite'}"


def test_the_secret_is_nowhere_in_the_database(tmp_path: Path) -> None:
    secret = create_token(url(tmp_path), "alice", ["recordings:read"])
    with sqlite3.connect(tmp_path / "catalogue.sqlite") as connection:
        dump = "\n".join(connection.iterdump())
    assert "alice" in dump
    assert secret not in dump
    assert secret.removeprefix("msd_") not in dump


def test_two_tokens_are_never_the_same(tmp_path: Path) -> None:
    assert len({create_token(url(tmp_path), "x", ["admin"]) for _ in range(5)}) == 5


def test_an_expired_token_is_not_found_and_still_listed(tmp_path: Path) -> None:
    secret = create_token(url(tmp_path), "guest", ["recordings:read"], days=30)
    now = datetime.now(UTC)
    with open_engine(url(tmp_path)).connect() as connection:
        token = find_token(connection, secret, now)
        assert token is not None
        assert token.allows(Scope.READ)
        assert not token.allows(Scope.AUDIO)
        assert find_token(connection, secret, now + timedelta(days=31)) is None
    assert [token.name for token in list_tokens(url(tmp_path))] == ["guest"]


@pytest.mark.parametrize(
    ("name", "scopes", "days", "told"),
    [
        ("x", ["recordings:listen"], 0, "there is no scope recordings:listen"),
        ("x", [], 0, "opens nothing"),
        (" ", ["admin"], 0, "needs a name"),
        ("x", ["admin"], -1, "days"),
    ],
)
def test_a_token_that_would_be_useless_is_refused(
    tmp_path: Path, name: str, scopes: list[str], days: int, told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        create_token(url(tmp_path), name, scopes, days)
