"""Destroying the keys of recordings from the command line, beside a running recorder. What is destroyed stays so.

Not responsible for private keys (``vault``), nor for the deletion of a recording by the API (``catalogue.recordings``).
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection, Engine, select

from mediaserverd.recorder.catalogue import custody
from mediaserverd.recorder.catalogue.database import leave_no_trace, open_engine
from mediaserverd.recorder.catalogue.tables import segments

_ATTEMPTS: Final = 50  # readers of the catalogue are done within milliseconds
_PAUSE_S: Final = 0.1


def destroy_recording(database_url: str, recording_id: str, who: str) -> int:
    """Destroys the keys of the encrypted files of a recording; returns how many there were. Raises ValueError."""
    engine = open_engine(database_url)
    try:
        with engine.connect().execution_options(writes=True) as connection, connection.begin():
            _check(connection, recording_id)
            destroyed = custody.destroy_keys(connection, recording_id, who, datetime.now(UTC))
            if not destroyed:
                raise ValueError(f"{recording_id} has no keys here: it is in clear, or they were destroyed before")
        _clear(engine)
    finally:
        engine.dispose()
    return destroyed


def _check(connection: Connection, recording_id: str) -> None:
    """A media server that still has its file has the keys too, and would hand them over again."""
    rows = connection.execute(select(segments).where(segments.c.recording_id == recording_id)).all()
    if not rows:
        raise ValueError(f"there is no recording {recording_id}; `mediaserverd recording list` shows those there are")
    left = [row for row in rows if row.encrypted and row.deleted_at_source is None]
    if left:
        raise ValueError(
            f"segment {left[0].number} is not deleted on the media server {left[0].media_server} yet, with keys in it; "
            "try again when it is"
        )


def _clear(engine: Engine) -> None:
    for _ in range(_ATTEMPTS):
        if leave_no_trace(engine):
            return
        time.sleep(_PAUSE_S)
    raise ValueError("the keys are destroyed, but the catalogue is so busy that its log still has them: do it again")
