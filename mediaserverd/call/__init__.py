"""What happens in one call: event, now -> commands, deadline. Pure.

One ``b2bua.Call`` per call::

    call = Call(setup)                        # setup.CallSetup: targets, media servers to try, verdict on recording
    for command in call.handle(event, now):   # events.Event in, commands.Command out; carry them out in this order
        ...
    call.deadline                             # seconds on the clock of ``now``, or None: then handle(Woken(), now)

``handle`` never raises on an event that comes at a wrong time: it answers what must be answered and notes the rest in
``call.story``. The last command is ``commands.Finished``.
"""
