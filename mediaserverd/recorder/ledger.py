"""The ledger's door: POST /internal/ledger (docs/wire.md section 3). What entries do to the catalogue is not said here.

The answer is given when the entries are on disk: the controller forgets them then. An entry that cannot be understood
is answered as rejected and never asked for again; refusing the whole batch would stop the ledger for good behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import structlog
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from starlette.requests import Request

from mediaserverd.process.http_body import TooLong, json_body
from mediaserverd.recorder import metrics
from mediaserverd.recorder.api.problems import Problem
from mediaserverd.recorder.catalogue.database import Database
from mediaserverd.recorder.catalogue.ledger import Entry, Party, apply_entries
from mediaserverd.recorder.report import RECORDING_ID, SEGMENTS_LIMIT, Text

log = structlog.get_logger()

BODY_LIMIT_BYTES = 4 << 20
ENTRIES_LIMIT = 2000  # in one request: one transaction, well below a second

NamedText = Annotated[Text, Field(max_length=1000)]
Cut64 = Annotated[str, BeforeValidator(lambda value: value[:64].replace("\0", "") if isinstance(value, str) else "")]


class _PartyModel(BaseModel):
    model_config = ConfigDict(frozen=True)
    number: NamedText = ""
    name: NamedText = ""
    station: NamedText = ""
    line: NamedText = ""


class _EntryModel(BaseModel):
    """Keys that are not known are ignored: a newer controller may say more."""

    model_config = ConfigDict(frozen=True)
    sequence: int = Field(ge=1, lt=1 << 62)
    at: AwareDatetime
    event: Literal["expected", "started", "failed", "ended"]
    recording_id: str = Field(pattern=RECORDING_ID)
    segment: int = Field(1, ge=1, le=SEGMENTS_LIMIT)
    call_id: NamedText = ""
    kind: Text = Field("policy", max_length=32)
    policy: NamedText = ""
    direction: Text = Field("", max_length=16)
    calling: _PartyModel | None = None
    called: _PartyModel | None = None
    media_server: NamedText = ""
    encoding: Text = Field("", max_length=32)
    initiation: NamedText = ""
    file: Text = Field("", pattern=r"^([0-9A-Za-z][0-9A-Za-z._-]{0,199})?$")
    uri: NamedText = ""
    reason: Cut64 = ""
    duration_ms: int | None = Field(None, ge=0, lt=1 << 62)

    def entry(self) -> Entry:
        values = {name: getattr(self, name) for name in type(self).model_fields if name not in ("calling", "called")}
        return Entry(**values, calling=_party(self.calling), called=_party(self.called))


def _party(model: _PartyModel | None) -> Party:
    return Party() if model is None else Party(**model.model_dump())


class _Batch(BaseModel):
    model_config = ConfigDict(frozen=True)
    controller: str = Field(min_length=1, max_length=200)
    entries: list[dict[str, Any]] = Field(max_length=ENTRIES_LIMIT)


class LedgerDoor:
    def __init__(self, database: Database, on_entries: Callable[[], None]) -> None:
        self._database = database
        self._on_entries = on_entries

    async def take(self, request: Request) -> dict[str, Any]:
        """The answer to a batch. Authorisation has been checked. Raises Problem when it is no batch at all."""
        batch = await _batch(request)
        entries, rejected = _read(batch)
        fresh = await self._database.write(apply_entries, batch.controller, entries, datetime.now(UTC))
        metrics.LEDGER_ENTRIES.labels("applied").inc(len(fresh))
        metrics.LEDGER_ENTRIES.labels("repeated").inc(len(entries) - len(fresh))
        metrics.LEDGER_ENTRIES.labels("rejected").inc(len(rejected))
        if fresh:
            self._on_entries()
        answer: dict[str, Any] = {"accepted": len(entries)}
        return {**answer, "rejected": rejected} if rejected else answer


async def _batch(request: Request) -> _Batch:
    try:
        return _Batch.model_validate(await json_body(request, BODY_LIMIT_BYTES))
    except TooLong as fault:
        raise Problem(413, f"{fault}; send fewer entries at a time") from fault
    except ValueError as fault:
        told = _faults(fault) if isinstance(fault, ValidationError) else str(fault)
        raise Problem(
            400,
            f'the body must be {{"controller": NAME, "entries": [...]}} with at most {ENTRIES_LIMIT} entries: {told}',
        ) from fault


def _read(batch: _Batch) -> tuple[list[Entry], list[dict[str, Any]]]:
    entries: list[Entry] = []
    rejected: list[dict[str, Any]] = []
    for values in batch.entries:
        try:
            entries.append(_EntryModel.model_validate(values).entry())
        except ValidationError as fault:
            sequence = values.get("sequence")
            log.error("ledger_entry_rejected", controller=batch.controller, sequence=sequence, faults=_faults(fault))
            rejected.append({"sequence": sequence, "why": _faults(fault)})
    return entries, rejected


def _faults(fault: ValidationError) -> str:
    errors = fault.errors(include_url=False, include_context=False, include_input=False)[:5]
    return "; ".join(f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in errors)
