"""What connect, listen and open_endpoint return, when it is taken for what it opens."""

import gc
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Self

import pytest

from sctpio import PeerAddressChange, RtoInfo, connect, listen, open_endpoint
from sctpio._loop.opening import Opening

OPENERS = pytest.mark.parametrize("open_", [connect, listen, open_endpoint])
SOMEWHERE = "127.0.0.1:9"


class Opened:
    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        return


async def open_it() -> Opened:
    return Opened()


@pytest.fixture
def opening() -> Iterator[Opening[Any]]:
    made: Opening[Any] = Opening("connect", open_it)
    yield made
    made.close()


@pytest.mark.parametrize("name", ["receive", "accept", "events", "fileno", "peer_addresses"])
def test_what_it_has_not_yet_is_told(opening: Opening[Any], name: str) -> None:
    with pytest.raises(AttributeError) as caught:
        getattr(opening, name)
    assert str(caught.value) == (
        f"connect(...) has no {name!r} before it is awaited: `opened = await connect(...)`, or"
        " `async with connect(...) as opened`"
    )
    assert not hasattr(opening, name)


@pytest.mark.parametrize("arguments", [{}, {"stream": 3, "ppid": 60}])
def test_to_send_with_it_is_told_too(opening: Opening[Any], arguments: dict[str, int]) -> None:
    with pytest.raises(
        TypeError, match=r"^connect\(...\) has no 'send' before it is awaited: `opened = await c"
    ):
        opening.send(b"hello", **arguments)


def test_private_names_are_simply_not_there(opening: Opening[Any]) -> None:
    with pytest.raises(AttributeError, match="^_nothing$"):
        _ = opening._nothing
    bare = object.__new__(Opening)
    with pytest.raises(AttributeError, match="^_name$"):
        _ = bare.receive


async def test_it_still_is_a_coroutine(opening: Opening[Any]) -> None:
    with pytest.raises(StopIteration) as caught:
        opening.send(None)
    assert isinstance(caught.value.value, Opened)
    assert isinstance(await Opening("connect", open_it), Opened)


def test_a_mistake_with_one_that_is_never_awaited_still_warns() -> None:
    forgotten: Opening[Any] | None = Opening("connect", open_it)
    with pytest.raises(AttributeError):
        forgotten.receive()  # type: ignore[union-attr]
    with pytest.warns(RuntimeWarning, match=r"connect\(...\) was never awaited"):
        forgotten = None
        gc.collect()


@OPENERS
@pytest.mark.parametrize(
    ("address", "hint"),
    [
        (0, "0 is not an address; .*':0' is a port of this host, 'host:0' that of a peer"),
        (5000, "5000 is not an address; .*':5000' is a port of this host"),
        (["10.0.0.1:5000", "10.1.0.1:5000"], "several hosts of one endpoint are one value, '10.0.0.1/10.1"),
    ],
)
def test_an_address_of_another_type_is_told_at_once(
    open_: Callable[..., Any], address: object, hint: str
) -> None:
    with pytest.raises(TypeError, match=hint):
        open_(address)


def test_a_list_of_local_addresses_is_told_too() -> None:
    with pytest.raises(TypeError, match="several hosts of one endpoint are one value"):
        connect(SOMEWHERE, local=["10.0.0.1:0", "10.1.0.1:0"])  # type: ignore[arg-type]


@OPENERS
def test_one_value_where_several_are_taken_is_told(open_: Callable[..., Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(TypeError, match=r"it takes several: options=\[RtoInfo\(...\)\]$"):
            open_(SOMEWHERE, options=RtoInfo(initial=0.5))
        with pytest.raises(TypeError, match=r"it takes several: events=\[PeerAddressChange\]$"):
            open_(SOMEWHERE, events=PeerAddressChange)
