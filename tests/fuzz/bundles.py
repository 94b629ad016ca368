"""Mutated bundles through the real importer: none enters, none crashes it, none leaves a trace.

Run: python -m tests.fuzz.bundles [--count 20000] [--seed 1] [--processes 2] [--only N].
For every bundle, made from a good one by `mutations` (anyone with the medium) or `dishonest`
(the publisher):

1. the import ends in an ApplianceError, never in another exception and never in success;
2. no row is added, and no file appears outside staging: not in the library, nor anywhere else
   below the folder in which everything of this run lies, the working directory included.

A mutation that by chance says the same as the good bundle (`trees.same`) is made anew and not
counted. Of the kind `any_file`, where a publisher changes his own texts at random, some are good
bundles: what enters must then be exactly what was signed, and none of the kind is counted.
Seed and number decide what is done to a bundle; a bundle that breaks a rule is kept below
build/fuzz/. Keys are made anew in each run.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import multiprocessing
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fuzz import trees
from tests.fuzz.dishonest import DISHONEST, any_file
from tests.fuzz.ground import Base, BrokenRuleError, Ground, make_base
from tests.fuzz.mutations import KEYLESS
from tests.fuzz.trees import Entry, Tree

# Not relative: the working directory is elsewhere meanwhile.
FOUND = Path(__file__).resolve().parents[2] / "build" / "fuzz"
# One in so many is signed anew by the publisher, which takes the import further.
DISHONEST_SHARE, ANY_FILE_SHARE = 0.15, 0.01
MEMORY = Path("/dev/shm")  # noqa: S108  # only to be quick; a folder of its own is made in it
NO_CODE = "entered"


@dataclass
class Tally:
    """How many bundles were tried, by what was done to them, and how they were refused."""

    kinds: collections.Counter[str] = field(default_factory=collections.Counter)
    codes: collections.Counter[str] = field(default_factory=collections.Counter)

    @property
    def counted(self) -> int:
        """Return how many bundles there were that none may enter."""
        return sum(self.kinds.values()) - self.kinds[any_file.__name__]

    def add(self, other: Tally) -> None:
        """Count what another process counted."""
        self.kinds.update(other.kinds)
        self.codes.update(other.codes)


def source_of(seed: int, number: int) -> random.Random:
    """Return what decides everything that is done to the bundle of that number."""
    return random.Random(f"{seed}/{number}")  # noqa: S311  # repeatable, not secret


def mutant(base: Base, source: random.Random) -> tuple[str, dict[str, Entry]]:
    """Return a changed bundle that does not say the same as the good one, and what was done."""
    while True:
        tree = dict(base.tree)
        draw = source.random()
        if draw < ANY_FILE_SHARE:
            any_file(tree, base.desk, source)
            kind = any_file.__name__
        elif draw < DISHONEST_SHARE:
            change = _one_of(DISHONEST, source)
            change(tree, base.desk, source)
            kind = change.__name__
        else:
            damage = _one_of(KEYLESS, source)
            damage(tree, base.other, source)
            kind = damage.__name__
        if not trees.same(base.tree, tree):
            return kind, tree


def _one_of(choices: Sequence[tuple[Any, int]], source: random.Random) -> Any:
    return source.choices([item for item, _ in choices], [weight for _, weight in choices])[0]


def attempt(ground: Ground, seed: int, number: int, tally: Tally) -> None:
    """Try the bundle of that number; when it breaks a rule keep it, and raise BrokenRuleError."""
    kind, tree = mutant(ground.base, source_of(seed, number))
    try:
        code = _outcome(ground, kind, tree)
        ground.reset()
    except Exception as error:
        place = keep(tree, f"bundle-{seed}-{number}")
        raise BrokenRuleError(
            f"seed {seed}, number {number}, {kind}, {place}: {error!r}"
        ) from error
    tally.kinds[kind] += 1
    tally.codes[code or NO_CODE] += 1


def _outcome(ground: Ground, kind: str, tree: Tree) -> str | None:
    code = ground.bring_in(tree)
    if code is not None:
        ground.check_nothing_came()
    elif kind == any_file.__name__:
        ground.check_what_came(tree)
    else:
        raise BrokenRuleError("it entered")
    return code


def keep(tree: Tree, name: str) -> Path:
    """Lay a bundle out where it can be looked at."""
    place = FOUND / name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    trees.lay(place, {}, tree)
    return place


@contextlib.contextmanager
def grounds() -> Iterator[tuple[Ground, Ground]]:
    """Yield two machines, one for each kind of good bundle; the working directory is in one."""
    parent = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="bundles-", dir=parent) as folder:
        root = Path(folder)
        made = []
        for name in ("plain", "split"):
            (root / name).mkdir()
            made.append(
                Ground(
                    root / name / "ground", make_base(root / name / "desk", split=name == "split")
                )
            )
        first, second = made
        with contextlib.chdir(first.here):
            yield first, second
        for ground in made:
            ground.close()


def run(seed: int, numbers: range) -> Tally:
    """Try the bundles of those numbers; those of odd numbers come from the split bundle."""
    tally = Tally()
    with grounds() as pair:
        for ground in pair:
            ground.check_good_bundle_enters()
        for number in numbers:
            attempt(pair[number % 2], seed, number, tally)
    return tally


def main() -> None:
    """Try as many bundles as were asked for, in several processes; say how it went."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.bundles")
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", type=int, default=None)
    asked = parser.parse_args()
    begun = time.monotonic()
    # A few more than counted are needed: `any_file` is not.
    size = int(asked.count / (1 - 2 * ANY_FILE_SHARE)) + 10
    work = [(asked.seed, range(start, size, asked.processes)) for start in range(asked.processes)]
    if asked.only is not None:
        work = [(asked.seed, range(asked.only, asked.only + 1))]
    tally = Tally()
    with multiprocessing.get_context("spawn").Pool(len(work)) as pool:
        try:
            for done in pool.starmap(run, work):
                tally.add(done)
        except BrokenRuleError as error:
            sys.exit(f"a rule is broken: {error}")
    print(
        f"bundles: {tally.counted} mutated bundles, none entered, none crashed the importer, none "
        f"left a file; {tally.kinds[any_file.__name__]} more of doubtful kind; "
        f"{time.monotonic() - begun:.0f} s, seed {asked.seed}"
    )
    print(f"  done to them: {_listed(tally.kinds)}")
    print(f"  refused with: {_listed(tally.codes)}")


def _listed(counter: collections.Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counter.most_common())


if __name__ == "__main__":
    main()
