"""The REST API, version 1: recordings, their audio, reconciliation; and the door of the ledger."""
