"""A checkpoint as a QR code: black on white, for a terminal and for paper (pure).

Byte mode with the note's UTF-8 as it is, so that any reader gives back the same bytes. Level M
mends 15 % of damage; a note of about 220 bytes is then a code of about 57 by 57 modules, which
prints well from 5 cm on.
"""

from __future__ import annotations

import io

import segno

LEVEL = "m"
QUIET_ZONE = 4
# Bright white on black whatever the terminal's colours are: half of them are dark on light.
_COLOURS, _PLAIN = "\x1b[97;40m", "\x1b[0m"


def terminal(note: str, *, colours: bool) -> str:
    """Return the code in half blocks; `colours` for a terminal, none for a file or a pipe."""
    drawn = io.StringIO()
    _code(note).terminal(drawn, border=QUIET_ZONE, compact=True)
    lines = drawn.getvalue().splitlines()
    if colours:
        lines = [f"{_COLOURS}{line}{_PLAIN}" for line in lines]
    return "\n".join(lines) + "\n"


def svg(note: str) -> str:
    """Return a stand-alone SVG document; one module is one unit."""
    drawn = io.BytesIO()
    _code(note).save(drawn, kind="svg", border=QUIET_ZONE, omitsize=True, light="#fff", nl=True)
    return drawn.getvalue().decode()


def svg_element(note: str) -> str:
    """Return an `<svg class="qr">` to stand in a page: no style, no script, no data address."""
    return str(
        _code(note).svg_inline(border=QUIET_ZONE, omitsize=True, light="#fff", svgclass="qr")
    )


def _code(note: str) -> segno.QRCode:
    return segno.make_qr(note, error=LEVEL, mode="byte", encoding="utf-8")
