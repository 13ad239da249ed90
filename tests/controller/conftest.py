from __future__ import annotations

from pathlib import Path

import pytest
import uvloop

from tests.controller.site import Site, make_site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path)


@pytest.fixture(scope="session")
def event_loop_policy() -> uvloop.EventLoopPolicy:
    """The daemon's own loop: its sockets differ from asyncio's in what they raise and when."""
    return uvloop.EventLoopPolicy()
