"""One daemon for all files here, and the peers that take their time while the other tests run."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.undisturbed import Site
from tests.e2e.wrong_input.slow_peers import SlowPeers


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """Its end is a test too: no unexpected error in the log of all that was done to it, nothing left behind."""
    async with Site.open(tmp_path_factory.mktemp("site")) as opened:
        yield opened


@pytest_asyncio.fixture(scope="package", loop_scope="package", autouse=True)
async def slow_peers(site: Site) -> AsyncIterator[SlowPeers]:
    """They begin with the first test, so that the last one need not wait for the daemon to lose patience."""
    async with SlowPeers(site) as peers:
        yield peers
