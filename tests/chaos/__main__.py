"""``make chaos``: a long storm, told as it goes; then the account. Ends with 1 if a second is not accounted for."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.storm import Account, Storm, stations
from tests.kit.cluster import Cluster


async def storm(directory: Path, seed: int, seconds: float, pairs: int) -> Account:
    began = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {text}", flush=True)

    async with Cluster.open(directory, stations(pairs)) as cluster:
        tell(f"the site stands; seed {seed}, {pairs} pairs of phones, {seconds:g} s")
        return await Storm(cluster, seed, seconds, pairs, tell).run()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100_000)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--pairs", type=int, default=12)
    words = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos-") as directory:
        account = asyncio.run(storm(Path(directory), words.seed, words.seconds, words.pairs))
    print(account)
    return 1 if account.faults else 0


if __name__ == "__main__":
    sys.exit(main())
