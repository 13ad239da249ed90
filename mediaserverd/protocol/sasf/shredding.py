"""The keybox of a file, taken out of it or put into it, in place. What is left without its keys nobody can read.

Nothing else in a file depends on the keybox: offsets, tags and signatures stay as they are.
"""

from __future__ import annotations

from typing import BinaryIO

from mediaserverd.protocol.sasf.keys import Keybox
from mediaserverd.protocol.sasf.opening import MAX_OPENING_BYTES, Opening, parse_opening


def strip_keybox(file: BinaryIO) -> Keybox:
    """Leaves an empty keybox of the same length, and gives what was in it. SasfError like ``parse_opening``."""
    opening = _opening(file)
    keybox = Keybox.parse(opening.keybox, opening.keybox_at)
    _write(file, opening, Keybox())
    return keybox


def put_keybox(file: BinaryIO, keybox: Keybox) -> None:
    """ValueError if the file has no room for so many keys."""
    _write(file, _opening(file), keybox)


def _write(file: BinaryIO, opening: Opening, keybox: Keybox) -> None:
    encoded = keybox.encode(len(opening.keybox))
    file.seek(opening.keybox_at)
    file.write(encoded)


def _opening(file: BinaryIO) -> Opening:
    file.seek(0)
    return parse_opening(file.read(MAX_OPENING_BYTES))
