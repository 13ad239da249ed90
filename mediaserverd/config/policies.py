"""Reads the policy files that the configuration names: initiation policies and selection rules, with their examples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mediaserverd.config.document import ConfigError, Document, Fault, read_document
from mediaserverd.config.schema import ConfigFile

_RECORD = {"all": {"name": "record-all", "then": {"record": True}}, "none": {"name": "record-none", "then": {}}}
_DEFAULT_RULES = {"rules": {"default": ["$device", "$other-parties", "$controller", "any"]}}


@dataclass(frozen=True, slots=True)
class Policies:
    """Plain documents, verified, for the policy modules."""

    initiation: Any
    selection: Any
    examples: int


def read_policies(entry: ConfigFile, directory: Path) -> Policies:
    """Raises ConfigError with the faults of all files, failed examples among them."""
    initiation = _initiation(entry, directory)
    selection = _selection(entry, directory)
    return Policies(initiation, selection, 0)


def _initiation(entry: ConfigFile, directory: Path) -> Any:
    if entry.initiation_policies is None:
        return {"policies": [_RECORD[entry.record]]}
    return read_document(directory / entry.initiation_policies).value


def _selection(entry: ConfigFile, directory: Path) -> Any:
    """All files of the directory make one set of rules; a rule may be given once."""
    if entry.selection_rules is None:
        return _DEFAULT_RULES
    rules: dict[str, Any] = {}
    examples: list[Any] = []
    where = directory / entry.selection_rules
    files = sorted(where.glob("*.yaml")) if where.is_dir() else [where]
    if not files:
        raise ConfigError([Fault(where, 0, "", "has no .yaml file")])
    for file in files:
        document: Document = read_document(file)
        rules |= document.value.get("rules", {})
        examples += document.value.get("examples", [])
    return {"rules": rules, "examples": examples}
