"""What a recorder and a media server have to know of each other: whose signature to believe, and for whom to encrypt.

They tell each other over retrieval, where both have shown certificates of the site. A media server's signature is
believed as it is first told; another one under the same name is not, until an administrator removes the file. Not
responsible for transfers.
"""

from __future__ import annotations

import asyncio

import structlog

from mediaserverd.process.complaints import Complaints
from mediaserverd.recorder.keyfiles import KeyFault, place, public_pem, read_signer
from mediaserverd.recorder.media_servers import MediaServer
from mediaserverd.recorder.retrieval import Listing, RetrievalFault
from mediaserverd.recorder.vault import Vault

log = structlog.get_logger()


class Acquaintance:
    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._complaints = Complaints("media_server_not_acquainted")

    async def make(self, server: MediaServer, listing: Listing) -> None:
        """Each time that it told what it has; mostly there is nothing to do."""
        try:
            if listing.signing_key:
                await asyncio.to_thread(self._believe, server.name, listing.signing_key.encode())
            if listing.recipients is not None:
                await self._give_recipients(server, frozenset(listing.recipients))
        except (KeyFault, RetrievalFault) as fault:
            self._complaints.note(server.name, str(fault))

    def _believe(self, name: str, pem: bytes) -> None:
        key = read_signer(pem, f"the signing key of media server {name}")
        if key in self._vault.trusted_signers():
            return
        file = self._vault.signer_file(name)
        if file.exists():
            raise KeyFault(
                f"media server {name} has another identity than {file} says: its new recordings count as not signed; "
                "if it was set up anew, rename that file (what it signed before stays believed) or remove it"
            )
        place(file, pem, 0o644)
        log.info("signer_believed", media_server=name, file=str(file))

    async def _give_recipients(self, server: MediaServer, has: frozenset[str]) -> None:
        wanted = await asyncio.to_thread(self._vault.recipients)
        if not wanted or has == wanted.keys():
            return
        await server.client.give_recipients([public_pem(key).decode() for key in wanted.values()])
        log.info("recipients_given", media_server=server.name, key_ids=sorted(wanted))
