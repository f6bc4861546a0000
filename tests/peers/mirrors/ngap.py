"""5G's NGAP (3GPP TS 38.413) by pycrate, over Python's socket, as its users write it.

Who listens is an AMF, who connects a gNB: it asks for the set-up of the interface, and prints who answered.
"""

import socket
import sys
from pathlib import Path
from typing import Any

from peers.mirrors import with_socket
from peers.mirrors.common import run

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "build/peers/pycrate"))
from pycrate_asn1dir import NGAP

PPID, SETUP = 60, 21
NETWORK = b"\x00\xf1\x10"
RAN_NAME, AMF_NAME = 82, 1  # information elements


def request(name: str) -> bytes:
    """Encode an NGSetupRequest."""
    identity = {"pLMNIdentity": NETWORK, "gNB-ID": ("gNB-ID", (1, 22))}
    slices = [{"pLMNIdentity": NETWORK, "tAISliceSupportList": [{"s-NSSAI": {"sST": b"\1"}}]}]
    areas = [{"tAC": b"\0\0\1", "broadcastPLMNList": slices}]
    elements = {
        27: ("GlobalRANNodeID", ("globalGNB-ID", identity)),
        RAN_NAME: ("RANNodeName", name),
        102: ("SupportedTAList", areas),
        21: ("PagingDRX", "v128"),
    }
    return _encoded("initiatingMessage", "NGSetupRequest", elements)


def response(name: str) -> bytes:
    """Encode an NGSetupResponse."""
    guami = {"pLMNIdentity": NETWORK, "aMFRegionID": (1, 8), "aMFSetID": (1, 10), "aMFPointer": (1, 6)}
    elements = {
        AMF_NAME: ("AMFName", name),
        96: ("ServedGUAMIList", [{"gUAMI": guami}]),
        86: ("RelativeAMFCapacity", 255),
        80: (
            "PLMNSupportList",
            [{"pLMNIdentity": NETWORK, "sliceSupportList": [{"s-NSSAI": {"sST": b"\1"}}]}],
        ),
    }
    return _encoded("successfulOutcome", "NGSetupResponse", elements)


def _encoded(kind: str, name: str, elements: dict[int, Any]) -> bytes:
    listed = [{"id": which, "criticality": "ignore", "value": value} for which, value in elements.items()]
    value = (name, {"protocolIEs": listed})
    pdu = NGAP.NGAP_PDU_Descriptions.NGAP_PDU
    pdu.set_val((kind, {"procedureCode": SETUP, "criticality": "reject", "value": value}))
    encoded: bytes = pdu.to_aper()
    return encoded


def decoded(data: bytes) -> tuple[str, dict[int, Any]]:
    """Decode a message to its name and its information elements."""
    pdu = NGAP.NGAP_PDU_Descriptions.NGAP_PDU
    pdu.from_aper(data)
    name, body = pdu()[1]["value"]
    return name, {element["id"]: element["value"][1] for element in body["protocolIEs"]}


def amf(sock: socket.socket) -> None:
    for message in with_socket.messages(sock):
        name, elements = decoded(message.data)
        assert (name, message.ppid) == ("NGSetupRequest", PPID)
        answer = response(f"for {elements[RAN_NAME]}")
        with_socket.send(sock, with_socket.Message(answer, message.stream, PPID))


def gnb(sock: socket.socket) -> None:
    with_socket.send(sock, with_socket.Message(request("a gNB"), 0, PPID))
    message = next(with_socket.messages(sock))
    name, elements = decoded(message.data)
    assert (name, message.ppid) == ("NGSetupResponse", PPID)
    print(elements[AMF_NAME], flush=True)


if __name__ == "__main__":
    run(amf if sys.argv[1] == "listen" else gnb)
