"""A destroyed recording cannot be read by anyone: not from the store, not from a copy, not with all private keys."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from mediaserverd.protocol.sasf.faults import WrongKey
from mediaserverd.protocol.sasf.keys import PrivateKey
from mediaserverd.protocol.sasf.reader import SasfReader
from mediaserverd.recorder.catalogue.custody import lost_with
from mediaserverd.recorder.catalogue.database import ask
from mediaserverd.recorder.shredding import destroy_recording
from mediaserverd.recorder.vault import Vault
from tests.recorder.media_server import File, whole_call
from tests.recorder.sasf_files import Pen, stored
from tests.recorder.site import Site


def wrapped_keys(file: File) -> list[bytes]:
    """In both forms in which they can lie about."""
    raw = [each.wrapped for each in SasfReader(file.content).keybox.keys]
    assert raw
    return raw + [base64.b64encode(each) for each in raw]


def private_keys(site: Site) -> list[PrivateKey]:
    vault = Vault.open(site.settings.keys_directory, None)
    keys = [vault.private_key(key.key_id) for key in vault.listed()]
    return [key for key in keys if key is not None]


def places(directory: Path, needle: bytes) -> list[str]:
    files = [path for path in directory.rglob("*") if path.is_file()]
    return [str(path.relative_to(directory)) for path in files if needle in path.read_bytes()]


@pytest.mark.parametrize("by", ["command line", "deletion"])
async def test_after_its_keys_are_destroyed_no_copy_of_a_recording_can_be_read_by_anyone(pen: Pen, by: str) -> None:
    site = pen.site
    file = pen.add()
    recording_id = await stored(pen, file)
    (path,) = site.stored_files()
    copy = path.read_bytes()  # a backup of the store, made in time
    keys = private_keys(site)
    assert SasfReader(file.content, keys).contents().packets, "before, these keys open what was recorded"
    assert any(places(site.directory, needle) for needle in wrapped_keys(file)), "the catalogue has them"
    if by == "command line":
        assert destroy_recording(site.settings.database_url, recording_id, "test") == 1
        answer = await site.api.get(f"/api/v1/recordings/{recording_id}/audio")
        assert answer.status_code == 410
        assert "keys of this recording were destroyed" in answer.json()["detail"]
    else:
        assert (await site.api.delete(f"/api/v1/recordings/{recording_id}")).status_code == 204
    for needle in wrapped_keys(file):
        assert places(site.directory, needle) == [], "nowhere below the data directory, the database's log included"
    for content in (copy, *(path.read_bytes() for path in site.stored_files())):
        with pytest.raises(WrongKey):
            SasfReader(content, keys).contents()


async def test_what_was_destroyed_is_remembered_with_who_did_it(pen: Pen) -> None:
    recording_id = await stored(pen, pen.add())
    destroy_recording(pen.site.settings.database_url, recording_id, "somebody")
    detail = await pen.site.detail(recording_id)
    assert detail["segments"][0]["keys_destroyed_at"]
    (event,) = [event for event in detail["events"] if event["kind"] == "keys-destroyed"]
    assert event["actor"] == "somebody"
    with pytest.raises(ValueError, match="has no keys here"):
        destroy_recording(pen.site.settings.database_url, recording_id, "again")


async def test_keys_are_not_destroyed_while_a_media_server_still_has_them(pen: Pen) -> None:
    site = pen.site
    await site.media.stop()
    with pytest.raises(ValueError, match="there is no recording"):
        destroy_recording(site.settings.database_url, "0" * 32, "test")
    await site.media.start()
    file = pen.add()
    recording_id = file.report["recording_id"]
    site.media.misdeed.keeps_files = True
    await site.ledger(whole_call(1, recording_id, file=file.report["file"]))
    await site.until(recording_id, lambda detail: detail["state"] == "stored")
    with pytest.raises(ValueError, match="is not deleted on the media server media yet"):
        destroy_recording(site.settings.database_url, recording_id, "test")
    site.media.misdeed.keeps_files = False
    await site.until_gone_from_source(recording_id)
    assert destroy_recording(site.settings.database_url, recording_id, "test") == 1


async def test_destroying_a_private_key_is_told_what_it_costs_first(pen: Pen) -> None:
    await stored(pen, pen.add())
    vault = Vault.open(pen.site.settings.keys_directory, None)
    (key,) = [key.key_id for key in vault.listed()]
    url = pen.site.settings.database_url
    assert (ask(url, lost_with, key, ()), ask(url, lost_with, "0" * 16, ())) == (1, 0)
