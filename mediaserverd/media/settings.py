"""Settings of the media server. Frozen; a reload makes a new object."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from mediaserverd.media.parameters import Level

RecordingFormat = Literal["sasf", "wav"]


class RecordingDefaults(BaseModel):
    """What a recording is unless the controller asks for something else. A WAV file is never encrypted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: RecordingFormat = "sasf"
    encrypt: bool = True


class MediaSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "media"
    own: Level = Level()  # what this server's file sets
    per_controller: dict[str, Level] = {}  # the same, for one controller
    workers: int = Field(1, ge=1, le=64)
    media_timeout_s: float = Field(60.0, gt=0)  # no RTP on either side for so long: told to the controller
    spool_directory: Path
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
    control_token_file: Path
    status_address: str = "127.0.0.1"
    status_port: int = Field(9502, ge=0, le=65535)
    identity_file: Path  # the private key that signs recordings; made at first start
    recipients_directory: Path  # public keys (PEM) that encrypted recordings are for
    drain_file: Path  # the order to take no new calls, as long as it holds
    drain_timeout_s: float = Field(30.0, ge=0)
