"""The parameters and properties of a media server: what can be set, on which levels, and what holds of all that.

A parameter has a name of a fixed set and always a value; a property is free text under a free name. A level is what one
place sets. Of several the later one holds: this server's own file, the same for one controller, then what that
controller says of all its media servers, and what it says of this one.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

RecordingMimeType = Literal["audio/opus", "audio/GSM", "audio/x-truespeech", "audio/PCMU", "audio/PCMA", "audio/L16"]

NOT_SET: Final = "default"  # the origin of a value that no level sets
MAX_PROPERTIES: Final = 100


def _port_range(text: str) -> str:
    low, dash, high = text.partition("-")
    if not (dash and low.isdigit() and high.isdigit() and 1024 <= int(low) < int(high) <= 65535):
        raise ValueError("must be LOW-HIGH with 1024 <= LOW < HIGH <= 65535, such as 16384-32767")
    if len(range(int(low) + int(low) % 2, int(high), 2)) < 2:
        raise ValueError("has too few ports for one call, which takes two even ones with the odd ones above them")
    return text


def _address(text: str) -> str:
    if text:
        ipaddress.ip_address(text)
    return text


def _property_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", text):
        raise ValueError("must be 1 to 64 letters, digits and any of _ . - (and begin with a letter or digit)")
    if text in Parameters.model_fields:
        raise ValueError("is the name of a parameter")
    return text


PortRange = Annotated[str, AfterValidator(_port_range)]
Address = Annotated[str, AfterValidator(_address)]
PropertyName = Annotated[str, AfterValidator(_property_name)]
PropertyText = Annotated[str, Field(max_length=400)]
Properties = Annotated[dict[PropertyName, PropertyText], Field(max_length=MAX_PROPERTIES)]


class Parameters(BaseModel):
    """The fixed set. As a level, those count that were given (``model_fields_set``)."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    recording_mime_type_default: RecordingMimeType = "audio/opus"  # what a recording is to become
    rtp_address: Address = "0.0.0.0"  # noqa: S104 - phones send from anywhere; only latched or announced sources count
    rtp_advertised: Address = ""  # written into SDP
    rtp_address6: Address = "::"  # for phones of the other family
    rtp_advertised6: Address = ""  # empty: this server has one family only
    rtp_ports: PortRange = "16384-32767"
    session_limit: int = Field(4000, gt=0)
    cpu_limit_percent: int = Field(100, gt=0, le=100)  # no new session when the processors are so busy; 100: whatever
    disk_floor_mib: int = Field(512, ge=0)  # new recordings are refused below so much free space
    dscp: int = Field(46, ge=0, le=63)


class Level(BaseModel):
    """``origins``: where each of them stands, in words for the administrator."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    parameters: Parameters = Parameters()
    properties: Properties = Field(default_factory=dict)
    origins: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Effective:
    """What holds. ``origins`` has every parameter and every property that is set."""

    parameters: Parameters
    properties: dict[str, str]
    origins: dict[str, str]

    def described(self) -> list[dict[str, Any]]:
        """Every one with its value and origin, for people."""
        values = {**self.parameters.model_dump(), **self.properties}
        kinds = dict.fromkeys(Parameters.model_fields, "parameter") | dict.fromkeys(self.properties, "property")
        return [
            {"name": name, "kind": kind, "value": values[name], "origin": self.origins[name]}
            for name, kind in kinds.items()
        ]


def effective(levels: Iterable[Level]) -> Effective:
    """``levels`` from the lowest to the highest."""
    values: dict[str, Any] = {}
    properties: dict[str, str] = {}
    origins = dict.fromkeys(Parameters.model_fields, NOT_SET)
    for level in levels:
        given = level.parameters.model_dump(exclude_unset=True)
        values |= given
        properties |= level.properties
        origins |= {name: level.origins.get(name, "") for name in (*given, *level.properties)}
    return Effective(Parameters(**values), properties, origins)
