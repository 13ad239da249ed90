"""mediaserverd: a call-recording media server. This page is the map of the code.

Inside, three pure parts. They know no sockets, clocks, disks or databases; values (and ``now``) go in, values come out:

- ``protocol``  what the standards say: bytes <-> values (SIP, SDP, digest, ng, SASF).
- ``policy``    what the administrator decided: facts -> verdict, with the name of the rule that gave it.
- ``call``      what happens in one call: event, now -> commands, deadline.

Outside, three roles, each a process that can run on a host of its own. A role never imports another role:

- ``controller``  SIP sockets, registrar, B2BUA, selection of media servers, ledger of expected recordings.
- ``media``       ng control door, packet engine (C++, in ``engine/``), spool of recordings, HTTPS retrieval.
- ``recorder``    fetches finished recordings, store, catalogue, REST API.

``audio`` turns recorded packets into sound: timelines, codecs, rendering to audio files.

``process`` is what every role needs from the machine it runs on: TLS files, tokens, HTTP listeners, logs, health.
``config`` turns YAML into the settings of each part; ``daemon`` starts, supervises, reloads and stops the roles;
``diagnosis`` tells the story of a call, with its messages as a ``ladder``; ``top`` shows what runs now;
``control_client`` asks the running roles; ``__main__``, the files called ``*_commands``, ``recording_files`` (with
``recording_sets``, ``_proof`` and ``_excerpts``) and ``terminal`` are the command line.

Who may import what: a line may import lines below it, never above, and names on one line never import each other::

    __main__ -> the files called *_commands
    recording_files -> recording_excerpts | recording_proof -> recording_sets
    daemon | diagnosis | top_screen -> top -> top_samples -> ladder_svg -> ladder
    control_client | terminal -> config
    controller | media | recorder
    process | audio
    call
    protocol | policy

What the roles say to each other is in ``docs/wire.md``.
"""
