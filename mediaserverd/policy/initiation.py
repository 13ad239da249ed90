"""Initiation policies: is this call recorded, and how? An ordered list; the first that fits decides, unless its
``then`` says ``stop: false``: then a later one that fits may decide otherwise. Tags add up. A policy that neither
records nor abandons decides nothing and does not stop.

::

    policies:
      - name: never the works council
        when: {station: [council]}
        then: {abandon: true}
      - name: all of sales, required
        when: {workgroup: sales, direction: [inbound, outbound]}
        then: {record: true, compression: opus, required: true, tags: [sales]}
    examples:
      - call: {direction: inbound, calling: "+4930123456", workgroup: sales}
        expect: record
        by: all of sales, required
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from mediaserverd.policy.criteria import Criteria, read_criteria
from mediaserverd.policy.document import Fault, Node, Path
from mediaserverd.policy.examples import read_call
from mediaserverd.policy.facts import CallFacts
from mediaserverd.policy.form import NO_WISH, FormWish, RecordingForm, read_form

_ACTION_KEYS: Final = ("record", "abandon", "format", "encrypt", "compression", "required", "tags", "stop")


class Decision(Enum):
    RECORD = "record"
    ABANDON = "abandon"
    NONE = "nothing"


@dataclass(frozen=True, slots=True)
class InitiationPolicy:
    name: str
    when: Criteria
    decision: Decision
    wish: FormWish = NO_WISH
    required: bool = False
    tags: tuple[str, ...] = ()
    stop: bool = True


@dataclass(frozen=True, slots=True)
class InitiationVerdict:
    """``policy`` is the one that decided; empty if none did, and then there is no recording. ``passed`` are those that
    did not fit, each with the reason."""

    record: bool = False
    policy: str = ""
    wish: FormWish = field(default=NO_WISH, repr=False)
    required: bool = False
    tags: tuple[str, ...] = ()
    passed: tuple[tuple[str, str], ...] = ()

    @property
    def form(self) -> RecordingForm:
        return self.wish.form

    @property
    def outcome(self) -> str:
        decision = Decision.RECORD if self.record else Decision.ABANDON if self.policy else Decision.NONE
        return decision.value


@dataclass(frozen=True, slots=True)
class Example:
    where: str
    keys: Path
    call: CallFacts
    expect: str
    by: str


@dataclass(frozen=True, slots=True)
class InitiationPolicies:
    policies: tuple[InitiationPolicy, ...] = ()
    examples: tuple[Example, ...] = ()

    def verdict(self, facts: CallFacts) -> InitiationVerdict:
        found = InitiationVerdict()
        for policy in self.policies:
            unmet = policy.when.unmet(facts)
            if unmet:
                found = replace(found, passed=(*found.passed, (policy.name, unmet)))
                continue
            found = _decided(found, policy)
            if policy.stop:
                break
        return found

    def example_faults(self) -> list[Fault]:
        """What the examples expect and the policies do not do."""
        return [fault for example in self.examples for fault in self._example_faults(example)]

    def _example_faults(self, example: Example) -> Iterator[Fault]:
        found = self.verdict(example.call)
        if found.outcome != example.expect or (example.by and example.by != found.policy):
            expected = example.expect + (f" by {example.by!r}" if example.by else "")
            by = f" by {found.policy!r}" if found.policy else ""
            yield Fault(example.where, example.keys, f"expected {expected}, got {found.outcome}{by}")


def from_document(document: object, where: str) -> InitiationPolicies:
    """Raises ``PolicyError`` with every fault. An empty document records nothing."""
    root = Node({} if document is None else document, where).mapping("policies", "examples")
    policies = tuple(_policy(entry) for entry in root["policies"].entries())
    names = [policy.name for policy in policies]
    for entry, name in zip(root["policies"].entries(), names, strict=False):
        if name and names.count(name) > 1:
            entry["name"].fault(f"{name!r} is given more than once")
    examples = tuple(_example(entry, names) for entry in root["examples"].entries())
    root.raise_faults()
    return InitiationPolicies(policies, examples)


def _decided(found: InitiationVerdict, policy: InitiationPolicy) -> InitiationVerdict:
    tagged = replace(found, tags=(*found.tags, *(tag for tag in policy.tags if tag not in found.tags)))
    match policy.decision:
        case Decision.NONE:
            return tagged
        case Decision.ABANDON:
            return replace(tagged, record=False, policy=policy.name, wish=NO_WISH, required=False)
        case Decision.RECORD:
            wish = policy.wish.over(tagged.wish)
            return replace(tagged, record=True, policy=policy.name, wish=wish, required=policy.required)


def _policy(node: Node) -> InitiationPolicy:
    node.mapping("name", "when", "then")
    then = node["then"].mapping(*_ACTION_KEYS)
    record, abandon = then["record"].flag(), then["abandon"].flag()
    if record and abandon:
        then.fault("records and abandons at once")
    decision = Decision.ABANDON if abandon else Decision.RECORD if record else Decision.NONE
    return InitiationPolicy(
        name=node["name"].required_text(),
        when=read_criteria(node["when"]),
        decision=decision,
        wish=read_form(then),
        required=then["required"].flag(),
        tags=then["tags"].texts(),
        stop=then["stop"].flag(default=decision is not Decision.NONE),
    )


def _example(node: Node, names: list[str]) -> Example:
    node.mapping("call", "expect", "by")
    expect = node["expect"].one_of(("record", "abandon", "nothing"), "record")
    by = node["by"].text()
    if by and by not in names:
        node["by"].fault(f"there is no policy {by!r}")
    return Example(node.where, node.keys, read_call(node["call"]), expect, by)
