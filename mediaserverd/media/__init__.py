"""Role media: ng control door, packet engine, spool of recordings, HTTPS retrieval and deletion."""
