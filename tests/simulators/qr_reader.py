"""Reads QR codes with zxing, which is not what drew them: from SVG, or from half blocks.

SVG is drawn here by hand: the library writes one path of horizontal strokes, one unit wide.
"""

from __future__ import annotations

import re
from typing import Any

import numpy
import zxingcpp

SCALE = 8
BLOCKS = {" ": (0, 0), "\u2580": (1, 0), "\u2584": (0, 1), "\u2588": (1, 1)}
_VIEW = re.compile(r'viewBox="0 0 (\d+) (\d+)"')
_STROKES = re.compile(r'stroke="#000" d="([^"]+)"')
_COMMAND = re.compile(r"([Mmh])(-?[\d.]+)(?:[ ,]?(-?[\d.]+))?")


def from_svg(text: str) -> bytes:
    """Return what the one code in an SVG says."""
    view, strokes = _VIEW.search(text), _STROKES.search(text)
    assert view is not None
    assert strokes is not None
    image = numpy.full((int(view[2]), int(view[1])), 255, numpy.uint8)
    x = y = 0.0
    for name, first, second in _COMMAND.findall(strokes[1]):
        if name == "h":
            image[int(y), int(x) : int(x + float(first))] = 0
            x += float(first)
        else:
            there = (float(first), float(second))
            x, y = there if name == "M" else (x + there[0], y + there[1])
    return _read(image)


def from_blocks(text: str) -> bytes:
    """Return what a code of half blocks says; a full block is light."""
    rows: list[list[int]] = []
    for line in text.splitlines():
        for half in (0, 1):
            rows.append([255 * BLOCKS[block][half] for block in line])  # noqa: PERF401
    return _read(numpy.array(rows, numpy.uint8))


def _read(image: Any) -> bytes:
    large = numpy.kron(image, numpy.ones((SCALE, SCALE), numpy.uint8))
    [found] = zxingcpp.read_barcodes(large, formats=zxingcpp.BarcodeFormat.QRCode)
    return bytes(found.bytes)
