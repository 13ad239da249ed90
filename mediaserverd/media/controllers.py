"""The controllers that use this server: who they are, and on which terms.

A controller says its name once connected; its calls are then its own, and no other controller sees or ends them. Who
says none (a local proxy) shares the calls of all such. Not responsible for sessions, nor for the connections.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import structlog
from pydantic import ValidationError

from mediaserverd.media.parameters import Level
from mediaserverd.media.sessions import Owner
from mediaserverd.media.terms import Terms, terms_of
from mediaserverd.process.role import StartFault
from mediaserverd.protocol.ng import Request

MAX_CONTROLLERS: Final = 256
MAX_NAME_CHARACTERS: Final = 64

log = structlog.get_logger()


class IntroductionRefused(Exception):
    """Why a controller cannot have the terms that it wants, in words for its administrator."""


class Controllers:
    """``sessions_of`` counts the sessions of a controller."""

    def __init__(self, own: Level, per_controller: Mapping[str, Level], sessions_of: Callable[[str], int]) -> None:
        self._sessions_of = sessions_of
        self._wishes: dict[str, Level] = {}  # what each controller says of this server
        self._holders: dict[str, Owner] = {}  # who introduced itself last under a name
        self._instances: dict[str, str] = {}
        self.use(own, per_controller)

    def use(self, own: Level, per_controller: Mapping[str, Level]) -> None:
        """What this server's file says, from now on. Raises StartFault; then nothing has changed."""
        names = {"", *per_controller, *self._wishes}
        try:
            terms = {name: terms_of(name, _levels(name, own, per_controller, self._wishes)) for name in names}
        except ValueError as fault:
            raise StartFault(str(fault)) from fault
        self._own, self._per_controller, self._terms = own, per_controller, terms

    def terms(self, controller: str) -> Terms:
        return self._terms.get(controller) or self._terms[""]

    def introduced(self) -> list[str]:
        """Who said its name, since this server started."""
        return sorted(self._wishes)

    def introduce(self, request: Request, owner: Owner) -> Terms:
        """``configure``: a controller says its name and what it wants. Raises IntroductionRefused."""
        name, instance = request.text("controller") or "", request.text("instance") or ""
        if not name or not instance or len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
            raise IntroductionRefused("a controller needs a name and an instance")
        self._check_name_is_free(name, instance)
        wish = _wish(request)
        try:
            terms = terms_of(name, _levels(name, self._own, self._per_controller, {name: wish}))
        except ValueError as fault:
            raise IntroductionRefused(str(fault)) from fault
        self._wishes[name], self._terms[name] = wish, terms
        self._holders[name], self._instances[name] = owner, instance
        owner.name = name
        log.info("controller_introduced", controller=name, parameters=wish.parameters.model_dump(exclude_unset=True))
        return terms

    def _check_name_is_free(self, name: str, instance: str) -> None:
        """Two of one name would end each other's calls as orphans."""
        holder = self._holders.get(name)
        in_use = (holder is not None and holder.connected) or self._sessions_of(name)
        if in_use and self._instances.get(name, instance) != instance:
            raise IntroductionRefused(
                f"another controller is called {name}; give one of them another name (controller: name:)"
            )
        if name not in self._wishes and len(self._wishes) >= MAX_CONTROLLERS:
            raise IntroductionRefused(f"this server has seen {MAX_CONTROLLERS} controllers already; restart it")


def _wish(request: Request) -> Level:
    keys = ("parameters", "properties", "origins")
    try:
        return Level.model_validate({key: request.fields[key] for key in keys if key in request.fields})
    except ValidationError as error:
        detail = error.errors()[0]
        place = ".".join(str(key) for key in detail["loc"])
        raise IntroductionRefused(f"{place}: {str(detail['msg']).removeprefix('Value error, ')}") from error


def _levels(
    name: str, own: Level, per_controller: Mapping[str, Level], wishes: Mapping[str, Level]
) -> tuple[Level, ...]:
    """From the lowest to the highest."""
    return own, per_controller.get(name, Level()), wishes.get(name, Level())
