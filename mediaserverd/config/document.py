"""YAML with places: a document whose every value knows its file and line, so that a fault can say where it is.

Responsible for reading, duplicate keys and the mapping from a path to a line; not for what the keys mean.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

Key = str | int
FILE_LIMIT_BYTES = 4 << 20  # a configuration of thousands of stations is under 1 MiB; more is a mistake
DEPTH_LIMIT = 50  # of values within values; conditions of policies nest, but not like that
NODE_LIMIT = 500_000  # aliases could expand a small file without end


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in a configuration file. ``line`` counts from 1; 0 when the whole file is meant."""

    file: Path
    line: int
    path: str
    text: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else str(self.file)
        return f"{place}: {self.path}: {self.text}" if self.path else f"{place}: {self.text}"


class ConfigError(Exception):
    """Everything that is wrong in the configuration, at once."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


def path_text(path: Iterable[Key]) -> str:
    """``("stations", 0, "name")`` -> ``stations[0].name``."""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file: plain values, and the line of every path."""

    file: Path
    value: Any
    lines: dict[tuple[Key, ...], int] = field(repr=False)

    def line_of(self, path: Iterable[Key]) -> int:
        """The line of a path, or of the nearest thing around it that is in the file."""
        keys = tuple(path)
        while keys and keys not in self.lines:
            keys = keys[:-1]
        return self.lines.get(keys, 0)

    def fault(self, path: Iterable[Key], text: str) -> Fault:
        keys = tuple(path)
        return Fault(self.file, self.line_of(keys), path_text(keys), text)


def read_document(file: Path) -> Document:
    """Raises ConfigError: unreadable file, bad YAML, duplicate keys."""
    try:
        with file.open("rb") as stream:
            data = stream.read(FILE_LIMIT_BYTES + 1)
    except OSError as error:
        raise ConfigError([Fault(file, 0, "", f"cannot read: {error.strerror}")]) from error
    if len(data) > FILE_LIMIT_BYTES:
        raise ConfigError([Fault(file, 0, "", f"larger than {FILE_LIMIT_BYTES >> 20} MiB")])
    try:
        root = yaml.compose(data, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise ConfigError([Fault(file, line, "", f"not YAML: {error.problem or error.context}")]) from error
    except RecursionError as error:
        raise ConfigError([Fault(file, 0, "", "not YAML: nested too deeply")]) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError([Fault(file, 0, "", f"not YAML: {str(error).splitlines()[0]}")]) from error
    reader = _Reader(file)
    value = reader.build(root, ()) if root is not None else {}
    if reader.faults:
        raise ConfigError(reader.faults)
    return Document(file, value, reader.lines)


class _Reader:
    """Builds plain values out of YAML nodes and notes where each stands."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.lines: dict[tuple[Key, ...], int] = {}
        self.faults: list[Fault] = []
        self._scalars = yaml.SafeLoader("")
        self._nodes = 0

    def build(self, node: yaml.Node, path: tuple[Key, ...]) -> Any:
        self._nodes += 1
        if self._nodes > NODE_LIMIT:
            raise ConfigError([Fault(self.file, 0, "", f"more than {NODE_LIMIT} values (aliases within aliases?)")])
        if len(path) > DEPTH_LIMIT:
            line = self.lines[path[:1]]
            told = f"nested more than {DEPTH_LIMIT} deep (an alias within itself?)"
            raise ConfigError([Fault(self.file, line, path_text(path[:1]), told)])
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: tuple[Key, ...]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else ""
            if not key:
                self.faults.append(Fault(self.file, line, path_text(path), "a key must be a plain word"))
            elif key in result:
                self.faults.append(Fault(self.file, line, path_text((*path, key)), "given twice; keep one"))
            else:
                self.lines[(*path, key)] = line
                result[key] = self.build(value_node, (*path, key))
        return result

    def _scalar(self, node: yaml.Node, path: tuple[Key, ...]) -> Any:
        try:
            return self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            self.faults.append(Fault(self.file, node.start_mark.line + 1, path_text(path), str(error).splitlines()[0]))
            return None
