from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.recorder.site import Site, run_site


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    site = await run_site(tmp_path)
    yield site
    await site.stop()
    await site.media.stop()
