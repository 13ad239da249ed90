"""What files of one recording prove, in one sentence: of each segment, of what joins them, and of what is not there.

Not responsible for reading the files (``recording_sets``), nor for what a single one proves (``protocol.sasf.verify``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from mediaserverd.protocol.sasf.archive import Archive
from mediaserverd.protocol.sasf.verify import Verdict, signer_id, verify
from mediaserverd.recording_sets import Recording


@dataclass(frozen=True, slots=True)
class Proof:
    """``findings``: what the sentence leaves out."""

    ok: bool
    sentence: str
    findings: tuple[str, ...]


def prove_recording(recording: Recording, trusted: Collection[bytes] | None) -> Proof:
    """``trusted``: raw Ed25519 public keys; None: whoever signed it. A chain proves no more than its weakest link."""
    verdicts = [verify(segment.reader, trusted) for segment in recording.segments]
    if recording.is_one_file:
        return Proof(verdicts[0].ok, verdicts[0].sentence, tuple(map(str, verdicts[0].findings[1:])))
    numbered = list(zip((segment.number for segment in recording.segments), verdicts, strict=True))
    faults = _faults(recording, trusted)
    told = [f"segment {number} {verdict.sentence}" for number, verdict in numbered]
    told += [*faults, *(_as_archived(recording.archive, trusted) if recording.archive else _as_guessed(recording))]
    return Proof(not faults and all(each.ok for each in verdicts), "; ".join(told), tuple(_more(numbered)))


def _more(numbered: list[tuple[int, Verdict]]) -> Iterator[str]:
    for number, verdict in numbered:
        yield from (f"segment {number}: {finding}" for finding in verdict.findings[1:])


def _faults(recording: Recording, trusted: Collection[bytes] | None) -> list[str]:
    """Why what joins the segments is not what it should be."""
    archive = recording.archive
    faults = []
    if len({segment.reader.header.recording_id for segment in recording.segments}) > 1:
        faults.append("these are not segments of one recording")
    if archive is None:
        return faults
    if archive.fault:
        faults.append(f"the archive was changed: {archive.fault}")
    elif trusted is not None and archive.signer not in trusted:
        faults.append(f"the archive was put together by an unknown key, {signer_id(archive.signer)}")
    ids = {segment.name: segment.reader.header.file_id.hex() for segment in recording.segments}
    for each in archive.manifest.segments:
        if each.file not in ids:
            faults.append(f"segment {each.number} was taken out of the archive")
        elif each.file_id != ids[each.file]:
            faults.append(f"segment {each.number} is another file than the one that was archived")
    return faults


def _as_archived(archive: Archive, trusted: Collection[bytes] | None) -> Iterator[str]:
    manifest = archive.manifest
    lost = [f"segment {each.number} was not there when it was archived ({each.reason})" for each in manifest.missing]
    gaps = map(str, manifest.gaps)
    yield "; ".join([*lost, *gaps]) or "nothing is missing between them"
    if not archive.fault:
        vouched = "trusted" if trusted is not None and archive.signer in trusted else "which nobody vouched for"
        yield f"so says {manifest.writer} (key {signer_id(archive.signer)}, {vouched}), and that there are no more"


def _as_guessed(recording: Recording) -> Iterator[str]:
    numbers = [segment.number for segment in recording.segments]
    absent = [number for number in range(1, numbers[-1]) if number not in numbers]
    yield from (f"segment {number} is not among these files" for number in absent)
    yield from (f"{gap}, by the clocks of those who wrote them" for gap in recording.gaps)
    yield f"whether more came behind segment {numbers[-1]} nothing here says"
