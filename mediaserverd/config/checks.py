"""What no section of the configuration can tell of itself: names given twice, names of things that there are not, ports
that meet, options that exclude each other."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence

from mediaserverd.config.document import Document, Fault, Key
from mediaserverd.config.schema import (
    ConfigFile,
    FeatureCodesSection,
    LineEntry,
    MediaSection,
    StationEntry,
    WorkgroupEntry,
)
from mediaserverd.policy.fleet import DEFAULT_LOCATION

PlacedStation = tuple[Document, tuple[Key, ...], StationEntry]


def cross_faults(document: Document, entry: ConfigFile, stations: list[PlacedStation]) -> Iterator[Fault]:
    yield from _station_faults(stations)
    groups: list[tuple[Document, tuple[Key, ...], WorkgroupEntry]] = [
        (document, ("workgroups", i), group) for i, group in enumerate(entry.workgroups)
    ]
    yield from _repeated("name", [(d, p, s.name) for d, p, s in stations])
    extensions = [(d, p, s.extension) for d, p, s in stations] + [(d, p, g.extension) for d, p, g in groups]
    yield from _repeated("extension", extensions)
    yield from _repeated("name", [(document, ("lines", i), line.name) for i, line in enumerate(entry.lines)])
    servers = [(document, ("media_servers", i), server.name) for i, server in enumerate(entry.media_servers)]
    yield from _repeated("name", servers)
    known = {station.name for _, _, station in stations}
    for _, path, group in groups:
        for index, member in enumerate(group.members):
            if member not in known:
                near = difflib.get_close_matches(member, known, n=1)
                text = f"no station is called {member}" + (f"; did you mean {near[0]}?" if near else "")
                yield document.fault((*path, "members", index), text)
    yield from _line_faults(document, entry.lines, {extension for _, _, extension in extensions})
    if entry.locations:
        yield from _location_faults(document, entry, stations)
    yield from _port_faults(document, entry)
    yield from _recording_faults(document, entry.media)
    given = [entry.tls.certificate, entry.tls.private_key, entry.tls.certificate_authority]
    if any(given) and not all(given):
        yield document.fault(("tls",), "give certificate, private_key and certificate_authority together, or none")
    pause = entry.secure_pause
    if pause.maximum_seconds and not 0 < pause.seconds <= pause.maximum_seconds:
        text = f"must be from 1 to maximum_seconds ({pause.maximum_seconds:g}), which 0 would turn off"
        yield document.fault(("secure_pause", "seconds"), text)
    yield from _code_faults(document, entry.feature_codes)
    if entry.record == "all" and entry.initiation_policies is not None:
        yield document.fault(("record",), "give either record or initiation_policies, not both")


def _station_faults(stations: list[PlacedStation]) -> Iterator[Fault]:
    for document, path, station in stations:
        hashes = (bool(station.ha1_md5), bool(station.ha1_sha256))
        if bool(station.password) == any(hashes) or any(hashes) != all(hashes):
            yield document.fault(path, "needs either a password, or both ha1_md5 and ha1_sha256")


def _repeated(key: str, places: Iterable[tuple[Document, tuple[Key, ...], str]]) -> Iterator[Fault]:
    first: dict[str, tuple[Document, tuple[Key, ...]]] = {}
    for document, path, value in places:
        if value in first:
            other, other_path = first[value]
            where = f"{other.file.name}:{other.line_of((*other_path, key))}"
            yield document.fault((*path, key), f"{value} is taken already ({where})")
        else:
            first[value] = (document, path)


def _line_faults(document: Document, lines: Sequence[LineEntry], extensions: set[str]) -> Iterator[Fault]:
    for index, line in enumerate(lines):
        if line.inbound_to and line.inbound_to not in extensions:
            yield document.fault(("lines", index, "inbound_to"), f"no extension is {line.inbound_to}")
        if bool(line.username) != bool(line.password):
            yield document.fault(("lines", index), "username and password belong together")


def _location_faults(document: Document, entry: ConfigFile, stations: list[PlacedStation]) -> Iterator[Fault]:
    """Once locations are listed, a name that is not in the list is a slip of the pen."""
    used = [(at, (*path, "location"), station.location) for at, path, station in stations]
    used += [(document, ("lines", index, "location"), line.location) for index, line in enumerate(entry.lines)]
    used += [(document, (section, "location"), getattr(entry, section).location) for section in ("sip", "media")]
    servers = enumerate(entry.media_servers)
    used += [(document, ("media_servers", index, "location"), server.location) for index, server in servers]
    for at, path, name in used:
        if name not in entry.locations and name != DEFAULT_LOCATION:
            near = difflib.get_close_matches(name, entry.locations, n=1)
            yield at.fault(path, f"there is no location {name}" + (f"; did you mean {near[0]}?" if near else ""))


def _port_faults(document: Document, entry: ConfigFile) -> Iterator[Fault]:
    listeners: list[tuple[tuple[Key, ...], int]] = [
        (("sip", "tcp_port"), entry.sip.tcp_port),
        (("sip", "tls_port"), entry.sip.tls_port),
        (("sip", "status_port"), entry.sip.status_port),
        (("media", "ng_port"), entry.media.ng_port),
        (("media", "retrieval_port"), entry.media.retrieval_port),
        (("media", "status_port"), entry.media.status_port),
        (("recorder", "api_port"), entry.recorder.api_port),
        (("recorder", "status_port"), entry.recorder.status_port),
    ]
    seen: dict[int, tuple[Key, ...]] = {}
    for path, port in listeners:
        if port and port in seen:
            yield document.fault(path, f"TCP port {port} is used by {'.'.join(map(str, seen[port]))} already")
        seen.setdefault(port, path)


def _recording_faults(document: Document, media: MediaSection) -> Iterator[Fault]:
    if media.recording_format == "wav" and media.encrypt:
        yield document.fault(
            ("media", "recording_format"), "a wav file cannot be encrypted; write encrypt: false too, or keep sasf"
        )


def _code_faults(document: Document, section: FeatureCodesSection) -> Iterator[Fault]:
    """A code that begins another one would be heard in its place."""
    codes = [(name, code) for name in ("record", "pause", "snip") if (code := getattr(section, name))]
    for at, (name, code) in enumerate(codes):
        for other, text in codes[:at]:
            if code.startswith(text) or text.startswith(code):
                yield document.fault(("feature_codes", name), f"{code} and {other} ({text}) cannot be told apart")
