"""``python -m tests.fuzz SECONDS [TARGET...]``: each target for so many seconds; exit status 1 at the first failure."""

from __future__ import annotations

import sys
import time

from tests.fuzz import TARGETS
from tests.fuzz.mutation import fuzz


def main(arguments: list[str]) -> int:
    if not arguments or not arguments[0].isdigit() or not set(arguments[1:]) <= TARGETS.keys():
        print(f"usage: python -m tests.fuzz SECONDS [TARGET...]\ntargets: {' '.join(TARGETS)}", file=sys.stderr)
        return 2
    seed = int(time.time())
    for name in arguments[1:] or TARGETS:
        print(f"{name}: {int(arguments[0])} s, seed {seed}", flush=True)
        tried, failure = fuzz(name, int(arguments[0]), seed)
        if failure is not None:
            print(failure)
            return 1
        print(f"{name}: {tried} inputs, the oracle held", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
