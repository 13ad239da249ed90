"""Digest authentication (RFC 7616, RFC 8760, RFC 3261 section 22): challenge and verify as server, authorize as client.

Pure: the key that signs nonces, ``now`` and client nonces are given. Not here: who the users are and what they may do.

Nonces are stateless: a time and a salt, signed. ``NonceCounts`` is the one thing remembered, against replays.

Deviations, each on purpose:

- credentials without ``qop`` are rejected: they could be replayed;
- ``auth-int``, ``userhash`` and the ``-sess`` algorithms are never offered, and never taken up as client;
- the ``uri`` of the credentials is compared only when asked for: proxies on the way may rewrite the Request-URI.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from mediaserverd.protocol.sip.grammar import Parameters, SipError, quote
from mediaserverd.protocol.sip.headers import Challenge, Credentials
from mediaserverd.protocol.sip.uri import Uri

Algorithm = Literal["MD5", "SHA-256"]

ALGORITHMS: tuple[Algorithm, ...] = ("SHA-256", "MD5")  # strongest first, as RFC 8760 2.4 wants them offered
NONCE_LIFETIME_S = 300.0  # a phone that registers every minute asks anew every fifth time; a stolen nonce ends soon
MAX_NONCES = 100_000  # remembered counts, about 20 MB: 300 s of 300 different clients a second
_WINDOW = 64  # requests of one client that UDP may bring out of order

_NONCE_COUNT = re.compile(r"[0-9a-fA-F]{8}")
_SALT_BYTES = 9
_SIGNATURE_BYTES = 16
_NONCE_BYTES = 8 + _SALT_BYTES + _SIGNATURE_BYTES


@dataclass(frozen=True, slots=True)
class A1:
    """What a server keeps instead of a password: hex hashes over ``name:realm:password``."""

    md5: str
    sha256: str

    @classmethod
    def decoy(cls, key: bytes) -> A1:
        """For unknown users: nothing verifies against it, and it costs what a real one costs."""
        return cls(hmac.new(key, b"md5", "sha256").hexdigest()[:32], hmac.new(key, b"sha-256", "sha256").hexdigest())


@dataclass(frozen=True, slots=True)
class Accepted:
    username: str
    nonce: str
    nonce_count: int


@dataclass(frozen=True, slots=True)
class Stale:
    """Right credentials for a nonce that has expired or is used up: challenge again with ``stale=True``."""

    username: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """``reason`` is for the log; the answer to the peer is the same challenge in every case."""

    reason: str


class NonceCounts:
    """Which (nonce, count) pairs were used. Bounded: what falls out makes all nonces of its age stale, never usable."""

    def __init__(self, limit: int = MAX_NONCES) -> None:
        self._limit = limit
        self._used: dict[
            str, tuple[float, int, int]
        ] = {}  # nonce -> (issued at, highest count, bits of those below it)
        self._forgotten = float("-inf")  # nonces issued up to then are stale unless still remembered

    def use(self, nonce: str, issued: float, count: int, expired_before: float = float("-inf")) -> bool:
        """True the first time a pair is seen. Nonces issued before ``expired_before`` need not be remembered."""
        if nonce not in self._used:
            self._make_room(expired_before)
            if issued <= self._forgotten:
                return False
            self._used[nonce] = (issued, count, 1)
            return True
        _, highest, bits = self._used[nonce]
        if count > highest:
            kept = bits << min(count - highest, _WINDOW) & (1 << _WINDOW) - 1
            self._used[nonce] = (issued, count, kept | 1)
            return True
        bit = 1 << (highest - count) if highest - count < _WINDOW else 0
        if bit == 0 or bits & bit:
            return False
        self._used[nonce] = (issued, highest, bits | bit)
        return True

    def __len__(self) -> int:
        return len(self._used)

    def _make_room(self, expired_before: float) -> None:
        # The order of first use is about the order of issue. Where it is not, an expired nonce stays a little longer.
        while self._used:
            oldest, (issued, _, _) = next(iter(self._used.items()))
            if len(self._used) < self._limit and issued >= expired_before:
                return
            del self._used[oldest]
            self._forgotten = max(self._forgotten, issued)


def a1(algorithm: Algorithm, user: str, realm: str, password: str) -> str:
    return _hash(algorithm, f"{user}:{realm}:{password}")


def make_nonce(key: bytes, now: float, salt: bytes) -> str:
    """``salt`` is random and new each time: nine bytes or more, of which nine are used."""
    content = int(now * 1000).to_bytes(8, "big") + salt[:_SALT_BYTES].ljust(_SALT_BYTES, b"\0")
    return urlsafe_b64encode(content + _sign(key, content)).decode("ascii")


def challenge(
    realm: str, nonce: str, algorithm: Algorithm = "MD5", *, stale: bool = False, opaque: str | None = None
) -> Challenge:
    items = [("realm", quote(realm)), ("nonce", quote(nonce))]
    if opaque is not None:
        items.append(("opaque", quote(opaque)))
    if stale:
        items.append(("stale", "true"))
    return Challenge("Digest", Parameters([*items, ("algorithm", algorithm), ("qop", '"auth"')]))


def challenges(
    realm: str, nonce: str, *, algorithms: Sequence[Algorithm] = ALGORITHMS, stale: bool = False
) -> tuple[Challenge, ...]:
    """One header for each algorithm, in their order: strongest first, unless phones are known that read only one."""
    return tuple(challenge(realm, nonce, algorithm, stale=stale) for algorithm in algorithms)


def verify(
    credentials: Credentials,
    method: str,
    hashes: A1,
    *,
    realm: str,
    key: bytes,
    now: float,
    counts: NonceCounts,
    lifetime_s: float = NONCE_LIFETIME_S,
    uri: Uri | None = None,
) -> Accepted | Stale | Rejected:
    """Whether ``credentials`` prove knowledge of the password behind ``hashes``.

    For an unknown user give ``A1.decoy(key)``: result and work are those of a wrong password. ``uri``, if given, is
    what the credentials must be for.
    """
    algorithm = _algorithm(credentials.algorithm)
    expected = _response(
        algorithm or "MD5",
        (hashes.sha256 if algorithm == "SHA-256" else hashes.md5).lower(),
        credentials,
        method,
    )
    right = hmac.compare_digest(expected.encode(), credentials.response.lower().encode("utf-8", "surrogateescape"))
    issued = _issued_at(credentials.nonce, key)
    fault = _fault(credentials, algorithm, realm, uri)
    if fault or issued is None or not right:
        return Rejected(fault or ("nonce is not ours" if issued is None else "wrong user name or password"))
    fresh = -1.0 <= now - issued <= lifetime_s  # one second of grace for a clock that was set back
    count = int(credentials.nonce_count, 16)
    if not fresh or not counts.use(credentials.nonce, issued, count, now - lifetime_s):
        return Stale(credentials.username)
    return Accepted(credentials.username, credentials.nonce, count)


def authorize(
    offered: Sequence[Challenge],
    method: str,
    uri: str,
    username: str,
    password: str,
    *,
    cnonce: str,
    nonce_count: int = 1,
) -> Credentials | None:
    """Credentials for the strongest challenge that we can meet; None if there is none."""
    able = [(one, algorithm) for one in offered if (algorithm := _algorithm(one.algorithm)) and _can_meet(one)]
    if not able:
        return None
    chosen, algorithm = min(able, key=lambda pair: ALGORITHMS.index(pair[1]))
    items = [
        ("username", quote(username)),
        ("realm", quote(chosen.realm)),
        ("nonce", quote(chosen.nonce)),
        ("uri", quote(uri)),
        ("algorithm", chosen.algorithm),
    ]
    if chosen.opaque is not None:
        items.append(("opaque", quote(chosen.opaque)))
    if chosen.qop:
        items += [("qop", "auth"), ("nc", f"{nonce_count:08x}"), ("cnonce", quote(cnonce))]
    unsigned = Credentials("Digest", Parameters(items))
    response = _response(algorithm, a1(algorithm, username, chosen.realm, password), unsigned, method)
    return Credentials("Digest", unsigned.parameters.with_("response", quote(response)))


def _response(algorithm: Algorithm, hash1: str, credentials: Credentials, method: str) -> str:
    hash2 = _hash(algorithm, f"{method}:{credentials.uri}")
    if credentials.qop is None:  # RFC 2069: as a client we still meet such servers
        return _hash(algorithm, f"{hash1}:{credentials.nonce}:{hash2}")
    middle = f"{credentials.nonce}:{credentials.nonce_count}:{credentials.cnonce}:{credentials.qop}"
    return _hash(algorithm, f"{hash1}:{middle}:{hash2}")


def _fault(credentials: Credentials, algorithm: Algorithm | None, realm: str, uri: Uri | None) -> str:
    if credentials.scheme.lower() != "digest" or algorithm is None:
        return "scheme or algorithm is not one that we offer"
    if credentials.realm != realm:
        return "realm is not ours"
    if credentials.qop != "auth":
        return "qop is not auth"
    if not credentials.cnonce or not _NONCE_COUNT.fullmatch(credentials.nonce_count):
        return "cnonce or nonce count is missing or malformed"
    if uri is not None and not _names(credentials.uri, uri):
        return "credentials are for another URI"
    return ""


def _names(text: str, uri: Uri) -> bool:
    try:
        return Uri.parse(text).matches(uri)
    except SipError:
        return False


def _algorithm(name: str) -> Algorithm | None:
    return next((algorithm for algorithm in ALGORITHMS if algorithm == name.upper()), None)


def _can_meet(offered: Challenge) -> bool:
    return bool(offered.nonce) and (not offered.qop or "auth" in offered.qop)


def _hash(algorithm: Algorithm, text: str) -> str:
    make: Callable[..., hashlib._Hash] = hashlib.sha256 if algorithm == "SHA-256" else hashlib.md5
    return make(text.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()


def _sign(key: bytes, content: bytes) -> bytes:
    return hmac.new(key, b"sip nonce" + content, "sha256").digest()[:_SIGNATURE_BYTES]


def _issued_at(nonce: str, key: bytes) -> float | None:
    """When we issued this nonce; None if we did not."""
    try:
        raw = urlsafe_b64decode(nonce.encode("ascii"))
    except ValueError:
        return None
    content, signature = raw[:-_SIGNATURE_BYTES], raw[-_SIGNATURE_BYTES:]
    if len(raw) != _NONCE_BYTES or not hmac.compare_digest(signature, _sign(key, content)):
        return None
    return int.from_bytes(content[:8], "big") / 1000
