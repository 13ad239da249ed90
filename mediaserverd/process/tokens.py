"""Bearer tokens that roles show each other, kept in files of mode 0600. API tokens of people live in the catalogue."""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path

from mediaserverd.process.role import StartFault

TOKEN_BYTES = 32  # 256 bits: cannot be guessed, and a plain hash of it is safe to store


def read_token(path: Path) -> str:
    """The token in a file. Raises StartFault when it is absent or empty."""
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as fault:
        raise StartFault(f"cannot read the token file {path}: {fault}; copy it from the host that made it") from fault
    if not token:
        raise StartFault(f"the token file {path} is empty; delete it to have a new one made")
    return token


def ensure_token(path: Path) -> str:
    """The token in a file, made when absent."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return read_token(path)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_urlsafe(TOKEN_BYTES) + "\n")
    return read_token(path)


def same_token(given: str, expected: str) -> bool:
    """Compares in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode("utf-8", "surrogateescape"))


def bearer_token(authorization: str | None) -> str:
    """The token of an ``Authorization: Bearer`` header field (RFC 6750 section 2.1); empty when there is none."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
