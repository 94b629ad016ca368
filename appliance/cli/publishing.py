"""`appliance bundle build` and `bundle sign`: the publisher's half of the noun.

They work on a publisher's desk, need no state folder, and record nothing. The module adds them to
the noun when `main` loads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click
from securesystemslib.signer import Signer

from appliance.bundles.building import FAT32_MOST, ModelSource
from appliance.bundles.card import parse as parse_card
from appliance.bundles.desk import build as building
from appliance.bundles.desk import contents, recording, signing
from appliance.bundles.desk.build import Built, Order
from appliance.bundles.desk.desk import Desk
from appliance.bundles.desk.drafts import Draft
from appliance.bundles.desk.signing import Outcome
from appliance.bundles.manifest import PART_BYTES, PLAIN_NAME
from appliance.bundles.refusals import BundleError
from appliance.cli import presenting, publisher_keys, publisher_showing
from appliance.cli.commands import Command, json_option
from appliance.cli.invocation import Invocation, pass_invocation
from appliance.cli.publisher_keys import key_options
from appliance.errors import ApplianceError

SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([kMGT]?)(i?)B?")
POWERS = {"": 0, "k": 1, "M": 2, "G": 3, "T": 4}
PROMPTS = "eval.jsonl"
READ_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


class Size(click.ParamType[int]):
    """A number of bytes with a unit: 64GB, 3.5GiB."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        if isinstance(value, int):
            return value
        found = SIZE.fullmatch(str(value))
        if found is None:
            self.fail(f"{value!r} is no size; for example 64GB or 3.5GiB", param, ctx)
        base = 1024 if found[3] else 1000
        return int(float(found[1]) * base ** POWERS[found[2]])


@click.command("build", cls=Command)
@click.argument("desk", type=click.Path(path_type=Path, file_okay=False))
@click.argument("weights", metavar="[MODEL.gguf]", type=READ_FILE, required=False)
@click.option("--card", type=READ_FILE, metavar="FILE", help="The model's card (TOML).")
@click.option("--prompts", type=READ_FILE, metavar="FILE",
              help=f"Its golden prompts.  [default: {PROMPTS} beside the card, else the set that "
              "the card names]")  # fmt: skip
@click.option("--template", type=READ_FILE, metavar="FILE",
              help="A chat template in place of the one inside the weights.")  # fmt: skip
@click.option("--out", "folders", required=True, multiple=True, metavar="FOLDER",
              type=click.Path(path_type=Path, file_okay=False),
              help="A new or empty folder on the medium. Repeat it for several media.")  # fmt: skip
@click.option("--epoch", type=click.IntRange(0, 2**31), metavar="N",
              help="Security epoch: a hospital never goes back to a lower one.  "
              "[default: the model's highest so far, or 1]")  # fmt: skip
@click.option("--min-engine", default="0.3", show_default=True, metavar="V",
              help="The oldest engine that runs it.")  # fmt: skip
@click.option("--part-size", type=Size(), default=PART_BYTES, metavar="SIZE",
              help="Longest file; weights are split above it.  [default: 3.5GiB]")  # fmt: skip
@click.option("--media-size", type=Size(), metavar="SIZE",
              help="Room on each medium.  [default: what is free there]")  # fmt: skip
@click.option("--valid-days", type=click.IntRange(1, 3_653), default=building.VALID_DAYS,
              show_default=True, metavar="DAYS",
              help="For how long a hospital may import it.")  # fmt: skip
@click.option("--again", is_flag=True,
              help="Carry a published version once more, with the same weights.")  # fmt: skip
@click.option("--abandoned", type=int, metavar="N",
              help="Bundle N was given up: nobody has it, nobody will complete it.")  # fmt: skip
@json_option
@pass_invocation
def build(
    invocation: Invocation,
    desk: Path,
    weights: Path | None,
    card: Path | None,
    prompts: Path | None,
    template: Path | None,
    folders: tuple[Path, ...],
    epoch: int | None,
    min_engine: str,
    part_size: int,
    media_size: int | None,
    valid_days: int,
    again: bool,
    abandoned: int | None,
) -> None:
    """Write a model from the publisher's DESK to a medium, ready to be signed.

    The weights are read once; their digest is computed and pinned. Without a model, the bundle
    carries only the list of models: to withdraw some, or to renew its validity.

    \b
    Example:
      appliance bundle build ~/desk model.gguf --card card.toml --out /media/stick/bundle
      appliance bundle build ~/desk big.gguf --card big.toml --out /media/one --out /media/two
      appliance bundle build ~/desk --out /media/stick/advisory
    """
    if part_size > FAT32_MOST or part_size < 1:
        raise click.UsageError(
            f"--part-size is 1 to {FAT32_MOST} bytes: FAT32 holds no longer file"
        )
    sources = () if weights is None else (_source(weights, card, prompts, template, min_engine),)
    if weights is None and (card or prompts or template):
        raise click.UsageError("name the model's weights (GGUF) too")
    order = Order(sources, folders, part_size, media_size, valid_days, abandoned, again, epoch)
    found = Desk(desk)
    with (
        _hinting("nothing was written; correct what is named above and build again"),
        found.held(),
        presenting.progress("reading and copying") as progress,
    ):
        built = building.build(found, order, publisher_keys.now(), progress)
    _show_built(invocation, found, built)


@click.command("sign", cls=Command)
@click.argument("bundle", nargs=-1, required=True,
                type=click.Path(path_type=Path, exists=True, file_okay=False))  # fmt: skip
@key_options
@click.option("--yes", is_flag=True, help="Sign without being asked.")
@json_option
@pass_invocation
def sign(
    invocation: Invocation,
    bundle: tuple[Path, ...],
    key: str,
    passphrase_file: Path | None,
    pin_file: Path | None,
    yes: bool,
) -> None:
    """Add one person's signature to a bundle that `bundle build` wrote.

    Everything on it is read first and shown. The last person that it takes completes the bundle.
    Name the folders of all its media at once.

    \b
    Example:
      appliance bundle sign /media/stick/bundle --key ~/desk/keys/st-elsewhere-models.key
    """
    with _hinting("the bundle is not complete; build it anew at the desk"):
        draft = Draft.open(bundle)
        signer = publisher_keys.signer_of(key, passphrase_file, pin_file)
        outcome = _signed(draft, signer, yes)
    _show_outcome(invocation, draft, outcome, outcome.manifest is not None and _adopted(draft))


def _signed(draft: Draft, signer: Signer, yes: bool) -> Outcome:
    """Read the draft, show it, ask, and sign it; raise Abort where the person says no."""
    found = None
    if signing.must_read(draft, signer):
        with presenting.progress("reading what is to be signed") as progress:
            found = contents.read(draft, progress)
        publisher_showing.summary(draft, found)
        if not publisher_keys.ask("sign this bundle?", yes):
            presenting.remark("nothing was signed")
            raise click.Abort
    return signing.sign(draft, signer, found, publisher_keys.now())


@contextmanager
def _hinting(hint: str) -> Iterator[None]:
    """Give refusals the hint of a publisher: the class's own one is for a hospital."""
    try:
        yield
    except BundleError as error:
        error.hint = hint
        raise


def _source(
    weights: Path,
    card: Path | None,
    prompts: Path | None,
    template: Path | None,
    min_engine: str,
) -> ModelSource:
    if card is None:
        raise click.UsageError("give the model's card with --card; models/catalog has examples")
    return ModelSource(weights, card, prompts or _prompts(card), template, min_engine=min_engine)


def _prompts(card: Path) -> Path:
    """Return the golden prompts of a card: its own, else the set of the catalogue that it names."""
    own = card.with_name(PROMPTS)
    if own.is_file():
        return own
    name = parse_card(card.read_bytes()).values.get("golden")
    if isinstance(name, str) and PLAIN_NAME.fullmatch(name):
        named = card.resolve().parent.with_name("golden") / f"{name}.jsonl"
        if named.is_file():
            return named
    raise click.UsageError(
        f"give golden prompts with --prompts: there is no {PROMPTS} beside {card.name}; "
        "models/golden has some to begin with"
    )


def _adopted(draft: Draft) -> bool:
    """Tell the desk that made the bundle, when it is on this machine; it verifies all again."""
    with suppress(ApplianceError, OSError):
        desk = Desk(Path(draft.info.desk))
        if desk.state.id == draft.info.desk_id:
            with desk.held():
                recording.record(desk, draft.folders[0])
            return True
    return False


def _show_built(invocation: Invocation, desk: Desk, built: Built) -> None:
    several = len(built.media) > 1

    def people() -> None:
        what = " and ".join(built.models) or "the list of models"
        presenting.say(f"bundle {built.version} with {what} waits for signatures")
        for number, (folder, held) in enumerate(built.media, start=1):
            bytes_of = ", ".join(f"{name} {presenting.size(n)}" for name, n in held.items())
            if several:
                presenting.say(f"  medium {number}, {folder}: {bytes_of or 'metadata alone'}")
        for item in built.denied:
            presenting.say(f"  withdrawn: {item.model} {item.version}: {item.reason}")
        if built.root_expires < built.expires:
            presenting.remark(
                f"mind: the root ends before the bundle, on {built.root_expires:%Y-%m-%d}"
            )
        if desk.pending() is not None:
            presenting.remark("mind: a newer root waits for signatures; this bundle is without it")
        folders = " ".join(str(folder) for folder, _ in built.media)
        key = publisher_showing.key_of(desk)
        presenting.remark(f"next: appliance bundle sign {folders} --key {key}")

    invocation.present(
        {"version": built.version, "expires": built.expires.timestamp(),
         "models": list(built.models),
         "media": [{"folder": str(folder), "bytes": held} for folder, held in built.media]}, people
    )  # fmt: skip


def _show_outcome(invocation: Invocation, draft: Draft, outcome: Outcome, adopted: bool) -> None:
    folders = " ".join(map(str, draft.folders))

    def people() -> None:
        presenting.say(f"{publisher_showing.counted(outcome.missing)}: "
                       f"{', '.join(outcome.missing.signed)}")  # fmt: skip
        again = f"      appliance bundle sign {folders} --key KEY"
        if outcome.waits_for == "targets":
            presenting.remark(f"next: {' or '.join(outcome.missing.open)} runs")
            presenting.remark(again)
        elif outcome.waits_for == "freshness":
            presenting.remark(
                f"next: snapshot and timestamp, by {' or '.join(outcome.may_finish)}:"
            )
            presenting.remark(again)
        else:
            presenting.say(f"bundle {draft.info.version} of {draft.info.publisher} is complete")
            if not adopted:
                presenting.remark("next: where the desk is:")
                presenting.remark(f"      appliance publisher record DESK {draft.folders[0]}")
            presenting.remark("next: unmount the medium and carry it to the hospital; there:")
            if draft.info.version == 1:
                presenting.remark("      appliance trust add NAME metadata/1.root.json   (once)")
            presenting.remark(f"      appliance bundle import {folders}")

    invocation.present(
        {"version": draft.info.version, "complete": outcome.manifest is not None,
         "waits_for": outcome.waits_for, "wanted": outcome.missing.wanted,
         "signed": list(outcome.missing.signed), "open": list(outcome.missing.open),
         "recorded": adopted}, people
    )  # fmt: skip
