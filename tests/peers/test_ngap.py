"""5G's NGAP by pycrate at both ends, over sctpio at one of them."""

import sys
from types import ModuleType

import pytest

from peers.meeting import associated, every_way
from peers.programs import PYCRATE, Program
from sctpio import EndOfAssociation, Mode, Ppid


@pytest.fixture
def ngap(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Give the codec, which looks for pycrate where it was built."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    from peers.mirrors import ngap

    return ngap


@every_way(
    "NGAP: NGSetupRequest by sctpio, NGSetupResponse by the program; PPID 60", PYCRATE, roles=["listen"]
)
async def test_an_amf_answers(program: Program, role: str, mode: Mode, ngap: ModuleType) -> None:
    async with associated(program, role, mode) as (conn, _):
        for number in range(3):
            await conn.send(ngap.request(f"gNB {number}"), ppid=Ppid.NGAP)
            answer = await conn.receive()
            assert (answer.stream, answer.ppid) == (0, Ppid.NGAP)
            name, elements = ngap.decoded(answer.data)
            assert (name, elements[ngap.AMF_NAME]) == ("NGSetupResponse", f"for gNB {number}")


@every_way(
    "NGAP: NGSetupRequest by the program, NGSetupResponse by sctpio; PPID 60", PYCRATE, roles=["connect"]
)
async def test_a_gnb_asks(program: Program, role: str, mode: Mode, ngap: ModuleType) -> None:
    async with associated(program, role, mode) as (conn, gnb):
        asked = await conn.receive()
        assert (asked.stream, asked.ppid) == (0, Ppid.NGAP)
        name, elements = ngap.decoded(asked.data)
        assert (name, elements[ngap.RAN_NAME]) == ("NGSetupRequest", "a gNB")
        await conn.send(ngap.response("an AMF"), ppid=Ppid.NGAP)
        with pytest.raises(EndOfAssociation):
            await conn.receive()
        assert await gnb.ends() == 0
        assert gnb.said() == "an AMF\n"
