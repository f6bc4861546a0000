"""Names for the numbers of protocols over SCTP: of their messages (`Ppid`), and of the ports they listen on.

A `ppid` is an int wherever one is taken or given, and any number is right there: names are for reading and
writing programs, and for what is printed. IANA has the lists: "SCTP Payload Protocol Identifiers" (RFC 9260
section 15.5), and for ports "Service Name and Transport Protocol Port Number Registry".

To make so many members takes a while, so functions import this, when something is printed or asked for.
"""

from __future__ import annotations

import enum

from ._open_enum import OpenIntEnum

__all__ = ["Port", "Ppid", "fields_by_name", "ppid_text"]


class Ppid(OpenIntEnum):
    """Payload protocol identifiers, as IANA has assigned them (RFC 9260 section 15.5).

    ``Ppid(message.ppid)`` is never an error: a number without a name becomes ``UNKNOWN_<n>``. WebRTC's
    PARTIAL ones are deprecated (RFC 8831 section 6.6).
    """

    UNSPECIFIED = 0
    IUA = 1
    M2UA = 2
    M3UA = 3
    SUA = 4
    M2PA = 5
    V5UA = 6
    H248 = 7
    BICC = 8
    TALI = 9
    DUA = 10
    ASAP = 11
    ENRP = 12
    H323 = 13
    QIPC = 14
    SIMCO = 15
    DDP_SEGMENT = 16
    DDP_STREAM_SESSION_CONTROL = 17
    S1AP = 18
    RUA = 19
    HNBAP = 20
    FORCES_HP = 21
    FORCES_MP = 22
    FORCES_LP = 23
    SBC_AP = 24
    NBAP = 25
    X2AP = 27
    IRCP = 28
    LCS_AP = 29
    MPICH2 = 30
    SABP = 31
    FGP = 32
    PPP = 33
    CALCAPP = 34
    SSP = 35
    NPMP_CONTROL = 36
    NPMP_DATA = 37
    ECHO = 38
    DISCARD = 39
    DAYTIME = 40
    CHARGEN = 41
    RNA = 42
    M2AP = 43
    M3AP = 44
    SSH = 45
    DIAMETER = 46
    DIAMETER_DTLS = 47
    R14P = 48
    GDT = 49
    WEBRTC_DCEP = 50
    WEBRTC_STRING = 51
    WEBRTC_BINARY_PARTIAL = 52
    WEBRTC_BINARY = 53
    WEBRTC_STRING_PARTIAL = 54
    PUA = 55
    WEBRTC_STRING_EMPTY = 56
    WEBRTC_BINARY_EMPTY = 57
    XWAP = 58
    XW_CONTROL = 59
    NGAP = 60
    XNAP = 61
    F1AP = 62
    HTTP = 63
    E1AP = 64
    ELE2 = 65
    NGAP_DTLS = 66
    XNAP_DTLS = 67
    F1AP_DTLS = 68
    E1AP_DTLS = 69
    E2_CP = 70
    E2_UP = 71
    E2_DU = 72
    W1AP = 73


class Port(enum.IntEnum):
    """Ports that servers of these protocols listen on, as IANA has assigned them for SCTP.

    ``f"10.0.0.1:{Port.NGAP}"`` is an address: unlike a `Ppid`, a port is printed as its number.
    """

    M2UA = 2904
    M3UA = 2905
    H248_TEXT = 2944
    H248_BINARY = 2945
    M2PA = 3565
    ASAP = 3863
    DIAMETER = 3868
    V5UA = 5675
    DIAMETER_DTLS = 5868
    FORCES_HP = 6704
    FORCES_MP = 6705
    FORCES_LP = 6706
    LCS_AP = 9082
    IUA = 9900
    ENRP = 9901
    SUA = 14001
    RNA = 25471
    SBC_AP = 29168
    HNBAP = 29169
    RUA = 29169
    S1AP = 36412
    X2AP = 36422
    M2AP = 36443
    M3AP = 36444
    XWAP = 36462
    W1AP = 37472
    NGAP = 38412
    XNAP = 38422
    E1AP = 38462
    F1AP = 38472


def _named(number: int) -> int:
    """Return the `Ppid` that a number is; the number itself where it says nothing, or has no name."""
    return Ppid(number) if number and number in Ppid._value2member_map_ else int(number)


def ppid_text(number: int) -> str:
    """Return a payload protocol identifier for people: ``NGAP (60)``, or the number if it has no name."""
    named = _named(number)
    return f"{named.name} ({named:d})" if isinstance(named, Ppid) else str(named)


def fields_by_name(value: object, names: tuple[str, ...]) -> str:
    """Return the `repr` of a value with these fields, one of which is `ppid`, shown by name."""
    values = [(name, getattr(value, name)) for name in names]
    shown = [f"{name}={(_named(field) if name == 'ppid' else field)!r}" for name, field in values]
    return f"{type(value).__qualname__}({', '.join(shown)})"
