"""What holds for the sessions of one controller, and our addresses towards their phones.

Responsible for what can be known only on this host: whether addresses are its own and fit together.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass

from mediaserverd.media.parameters import Effective, Level, Parameters, effective
from mediaserverd.media.relay_sdp import address_type


@dataclass(frozen=True, slots=True)
class Local:
    """Our address of one family: what sockets are bound to, and what is written into descriptions."""

    bound: str
    advertised: str


@dataclass(frozen=True, slots=True)
class Terms:
    """``controller``: its name; empty for all who say none. ``locals_``: the preferred family first."""

    controller: str
    effective: Effective
    locals_: tuple[Local, ...]

    @property
    def parameters(self) -> Parameters:
        return self.effective.parameters

    @property
    def disk_floor_bytes(self) -> int:
        return self.parameters.disk_floor_mib << 20

    def local(self, family: str) -> Local:
        """Of that family (``IP4``, ``IP6``), or the first there is."""
        wanted = (local for local in self.locals_ if address_type(local.advertised) == family.upper())
        return next(wanted, self.locals_[0])


def terms_of(controller: str, levels: Iterable[Level]) -> Terms:
    """Raises ValueError, in words for the administrator, when an address cannot serve."""
    found = effective(levels)
    return Terms(controller, found, _locals(found.parameters))


def _locals(parameters: Parameters) -> tuple[Local, ...]:
    if not parameters.rtp_advertised:
        raise ValueError(
            "the RTP address to write into SDP is not known: set media.rtp_advertised, or address, to an IP address"
        )
    found = [Local(parameters.rtp_address, parameters.rtp_advertised)]
    if parameters.rtp_advertised6:
        found.append(Local(parameters.rtp_address6, parameters.rtp_advertised6))
    for local in found:
        if address_type(local.bound) != address_type(local.advertised):
            raise ValueError(
                f"rtp_advertised {local.advertised} is not of the family of rtp_address {local.bound}; "
                "set both to IPv4 or both to IPv6 addresses"
            )
        _check_is_ours(local.bound)
    return tuple(found)


def _check_is_ours(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError as fault:
        raise ValueError(f"rtp_address {address} cannot be used on this host: {fault.strerror}") from fault
