"""What ``mediaserverd init`` writes at first start: a configuration to begin with, and two stations with passwords."""

from __future__ import annotations

import os
from pathlib import Path

from mediaserverd.config.stations import new_password

CONFIG_NAME = "config.yaml"

_TEMPLATE = """\
# mediaserverd configuration. `mediaserverd check --config {name}` verifies it; the README explains the keys.
address: "{address}"          # the address of this host that phones reach; written into SIP and SDP
data_directory: .             # recordings, catalogue, certificates, tokens; relative to this file

stations:
  - {{name: "100", extension: "100", display_name: Demo one, password: "{first}"}}
  - {{name: "101", extension: "101", display_name: Demo two, password: "{second}"}}

record: all                   # every call; see initiation_policies for finer rules
"""


def write_first_config(directory: Path, address: str) -> Path | None:
    """Writes ``config.yaml`` (mode 0600: it has passwords). None when there is one already, which stays as it is."""
    directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    file = directory / CONFIG_NAME
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return None
    text = _TEMPLATE.format(name=CONFIG_NAME, address=address, first=new_password(), second=new_password())
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
    return file
