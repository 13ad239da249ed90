"""``make chaos``: a long storm, told as it goes; then the account. Ends with 1 if anything is not accounted for.

``--directory`` keeps what the hosts wrote, their logs among it; otherwise it is gone at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.account import Account
from tests.chaos.storm import Storm


async def storm(directory: Path, seed: int, seconds: float, pairs: int) -> Account:
    began = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {text}", flush=True)

    async with Storm.over_site(directory, seed, pairs, tell) as over_site:
        found = await over_site.rage(seconds)
        print(f"\nseed {seed}, {seconds:g} s, {pairs} pairs of phones\n{found}", flush=True)
        return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100_000)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--directory", type=Path)
    words = parser.parse_args()
    with contextlib.ExitStack() as stack:
        directory = words.directory or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        found = asyncio.run(storm(directory.resolve(), words.seed, words.seconds, words.pairs))
    return 1 if found.faults else 0


if __name__ == "__main__":
    sys.exit(main())
