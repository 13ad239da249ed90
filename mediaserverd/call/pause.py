"""A pause of a call's recordings: since when, until when, and how repeated wishes add up. Pure time, no effects."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from mediaserverd.call.events import PauseRequested
from mediaserverd.call.setup import PauseMode, PauseRules


@dataclass(slots=True)
class Pause:
    """Times are those given to ``Call.handle``, in seconds; ``until`` None: until somebody resumes.

    A repeated wish never shortens the pause. A secure one stays secure, and never lasts longer than the rules' maximum,
    counted from when it became secure. ``mode`` stays what it was at the beginning: the file has it already.
    """

    by: str
    mode: PauseMode
    since: float
    until: float | None = None
    secure_since: float | None = None
    confirmed: bool = False  # the media server has said so
    ending: bool = False  # it has been asked to go on

    @classmethod
    def begun(cls, asked: PauseRequested, rules: PauseRules, now: float) -> Pause:
        pause = cls(asked.by, asked.mode or rules.leave, since=now, until=now)
        pause.repeated(asked, rules, now)
        return pause

    def repeated(self, asked: PauseRequested, rules: PauseRules, now: float) -> None:
        if asked.secure and self.secure_since is None:
            self.secure_since = now
        seconds = (rules.seconds if asked.secure else 0.0) if asked.seconds is None else asked.seconds
        until = max(inf if self.until is None else self.until, now + seconds if seconds else inf)
        if self.secure_since is not None and rules.maximum_seconds:
            until = min(until, self.secure_since + rules.maximum_seconds)
        self.until = None if until == inf else until

    @property
    def secure(self) -> bool:
        return self.secure_since is not None

    def remaining_s(self, now: float) -> float | None:
        return None if self.until is None else max(0.0, self.until - now)

    def described(self, now: float) -> str:
        """For the story."""
        left = self.remaining_s(now)
        time = "until somebody resumes" if left is None else f"for {left:g} s"
        return f"{'secure, ' if self.secure else ''}{self.mode}, {time}"
