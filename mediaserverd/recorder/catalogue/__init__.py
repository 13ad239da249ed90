"""The catalogue: what is known of every recording, in SQLite (default) or PostgreSQL.

- ``tables``      the tables, and how values are kept in them.
- ``database``    engine, schema at start, who may write when.
- ``ledger``      entries of controllers -> rows.
- ``segments``    the life of one file: due, fetching, stored, failed, deleted at the source.
- ``recordings``  what people ask: lists, details, deletion.
- ``tally``       counts of everything, for metrics and reconciliation.
- ``migrations``  Alembic's steps from one schema to the next.
"""
