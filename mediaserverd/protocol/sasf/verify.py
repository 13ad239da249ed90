"""Whether a file is what its writer left, and who that was: docs/sasf.md section 6.

Responsible for the signatures, and for one sentence that says what they prove, and no more than that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

from mediaserverd.protocol.sasf.chunks import Before, Chunk, Kind, signature_holds
from mediaserverd.protocol.sasf.faults import Finding, SasfError
from mediaserverd.protocol.sasf.opening import PROLOGUE
from mediaserverd.protocol.sasf.reader import SasfReader, State


@dataclass(frozen=True, slots=True)
class Verdict:
    """``trusted``: the signer is among those that were given. ``decrypted``: its records were read, every tag held.

    ``ok``: closed or recovered, nothing found, and signed by someone trusted (by anyone, if nobody was named).
    """

    state: State
    signer: bytes
    trusted: bool
    decrypted: bool
    findings: tuple[Finding, ...]
    ok: bool
    sentence: str


def verify(reader: SasfReader, trusted_signers: Collection[bytes] | None = None) -> Verdict:
    """``trusted_signers``: raw Ed25519 public keys; None: whoever signed it."""
    scan = reader.scan
    signer = reader.header.signer
    trusted = trusted_signers is not None and signer in trusted_signers
    findings = [*_opening_findings(reader, trusted or trusted_signers is None), *scan.findings]
    findings += _signature_findings(reader, scan.chunks)
    if reader.readable:
        findings += reader.broken_records()
    if scan.seal is None:
        findings.append(Finding(scan.end, None, None, "not closed: what came after this, if anything, is unknown"))
    state: State = scan.seal.state if scan.seal is not None else "truncated" if scan.torn else "open"
    found = tuple(sorted(findings, key=lambda finding: finding.offset))
    ok = not found and state in ("closed", "recovered")
    decrypted = reader.readable and not scan.findings
    sentence = _sentence(reader, state, decrypted, trusted, found)
    return Verdict(state, signer, trusted, decrypted, found, ok, sentence)


def _opening_findings(reader: SasfReader, trusted: bool) -> list[Finding]:
    opening = reader.opening
    findings: list[Finding] = []
    if not opening.signature_holds:
        findings.append(Finding(PROLOGUE.size, None, None, "header tampered with: its signature does not hold"))
    if not trusted:
        findings.append(
            Finding(PROLOGUE.size, None, None, f"signed by an unknown key, {signer_id(reader.header.signer)}")
        )
    try:
        _ = reader.keybox
    except SasfError as fault:
        findings.append(Finding(opening.keybox_at, None, None, fault.what))
    return findings


def _signature_findings(reader: SasfReader, chunks: list[Chunk]) -> list[Finding]:
    """The first CHECKPOINT or SEAL that does not hold: all behind it sign the same changed bytes."""
    opening = reader.opening
    before, at = Before(opening), opening.size
    held_to = opening.size
    for chunk in chunks:
        before.take_stray(reader.view[at : chunk.offset])
        if chunk.kind in (Kind.CHECKPOINT, Kind.SEAL):
            if not signature_holds(reader.header.signer, opening.digest, reader.view, chunk, before.digest()):
                name = "seal" if chunk.kind == Kind.SEAL else "checkpoint"
                what = f"the {name} does not hold: bytes from {held_to} on were changed, taken out or put in, or it was"
                return [Finding(chunk.offset, chunk.number, chunk.time_ms, what)]
            held_to = chunk.end
        before.take_held(reader.view, chunk)
        at = chunk.end
    return _unsigned(reader, held_to, chunks)


def _unsigned(reader: SasfReader, held_to: int, chunks: list[Chunk]) -> list[Finding]:
    """In clear, nothing but a signature tells who wrote: what stands behind the last one is nobody's."""
    last = next((chunk for chunk in reversed(chunks) if chunk.kind == Kind.RECORDS), None)
    if reader.header.encrypted or last is None or last.offset < held_to:
        return []
    first = next(chunk for chunk in chunks if chunk.kind == Kind.RECORDS and chunk.offset >= held_to)
    return [Finding(first.offset, first.number, first.time_ms, "not signed from here on: no checkpoint follows")]


def _sentence(reader: SasfReader, state: State, decrypted: bool, trusted: bool, findings: tuple[Finding, ...]) -> str:
    header = reader.header
    if findings:
        more = f", and {len(findings) - 1} more" if len(findings) > 1 else ""
        return f"does not prove what it should: {findings[0]}{more}"
    who = f"{header.writer} (key {signer_id(header.signer)}, {'trusted' if trusted else 'which nobody vouched for'})"
    how = "to its end" if state == "closed" else "up to where the writer died, and sealed it after its next start"
    records = "every record was read" if decrypted else "the audio was not looked at, as no key was given"
    return f"proves that {who} wrote this file {how} and that not a byte was changed since; {records}"


def signer_id(signer: bytes) -> str:
    """What people see of a signing key."""
    return hashlib.sha256(signer).hexdigest()[:16]
