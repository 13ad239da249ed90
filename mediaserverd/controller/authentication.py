"""Who sent a request: digest of stations, trusted addresses of lines, and our own credentials towards lines.

Unknown users cost and get what a wrong password does. Not responsible for what the sender may do.
"""

from __future__ import annotations

import ipaddress
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from mediaserverd.controller import metrics
from mediaserverd.controller.settings import Line, Station
from mediaserverd.process.complaints import Complaints
from mediaserverd.protocol.sip.digest import (
    A1,
    ALGORITHMS,
    Accepted,
    Algorithm,
    NonceCounts,
    Rejected,
    Stale,
    authorize,
    challenges,
    make_nonce,
    verify,
)
from mediaserverd.protocol.sip.flow import Flow
from mediaserverd.protocol.sip.grammar import SipError
from mediaserverd.protocol.sip.headers import Credentials
from mediaserverd.protocol.sip.message import Request, Response

CLIENT_NONCE_LIMIT = 1000  # nonces of lines whose use we count; a line has one at a time

Pairs = list[tuple[str, object]]


@dataclass(frozen=True, slots=True)
class Unproven:
    """Ask for credentials: ``status`` is 401 from a registrar, 407 from a proxy (RFC 3261 22.1)."""

    status: int
    headers: Pairs


class Authentication:
    """``clock`` is Unix time; nonces carry it. ``algorithms`` in the order of the challenges."""

    def __init__(
        self,
        realm: str,
        stations: Sequence[Station],
        lines: Sequence[Line],
        algorithms: Sequence[Algorithm] = ALGORITHMS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)  # nonces end with the process: phones are asked anew after a restart
        self._counts = NonceCounts()
        self._decoy = A1.decoy(self._key)
        self._complaints = Complaints("authentication_failed")
        self.reconfigure(realm, stations, lines, algorithms)

    def reconfigure(
        self, realm: str, stations: Sequence[Station], lines: Sequence[Line], algorithms: Sequence[Algorithm]
    ) -> None:
        self._realm = realm
        self._algorithms = tuple(algorithms)
        self._stations = {station.name: station for station in stations}
        self._trusted = [
            (ipaddress.ip_network(network, strict=False), line) for line in lines for network in line.trusted_addresses
        ]

    def line_of(self, source: Flow) -> Line | None:
        """The line whose trusted addresses this source is among."""
        address = ipaddress.ip_address(source.remote[0])
        return next((line for network, line in self._trusted if address in network), None)

    def station_of(self, request: Request, source: Flow) -> Station | Unproven:
        """Raises SipError when credentials are malformed."""
        outcome: Accepted | Stale | Rejected | None = None
        for credentials in request.credentials:
            if credentials.realm == self._realm:
                outcome = self._verify(request, credentials)
                break
        if isinstance(outcome, Accepted):
            return self._stations[outcome.username]
        if isinstance(outcome, Rejected):
            metrics.authentication_failures.labels(_known(request.method)).inc()
            self._complaints.note(source.remote[0], f"{request.method}: {outcome.reason}", transport=source.transport)
        return self._ask(request.method, stale=isinstance(outcome, Stale))

    def _verify(self, request: Request, credentials: Credentials) -> Accepted | Stale | Rejected:
        station = self._stations.get(credentials.username)
        hashes = self._decoy if station is None else A1(station.ha1_md5, station.ha1_sha256)
        return verify(
            credentials,
            request.method,
            hashes,
            realm=self._realm,
            key=self._key,
            now=self._clock(),
            counts=self._counts,
        )

    def _ask(self, method: str, *, stale: bool) -> Unproven:
        nonce = make_nonce(self._key, self._clock(), secrets.token_bytes(9))
        name = "WWW-Authenticate" if method == "REGISTER" else "Proxy-Authenticate"
        offered = challenges(self._realm, nonce, algorithms=self._algorithms, stale=stale)
        return Unproven(401 if method == "REGISTER" else 407, [(name, challenge) for challenge in offered])


class LineCredentials:
    """Answers the challenges of one line with its user name and password."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self._uses: OrderedDict[str, int] = OrderedDict()

    def __call__(self, request: Request, response: Response) -> Iterable[tuple[str, object]]:
        """Credentials for a challenged request; none when the line has none or its challenge cannot be met."""
        try:
            offered = response.challenges
        except SipError:
            return []
        if not self.line.username or not offered:
            return []
        nonce = offered[0].nonce
        count = self._uses.pop(nonce, 0) + 1
        self._uses[nonce] = count
        if len(self._uses) > CLIENT_NONCE_LIMIT:
            self._uses.popitem(last=False)
        credentials = authorize(
            offered,
            request.method,
            str(request.uri),
            self.line.username,
            self.line.password,
            cnonce=secrets.token_hex(8),
            nonce_count=count,
        )
        name = "Authorization" if response.status == 401 else "Proxy-Authorization"
        return [] if credentials is None else [(name, credentials)]


def _known(method: str) -> str:
    """Methods are the peer's text; a metric must not grow a series for each that it makes up."""
    return method if method in ("REGISTER", "INVITE", "MESSAGE", "SUBSCRIBE") else "other"
