"""What the configuration says of media servers: parameters and properties on each level, with the place of each."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from mediaserverd.config.document import Document, Key
from mediaserverd.config.schema import ConfigFile, LevelSection
from mediaserverd.media.parameters import Level, Parameters


def own_level(document: Document, entry: ConfigFile) -> Level:
    """Of this host's media server. Its address towards phones is the host's, unless it has one of its own."""
    given = entry.media.model_dump(include=set(Parameters.model_fields), exclude_unset=True)
    origins = {name: _place(document, ("media", name)) for name in given}
    if "rtp_advertised" not in given and _is_address(entry.address):
        given["rtp_advertised"], origins["rtp_advertised"] = entry.address, _place(document, ("address",))
    origins |= {name: _place(document, ("media", "properties", name)) for name in entry.media.properties}
    return Level(parameters=Parameters(**given), properties=entry.media.properties, origins=_named("", origins))


def controller_levels(document: Document, entry: ConfigFile) -> dict[str, Level]:
    """The same, for one controller."""
    return {
        name: _level(document, ("media", "controllers", name), section, f"for controller {name}, ")
        for name, section in entry.media.controllers.items()
    }


def _level(document: Document, path: tuple[Key, ...], section: LevelSection, whose: str) -> Level:
    given = section.parameters.model_fields_set
    origins = {name: _place(document, (*path, "parameters", name)) for name in given}
    origins |= {name: _place(document, (*path, "properties", name)) for name in section.properties}
    return Level(parameters=section.parameters, properties=section.properties, origins=_named(whose, origins))


def _named(whose: str, origins: dict[str, str]) -> dict[str, str]:
    return {name: f"media server, {whose}{place}" for name, place in origins.items()}


def _place(document: Document, path: Iterable[Key]) -> str:
    return f"{document.file}:{document.line_of(path)}"


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
