"""Tells systemd how the service does (sd_notify(3)). Does nothing when not started by systemd."""

from __future__ import annotations

import os
import socket


def notify(state: str) -> None:
    """Sends one datagram, such as ``READY=1`` or ``STATUS=...``, to the socket that systemd named."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        try:
            sender.sendto(state.encode(), address)
        except OSError:
            return  # a notification is a courtesy: its failure must not end the service
