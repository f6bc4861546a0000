"""NGAP: a gNB and an AMF, and the NG Setup between them. It needs pycrate: pip install pycrate

PPID 60, port 38412 (3GPP TS 38.412). NG Setup is not about one UE, so it goes on the stream kept for that.
"""

import asyncio
import sys
from typing import Any

from sctpio import Conn, Port, Ppid, connect, listen

try:
    from pycrate_asn1dir import NGAP
except ImportError:
    sys.exit("this example needs pycrate, which has the messages of NGAP: pip install pycrate")

COMMON = 0  # the stream of all that is not about one UE
PLMN = bytes.fromhex("00f110")
SLICE = {"s-NSSAI": {"sST": b"\x01"}}
NG_SETUP = 21
CODEC = NGAP.NGAP_PDU_Descriptions.NGAP_PDU


def pdu(kind: str, name: str, *elements: tuple[int, str, str, Any]) -> bytes:
    """Encode a PDU of the procedure NG Setup: each element has an id, its criticality, a type and a value."""
    fields = [{"id": i, "criticality": c, "value": (t, value)} for i, c, t, value in elements]
    value = (name, {"protocolIEs": fields})
    CODEC.set_val((kind, {"procedureCode": NG_SETUP, "criticality": "reject", "value": value}))
    return bytes(CODEC.to_aper())


def name_in(data: bytes, element: str) -> tuple[str, str]:
    """Return which message it is, and the name that its sender gives in an element."""
    CODEC.from_aper(data)
    message, content = CODEC.get_val()[1]["value"]
    values = dict(field["value"] for field in content["protocolIEs"])
    return message, values[element]


REQUEST = pdu(
    "initiatingMessage",
    "NGSetupRequest",
    (27, "reject", "GlobalRANNodeID",
     ("globalGNB-ID", {"pLMNIdentity": PLMN, "gNB-ID": ("gNB-ID", (1, 22))})),
    (82, "ignore", "RANNodeName", "gnb-1"),
    (102, "reject", "SupportedTAList",
     [{"tAC": b"\x00\x00\x01",
       "broadcastPLMNList": [{"pLMNIdentity": PLMN, "tAISliceSupportList": [SLICE]}]}]),
    (21, "ignore", "PagingDRX", "v128"),
)  # fmt: skip
RESPONSE = pdu(
    "successfulOutcome",
    "NGSetupResponse",
    (1, "reject", "AMFName", "amf-1"),
    (96, "reject", "ServedGUAMIList",
     [{"gUAMI": {"pLMNIdentity": PLMN, "aMFRegionID": (1, 8), "aMFSetID": (1, 10), "aMFPointer": (0, 6)}}]),
    (86, "ignore", "RelativeAMFCapacity", 255),
    (80, "reject", "PLMNSupportList", [{"pLMNIdentity": PLMN, "sliceSupportList": [SLICE]}]),
)  # fmt: skip


async def amf(conn: Conn) -> None:
    async for message in conn:
        if message.ppid != Ppid.NGAP:
            continue
        print("AMF: got", *name_in(message.data, "RANNodeName"), f"on stream {message.stream}")
        await conn.send(RESPONSE, stream=message.stream)


async def gnb(address: str) -> None:
    async with connect(address, ppid=Ppid.NGAP) as conn:
        await conn.send(REQUEST, stream=COMMON)
        print("gNB: got", *name_in((await conn.receive()).data, "AMFName"))


async def main() -> None:
    async with listen(f"127.0.0.1:{Port.NGAP}", ppid=Ppid.NGAP) as listener:
        serving = asyncio.create_task(listener.serve(amf))
        await gnb(str(listener.local_addresses))
    await serving


if __name__ == "__main__":
    asyncio.run(main())
