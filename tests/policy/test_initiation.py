"""Initiation policies: the first that fits decides, and every fault is found at once."""

from __future__ import annotations

from typing import Any

import pytest

from mediaserverd.policy.document import Node, PolicyError
from mediaserverd.policy.examples import read_call
from mediaserverd.policy.facts import CallFacts
from mediaserverd.policy.form import RecordingForm
from mediaserverd.policy.initiation import InitiationVerdict, from_document


def call(**facts: Any) -> CallFacts:
    return read_call(Node(facts, ""))


DOCUMENT = {
    "policies": [
        {"name": "council", "when": {"station": "council"}, "then": {"abandon": True}},
        {"name": "night", "when": {"time": "20:00-06:00"}, "then": {"tags": ["night"]}},
        {
            "name": "sales",
            "when": {"workgroup": "sales"},
            "then": {"record": True, "compression": "pcma", "tags": ["sales"], "stop": False},
        },
        {"name": "big", "when": {"number": "+1*"}, "then": {"record": True, "required": True}},
    ],
    "examples": [
        {"call": {"calling": {"number": "1", "station": "council"}, "workgroup": "sales"}, "expect": "abandon"},
        {"call": {"called": "+1555", "time": "2024-01-01T21:00"}, "expect": "record", "by": "big"},
        {"expect": "nothing"},
    ],
}


def test_the_first_policy_that_fits_decides_and_is_named() -> None:
    found = from_document(DOCUMENT, "x.yaml").verdict(call(calling={"station": "council"}, workgroup="sales"))
    assert found == InitiationVerdict(policy="council")
    assert found.outcome == "abandon"


def test_a_call_that_no_policy_fits_is_not_recorded_and_the_reasons_are_kept() -> None:
    found = from_document(DOCUMENT, "x.yaml").verdict(call(called="100"))
    assert (found.record, found.policy, found.outcome) == (False, "", "nothing")
    assert found.passed == (
        ("council", "station is none"),
        ("night", "time is Mon 12:00"),
        ("sales", "workgroup is none"),
        ("big", "numbers are unknown and 100"),
    )


def test_a_policy_that_does_not_stop_leaves_its_form_and_tags_to_later_ones() -> None:
    found = from_document(DOCUMENT, "x.yaml").verdict(call(called="+1555", workgroup="sales", time="2024-01-01T21:00"))
    assert (found.policy, found.required, found.tags) == ("big", True, ("night", "sales"))
    assert found.form == RecordingForm(encoding="audio/PCMA")


def test_an_empty_document_records_nothing() -> None:
    assert from_document(None, "").verdict(call()) == InitiationVerdict()


def test_examples_that_hold_give_no_fault_and_others_say_what_came_instead() -> None:
    assert from_document(DOCUMENT, "x.yaml").example_faults() == []
    wrong = {**DOCUMENT, "examples": [{"call": {"called": "+1555"}, "expect": "record", "by": "sales"}]}
    faults = from_document(wrong, "x.yaml").example_faults()
    assert [str(fault) for fault in faults] == ["x.yaml: examples[0]: expected record by 'sales', got record by 'big'"]


def test_all_faults_are_told_at_once_each_with_its_path() -> None:
    document = {
        "policies": [
            {"name": "a", "when": {"direction": "up"}, "then": {"record": True, "abandon": True}},
            {"name": "a", "then": {"record": "yes", "compression": "mp3"}, "what": 1},
            {"when": {}, "then": {"tags": [7]}},
            {"name": "b"},
            "c",
        ],
        "examples": [{"expect": "maybe", "by": "nobody"}],
        "extra": 1,
    }
    with pytest.raises(PolicyError) as caught:
        from_document(document, "p.yaml")
    assert {fault.path for fault in caught.value.faults} == {
        "extra",
        "policies[0].then",
        "policies[0].when.direction",
        "policies[1].what",
        "policies[1].then.record",
        "policies[1].then.compression",
        "policies[0].name",
        "policies[1].name",
        "policies[2].name",
        "policies[2].then.tags[0]",
        "policies[3].then",
        "policies[4]",
        "policies[4].name",
        "policies[4].then",
        "examples[0].expect",
        "examples[0].by",
    }
