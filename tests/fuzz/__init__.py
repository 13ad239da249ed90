"""Parsers under random and hostile input. ``python -m tests.fuzz SECONDS [TARGET...]`` runs each target for so long.

A target is one function of bytes whose docstring is its oracle: what must hold for any input. It returns when it holds
and raises anything when it does not. To add one: a module here with ``@target(...)``, named in the import below.
"""

from __future__ import annotations

from tests.fuzz import audio, ng, sasf, sip, sip_endpoint
from tests.fuzz.registry import TARGETS

__all__ = ["TARGETS", "audio", "ng", "sasf", "sip", "sip_endpoint"]
