"""What the configuration says of media servers: how controller and recorder reach them, and parameters and properties
on each level, with the place of each."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from pathlib import Path

from mediaserverd.config.document import Document, Key
from mediaserverd.config.schema import ConfigFile, LevelSection, MediaServerEntry
from mediaserverd.controller.settings import LedgerLink, MediaServerLink
from mediaserverd.media.parameters import Level, Parameters
from mediaserverd.recorder.settings import RetrievalLink

HERE = "127.0.0.1"
_MEDIA_SERVER = "media server"
_CONTROLLER = "controller"


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


def links(document: Document, entry: ConfigFile, base: Path, secrets: Path) -> tuple[MediaServerLink, ...]:
    """Those that this host's controller may use."""
    of_all = _level(
        document, ("media_server_defaults",), entry.media_server_defaults, "all media servers, ", _CONTROLLER
    )
    found = []
    for index, server in enumerate(entry.used_media_servers):
        of_one = _level(document, ("media_servers", index), server, f"media server {server.name}, ", _CONTROLLER)
        found.append(MediaServerLink(
            name=server.name,
            location=server.location,
            url=f"wss://{_host(server)}:{server.ng_port}/",
            token_file=_token(server, server.ng_token_file, base, secrets / "ng.token"),
            trusted=server.is_here,
            parameters={**_given(of_all), **_given(of_one)},
            properties={**of_all.properties, **of_one.properties},
            origins={**of_all.origins, **of_one.origins},
        ))  # fmt: skip
    return tuple(found)


def retrieval_links(entry: ConfigFile, base: Path, secrets: Path) -> tuple[RetrievalLink, ...]:
    """Those that this host's recorder fetches from."""
    return tuple(
        RetrievalLink(
            name=server.name,
            url=f"https://{_host(server)}:{server.retrieval_port}",
            token_file=_token(server, server.retrieval_token_file, base, secrets / "retrieval.token"),
        )
        for server in entry.used_media_servers
    )


def ledger_link(entry: ConfigFile, base: Path, secrets: Path) -> LedgerLink:
    recorder = entry.recorder
    token = base / recorder.ledger_token_file if recorder.ledger_token_file else None
    if token is None and recorder.address == HERE:
        token = secrets / "ledger.token"
    return LedgerLink(url=f"https://{_in_url(recorder.address)}:{recorder.api_port}", token_file=token)


def _host(server: MediaServerEntry) -> str:
    return HERE if server.is_here else _in_url(server.address)


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _token(server: MediaServerEntry, given: Path | None, base: Path, own: Path) -> Path | None:
    """Roles of one host share its tokens; between hosts, certificates say who is who unless a token is given."""
    if given is not None:
        return base / given
    return own if server.is_here else None


def _given(level: Level) -> dict[str, object]:
    return level.parameters.model_dump(exclude_unset=True)


def _level(
    document: Document, path: tuple[Key, ...], section: LevelSection, whose: str, who: str = _MEDIA_SERVER
) -> Level:
    given = section.parameters.model_fields_set
    origins = {name: _place(document, (*path, "parameters", name)) for name in given}
    origins |= {name: _place(document, (*path, "properties", name)) for name in section.properties}
    return Level(parameters=section.parameters, properties=section.properties, origins=_named(whose, origins, who))


def _named(whose: str, origins: dict[str, str], who: str = _MEDIA_SERVER) -> dict[str, str]:
    return {name: f"{who}, {whose}{place}" for name, place in origins.items()}


def _place(document: Document, path: Iterable[Key]) -> str:
    return f"{document.file}:{document.line_of(path)}"


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
