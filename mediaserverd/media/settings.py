"""Settings of the media server. Frozen; a reload makes a new object."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

RecordingFormat = Literal["sasf", "wav"]
RecordingMimeType = Literal["audio/opus", "audio/GSM", "audio/x-truespeech", "audio/PCMU", "audio/PCMA", "audio/L16"]


class RecordingDefaults(BaseModel):
    """What a recording is unless the controller asks for something else. A WAV file is never encrypted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: RecordingFormat = "sasf"
    encrypt: bool = True
    encoding: RecordingMimeType = "audio/opus"  # what the recorder makes of it; of a WAV file, what is in it


class MediaSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "media"
    rtp_address: str = "0.0.0.0"  # noqa: S104 - phones send from anywhere; only latched or announced sources are relayed
    rtp_advertised: str  # the address written into SDP
    rtp_address6: str = "::"  # for phones of the other family
    rtp_advertised6: str = ""  # empty: this server has one family only
    rtp_port_min: int = Field(16384, ge=1024, le=65534)
    rtp_port_max: int = Field(32767, ge=1025, le=65535)
    workers: int = Field(1, ge=1, le=64)
    session_limit: int = Field(4000, gt=0)
    dscp: int = Field(46, ge=0, le=63)
    media_timeout_s: float = Field(60.0, gt=0)  # no RTP on either side for so long: told to the controller
    spool_directory: Path
    disk_floor_bytes: int = Field(512 << 20, ge=0)  # new recordings are refused below this much free space
    recording: RecordingDefaults = RecordingDefaults()
    ng_udp_address: str = "127.0.0.1"
    ng_address: str = "127.0.0.1"
    ng_port: int = Field(2223, ge=0, le=65535)
    ng_token_file: Path
    retrieval_address: str = "0.0.0.0"  # noqa: S104 - authenticated HTTPS
    retrieval_advertised: str = "127.0.0.1"
    retrieval_port: int = Field(8102, ge=0, le=65535)
    retrieval_token_file: Path
    certificate: Path
    private_key: Path
    certificate_authority: Path
    status_address: str = "127.0.0.1"
    status_port: int = Field(9502, ge=0, le=65535)
    identity_file: Path  # the private key that signs recordings; made at first start
    recipients_directory: Path  # public keys (PEM) that encrypted recordings are for
    drain_timeout_s: float = Field(30.0, ge=0)
