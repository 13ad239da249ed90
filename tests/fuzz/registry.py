"""The fuzz targets by name, each with the inputs that mutation starts from."""

from __future__ import annotations

from collections.abc import Callable, Iterable

Oracle = Callable[[bytes], None]

TARGETS: dict[str, Oracle] = {}
CORPUS: dict[str, tuple[bytes, ...]] = {}


def target(name: str, corpus: Iterable[bytes]) -> Callable[[Oracle], Oracle]:
    """Registers the function below as a target."""

    def register(oracle: Oracle) -> Oracle:
        TARGETS[name] = oracle
        CORPUS[name] = tuple(corpus)
        return oracle

    return register
