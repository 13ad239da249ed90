"""Everything that strangers can send to a running daemon, over its real sockets."""
