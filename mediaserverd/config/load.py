"""Reads the configuration file and the files that it names, checks across sections, and builds each role's settings.

Whether a port is free or a certificate readable is found out when a role starts.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from mediaserverd.call.setup import PauseRules
from mediaserverd.config.document import ConfigError, Document, Fault, Key, read_document
from mediaserverd.config.media_servers import controller_levels, own_level
from mediaserverd.config.policies import Policies, read_policies
from mediaserverd.config.schema import (
    ConfigFile,
    LineEntry,
    MediaSection,
    StationEntry,
    StationFile,
    WorkgroupEntry,
    in_url,
)
from mediaserverd.controller.settings import (
    ControllerSettings,
    LedgerLink,
    Line,
    Location,
    MediaServerLink,
    SipListeners,
    Station,
    Workgroup,
)
from mediaserverd.media.settings import MediaSettings, RecordingDefaults
from mediaserverd.policy.fleet import DEFAULT_LOCATION
from mediaserverd.policy.selection_document import Known
from mediaserverd.protocol.sip.digest import a1
from mediaserverd.recorder.settings import RecorderSettings, RetrievalLink

Model = TypeVar("Model", bound=BaseModel)
STATION_FILE = "stations.yaml"


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that the roles and the daemon need, verified."""

    file: Path
    address: str
    data_directory: Path
    tls_directory: Path | None  # where the site's certificates are made; None when they are given
    log_level: str
    log_console: bool
    drain_timeout_s: float
    examples: int  # of policies and rules, all of which hold
    controller: ControllerSettings
    media: MediaSettings
    recorder: RecorderSettings

    @property
    def secrets_directory(self) -> Path:
        return self.data_directory / "secrets"

    @property
    def signers_directory(self) -> Path:
        """Public keys of the media servers whose recordings are trusted."""
        return self.data_directory / "keys" / "signers"

    def token_files(self) -> tuple[Path, ...]:
        """The tokens that the roles show each other."""
        return tuple(self.secrets_directory / f"{name}.token" for name in ("ng", "retrieval", "ledger", "control"))


def load_config(file: Path) -> Config:
    """Raises ConfigError with every fault of every file."""
    document = read_document(file)
    entry = _validated(document, ConfigFile)
    directory = file.resolve().parent
    stations = _stations(document, entry, directory)
    faults = [*_cross_faults(document, entry, stations)]
    try:
        policies = read_policies(document, entry, _known(entry, stations))
    except ConfigError as error:
        faults += error.faults
    if faults:
        raise ConfigError(faults)
    return _build(document, entry, [station for _, _, station in stations], policies)


def _known(entry: ConfigFile, stations: list[PlacedStation]) -> Known:
    """What selection rules may name."""
    devices = {station.location for _, _, station in stations} | {line.location for line in entry.lines}
    return {
        "location": {*devices, *entry.locations, *(server.location for server in entry.used_media_servers)},
        "station": {station.name for _, _, station in stations},
        "line": {line.name for line in entry.lines},
        "workgroup": {group.name for group in entry.workgroups},
    }


# -- validation ----------------------------------------------------------------------------------------------------


def _validated(document: Document, model: type[Model]) -> Model:
    if not isinstance(document.value, dict):
        raise ConfigError([Fault(document.file, 1, "", "must be a mapping of keys to values")])
    try:
        return model.model_validate(document.value)
    except ValidationError as error:
        raise ConfigError([_fault_of(document, model, detail) for detail in error.errors()]) from error


def _fault_of(document: Document, model: type[BaseModel], detail: Any) -> Fault:
    path: tuple[Key, ...] = tuple(key for key in detail["loc"] if key != "[key]")  # pydantic's mark of a bad key
    match detail["type"]:
        case "extra_forbidden":
            text = f"unknown key{_suggestion(model, path)}"
        case "missing":
            text = "is missing"
        case "string_type":
            text = "must be text; put it in quotes"
        case _:
            text = str(detail["msg"]).removeprefix("Value error, ")
    return document.fault(path, text)


def _suggestion(model: type[BaseModel], path: Sequence[Key]) -> str:
    known = list(_keys_at(model, path[:-1]))
    near = difflib.get_close_matches(str(path[-1]), known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; known here: {', '.join(sorted(known))}"


def _keys_at(model: type[BaseModel], path: Sequence[Key]) -> Iterable[str]:
    current: Any = model
    for key in path:
        if key not in current.model_fields:  # an index, or a name that the administrator chose
            continue
        annotation = current.model_fields[key].annotation
        arguments = [a for a in getattr(annotation, "__args__", ()) if isinstance(a, type) and issubclass(a, BaseModel)]
        current = arguments[0] if arguments else annotation
    return tuple(current.model_fields)


PlacedStation = tuple[Document, tuple[Key, ...], StationEntry]


def _stations(document: Document, entry: ConfigFile, directory: Path) -> list[PlacedStation]:
    """Those of the configuration file, then those that the command line keeps in the data directory."""
    placed: list[PlacedStation] = [(document, ("stations", i), s) for i, s in enumerate(entry.stations)]
    kept = directory / entry.data_directory / STATION_FILE
    if kept.exists():
        kept_document = read_document(kept)
        kept_stations = _validated(kept_document, StationFile).stations
        placed += [(kept_document, ("stations", i), s) for i, s in enumerate(kept_stations)]
    return placed


def _cross_faults(document: Document, entry: ConfigFile, stations: list[PlacedStation]) -> Iterator[Fault]:
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
    used += [(document, ("media", "location"), entry.media.location)]
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


# -- building ------------------------------------------------------------------------------------------------------


def _build(document: Document, entry: ConfigFile, stations: Sequence[StationEntry], policies: Policies) -> Config:
    file = document.file.resolve()
    base = file.parent
    data = (base / entry.data_directory).resolve()
    given = entry.tls.certificate is not None
    tls = _TlsFiles(
        certificate=base / entry.tls.certificate if entry.tls.certificate else data / "tls" / "server.pem",
        private_key=base / entry.tls.private_key if entry.tls.private_key else data / "tls" / "server.key",
        authority=base / entry.tls.certificate_authority if entry.tls.certificate_authority else data / "tls/ca.pem",
    )
    return Config(
        file=file,
        address=entry.address,
        data_directory=data,
        tls_directory=None if given else data / "tls",
        log_level=entry.log.level,
        log_console=entry.log.format == "console",
        drain_timeout_s=entry.drain_timeout_s,
        examples=policies.examples,
        controller=_controller(entry, stations, policies, data, tls),
        media=_media(document, entry, data, tls),
        recorder=_recorder(entry, base, data, tls),
    )


@dataclass(frozen=True, slots=True)
class _TlsFiles:
    certificate: Path
    private_key: Path
    authority: Path


def _controller(
    entry: ConfigFile, stations: Sequence[StationEntry], policies: Policies, data: Path, tls: _TlsFiles
) -> ControllerSettings:
    secrets = data / "secrets"
    sip = SipListeners(
        address=entry.sip.address,
        advertised=entry.address,
        udp_port=entry.sip.udp_port,
        tcp_port=entry.sip.tcp_port,
        tls_port=entry.sip.tls_port,
        certificate=tls.certificate,
        private_key=tls.private_key,
        certificate_authority=tls.authority,
    )
    return ControllerSettings(
        realm=entry.sip.realm,
        digest_algorithms=entry.sip.digest_algorithms,
        state_directory=data / "controller",
        sip=sip,
        stations=tuple(_station(station, entry.sip.realm) for station in stations),
        lines=tuple(Line(**line.model_dump()) for line in entry.lines),
        locations={name: Location(audio_path=each.audio_path) for name, each in entry.locations.items()},
        audio_path=entry.audio_path,
        workgroups=tuple(Workgroup(**group.model_dump()) for group in entry.workgroups),
        media_servers=tuple(
            MediaServerLink(
                name=server.name,
                location=server.location,
                url=f"wss://{in_url(server.address)}:{server.ng_port}/",
                token_file=secrets / "ng.token",
            )
            for server in entry.used_media_servers
        ),
        ledger=LedgerLink(
            url=f"https://{in_url(entry.recorder.address)}:{entry.recorder.api_port}",
            token_file=secrets / "ledger.token",
        ),
        certificate_authority=tls.authority,
        initiation=policies.initiation,
        selection=policies.selection,
        pre_record_seconds=entry.pre_record_seconds,
        secure_pause=PauseRules(**entry.secure_pause.model_dump()),
        discard_calls_shorter_than_s=entry.discard_calls_shorter_than_s,
        status_port=entry.sip.status_port,
        control_token_file=secrets / "control.token",
        ring_timeout_s=entry.sip.ring_timeout_s,
        max_calls=entry.sip.max_calls,
        drain_timeout_s=entry.drain_timeout_s,
    )


def _station(station: StationEntry, realm: str) -> Station:
    values = station.model_dump(exclude={"password"})
    if station.password:
        values["ha1_md5"] = a1("MD5", station.name, realm, station.password)
        values["ha1_sha256"] = a1("SHA-256", station.name, realm, station.password)
    return Station(**values)


def _media(document: Document, entry: ConfigFile, data: Path, tls: _TlsFiles) -> MediaSettings:
    media = entry.media
    return MediaSettings(
        name=media.name,
        own=own_level(document, entry),
        per_controller=controller_levels(document, entry),
        workers=media.workers,
        media_timeout_s=media.media_timeout_s,
        spool_directory=data / "spool",
        recording=RecordingDefaults(format=media.recording_format, encrypt=media.encrypt),
        ng_udp_address=media.ng_udp_address,
        ng_address=media.ng_address,
        ng_port=media.ng_port,
        ng_token_file=data / "secrets" / "ng.token",
        retrieval_address=media.retrieval_address,
        retrieval_advertised=entry.address,
        retrieval_port=media.retrieval_port,
        retrieval_token_file=data / "secrets" / "retrieval.token",
        certificate=tls.certificate,
        private_key=tls.private_key,
        certificate_authority=tls.authority,
        control_token_file=data / "secrets" / "control.token",
        status_port=media.status_port,
        identity_file=data / "secrets" / "media-identity.pem",
        recipients_directory=data / "keys" / "recipients",
        drain_timeout_s=entry.drain_timeout_s,
    )


def _recorder(entry: ConfigFile, base: Path, data: Path, tls: _TlsFiles) -> RecorderSettings:
    recorder = entry.recorder
    links = tuple(
        RetrievalLink(
            name=server.name,
            url=f"https://{in_url(server.address)}:{server.retrieval_port}",
            token_file=data / "secrets" / "retrieval.token",
        )
        for server in entry.used_media_servers
    )
    return RecorderSettings(
        database_url=recorder.database_url or f"sqlite:///{data / 'recorder' / 'catalogue.sqlite'}",
        store_url=recorder.store_url or f"file://{data / 'recordings'}",
        api_address=recorder.api_address,
        api_port=recorder.api_port,
        certificate=tls.certificate,
        private_key=tls.private_key,
        certificate_authority=tls.authority,
        ledger_token_file=data / "secrets" / "ledger.token",
        keys_directory=data / "keys",
        vault_password_file=base / recorder.vault_password_file if recorder.vault_password_file else None,
        media_servers=links,
        compression=recorder.compression,
        workers=recorder.workers,
        missing_after_s=recorder.missing_after_s,
        status_port=recorder.status_port,
        drain_timeout_s=entry.drain_timeout_s,
    )
