"""What a recording is kept as: file format, encryption, compression. Of several policies, each says what it cares for.

::

    then: {record: true, format: sasf, encrypt: true, compression: opus}
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from mediaserverd.policy.document import Node

# ``none``: what the media server's RecordingMimeTypeDefault says.
COMPRESSIONS: Final = {
    "none": "",
    "opus": "audio/opus",
    "gsm": "audio/GSM",
    "truespeech": "audio/x-truespeech",
    "pcmu": "audio/PCMU",
    "pcma": "audio/PCMA",
    "l16": "audio/L16",
}
_NOT_IN_WAV: Final = frozenset({"audio/opus"})


@dataclass(frozen=True, slots=True)
class RecordingForm:
    """``encoding`` is the media type that the recording is to have in the end; empty: the media server's setting."""

    format: Literal["sasf", "wav"] = "sasf"
    encrypt: bool = True
    encoding: str = ""


DEFAULT_FORM: Final = RecordingForm()


@dataclass(frozen=True, slots=True)
class FormWish:
    """What one policy says of it; None and the empty string: nothing."""

    format: str = ""
    encrypt: bool | None = None
    encoding: str | None = None

    def over(self, other: FormWish) -> FormWish:
        """This one, and the other's where this one says nothing."""
        return FormWish(
            self.format or other.format,
            other.encrypt if self.encrypt is None else self.encrypt,
            other.encoding if self.encoding is None else self.encoding,
        )

    @property
    def form(self) -> RecordingForm:
        """A WAV file cannot be encrypted and holds no Opus: where two policies wish for that, the format wins."""
        encoding = self.encoding or ""
        if self.format == "wav":
            return RecordingForm("wav", encrypt=False, encoding="" if encoding in _NOT_IN_WAV else encoding)
        return RecordingForm(encrypt=self.encrypt is not False, encoding=encoding)


NO_WISH: Final = FormWish()


def read_form(then: Node) -> FormWish:
    """From the actions of a policy."""
    format_ = then["format"].one_of(("", "sasf", "wav"), "")
    encrypt = None if then["encrypt"].absent else then["encrypt"].flag()
    named = then["compression"].one_of(tuple(COMPRESSIONS), "none")
    encoding = None if then["compression"].absent else COMPRESSIONS[named]
    if format_ == "wav" and encrypt:
        then["encrypt"].fault("a WAV file cannot be encrypted; leave encrypt out, or say format: sasf")
    if format_ == "wav" and encoding in _NOT_IN_WAV:
        then["compression"].fault(f"a WAV file cannot hold {named}")
    return FormWish(format_, encrypt, encoding)
