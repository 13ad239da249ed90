"""Whatever happens, in whatever order: the call ends, and nothing of it is left behind."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from mediaserverd.call.events import Invited
from mediaserverd.call.setup import FeatureCodes
from tests.call.script import ORDER, SETUP, phone
from tests.call.world import World

# A readable description is what usually comes.
BODIES = (
    *(phone("alice"), phone("bob"), phone("bob", "sendonly"), phone("carol", codecs="8")) * 4,
    phone("bob", codecs="9"),
    b"",
    b"rubbish",
)


@settings(max_examples=2000)
@given(random=st.randoms(use_true_random=True), steps=st.integers(0, 60))
def test_every_call_ends_and_leaves_nothing_behind(random: Random, steps: int) -> None:
    """Any seed is as good as another here, and shrinking a script of outcomes changes its meaning: so true random."""
    setup = replace(
        SETUP,
        media_servers=random.choice([(), ("m1",), ("m1", "m2"), ("m1", "m2")]),
        targets=SETUP.targets * random.choice([0, 1, 1, 2, 3]),
        audio_path=random.choice(["dynamic", "dynamic", "always-in"]),
        dice=random.random(),
        fail_open=random.random() < 0.3,
        may_go_direct=random.random() < 0.7,
        recording=random.choice([None, ORDER, replace(ORDER, required=True)]),
        look_back_ms=random.choice([0, 10_000]),
        shortest_ms=random.choice([0, 2000]),
        codes=random.choice([FeatureCodes(), FeatureCodes("*1", "*2", "*3")]),
        hang_up_on_broken_rtp_s=random.choice([0.0, 5.0]),
    )
    world = World(setup, random.randrange, body=lambda: random.choice(BODIES))
    world.tell(Invited(random.choice(BODIES)))
    for _ in range(steps):
        what = random.random()
        if what < 0.8:
            world.settle_one()
        elif what < 0.97:
            world.surprise()
        else:
            world.wait()
    world.end()
    world.check()


TALKATIVE = (phone("alice"), phone("bob"), phone("bob", "sendonly"), phone("alice", codecs="8 0"), phone("bob"))


@settings(max_examples=500)
@given(random=st.randoms(use_true_random=True), steps=st.integers(10, 80))
def test_a_call_whose_audio_moves_again_and_again_leaves_nothing_behind(random: Random, steps: int) -> None:
    setup = replace(
        SETUP,
        media_servers=("m1", "m2"),
        audio_path="dynamic",
        dice=random.random(),
        may_go_direct=random.random() < 0.7,
        recording=random.choice([None, None, ORDER]),
    )
    world = World(setup, random.randrange, body=lambda: random.choice(TALKATIVE))
    world.tell(Invited(phone("alice")))
    for _ in range(steps):
        what = random.random()
        if what < 0.75:
            world.settle_one()
        elif what < 0.95:
            world.trouble()
        else:
            world.wait()
    world.end()
    world.check()
