"""The packet engine: its C++ tests, and its promises to Python over real sockets."""
