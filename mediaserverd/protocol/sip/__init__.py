"""SIP (RFC 3261 and friends) without IO: grammar, messages, transactions, dialogs, endpoint."""
