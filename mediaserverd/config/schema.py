"""What an administrator may write in the configuration file: keys, types, defaults. What it becomes: ``load``."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from mediaserverd.call.setup import AudioPathMode
from mediaserverd.controller.settings import MAX_LOOK_BACK_S
from mediaserverd.media.parameters import Parameters, Properties
from mediaserverd.media.settings import RecordingFormat
from mediaserverd.recorder.settings import Compression

StationType = Literal["ip-phone", "softphone", "ata", "third-party", "mobile"]
RoleName = Literal["media", "recorder", "controller"]
Transport = Literal["", "udp", "tcp", "tls"]
Port = Annotated[int, Field(ge=0, le=65535)]
LookBack = Annotated[float, Field(ge=0, le=MAX_LOOK_BACK_S)]


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}", text):
        raise ValueError("must be 1 to 64 letters, digits and any of _ . + - (and begin with a letter or digit)")
    return text


def _extension(text: str) -> str:
    if not re.fullmatch(r"\+?[0-9*#]{1,32}", text):
        raise ValueError("must be digits (* # and a leading + are allowed); quote it, so that YAML keeps leading zeros")
    return text


def _network(text: str) -> str:
    ipaddress.ip_network(text, strict=False)
    return text


Name = Annotated[str, AfterValidator(_name)]
Extension = Annotated[str, AfterValidator(_extension)]
Network = Annotated[str, AfterValidator(_network)]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class StationEntry(Section):
    """A phone. Either ``password``, or both hashes as ``mediaserverd station add`` writes them."""

    name: Name
    extension: Extension
    password: str = Field("", repr=False)
    ha1_md5: str = Field("", pattern=r"^([0-9a-f]{32})?$", repr=False)
    ha1_sha256: str = Field("", pattern=r"^([0-9a-f]{64})?$", repr=False)
    display_name: str = ""
    location: Name = "default"
    audio_path: AudioPathMode | None = None
    type: StationType = "ip-phone"
    pre_record_seconds: LookBack | None = None


class LineEntry(Section):
    """A SIP trunk towards a carrier, PBX or proxy."""

    name: Name
    address: str = Field(min_length=1)
    transport: Transport = ""
    trusted_addresses: tuple[Network, ...] = ()
    numbers: tuple[str, ...] = ()
    strip_digits: int = Field(0, ge=0, le=32)
    add_prefix: str = Field("", pattern=r"^\+?[0-9*#]*$")
    username: str = ""
    password: str = Field("", repr=False)
    inbound_to: str = ""
    location: Name = "default"
    audio_path: AudioPathMode | None = None
    fail_open: bool = False
    pre_record_seconds: LookBack | None = None


class WorkgroupEntry(Section):
    """Users who ring together under one extension."""

    name: Name
    extension: Extension
    members: tuple[Name, ...] = Field(min_length=1)


class LocationEntry(Section):
    """A place that stations, lines and media servers are in. ``rule`` is the selection rule of its devices."""

    rule: str = Field("default", min_length=1)
    audio_path: AudioPathMode | None = None


class SipSection(Section):
    location: Name = "default"
    address: str = "0.0.0.0"  # noqa: S104 - phones call from everywhere and authenticate
    udp_port: Port = 5060
    tcp_port: Port = 5060
    tls_port: Port = 5061
    realm: str = Field("mediaserverd", min_length=1)
    digest_algorithms: tuple[Literal["SHA-256", "MD5"], ...] = Field(("MD5",), min_length=1)
    ring_timeout_s: float = Field(120.0, gt=0, le=600)
    max_calls: int = Field(5000, gt=0)
    calls_at_stop: Literal["end", "hand-over"] = "end"
    status_port: Port = 9501


class LevelSection(Section):
    """Parameters and properties of media servers, as one place sets them."""

    parameters: Parameters = Parameters()
    properties: Properties = Field(default_factory=dict)


class MediaSection(Parameters):
    """This host's media server: its parameters, and what only its own file can say."""

    name: Name = "media"
    location: Name = "default"
    properties: Properties = Field(default_factory=dict)
    controllers: dict[Name, LevelSection] = Field(default_factory=dict)
    workers: int = Field(1, ge=1, le=64)
    media_timeout_s: float = Field(60.0, gt=0)
    recording_format: RecordingFormat = "sasf"
    encrypt: bool = True
    ng_udp_address: str = "127.0.0.1"
    ng_address: str = "127.0.0.1"
    ng_port: Port = 2223
    retrieval_address: str = "0.0.0.0"  # noqa: S104 - authenticated HTTPS
    retrieval_port: Port = 8102
    status_port: Port = 9502


class MediaServerEntry(LevelSection):
    """A media server as this host's controller and recorder reach it; without an address, the one of this host.

    Certificates tell who is who; tokens are for sites whose certificates are not ours.
    """

    name: Name
    location: Name = "default"
    address: str = ""
    ng_port: Port = 2223
    retrieval_port: Port = 8102
    ng_token_file: Path | None = None
    retrieval_token_file: Path | None = None

    @property
    def is_here(self) -> bool:
        return self.address in ("", "127.0.0.1", "::1", "localhost")


class ControllerSection(Section):
    """How media servers and the recorder know this host's controller."""

    name: Name = "controller"


class RecorderSection(Section):
    address: str = Field("127.0.0.1", min_length=1)
    ledger_token_file: Path | None = None
    database_url: str = ""
    store_url: str = ""
    vault_password_file: Path | None = None
    compression: Compression = "received"
    workers: int = Field(2, ge=1, le=64)
    api_address: str = "0.0.0.0"  # noqa: S104 - authenticated HTTPS
    api_port: Port = 8443
    missing_after_s: float = Field(60.0, gt=0)
    status_port: Port = 9503


class SecurePauseSection(Section):
    """How long a secure pause lasts, and what is left of it in the file."""

    seconds: float = Field(60.0, ge=0, le=86_400)
    maximum_seconds: float = Field(600.0, ge=0, le=86_400)
    leave: Literal["mask", "omit"] = "mask"


Code = Annotated[str, Field(pattern=r"^([*#][0-9*#]{1,7})?$")]


class FeatureCodesSection(Section):
    """What is typed on a station during a call. An empty code is none."""

    enabled: bool = True
    record: Code = "*1"
    pause: Code = "*2"
    snip: Code = "*3"


class TlsSection(Section):
    """Files of the site. All or none: without them a site authority and a certificate are made at first start."""

    certificate: Path | None = None
    private_key: Path | None = None
    certificate_authority: Path | None = None


class LogSection(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"


class ConfigFile(Section):
    """The whole file."""

    address: str = Field(min_length=1)
    data_directory: Path
    roles: tuple[RoleName, ...] = Field(("media", "recorder", "controller"), min_length=1)
    stations: tuple[StationEntry, ...] = ()
    lines: tuple[LineEntry, ...] = ()
    workgroups: tuple[WorkgroupEntry, ...] = ()
    locations: dict[Name, LocationEntry] = {}
    audio_path: AudioPathMode = "dynamic"
    record: Literal["all", "none"] = "none"
    initiation_policies: Path | None = None
    selection_rules: Path | None = None
    pre_record_seconds: LookBack = 0.0
    secure_pause: SecurePauseSection = SecurePauseSection()
    feature_codes: FeatureCodesSection = FeatureCodesSection()
    encrypt_snippets: bool = True
    hang_up_on_broken_rtp_s: float = Field(0.0, ge=0, le=3600)
    discard_calls_shorter_than_s: float = Field(2.0, ge=0, le=3600)
    sip: SipSection = SipSection()
    controller: ControllerSection = ControllerSection()
    media: MediaSection = MediaSection()
    media_servers: tuple[MediaServerEntry, ...] = ()
    media_server_defaults: LevelSection = LevelSection()
    recorder: RecorderSection = RecorderSection()
    tls: TlsSection = TlsSection()
    log: LogSection = LogSection()
    drain_timeout_s: float = Field(30.0, ge=0, le=3600)

    @property
    def used_media_servers(self) -> tuple[MediaServerEntry, ...]:
        """Those that are named; nobody has to name the one of this host when it is the only one."""
        media = self.media
        here = MediaServerEntry(
            name=media.name,
            location=media.location,
            ng_port=media.ng_port,
            retrieval_port=media.retrieval_port,
        )
        return self.media_servers or (here,)


class StationFile(Section):
    """``stations.yaml`` in the data directory: what ``mediaserverd station`` keeps."""

    stations: tuple[StationEntry, ...] = ()
