"""A relay that the packets of an association go through, as SCTP over UDP (RFC 6951), and that harms them.

It has two UDP sockets: clients send to one, and the other is connected to the UDP port of the server's stack.
A `Direction` for each way decides what happens to a packet. What comes back from the server is sent to the
client whose SCTP port it names.
"""

import asyncio
import socket
from collections.abc import Callable, Iterable
from typing import Any, Self, cast

from .._loop.opening import Opening
from ..address import AddressLike
from ..conn import Conn
from ..connecting import connect
from ..events import Event
from ..options import InitMsg, Option, UdpEncapsulation
from ._direction import Direction, UdpAddress, checked
from ._faults import Faults
from ._seeds import default_seed, recent
from ._stack import encapsulating

MAX_PACKETS = 8192
MAX_BYTES = 8 * 1024 * 1024

# The common header of a packet: ports, tag and checksum (RFC 9260 section 3.1).
SCTP_HEADER = 12

# Large, because one turn of the loop may have to read what both ends sent in the turn before. The system may
# give less.
SOCKET_BUFFER = 4 * 1024 * 1024

NONE = Faults()


class _Side(asyncio.DatagramProtocol):
    """One UDP socket of the relay."""

    def __init__(self, take: Callable[[bytes, UdpAddress], None]) -> None:
        self._take = take
        self._transport: asyncio.DatagramTransport | None = None
        self._paused = False
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, because the transports of some loops are not derived from that class.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: UdpAddress) -> None:
        self._take(data, addr)

    def error_received(self, exc: Exception) -> None:
        """Do nothing: nobody is at the other port now, and a network would not mind either."""

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    def send(self, data: bytes, to: UdpAddress | None) -> bool:
        if self._paused or self._transport is None or self._transport.is_closing():
            return False
        self._transport.sendto(data, to)
        return True

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class Relay:
    """A UDP port that forwards SCTP packets to a server, and back, and harms them on the way.

    `async with Relay(Faults(loss=0.1)) as relay:` opens it, and `relay.connect(server_address)` sets up an
    association that goes through it. The server is in this process, on the stack that `stack` names (None:
    the default one if it can speak SCTP over UDP here, else usrsctp); or it is another process, whose host
    and UDP port are `to`, as `("127.0.0.1", 9899)`. `host` is the address that the relay listens on. It has
    to be the server's, because the client believes that it sends to the server.

    `faults` are those of both directions until `faults`, `to_server.faults` or `to_client.faults` is set.
    What happens to the n-th packet of a direction depends only on n, the faults and the `seed`, a number from
    0: None means `$SCTPIO_TEST_SEED`, which pytest's `--sctpio-seed` sets, or a number that this process
    chose once. The attribute `seed` says which it is. At most `max_packets` and `max_bytes` wait in each
    direction; packets beyond that are dropped and counted.

    Raises:
        ValueError: an argument is out of range, or `to` and `stack` are both given.
        TypeError: `faults` is no `Faults`.
        UnavailableError: (when it is opened) no stack here can speak SCTP over UDP.
        OSError: (when it is opened) a UDP socket cannot be made.
    """

    def __init__(
        self,
        faults: Faults = NONE,
        *,
        to: tuple[str, int] | None = None,
        host: str | None = None,
        stack: str | None = None,
        seed: int | None = None,
        max_packets: int = MAX_PACKETS,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        checked(faults)
        if to is not None and stack is not None:
            raise ValueError(f"to={to!r} is another process; stack={stack!r} is for this one")
        if to is not None:
            _check_udp_address(to)
        self.seed: int = default_seed() if seed is None else seed
        numbers = (("seed", self.seed, 0), ("max_packets", max_packets, 1), ("max_bytes", max_bytes, 1))
        for name, value, least in numbers:
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name} is {value!r}; it takes a number from {least}")
        self._to = to
        self._host = host or (to[0] if to else "127.0.0.1")
        self._stack = stack
        self.to_server: Direction = Direction("to the server", faults, self.seed, max_packets, max_bytes)
        self.to_client: Direction = Direction("to the client", faults, self.seed, max_packets, max_bytes)
        self._sides: list[_Side] = []
        self._port = 0
        # Where each client's packets came from, by its SCTP port.
        self._clients: dict[bytes, UdpAddress] = {}

    async def __aenter__(self) -> Self:
        if self.is_open:
            raise RuntimeError("this relay is open already")
        to = self._to
        if to is None:
            self._stack, port = encapsulating(self._stack)
            to = (self._host, port)
        loop = asyncio.get_running_loop()
        try:
            front = await self._open(loop, self._from_client, bind=(self._host, 0))
            back = await self._open(loop, self._from_server, connect=to)
        except BaseException:
            await self._close()
            raise
        self.to_server.attach(loop, back.send)
        self.to_client.attach(loop, front.send)
        recent.append(self)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._close()

    @property
    def is_open(self) -> bool:
        """Whether the relay is open, and forwards."""
        return bool(self._sides)

    @property
    def port(self) -> int:
        """The UDP port that clients send to."""
        if not self.is_open:
            raise RuntimeError("this relay is not open: use `async with`")
        return self._port

    @property
    def option(self) -> UdpEncapsulation:
        """The option by which an association goes through the relay, for `options=` of `connect`."""
        return UdpEncapsulation(port=self.port)

    def connect(
        self,
        remote: AddressLike,
        *,
        init: InitMsg | None = None,
        options: Iterable[Option] = (),
        events: Iterable[type[Event]] = (),
    ) -> Opening[Conn]:
        """Set up an association through the relay: `async with relay.connect(server_address) as conn:`.

        This is `sctpio.connect` with the relay's stack and `option`, and from the relay's `host` only,
        because a path from another address would lead past the relay. The errors are those of `connect`.
        """
        through = (*options, self.option)
        return connect(
            remote, local=(self._host, 0), init=init, options=through, events=events, stack=self._stack
        )

    @property
    def host(self) -> str:
        """The address that the relay listens on, and the server's."""
        return self._host

    @property
    def stack(self) -> str | None:
        """The name of the server's stack, once the relay is open; None if the server is another process."""
        return self._stack

    @property
    def faults(self) -> Faults:
        """What happens to packets to the server; setting it sets both directions."""
        return self.to_server.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self.to_server.faults = faults
        self.to_client.faults = faults

    def cut(self) -> None:
        """Let nothing pass in either direction from now on, and drop the packets that wait."""
        self.to_server.cut()
        self.to_client.cut()

    def heal(self) -> None:
        """Let packets pass again; `faults` are as before."""
        self.to_server.heal()
        self.to_client.heal()

    def __str__(self) -> str:
        ways = "; ".join(f"{way.name}: {way.counters}" for way in (self.to_server, self.to_client))
        return f"relay with the seed {self.seed}: {ways}"

    async def _open(
        self,
        loop: asyncio.AbstractEventLoop,
        take: Callable[[bytes, UdpAddress], None],
        *,
        bind: tuple[str, int] | None = None,
        connect: tuple[str, int] | None = None,
    ) -> _Side:
        host, port = bind or connect or ("", 0)
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        family, *_, address = found[0]
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                sock.setsockopt(socket.SOL_SOCKET, option, SOCKET_BUFFER)
            if bind:
                sock.bind(address)
                self._port = sock.getsockname()[1]
            else:
                sock.connect(address)
            endpoint = asyncio.ensure_future(loop.create_datagram_endpoint(lambda: _Side(take), sock=sock))
            cancelled = await _whole(endpoint)
            _, side = endpoint.result()
        except BaseException:
            sock.close()
            raise
        self._sides.append(side)
        if cancelled:
            raise asyncio.CancelledError
        return side

    async def _close(self) -> None:
        for way in (self.to_server, self.to_client):
            way.counters.cut += way.waiting
            way.drop_waiting()
        sides, self._sides = self._sides, []
        for side in sides:
            side.close()
        for side in sides:
            await asyncio.shield(side.closed)

    def _from_client(self, data: bytes, source: UdpAddress) -> None:
        self.to_server.counters.received += 1
        if len(data) < SCTP_HEADER:
            self.to_server.counters.strayed += 1
        else:
            self._clients[data[:2]] = source
            self.to_server.take(data)

    def _from_server(self, data: bytes, source: UdpAddress) -> None:
        self.to_client.counters.received += 1
        client = self._clients.get(data[2:4])
        if client is None or len(data) < SCTP_HEADER:
            self.to_client.counters.strayed += 1
        else:
            self.to_client.take(data, client)


async def _whole(task: asyncio.Future[Any]) -> bool:
    """Wait until a task is done, also when this is cancelled: return whether it was.

    It is for tasks that take only some turns of the loop. Opening an endpoint must not be cancelled: uvloop
    keeps the transport then, and its loop hangs in close().
    """
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cancelled = True
    return cancelled


def _check_udp_address(to: object) -> None:
    match to:
        case (str(), int(port)) if 0 < port <= 0xFFFF:
            return
    raise ValueError(f"to is {to!r}; it takes a host and a UDP port, as ('127.0.0.1', 9899)")
