"""SASF, the secure authenticated stream format of recordings: bytes <-> values, as in ``docs/sasf.md``.

Reading: ``reader``, ``verify``. Writing: ``opening`` (behind which the engine writes), ``writer``. Afterwards:
``recovery``, ``shredding``. Below: ``header``, ``keys``, ``chunks``, ``scan``, ``columns``, ``records``, ``contents``.
"""
