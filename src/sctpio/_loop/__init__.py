"""The engine room: everything between a stack and the public objects that knows the event loop.

`waiting` suspends tasks and wakes them. `loop_socket` is a descriptor that the loop watches: `own_socket`
carries one association, `shared_socket` any number. `association` follows the life of an association,
`unread` holds what it received and nobody has read yet, `event_stream` hands out its events. The public
objects work on an association through `link`, `sending` and `reading`. `docs/design.md` has the trips
through these modules.
"""
