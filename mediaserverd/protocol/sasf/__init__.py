"""SASF, the secure authenticated stream format of recordings: bytes <-> values, as in ``docs/sasf.md``."""
