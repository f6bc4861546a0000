"""Bytes <-> values: what the structs of a stack mean. Pure: no event loop, no socket, no compiled module.

Everything that the two stacks have in different forms is a table here, and one codec reads all tables:

- `layout` is a C struct, `columns` how an attribute of a value lies in one, and `sockaddr` an address.
- `platform` defines the rows of a table: an event or an option, its number, its struct, its columns.
- `linux` and `usrsctp` are the two tables; the second is written as its differences from the first.
- `codec` reads and writes bytes by a table. What a kernel or a peer wrote raises `DecodeError` at worst.
- `contract` is apart from these: the constants and records that Python and csrc/sctpio.h agree on.
"""
