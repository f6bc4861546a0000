"""SCTP over UDP between two network namespaces, with and without segmentation by the device.

As root, on a kernel with SCTP and veth, with iproute2 and ethtool: python3 udp_gso.py [CAPTURE.pcap]
"""

import ctypes
import os
import socket
import subprocess
import sys
import threading
import time

SIZE, COUNT, SECONDS = 65536, 60, 8.0
SO_RCVBUFFORCE = 33
NAMES = {"a": "10.9.0.1", "b": "10.9.0.2"}


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def inside(name: str, *command: str) -> str:
    return run("ip", "netns", "exec", name, *command)


def enter(name: str) -> None:
    """Move this thread to a namespace."""
    with open(f"/run/netns/{name}") as namespace:
        if ctypes.CDLL(None).setns(namespace.fileno(), 0x40000000):
            raise OSError("setns")


def sctp_socket(seconds: float) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP)
    made.settimeout(seconds)
    # So large that the receiver's memory has no part in it.
    made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
    return made


def t3() -> int:
    counters = inside("a", "cat", "/proc/net/sctp/snmp").splitlines()
    return int(dict(line.split() for line in counters)["SctpT3Retransmits"])


def flood(name: str) -> None:
    before, began, got, ready = t3(), time.monotonic(), 0, threading.Event()

    def receive() -> None:
        nonlocal got
        enter("b")
        with sctp_socket(SECONDS) as listener:
            listener.bind((NAMES["b"], 7000))
            listener.listen()
            ready.set()
            peer, _ = listener.accept()
            with peer:
                peer.settimeout(SECONDS)
                while got < SIZE * COUNT and time.monotonic() - began < SECONDS:
                    data = peer.recv(1 << 18)
                    if not data:
                        return
                    got += len(data)

    def send() -> None:
        enter("a")
        try:
            for _ in range(COUNT):
                client.send(bytes(SIZE))
        except OSError:
            pass

    receiver = threading.Thread(target=receive)
    receiver.start()
    ready.wait()

    def dial() -> None:
        nonlocal client
        enter("a")
        client = sctp_socket(SECONDS)
        client.connect((NAMES["b"], 7000))

    client: socket.socket
    dialling = threading.Thread(target=dial)
    dialling.start()
    dialling.join()
    began = time.monotonic()
    sender = threading.Thread(target=send)
    sender.start()
    receiver.join()
    took = time.monotonic() - began
    sender.join()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    print(f"{name:45} {got / 1e6 / took:8.2f} MB/s, T3 timeouts {t3() - before}", flush=True)


def main() -> None:
    print(f"Linux {os.uname().release}: {COUNT} messages of {SIZE} bytes, at most {SECONDS:g} s each")
    for name in NAMES:
        run("ip", "netns", "add", name)
    run("ip", "link", "add", "va", "netns", "a", "type", "veth", "peer", "name", "vb", "netns", "b")
    for name, address in NAMES.items():
        run("ip", "-n", name, "address", "add", f"{address}/24", "dev", f"v{name}")
        run("ip", "-n", name, "link", "set", f"v{name}", "up")

    def both(*command: str) -> None:
        for name in NAMES:
            inside(name, *(word.replace("DEV", f"v{name}") for word in command))

    flood("SCTP over IP")
    both("ethtool", "-K", "DEV", "tx-sctp-segmentation", "off")
    flood("SCTP over IP, tx-sctp-segmentation off")
    both("ethtool", "-K", "DEV", "tx-sctp-segmentation", "on")
    both("sysctl", "-qw", "net.sctp.udp_port=9899", "net.sctp.encap_port=9899")
    flood("SCTP over UDP")
    both("ethtool", "-K", "DEV", "tx-sctp-segmentation", "off")
    capture = None
    if sys.argv[1:]:
        command = ["ip", "netns", "exec", "b", "tcpdump", "-i", "vb", "-U", "-w", sys.argv[1], "udp"]
        capture = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        time.sleep(2)
    flood("SCTP over UDP, tx-sctp-segmentation off")
    if capture:
        capture.terminate()
        capture.wait()
    both("ip", "link", "set", "DEV", "gso_max_size", "1500")
    flood("the same, gso_max_size 1500")
    both("ip", "link", "set", "DEV", "gso_max_size", "65536")
    both("ethtool", "-K", "DEV", "gso", "off")
    flood("the same, gso off")
    for name in NAMES:
        run("ip", "netns", "del", name)


if __name__ == "__main__":
    main()
