"""Which digest a client wants of the whole representation (RFC 9530 section 4). Not responsible for computing it."""

from __future__ import annotations


def wants_sha256(want_repr_digest: str | None) -> bool:
    """Whether the field names sha-256 with a preference above 0. What is malformed wants nothing."""
    for member in (want_repr_digest or "").split(","):
        algorithm, _, preference = member.partition("=")
        if algorithm.strip().lower() == "sha-256":
            preference = preference.partition(";")[0].strip()
            return preference.isascii() and preference.isdigit() and int(preference) > 0
    return False
