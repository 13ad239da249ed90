"""The media servers that this controller may use: which of them is fit, and the ng commands to each (docs/wire.md 1).

Not responsible for choosing one (``policy.selection``) or for what is asked of it (``call``).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from mediaserverd.controller.approvals import Approvals
from mediaserverd.controller.media_link import LinkState, MediaFault, MediaLink, MediaServerEvents, Ourselves
from mediaserverd.controller.settings import ControllerSettings, MediaServerLink
from mediaserverd.controller.trace import Traces
from mediaserverd.process.tls import ServerTls
from mediaserverd.process.tokens import ensure_token


def ourselves(settings: ControllerSettings) -> Ourselves:
    """Who this controller is. Raises StartFault when its state cannot be written."""
    instance = ensure_token(settings.state_directory / "instance")
    certificate = ServerTls(settings.sip.certificate, settings.sip.private_key)
    return Ourselves(settings.name, instance, settings.certificate_authority, certificate)


class MediaServers:
    """One link per configured media server. ``traces``: what is said of calls is noted there."""

    def __init__(
        self,
        links: Sequence[MediaServerLink],
        ourselves: Ourselves,
        approvals: Approvals,
        events: MediaServerEvents,
        traces: Traces | None = None,
    ) -> None:
        self._ourselves = ourselves
        self._approvals = approvals
        self._events = events
        self._traces = traces or Traces(time.time)
        self._links = {link.name: self._link(link) for link in links}

    def _link(self, settings: MediaServerLink) -> MediaLink:
        return MediaLink(settings, self._ourselves, self._approvals, self._events)

    def start(self) -> None:
        for link in self._links.values():
            link.start()

    async def stop(self) -> None:
        await asyncio.gather(*(link.stop() for link in self._links.values()))

    async def reconfigure(self, links: Sequence[MediaServerLink], ourselves: Ourselves) -> None:
        """Those of the same address keep their connection; removed ones are let go, and their calls lose them."""
        self._ourselves = ourselves
        wanted = {link.name: link for link in links}
        for name, link in list(self._links.items()):
            if name not in wanted or _place(wanted[name]) != _place(link.settings):
                del self._links[name]
                await link.stop()
            elif wanted[name] != link.settings:
                link.reconfigure(wanted[name])
        for name, settings in wanted.items():
            if name not in self._links:
                self._links[name] = self._link(settings)
                self._links[name].start()

    def find(self, server: str) -> MediaLink | None:
        return self._links.get(server)

    def links(self) -> tuple[MediaLink, ...]:
        return tuple(self._links.values())

    def approve(self, link: MediaLink) -> None:
        """Of the certificate that it shows. Raises OSError."""
        self._approvals.approve(link.settings.name, link.fingerprint)
        link.look_again()

    def relays_only(self, server: str) -> bool:
        """It cannot record, though it may say ``ok`` to that, as an rtpengine does."""
        link = self._links.get(server)
        return link is not None and link.state().relays_only

    def states(self) -> tuple[LinkState, ...]:
        return tuple(link.state() for link in self._links.values())

    async def request(self, server: str, command: Mapping[str, Any]) -> dict[str, Any]:
        """The reply, whatever its ``result``. Raises ``MediaFault`` when there is none."""
        link = self._links.get(server)
        if link is None:
            raise MediaFault(f"media server {server} is not configured")
        self._traces.asked(server, command)
        began = time.monotonic()
        reply: Mapping[str, Any] = {"result": "given up"}
        try:
            reply = await link.request(command)
        except MediaFault as fault:
            reply = {"result": str(fault)}
            raise
        finally:
            self._traces.replied(server, command, reply, time.monotonic() - began)
        return dict(reply)


def _place(settings: MediaServerLink) -> tuple[object, ...]:
    """What another connection is needed for, or another place among the others."""
    return settings.url, settings.token_file, settings.location, settings.trusted
