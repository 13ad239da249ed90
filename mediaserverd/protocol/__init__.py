"""What the standards say: bytes <-> values. Pure: no IO, clock, dice or logging."""
