"""Which finished conversations are kept, and for whom."""

from __future__ import annotations

from appliance.llama.batching.kept import MOST_AGE_S, MOST_CONVERSATIONS, Conversations
from appliance.llama.batching.prefixes import Held


def held(person: str, *tokens: int, public: int = 0) -> Held:
    return Held(person, public, list(tokens), len(tokens))


def put(kept: Conversations, conversation: Held, state: object) -> None:
    """Keep a conversation as whoever writes it down does."""
    kept.make_room(conversation)
    kept.keep(conversation, state)


def test_the_longest_unused_conversation_goes_first() -> None:
    """Room is bounded in tokens, and using a conversation keeps it."""
    kept = Conversations(tokens=6)
    for person in ("anna", "ben", "carl"):
        put(kept, held(person, 1, 2), person)
    found, _ = kept.best("anna", [1, 2, 3], 0)
    assert found is not None
    kept.use(found)
    put(kept, held("dora", 1, 2), "dora")
    lengths = {who: kept.best(who, [1, 2, 3], 0)[1] for who in ("anna", "ben", "carl", "dora")}
    assert lengths == {"anna": 2, "ben": 0, "carl": 2, "dora": 2}
    assert kept.tokens == 6


def test_a_conversation_that_went_on_takes_the_place_of_its_beginning() -> None:
    """Else each question would leave the whole conversation behind once more."""
    kept = Conversations(tokens=100)
    put(kept, held("anna", 1, 2), "first")
    put(kept, held("anna", 1, 2, 3), "second")
    assert kept.tokens == 3
    assert not kept.wants(held("anna", 1, 2))
    assert kept.wants(held("anna", 1, 2, 4))
    assert kept.wants(held("ben", 1, 2))


def test_what_is_too_large_or_empty_is_not_wanted() -> None:
    """Nothing is written down that would have to go at once."""
    kept = Conversations(tokens=3)
    assert not kept.wants(held("anna", 1, 2, 3, 4))
    assert not kept.wants(held("anna"))
    assert not Conversations(tokens=0).wants(held("anna", 1))


def test_the_number_of_conversations_is_bounded() -> None:
    """Each request looks through all of them."""
    kept = Conversations(tokens=10_000)
    for number in range(2 * MOST_CONVERSATIONS):
        put(kept, held(f"p{number}", number), number)
    assert kept.tokens == MOST_CONVERSATIONS


def test_others_get_no_more_than_the_public_beginning() -> None:
    """Kept or running: what one person asked is not reused for another."""
    kept = Conversations(tokens=100)
    put(kept, held("anna", 1, 2, 3, 4, public=2), "state")
    assert kept.best("anna", [1, 2, 3, 4, 5], 2)[1] == 4
    assert kept.best("ben", [1, 2, 3, 4, 5], 2)[1] == 2
    assert kept.best("", [1, 2, 3, 4, 5], 2)[1] == 2


def test_what_nobody_came_back_for_goes() -> None:
    """Nobody's words stay in memory for long; each use counts anew."""
    kept = Conversations(tokens=100)
    kept.age(1_000.0)
    put(kept, held("anna", 1, 2), "anna's")
    put(kept, held("ben", 1, 2), "ben's")
    kept.age(1_000.0 + MOST_AGE_S / 2)
    found, _ = kept.best("anna", [1, 2, 3], 0)
    assert found is not None
    kept.use(found)
    kept.age(1_000.0 + MOST_AGE_S)
    assert kept.best("ben", [1, 2, 3], 0) == (None, 0)
    assert kept.best("anna", [1, 2, 3], 0)[1] == 2
    kept.age(1_000.0 + 2 * MOST_AGE_S)
    assert kept.tokens == 0
