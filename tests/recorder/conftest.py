from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mediaserverd.recorder.sealed import Cost
from tests.recorder.sasf_files import Pen
from tests.recorder.site import Site, run_site


@pytest.fixture(autouse=True)
def cheap_vault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guessing the vault's password takes 0.1 s, for each key of each site; not here."""
    monkeypatch.setattr("mediaserverd.recorder.sealed.DEFAULT_COST", Cost(time=1, memory_kib=8, lanes=1))


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    site = await run_site(tmp_path)
    yield site
    await site.stop()
    await site.media.stop()


@pytest.fixture
async def pen(site: Site) -> Pen:
    return Pen(site)
