"""The test kit: phones, speech and judges for calls through the daemon. This page is its map.

- ``speech``, ``wav``, ``g711``  audio that can be recognised, files that hold it, the coding that carries it.
- ``judge``     says whether what was heard is what was spoken, second by second, and whether two channels fit together.
- ``rtp``       one RTP stream in each direction, in real time.
- ``passage``   what was lost between two of its voices, and how long a listener had nothing to play.
- ``phone``     our own softphone, on the product's SIP core.
- ``baresip``, ``pjsip``, ``sipp``  phones and generators that we did not write, as child processes.
- ``child``     child processes with their output in files; nothing is left behind.
- ``daemon``    a mediaserverd under test: configuration, start, readiness, clients for its doors, a clean end.
- ``demo``      the demonstration of ``make run``.

The kit knows the daemon only from outside: its command line, configuration, wire and files.
"""
