"""What is measured, of whom, and where: the places, the contenders, the cases.

Every contender does the base cases (64 bytes, one association, one stream); then one thing at a time varies, with
the contenders that a reader chooses between.
"""

from dataclasses import dataclass

PYTHON = "python"  # stands for the interpreter that runs the benchmarks
BUILT = "build/bench"  # of the checkout: what is compiled or installed for the benchmarks alone


@dataclass(frozen=True)
class Contender:
    """A program of contenders/, and the words that make it this contender."""

    name: str
    command: tuple[str, ...]
    words: str = ""


@dataclass(frozen=True)
class Case:
    """A piece of work; `count` is for the 6.12 guest, other places take their multiple of it."""

    name: str
    words: str
    count: int
    contenders: tuple[str, ...]
    quick: bool = False  # also in a quick run
    fresh: bool = False  # in processes of its own: what ran before must not show


@dataclass(frozen=True)
class Place:
    """Where it runs: what tests/guest/run calls it ("" for the bare host), and how much work it takes on."""

    name: str
    title: str
    guest: str
    factor: float
    seconds: int  # a run is given up after


PLACES = {
    "6.12": Place("6.12", "Linux 6.12 under QEMU, emulated", "6.12", 1, 60),
    "uml": Place("uml", "User-Mode Linux 6.1", "uml", 0.5, 30),
    "usrsctp": Place("usrsctp", "usrsctp on the bare host", "", 5, 30),
}


def script(name: str) -> tuple[str, str]:
    return PYTHON, f"benchmarks/contenders/{name}.py"


KERNEL_CONTENDERS = (
    Contender("C", (f"{BUILT}/plain",)),
    Contender("C, batches", (f"{BUILT}/plain",), "form=batch"),
    Contender("sctpio", script("with_sctpio")),
    Contender("sctpio, batches", script("with_sctpio"), "form=batch"),
    Contender("sctpio on uvloop", script("with_sctpio"), "loop=uvloop"),
    Contender("sctpio on uvloop, batches", script("with_sctpio"), "loop=uvloop form=batch"),
    Contender("pysctp", script("with_pysctp")),
    Contender("standard library", script("with_stdlib")),
    Contender("py3-sctp", script("with_py3_sctp")),
    Contender("TCP", script("with_tcp")),
    Contender("TCP on uvloop", script("with_tcp"), "loop=uvloop"),
    # One-to-many alone: a Conn for each association.
    Contender("sctpio, Conns", script("with_sctpio"), "form=conns"),
)
USRSCTP_CONTENDERS = (
    Contender("C", (f"{BUILT}/plain_usrsctp",)),
    Contender("sctpio", script("with_sctpio")),
    Contender("sctpio, batches", script("with_sctpio"), "form=batch"),
    Contender("sctpio on uvloop", script("with_sctpio"), "loop=uvloop"),
    Contender("sctpio on uvloop, batches", script("with_sctpio"), "loop=uvloop form=batch"),
)
