"""What policies say of the file that a recording becomes."""

from __future__ import annotations

import pytest

from mediaserverd.policy.document import Node, PolicyError
from mediaserverd.policy.examples import read_call
from mediaserverd.policy.form import RecordingForm
from mediaserverd.policy.initiation import from_document

CALL = read_call(Node(None, ""))


def form(*actions: dict[str, object]) -> RecordingForm:
    """Of a call that all of these policies fit, none of which stops."""
    policies = [
        {"name": str(number), "then": {"record": True, "stop": False, **each}} for number, each in enumerate(actions)
    ]
    return from_document({"policies": policies}, "p.yaml").verdict(CALL).form


def test_a_recording_is_encrypted_sasf_unless_a_policy_says_otherwise() -> None:
    assert form({}) == RecordingForm("sasf", encrypt=True, encoding="")


@pytest.mark.parametrize(
    ("compression", "encoding"),
    [("opus", "audio/opus"), ("gsm", "audio/GSM"), ("truespeech", "audio/x-truespeech"), ("none", "")],
)
def test_a_compression_is_a_media_type_on_the_wire(compression: str, encoding: str) -> None:
    assert form({"compression": compression, "encrypt": False}) == RecordingForm("sasf", False, encoding)


def test_a_later_policy_changes_what_it_names_and_keeps_the_rest() -> None:
    assert form({"compression": "gsm", "encrypt": False}, {"encrypt": True}) == RecordingForm("sasf", True, "audio/GSM")


def test_of_wishes_that_a_wav_file_cannot_meet_the_format_wins() -> None:
    assert form({"compression": "opus", "encrypt": True}, {"format": "wav"}) == RecordingForm("wav", False, "")


def test_a_policy_that_contradicts_itself_is_refused_where_it_stands() -> None:
    with pytest.raises(PolicyError) as caught:
        form({"format": "wav", "encrypt": True}, {"format": "wav", "compression": "opus"}, {"format": "mp3"})
    assert [fault.path for fault in caught.value.faults] == [
        "policies[0].then.encrypt",
        "policies[1].then.compression",
        "policies[2].then.format",
    ]
