"""The bench: how many calls the daemon carries on this machine, at what cost, against a bare relay in the same run.

``make bench`` runs it in a network namespace of its own. What is where:

- ``rtpload.cpp`` (``stream.hpp``, ``udp.hpp``), ``rtp_load``  two-way G.711 in real time, and the meter at both ends.
- ``relay_floor.cpp``, ``relay_floor``  the least that a relay in user space costs: what the daemon is compared with.
- ``sip_load``    calls at a rate: a station that calls, and the far end of a line that answers.
- ``site``        the daemon, started by its command line on a directory of its own.
- ``processes``   what a role's processes have used of CPU and memory.
- ``campaign``    what is measured, in which order; ``results`` and ``report`` are what comes out.
- ``recording``   what recording costs the engine beside relaying (``engine_process``): ``python -m bench.recording``.
- ``native``      builds the C++ programs.
- ``selection``   choosing a media server among a thousand: ``python -m bench.selection``.
- ``keeping``     the state of calls on disk, for a restart: ``python -m bench.keeping``.
- ``conversion``  recordings to audio files, beside FFmpeg: ``python -m bench.conversion``.

The tests use ``rtp_load`` and ``sip_load`` too. Numbers of two machines, or of two moments of a busy one, are not to be
compared; ratios to the floor of the same run are.
"""
