"""Role controller: SIP sockets, registrar, B2BUA, selection of media servers, ledger of expected recordings.

The path of one call through the files::

    sip, connection   bytes <-> flows, within limits
    switchboard       the only loop; endpoint outputs -> calls, requests -> answers
    authentication    who sent it            registrar, locations   where phones are
    admission         INVITE -> set-up, by ``policy``               rules   what a reload swaps
    audio_path        dynamic or always-in, and why                 doors   what a call acts through
    live_call         one call's commands -> SIP, ng, ledger        leg_events   its sessions -> events
    dialling          ways to a phone or a line                     resolver   RFC 3263
    media_servers     one media_link for each media server
    unrecorded        the alarm for calls that nobody can record now
    ledger, database  the durable outbox to the recorder
    control, story    what people and tools may ask                 server   start, reload, drain, stop
"""
