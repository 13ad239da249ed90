"""Settings of the recorder. Frozen; a reload makes a new object."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

# ``received``: as it came. ``none``: what the media server was asked for (``RecordingMimeTypeDefault`` if nothing).
# Where the encoding was asked for one recording by name, that is done whatever stands here.
Compression = Literal["received", "opus", "gsm", "truespeech", "pcmu", "pcma", "none"]


class RetrievalLink(BaseModel):
    """A media server that recordings may be fetched from. ``name`` is the one that the ledger uses."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    url: str  # https://host:8102
    token_file: Path | None = None  # none: our certificate says who we are


class RecorderSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "recorder"
    database_url: str  # sqlite:///... or postgresql+psycopg://...
    store_url: str  # file:///... ; any URL that obstore knows
    incoming_directory: Path | None = None  # of half-fetched files; else beside an SQLite database, or a temporary one
    api_address: str = "0.0.0.0"  # noqa: S104 - authenticated HTTPS
    api_port: int = Field(8443, ge=0, le=65535)
    certificate: Path
    private_key: Path
    certificate_authority: Path
    ledger_token_file: Path
    keys_directory: Path  # of private keys, recipients and trusted signers; made at first start
    vault_password_file: Path | None = None  # else secrets/vault.password beside keys_directory, made at first start
    media_servers: tuple[RetrievalLink, ...]
    compression: Compression = "received"
    workers: int = Field(2, ge=1, le=64)  # processes that examine and compress, and as many that render
    missing_after_s: float = Field(60.0, gt=0)  # an ended recording that no media server has by then is failed
    ledger_grace_s: float = Field(10.0, ge=0)  # a file that no ledger announced by then is taken in as unannounced
    poll_interval_s: float = Field(5.0, gt=0)  # between two looks at what each media server has
    status_address: str = "127.0.0.1"
    status_port: int = Field(9503, ge=0, le=65535)
    drain_timeout_s: float = Field(30.0, ge=0)
