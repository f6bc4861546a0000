"""The drawings of the manual, made here: `python docs/pictures.py` writes docs/images/*.svg anew."""

from collections.abc import Iterator
from pathlib import Path

IMAGES = Path(__file__).parent / "images"
INK, PALE, ONE, TWO, BAD = "#333", "#888", "#2a6fbb", "#c0712a", "#b03030"
FONT = "font-family='sans-serif'"


def text(x: float, y: float, words: str, *, size: int = 13, colour: str = INK, anchor: str = "middle") -> str:
    style = f"{FONT} font-size='{size}' fill='{colour}' text-anchor='{anchor}'"
    return f"<text x='{x}' y='{y}' {style}>{words}</text>"


def box(x: float, y: float, width: float, height: float, *, colour: str = INK, fill: str = "none") -> str:
    shape = f"x='{x}' y='{y}' width='{width}' height='{height}' rx='6'"
    return f"<rect {shape} fill='{fill}' stroke='{colour}' stroke-width='1.5'/>"


def line(x1: float, y1: float, x2: float, y2: float, *, colour: str = INK, more: str = "") -> str:
    return f"<line x1='{x1}' y1='{y1}' x2='{x2}' y2='{y2}' stroke='{colour}' stroke-width='2' {more}/>"


def arrow(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    """Draw a line to the right or down, with a head at its end."""
    down = x1 == x2
    head = f"{x2 - 5},{y2 - 8} {x2 + 5},{y2 - 8}" if down else f"{x2 - 8},{y2 - 5} {x2 - 8},{y2 + 5}"
    return line(x1, y1, x2, y2, colour=colour) + f"<polygon points='{x2},{y2} {head}' fill='{colour}'/>"


def association() -> Iterator[str]:
    """Two endpoints with two addresses each: the streams that the program sees, and the paths below them."""
    yield from (box(20, 30, 150, 220), text(95, 52, "station", size=15))
    yield from (box(550, 30, 150, 220), text(625, 52, "gateway", size=15))
    yield text(360, 24, "one association: streams of messages", size=14)
    for number, (name, words) in enumerate(
        (("stream 0", ("hello",)), ("stream 1", ("21.5", "21.6", "21.7")), ("stream 2", ("fire",)))
    ):
        y = 58 + 34 * number
        yield arrow(170, y, 548, y, PALE)
        yield text(182, y - 6, name, size=12, colour=PALE, anchor="start")
        for place, word in enumerate(words):
            x = 480 - 70 * place
            yield box(x - 26, y - 12, 52, 22, fill="#fff") + text(x, y + 4, word, size=12)
    for number, (here, there, name, colour) in enumerate(
        (
            ("10.1.0.2", "10.1.0.1", "path over network 1: the primary one", ONE),
            ("10.2.0.2", "10.2.0.1", "path over network 2: takes over if the first one fails", TWO),
        )
    ):
        y = 180 + 46 * number
        yield text(95, y + 5, here, colour=colour) + text(625, y + 5, there, colour=colour)
        yield line(150, y, 570, y, colour=colour, more="stroke-dasharray='7 4'" if number else "")
        yield text(360, y - 7, name, size=12, colour=colour)


def failover() -> Iterator[str]:
    """What happens when the primary path is cut, on a line of time."""
    for y, name, colour in ((60, "path 1", ONE), (110, "path 2", TWO)):
        yield text(20, y + 5, name, colour=colour, anchor="start")
        yield line(80, y, 700, y, colour="#ccc")
    for x in range(100, 240, 28):
        yield box(x, 50, 18, 20, colour=ONE, fill=ONE)
    yield line(252, 34, 252, 86, colour=BAD, more="stroke-dasharray='4 3'") + text(252, 26, "cut", colour=BAD)
    for x in (262, 318):
        yield box(x, 50, 18, 20, colour=BAD, fill="#fff") + text(x + 9, 65, "x", size=12, colour=BAD)
    yield line(262, 140, 396, 140, colour=PALE) + text(329, 157, "no acknowledgement: RTO", size=12)
    yield arrow(400, 76, 400, 98, PALE)
    yield text(408, 84, "PeerAddressChange UNREACHABLE", size=12, anchor="start")
    for x in range(404, 620, 28):
        yield box(x, 100, 18, 20, colour=TWO, fill=TWO)
    yield text(412, 140, "what was lost is sent again, then what is new", size=12, colour=TWO, anchor="start")
    yield line(640, 34, 640, 86, colour=ONE, more="stroke-dasharray='4 3'") + text(
        640, 26, "mended", colour=ONE
    )
    yield text(648, 90, "AVAILABLE", size=12, anchor="start")
    for x in (652, 680):
        yield box(x, 50, 18, 20, colour=ONE, fill=ONE)
    yield text(20, 157, "time →", size=12, colour=PALE, anchor="start")


PICTURES = {"association": (association, 720, 270), "failover": (failover, 730, 170)}


def svg(name: str) -> str:
    """Return a picture as the text of its file."""
    draw, width, height = PICTURES[name]
    head = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}'>"
    paper = f"<rect width='{width}' height='{height}' rx='8' fill='#fff'/>"
    return "\n".join([head, paper, *draw(), "</svg>", ""])


if __name__ == "__main__":
    for name in PICTURES:
        (IMAGES / f"{name}.svg").write_text(svg(name), encoding="utf-8")
