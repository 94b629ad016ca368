"""Answers as HTML that is inert: nothing in one can make the browser run, load or follow a thing.

A model's answer is untrusted text. Two independent layers: markdown-it with raw HTML off, whose
links and images become plain text with the address visible; then nh3, which keeps a short list
of tags without attributes. The Content-Security-Policy is the third (`headers.py`).
"""

from __future__ import annotations

import re
from html import escape

import nh3
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markupsafe import Markup

TAGS = {
    "p", "br", "hr", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "pre", "code",
    "em", "strong", "s", "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip
ATTRIBUTES = {"ol": {"start"}}
# Beyond this an answer is shown as plain text: the cost of parsing must stay bounded.
MAX_PARSED_CHARACTERS = 200_000
# C0 and C1 controls but tab and line ends: invisible on a page, harmful in a copied text.
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
# Characters that reorder the text after them: an answer must read in the order it was written.
_REORDERING = re.compile("[\u202a-\u202e\u2066-\u2069]")
# The page's own heading is h1 and the question is h2, so a model's headings start at h3.
_HEADINGS = {"h1": "h3", "h2": "h4", "h3": "h5", "h4": "h6", "h5": "h6", "h6": "h6"}


def render(text: str) -> Markup:
    """Return safe HTML for an answer in Markdown; the result needs no further escaping."""
    clean = plain(text)
    if len(clean) > MAX_PARSED_CHARACTERS:
        return Markup(f"<pre>{escape(clean)}</pre>")  # noqa: S704 - escaped
    cleaned = nh3.clean(
        _PARSER.render(clean),
        tags=TAGS,
        attributes=ATTRIBUTES,
        url_schemes=set(),
        link_rel=None,
        strip_comments=True,
    )
    return Markup(cleaned)  # noqa: S704 - cleaned on the line above


def plain(text: str) -> str:
    """Return the text without control and reordering characters."""
    return _REORDERING.sub("", _CONTROLS.sub("", text))


def _disarm(state: StateCore) -> None:
    """Turn links and images into text, keeping their addresses visible."""
    for token in state.tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = _HEADINGS[token.tag]
        if token.type == "inline" and token.children:
            token.children = _without_links(token.children)


def _without_links(tokens: list[Token]) -> list[Token]:
    kept: list[Token] = []
    addresses: list[str] = []
    for token in tokens:
        if token.type == "link_open":
            addresses.append("" if token.markup == "autolink" else str(token.attrGet("href")))
        elif token.type == "link_close":
            kept.append(_text(_in_brackets(addresses.pop())))
        elif token.type == "image":
            kept.append(_text(token.content + _in_brackets(str(token.attrGet("src")))))
        else:
            kept.append(token)
    return kept


def _in_brackets(address: str) -> str:
    return f" ({address})" if address else ""


def _text(content: str) -> Token:
    token = Token("text", "", 0)
    token.content = content
    return token


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "linkify": False})
    parser.enable(["table", "strikethrough"])
    # commonmark turns "html" on as a rule of its own; both places are closed.
    parser.disable(["html_block", "html_inline"])
    parser.core.ruler.push("disarm", _disarm)
    return parser


_PARSER = _parser()
