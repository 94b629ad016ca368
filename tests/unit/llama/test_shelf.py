"""Room for what finished conversations held: no place twice, nothing left behind."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.llama.shelf import AHEAD, PART, Bytes, Shelf

MIB = 1 << 20


@given(st.lists(st.tuples(st.integers(1, 100_000), st.integers(0, 30)), max_size=200))
def test_places_do_not_overlap_and_are_used_again(visits: list[tuple[int, int]]) -> None:
    """Whatever comes and goes, each one holds what was written into it."""
    shelf = Shelf(MIB)
    held: list[tuple[int, Bytes]] = []
    for number, (size, leaves) in enumerate(visits):
        place = shelf.take(size)
        if place is None:
            assert held, "an empty shelf has room for anything that is smaller"
        else:
            assert not place.any(), "what stood there before is overwritten"
            place.fill(number % 255 + 1)
            held.append((number % 255 + 1, place))
        del place
        if leaves < len(held):
            mark, kept = held.pop(leaves)
            assert (kept == mark).all()
            del kept
    held.clear()
    assert shelf.used == 0


def test_the_lowest_gap_is_taken_first() -> None:
    """It was touched before, so that it costs no new pages."""
    shelf = Shelf(MIB)
    first, second = shelf.take(1_000), shelf.take(1_000)
    assert first is not None
    assert second is not None
    where = first.ctypes.data
    del first
    again = shelf.take(900)
    assert again is not None
    assert again.ctypes.data == where


def test_there_is_no_place_for_more_than_there_is_room() -> None:
    """Nor for nothing."""
    assert Shelf(1_000).take(2_000) is None
    assert Shelf(0).take(1) is None
    assert Shelf(1_000).take(0) is None


def test_it_is_made_ready_in_parts() -> None:
    """As much as may be needed soon, and no more; then there is nothing to do."""
    shelf = Shelf(4 * AHEAD)
    parts = 1
    while shelf.get_ready():
        parts += 1
    assert parts == AHEAD // PART
    assert not shelf.get_ready()
    place = shelf.take(3 * PART)
    assert shelf.get_ready()
    del place


def test_a_small_shelf_is_ready_soon() -> None:
    """No more is touched than there is."""
    shelf = Shelf(PART)
    assert shelf.get_ready()
    assert not shelf.get_ready()
    assert not Shelf(0).get_ready()
