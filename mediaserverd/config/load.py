"""Reads the configuration file and the files that it names, checks across sections, and builds each role's settings.

Whether a port is free or a certificate readable is found out when a role starts.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from mediaserverd.call.setup import FeatureCodes, PauseRules
from mediaserverd.config.checks import PlacedStation, cross_faults
from mediaserverd.config.document import ConfigError, Document, Fault, Key, read_document
from mediaserverd.config.media_servers import controller_levels, ledger_link, links, own_level, retrieval_links
from mediaserverd.config.policies import Policies, read_policies
from mediaserverd.config.schema import ConfigFile, FeatureCodesSection, StationEntry, StationFile
from mediaserverd.controller.settings import (
    ControllerSettings,
    Line,
    Location,
    SipListeners,
    Station,
    Workgroup,
)
from mediaserverd.media.settings import MediaSettings, RecordingDefaults
from mediaserverd.policy.selection_document import Known
from mediaserverd.protocol.sip.digest import a1
from mediaserverd.recorder.settings import RecorderSettings

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
    roles: tuple[str, ...]  # that this host has
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
    faults = [*cross_faults(document, entry, stations)]
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
    servers = {server.location for server in entry.used_media_servers}
    return {
        "location": {entry.sip.location, *devices, *servers, *entry.locations},
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


def _stations(document: Document, entry: ConfigFile, directory: Path) -> list[PlacedStation]:
    """Those of the configuration file, then those that the command line keeps in the data directory."""
    placed: list[PlacedStation] = [(document, ("stations", i), s) for i, s in enumerate(entry.stations)]
    kept = directory / entry.data_directory / STATION_FILE
    if kept.exists():
        kept_document = read_document(kept)
        kept_stations = _validated(kept_document, StationFile).stations
        placed += [(kept_document, ("stations", i), s) for i, s in enumerate(kept_stations)]
    return placed


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
        roles=entry.roles,
        examples=policies.examples,
        controller=_controller(document, entry, stations, policies, data, tls),
        media=_media(document, entry, data, tls),
        recorder=_recorder(entry, base, data, tls),
    )


@dataclass(frozen=True, slots=True)
class _TlsFiles:
    certificate: Path
    private_key: Path
    authority: Path


def _controller(
    document: Document,
    entry: ConfigFile,
    stations: Sequence[StationEntry],
    policies: Policies,
    data: Path,
    tls: _TlsFiles,
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
        name=entry.controller.name,
        location=entry.sip.location,
        realm=entry.sip.realm,
        digest_algorithms=entry.sip.digest_algorithms,
        state_directory=data / "controller",
        sip=sip,
        stations=tuple(_station(station, entry.sip.realm) for station in stations),
        lines=tuple(Line(**line.model_dump()) for line in entry.lines),
        locations={name: Location(audio_path=each.audio_path) for name, each in entry.locations.items()},
        audio_path=entry.audio_path,
        workgroups=tuple(Workgroup(**group.model_dump()) for group in entry.workgroups),
        media_servers=links(document, entry, document.file.parent, secrets),
        ledger=ledger_link(entry, document.file.parent, secrets),
        certificate_authority=tls.authority,
        initiation=policies.initiation,
        selection=policies.selection,
        pre_record_seconds=entry.pre_record_seconds,
        secure_pause=PauseRules(**entry.secure_pause.model_dump()),
        feature_codes=_codes(entry.feature_codes),
        encrypt_snippets=entry.encrypt_snippets,
        hang_up_on_broken_rtp_s=entry.hang_up_on_broken_rtp_s,
        discard_calls_shorter_than_s=entry.discard_calls_shorter_than_s,
        status_port=entry.sip.status_port,
        control_token_file=secrets / "control.token",
        ring_timeout_s=entry.sip.ring_timeout_s,
        max_calls=entry.sip.max_calls,
        calls_at_stop=entry.sip.calls_at_stop,
        drain_timeout_s=entry.drain_timeout_s,
    )


def _codes(section: FeatureCodesSection) -> FeatureCodes:
    return FeatureCodes(section.record, section.pause, section.snip) if section.enabled else FeatureCodes()


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
        drain_file=data / "media-drained.json",
        drain_timeout_s=entry.drain_timeout_s,
    )


def _recorder(entry: ConfigFile, base: Path, data: Path, tls: _TlsFiles) -> RecorderSettings:
    recorder = entry.recorder
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
        media_servers=retrieval_links(entry, base, data / "secrets"),
        compression=recorder.compression,
        workers=recorder.workers,
        missing_after_s=recorder.missing_after_s,
        status_port=recorder.status_port,
        drain_timeout_s=entry.drain_timeout_s,
    )
