"""Settings of the controller. Frozen; a reload makes a new object."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mediaserverd.call.setup import AudioPathMode, FeatureCodes, PauseRules

MAX_LOOK_BACK_S = 60  # docs/wire.md 1; held in the media server's memory for every call


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SipListeners(_Frozen):
    """Where SIP is spoken. Port 0 turns a transport off. ``advertised`` is the address phones can reach."""

    address: str = "0.0.0.0"  # noqa: S104 - a SIP server is reached from everywhere; phones authenticate
    advertised: str = ""
    udp_port: int = Field(5060, ge=0, le=65535)
    tcp_port: int = Field(5060, ge=0, le=65535)
    tls_port: int = Field(5061, ge=0, le=65535)
    certificate: Path
    private_key: Path
    certificate_authority: Path


class Station(_Frozen):
    """A phone that registers. ``ha1_md5`` and ``ha1_sha256`` are RFC 7616 A1 hashes in hex over name:realm:password."""

    name: str
    extension: str
    display_name: str = ""
    location: str = "default"
    audio_path: AudioPathMode | None = None  # None: as the location, then the site
    type: str = "ip-phone"
    pre_record_seconds: float | None = Field(None, ge=0, le=MAX_LOOK_BACK_S)  # None: as the site
    ha1_md5: str = Field(repr=False)
    ha1_sha256: str = Field(repr=False)


class Line(_Frozen):
    """A SIP trunk. ``numbers`` are patterns of dialled numbers that go out here (``+*``, ``0[1-9]*``)."""

    name: str
    address: str  # host or host:port; without port, RFC 3263 applies
    transport: str = ""  # udp, tcp, tls; empty: RFC 3263 decides
    trusted_addresses: tuple[str, ...] = ()  # networks whose INVITEs are taken without digest
    numbers: tuple[str, ...] = ()
    strip_digits: int = Field(0, ge=0)
    add_prefix: str = ""
    username: str = ""
    password: str = Field("", repr=False)
    inbound_to: str = ""  # extension or workgroup for calls from the line; empty: by dialled number
    location: str = "default"
    audio_path: AudioPathMode | None = None  # None: as the location, then the site
    fail_open: bool = False  # an always-in call that no media server takes goes on directly, unrecorded
    pre_record_seconds: float | None = Field(None, ge=0, le=MAX_LOOK_BACK_S)  # None: as the site


class Location(_Frozen):
    """What is said of all devices at a place."""

    audio_path: AudioPathMode | None = None  # None: as the site


class Workgroup(_Frozen):
    name: str
    extension: str
    members: tuple[str, ...]  # station names; all ring


class MediaServerLink(_Frozen):
    """A media server that this controller may use, and what it wants of it (docs/wire.md 1, ``configure``)."""

    name: str
    location: str = "default"
    url: str  # wss://host:port/
    token_file: Path | None = None  # none: our certificate says who we are
    trusted: bool = True  # without it, an administrator approves of its certificate first
    parameters: dict[str, Any] = {}
    properties: dict[str, str] = {}
    origins: dict[str, str] = {}


class LedgerLink(_Frozen):
    url: str  # https://recorder:8443
    token_file: Path | None = None  # none: our certificate says who we are


class ControllerSettings(_Frozen):
    name: str = "controller"
    realm: str = "mediaserverd"
    digest_algorithms: tuple[Literal["SHA-256", "MD5"], ...] = ("MD5",)  # in the order of the challenges
    location: str = "default"
    state_directory: Path  # location store, outbox
    sip: SipListeners
    stations: tuple[Station, ...] = ()
    lines: tuple[Line, ...] = ()
    workgroups: tuple[Workgroup, ...] = ()
    media_servers: tuple[MediaServerLink, ...]
    initiation: Any  # plain document for policy.initiation.from_document; verified when the configuration was read
    selection: Any  # plain document for policy.selection_document.from_document; likewise
    audio_path: AudioPathMode = "dynamic"
    locations: Mapping[str, Location] = {}
    pre_record_seconds: float = Field(0.0, ge=0, le=MAX_LOOK_BACK_S)  # look-back of recordings on demand
    secure_pause: PauseRules = PauseRules()
    feature_codes: FeatureCodes = FeatureCodes()
    encrypt_snippets: bool = True
    hang_up_on_broken_rtp_s: float = Field(0.0, ge=0)  # 0: never
    discard_calls_shorter_than_s: float = Field(2.0, ge=0)
    ledger: LedgerLink
    certificate_authority: Path  # trusted for media servers and recorder
    status_address: str = "127.0.0.1"
    status_port: int = Field(9501, ge=0, le=65535)
    control_token_file: Path
    ring_timeout_s: float = Field(120.0, gt=0)
    max_calls: int = Field(5000, gt=0)
    drain_timeout_s: float = Field(30.0, ge=0)
    calls_at_stop: Literal["end", "hand-over"] = "end"  # hand-over: the next start goes on with those that are up
