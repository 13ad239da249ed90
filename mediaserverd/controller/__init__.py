"""Role controller: SIP sockets, registrar, B2BUA, selection of media servers, ledger of expected recordings."""
