"""SASF, the secure authenticated stream format of recordings: bytes <-> values, as in ``docs/sasf.md``.

Reading: ``reader``, ``verify``. Writing: ``opening`` (where the engine writes the rest), ``writer``. Afterwards:
``recovery``, ``shredding``. Below them: ``header``, ``keys``, ``chunks``, ``scan``, ``records``, ``columns``, ``contents``.
"""
