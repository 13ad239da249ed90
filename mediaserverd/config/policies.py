"""Reads the policy files that the configuration names: initiation policies and selection rules, with their examples.

What they mean is for ``policy`` to judge; this module finds the file and the line of what it says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mediaserverd.config.document import ConfigError, Document, Fault, Key, read_document
from mediaserverd.config.schema import ConfigFile
from mediaserverd.policy import initiation, selection_document
from mediaserverd.policy.document import Fault as PolicyFault
from mediaserverd.policy.document import PolicyError
from mediaserverd.policy.selection_document import Known

_RECORD = {"all": {"name": "record-all", "then": {"record": True}}, "none": {"name": "record-none", "then": {}}}


@dataclass(frozen=True, slots=True)
class Policies:
    """Plain documents, verified, for the policy modules."""

    initiation: Any
    selection: Any
    examples: int  # how many calls the administrator gave as examples; all came out as expected


def read_policies(site: Document, entry: ConfigFile, known: Known) -> Policies:
    """``site`` is the configuration file, ``known`` the names that rules may use. Raises ConfigError with the faults of
    all files, examples that do not hold among them."""
    faults: list[Fault] = []
    documents: list[Any] = []
    examples = 0
    for read, verify in ((_initiation, _verified_initiation), (_selection, _verified_selection)):
        try:
            source = read(site, entry)
            examples += verify(source, known)
            documents.append(source.value)
        except ConfigError as error:
            faults += error.faults
    if faults:
        raise ConfigError(faults)
    return Policies(documents[0], documents[1], examples)


@dataclass(slots=True)
class _Source:
    """One policy document, and for each of its parts the file and the place it came from."""

    value: dict[str, Any]
    origins: dict[tuple[Key, ...], tuple[Document, tuple[Key, ...]]] = field(default_factory=dict)

    def fault(self, fault: PolicyFault) -> Fault:
        for length in range(len(fault.keys), -1, -1):
            origin = self.origins.get(fault.keys[:length])
            if origin is not None:
                document, keys = origin
                return document.fault((*keys, *fault.keys[length:]), fault.text)
        return Fault(Path(fault.where), 0, fault.path, fault.text)


def _checked(source: _Source, read: Callable[[], Any]) -> int:
    """The number of examples. Raises ConfigError with the faults where they stand."""
    try:
        policies = read()
        failed = policies.example_faults()
    except PolicyError as error:
        failed = list(error.faults)
    if failed:
        raise ConfigError(source.fault(fault) for fault in failed)
    return len(policies.examples)


def _verified_initiation(source: _Source, _: Known) -> int:
    return _checked(source, lambda: initiation.from_document(source.value, "initiation"))


def _verified_selection(source: _Source, known: Known) -> int:
    return _checked(source, lambda: selection_document.from_document(source.value, "selection", known))


def _initiation(site: Document, entry: ConfigFile) -> _Source:
    if entry.initiation_policies is None:
        return _Source({"policies": [_RECORD[entry.record]]})
    document = read_document(site.file.resolve().parent / entry.initiation_policies)
    return _Source(document.value, {(): (document, ())})


def _selection(site: Document, entry: ConfigFile) -> _Source:
    """All files of the directory make one set of rules; a rule may be given once. Which location has which rule stands
    in the configuration file."""
    locations = {name: {"rule": location.rule} for name, location in entry.locations.items()}
    source = _Source({"rules": {}, "locations": locations, "examples": []})
    source.origins[("locations",)] = (site, ("locations",))
    if entry.selection_rules is None:
        return source
    faults: list[Fault] = []
    for document in _rule_files(site.file.resolve().parent / entry.selection_rules):
        if not isinstance(document.value, dict):
            faults.append(Fault(document.file, 1, "", "must be a mapping with rules and examples"))
            continue
        faults += _merge(source, document)
    if faults:
        raise ConfigError(faults)
    return source


def _rule_files(where: Path) -> Iterable[Document]:
    files = sorted(where.glob("*.yaml")) if where.is_dir() else [where]
    if not files:
        raise ConfigError([Fault(where, 0, "", "this directory has no .yaml file")])
    return [read_document(file) for file in files]


def _merge(source: _Source, document: Document) -> Iterable[Fault]:
    for section, content in document.value.items():
        if section == "examples" and isinstance(content, list):
            for index, example in enumerate(content):
                source.origins[("examples", len(source.value["examples"]))] = (document, ("examples", index))
                source.value["examples"].append(example)
        elif section == "rules" and isinstance(content, dict):
            for name, rule in content.items():
                if name in source.value["rules"]:
                    yield document.fault(("rules", name), "given in another file already")
                source.origins[("rules", name)] = (document, ("rules", name))
                source.value["rules"][name] = rule
        else:
            yield document.fault((section,), "expected rules (mapping) or examples (list)")
