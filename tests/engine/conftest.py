from __future__ import annotations

from collections.abc import Iterator

import pytest

from mediaserverd.media.engine import Engine
from tests.engine.call import Call


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine() as engine:
        yield engine


@pytest.fixture
def call(engine: Engine) -> Iterator[Call]:
    with Call(engine) as call:
        yield call
