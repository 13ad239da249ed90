"""The controller role over real sockets, in a network namespace of its own."""
