"""Other languages' bindings, each a mirror (see mirrors/common.py).

Their greeting shows what they send by their own numbers; what comes back, that both ways are right.
"""

from peers.meeting import SIZES, associated, every_way
from peers.programs import MIRRORING, Program
from sctpio import Mode

CHECKED = "payload, stream, PPID, unordered, {sizes} bytes; 200 messages in order"


def checked(program: Program) -> str:
    """Say what is checked: not all of them can send back all sizes whole."""
    return CHECKED.format(sizes=", ".join(str(size) for size in SIZES if size <= program.longest))


every_mirror = every_way(checked, *MIRRORING)


@every_mirror
async def test_a_mirror_shows_what_it_was_sent(program: Program, role: str, mode: Mode) -> None:
    async with associated(program, role, mode) as (conn, mirror):
        greeting = await conn.receive()
        assert (greeting.data, greeting.stream) == (b"greeting", 1)
        assert (greeting.ppid, greeting.unordered) == (0x01020304, False)
        for number, size in enumerate(size for size in SIZES if size <= program.longest):
            data = bytes(at % 251 for at in range(size))
            for unordered in (False, True):
                for ppid in program.ppids:
                    await conn.send(data, stream=number, ppid=ppid, unordered=unordered)
                    back = await conn.receive()
                    assert back.data == data
                    assert (back.stream, back.ppid, back.unordered) == (number, ppid, unordered)
        await conn.send_many([b"%d" % number for number in range(200)], stream=9)
        for number in range(200):
            back = await conn.receive()
            assert (back.data, back.stream) == (b"%d" % number, 9)
        await conn.close()
        assert await mirror.ends() == 0
