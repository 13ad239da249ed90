"""The bench: how many calls the daemon carries on this machine, at what cost, against a bare relay in the same run.

Run it in a network namespace of its own (``tests/in-netns``). What is where:

- ``rtpload.cpp`` (``stream.hpp``, ``udp.hpp``), ``rtp_load``  two-way G.711 in real time, and the meter at both ends.
- ``relay_floor.cpp``, ``relay_floor``  the least that a relay in user space costs: what the daemon is compared with.
- ``native``      builds the C++ programs.

The tests use ``rtp_load`` too. Numbers of two machines, or of two moments of a busy one, are not to be
compared; ratios to the floor of the same run are.
"""
