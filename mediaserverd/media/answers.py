"""What ``query``, ``list`` and ``statistics`` tell, in the shapes that proxies read. Numbers in, dictionaries out."""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import islice
from typing import Final

from mediaserverd.media.engine import LegStatistics, SessionStatistics, StreamStatistics, Totals
from mediaserverd.media.sessions import SIDES, Session, Sessions, Side
from mediaserverd.protocol.ng import Value

MAX_LISTED: Final = 500  # call ids in one reply: it must fit a datagram
_MOS_BEST: Final = 44  # of G.711, times ten


def queried(session: Session, now: SessionStatistics) -> dict[str, Value]:
    return {
        "created": int(session.created),
        "created_us": int(session.created % 1 * 1_000_000),
        "last signal": int(time.time() - (time.monotonic() - session.signalled)),
        "tags": {party.tag: _tag(session, side, now) for side, party in zip(SIDES, session.parties, strict=True)
                 if party.tag},
        "SSRC": {str(stream.ssrc): _ssrc(stream) for leg in now.legs for stream in leg.streams},
        "recording": {"call recording": int(session.tap is not None), "forwarding": 0},
        **totals(now),
    }  # fmt: skip


def totals(now: SessionStatistics) -> dict[str, Value]:
    rtp: dict[str, Value] = {
        "packets": sum(leg.packets for leg in now.legs),
        "bytes": sum(leg.octets for leg in now.legs),
        "errors": sum(leg.malformed + leg.foreign + leg.send_errors for leg in now.legs),
    }
    rtcp: dict[str, Value] = {"packets": sum(leg.rtcp_packets for leg in now.legs), "bytes": 0, "errors": 0}
    return {"totals": {"RTP": rtp, "RTCP": rtcp}}


def _tag(session: Session, side: Side, now: SessionStatistics) -> dict[str, Value]:
    party, other, leg = session.parties[side], session.parties[1 - side], now.legs[side]
    media: dict[str, Value] = {
        "index": 1,
        "type": "audio",
        "protocol": party.protocol,
        "codec": next(iter(party.codecs.values()), ""),
        "flags": [],
        "streams": [_stream(session, side, leg)],
        "ingress SSRCs": [{"SSRC": stream.ssrc} for stream in leg.streams],
    }
    return {
        "tag": party.tag,
        "label": party.label,
        "created": int(party.created),
        "via-branch": party.via_branch,
        "in dialogue with": other.tag,
        "medias": [media],
    }


def _stream(session: Session, side: Side, leg: LegStatistics) -> dict[str, Value]:
    stream: dict[str, Value] = {
        "local port": session.ports[side],
        "local address": session.advertised[side],
        "family": _family(session.advertised[side]),
        "last packet": 0 if leg.last_packet_age_s is None else int(time.time() - leg.last_packet_age_s),
        "flags": ["RTP", *(["rtcp-mux"] if session.parties[side].mux else [])],
        "stats": {"packets": leg.packets, "bytes": leg.octets, "errors": leg.malformed + leg.foreign},
    }
    if leg.streams:
        stream["SSRC"] = leg.streams[-1].ssrc
    for key, endpoint in (("endpoint", leg.seen_from or leg.announced), ("advertised endpoint", leg.announced)):
        if endpoint is not None:
            stream[key] = {"family": _family(endpoint[0]), "address": endpoint[0], "port": endpoint[1]}
    return stream


def _family(address: str) -> str:
    return "IPv6" if ":" in address else "IPv4"


def _ssrc(stream: StreamStatistics) -> dict[str, Value]:
    expected = stream.packets + stream.lost
    loss_percent = 100 * stream.lost // expected if expected else 0
    mos: dict[str, Value] = {
        # The E-model's loss term for G.711 with concealment, roughly: half a point for 5 percent.
        "MOS": max(10, _MOS_BEST - loss_percent),
        "jitter": round(stream.jitter_ms),
        "packet loss": loss_percent,
        "round-trip time": 0,
        "samples": 1,
        "reported at": int(time.time()),
    }
    return {
        "packets": stream.packets,
        "bytes": stream.octets,
        "cumulative loss": stream.lost,
        "average MOS": dict(mos),
        "lowest MOS": dict(mos),
        "highest MOS": dict(mos),
    }


def listed(sessions: Iterable[Session], limit: int) -> list[Value]:
    return [session.call_id for session in islice(sessions, max(0, min(limit, MAX_LISTED)))]


def statistics(sessions: Sessions, engine: Totals, uptime_s: float) -> dict[str, Value]:
    tally = sessions.tally
    ended = tally.opened - len(sessions)
    return {
        "currentstatistics": {
            "sessionsown": len(sessions),
            "sessionsforeign": 0,
            "sessionstotal": len(sessions),
            "transcodedmedia": 0,
            "controllers": dict(sessions.counts()),
        },
        "totalstatistics": {
            "uptime": str(int(uptime_s)),
            "managedsessions": ended,
            "rejectedsessions": tally.refused,
            "timeoutsessions": tally.timed_out,
            "silenttimeoutsessions": 0,
            "finaltimeoutsessions": 0,
            "offertimeoutsessions": 0,
            "regularterminatedsessions": tally.deleted,
            "forcedterminatedsessions": ended - tally.deleted - tally.timed_out,
            "relayedpackets": engine.packets,
            "relayedbytes": engine.octets,
            "relayedpacketerrors": engine.dropped,
            "avgcallduration": str(round(tally.duration_s / ended, 3)) if ended else "0",
        },
    }
