"""Canonical bytes: one spelling for one value, and nothing outside the profile."""

from __future__ import annotations

import hashlib
import json

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from appliance.canonical import MAX_INTEGER, decode, encode, sha256
from appliance.errors import BadInputError

ASCII = st.text(st.characters(codec="ascii"))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-MAX_INTEGER, MAX_INTEGER)
    | st.text(st.characters(codec="utf-8"))
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(ASCII, inner), max_leaves=8
)
OBJECTS = st.dictionaries(ASCII, VALUES)


@given(OBJECTS)
def test_what_was_encoded_decodes_to_the_same(value: dict[str, object]) -> None:
    """Nothing is lost on the way."""
    assert decode(encode(value)) == value


@given(OBJECTS)
def test_the_order_of_keys_does_not_matter(value: dict[str, object]) -> None:
    """Two equal objects have equal bytes, so equal hashes."""
    assert encode(dict(reversed(value.items()))) == encode(value)


@given(OBJECTS)
def test_any_json_reader_reads_the_bytes(value: dict[str, object]) -> None:
    """The bytes are plain JSON, without blanks."""
    assert json.loads(encode(value)) == value


@given(st.binary())
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    """Whatever lies in a file, there is one error for it; what is accepted is canonical."""
    try:
        value = decode(data)
    except BadInputError:
        return
    assert encode(value) == data


def test_the_example_of_the_standard() -> None:
    """RFC 8785 sorts by UTF-16 code units and escapes as little as JSON allows."""
    value = {"b": '\u20ac$\u000f\nA\'B"\\"/', "a": [56, None, True, False], "aa": {}}
    expected = '{"a":[56,null,true,false],"aa":{},"b":"\u20ac$\\u000f\\nA\'B\\"\\\\\\"/"}'
    assert encode(value) == expected.encode()


@pytest.mark.parametrize(
    "data",
    [
        b'{"b":1,"a":2}',
        b'{"a": 1}',
        b'{"a":1}\n',
        b'{"a":1,"a":1}',
        b'{"a":1.0}',
        b'{"a":1e400}',
        b'{"a":NaN}',
        b'{"a":"\\u0041"}',
        b'\xef\xbb\xbf{"a":1}',
        '{"a":1}'.encode("utf-16"),
        b'{"a":"\\ud800"}',
        b'{"a":01}',
        b"[1]",
        b"null",
        b"",
        b"{",
        b'{"a":' + b"9" * 5000 + b"}",
    ],
)
def test_another_spelling_is_refused(data: bytes) -> None:
    """A second spelling of the same object would have a second hash."""
    with pytest.raises(BadInputError):
        decode(data)


@pytest.mark.parametrize("depth", [10, 400, 900, 990, 10_000, 100_000])
def test_deep_nesting_is_read_or_refused(depth: int) -> None:
    """A hostile file cannot exhaust the stack: there is one error for it."""
    data = b'{"a":' + b"[" * depth + b"]" * depth + b"}"
    try:
        value = decode(data)
    except BadInputError:
        assert depth > 100, "what people write is read"
    else:
        assert encode(value) == data


@given(OBJECTS)
def test_the_bytes_are_those_of_an_independent_encoder(value: dict[str, object]) -> None:
    """Within the profile, the rfc8785 package writes the same bytes."""
    assert encode(value) == rfc8785.dumps(value)


@pytest.mark.parametrize("depth", [990, 10_000])
def test_a_bottomless_value_is_refused(depth: int) -> None:
    """Nor can a value that was built in memory."""
    value: dict[str, object] = {}
    for _ in range(depth):
        value = {"a": value}
    with pytest.raises(BadInputError):
        encode(value)


@pytest.mark.parametrize(
    "value",
    [
        {"a": 1.0},
        {"a": b"x"},
        {"a": MAX_INTEGER + 1},
        {"a": [-MAX_INTEGER - 1]},
        {"\u00e4": 1},
        {"a": {"b": {1: 2}}},
        {"a": {1, 2}},
        {"a": "\ud800"},
        {"\ud800": 1},
    ],
)
def test_what_readers_disagree_about_is_refused(value: dict[str, object]) -> None:
    """Floats, bytes, big integers, other keys than ASCII, half characters."""
    with pytest.raises(BadInputError):
        encode(value)


@pytest.mark.parametrize("value", [MAX_INTEGER, -MAX_INTEGER, 0])
def test_the_largest_integers_are_allowed(value: int) -> None:
    """2^53 - 1 is exact in every language."""
    assert decode(encode({"a": value})) == {"a": value}


def test_the_hash_is_that_of_the_joined_parts() -> None:
    """Parts are just a way not to copy."""
    assert sha256(b"ab", b"", b"c") == hashlib.sha256(b"abc").digest()
