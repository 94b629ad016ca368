"""Import: a good bundle enters, every broken one is refused and leaves nothing behind."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from tuf.api.metadata import Targets

from appliance.bundles import refusals
from appliance.errors import ApplianceError
from tests.simulators import bundle_forge as attacks
from tests.simulators.bundle_forge import BundleForge, card_text, weights_of
from tests.unit.bundles.conftest import TIME, Site

BROKEN: list[tuple[Callable[[Path], None], type[ApplianceError], str]] = [
    (attacks.break_content, refusals.ContentError, "not the signed one"),
    (attacks.break_short, refusals.ContentError, "were signed"),
    (attacks.break_long, refusals.ContentError, "were signed"),
    (attacks.break_extra_file, refusals.LayoutError, "was not signed"),
    (attacks.break_extra_folder, refusals.LayoutError, "was not signed"),
    (attacks.break_empty_folder, refusals.LayoutError, "was not signed"),
    (attacks.break_terminal_name, refusals.LayoutError, r"'\\x1b\]0;x\\x07\\udcff' was not signed"),
    (attacks.break_extra_metadata, refusals.LayoutError, "does not belong"),
    (attacks.break_unknown_metadata, refusals.LayoutError, "not a metadata file"),
    (attacks.break_huge_metadata, refusals.LayoutError, "larger than"),
    (attacks.break_missing_file, refusals.LayoutError, "is missing"),
    (attacks.break_missing_metadata, refusals.LayoutError, "is missing"),
    (attacks.break_symlink, refusals.LayoutError, "not a plain file"),
    (attacks.break_folder_symlink, refusals.LayoutError, "not a plain folder"),
    (attacks.break_hard_link, refusals.LayoutError, "hard link"),
    (attacks.break_fifo, refusals.LayoutError, "not a plain file"),
    (attacks.break_subfolder, refusals.LayoutError, "not a plain file"),
    (attacks.break_setuid, refusals.LayoutError, "set-user-id"),
    (attacks.break_upper_case, refusals.LayoutError, "was not signed"),
    (attacks.break_metadata_bit, refusals.SignatureError, "too few valid signatures"),
    (attacks.break_no_signature, refusals.SignatureError, "too few valid signatures"),
    (attacks.break_nested_json, refusals.SignatureError, "malformed"),
]


def test_good_bundle_enters_as_imported(site: Site, forge: BundleForge) -> None:
    """A good bundle puts its model into the library, waiting for approval."""
    assert site.bring_in(forge.good()) == ["tiny 1.0 imported"]


def test_weights_lie_under_their_digest_and_are_read_only(site: Site, forge: BundleForge) -> None:
    """Imported weights are named by their digest, cannot be written, and are the signed bytes."""
    bundle = forge.good()
    site.bring_in(bundle)
    model = site.library.by_name("tiny")
    path = site.library.path_of(model.digest)
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert path.read_bytes() == weights_of(bundle).read_bytes()


def test_model_carries_what_was_signed_and_found(site: Site, forge: BundleForge) -> None:
    """The row of a model tells its importer, its context length, its size and its card."""
    bundle = forge.good()
    site.bring_in(bundle)
    model = site.library.by_name("tiny")
    assert (model.imported_by, model.context_tokens) == ("usr_steward", 512)
    assert model.bytes == weights_of(bundle).stat().st_size
    assert model.card["intended_use"] == "tests"


@pytest.mark.parametrize(
    ("broken", "error", "words"), BROKEN, ids=[attack.__name__ for attack, _, _ in BROKEN]
)
def test_broken_bundle_is_refused(
    site: Site,
    forge: BundleForge,
    broken: Callable[[Path], None],
    error: type[ApplianceError],
    words: str,
) -> None:
    """A bundle with one thing broken is refused by name, and no file or row of it remains."""
    folder = forge.good()
    broken(folder)
    with pytest.raises(error, match=words):
        site.bring_in(folder)
    assert site.files() == []
    assert site.library.models() == []


def test_refusal_tells_the_operator_what_was_not_done(site: Site, forge: BundleForge) -> None:
    """A refused bundle's error says that nothing was imported and what to do next."""
    folder = forge.good()
    attacks.break_content(folder)
    with pytest.raises(refusals.ContentError) as caught:
        site.bring_in(folder)
    assert caught.value.hint.startswith("nothing was imported; ")


def test_untrusted_publisher_is_refused(site: Site, stranger: BundleForge) -> None:
    """A bundle of a publisher whom nobody here trusts is refused before its files are opened."""
    with pytest.raises(refusals.UnknownPublisherError):
        site.bring_in(stranger.good())


def test_stolen_root_with_other_keys_is_refused(
    site: Site, forge: BundleForge, stranger: BundleForge
) -> None:
    """A bundle that shows a trusted root but is signed by other keys is refused."""
    folder = stranger.good()
    (folder / "metadata" / "1.root.json").write_bytes(forge.roots[0])
    with pytest.raises(refusals.SignatureError):
        site.bring_in(folder)


def test_folder_that_does_not_exist_is_an_unreadable_medium(site: Site, tmp_path: Path) -> None:
    """A path without a bundle is reported as a medium that cannot be opened."""
    with pytest.raises(refusals.MediumError):
        site.bring_in(tmp_path / "nothing")


def test_progress_counts_to_the_total(site: Site, forge: BundleForge) -> None:
    """Progress grows and ends at the sum of all files."""
    seen: list[tuple[int, int]] = []
    site.library.import_bundle(
        forge.good(), TIME, "usr_steward", lambda done, total: seen.append((done, total))
    )
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1] > 0


def test_importing_again_changes_nothing(site: Site, forge: BundleForge) -> None:
    """The same bundle a second time gives the same models and reads no weights."""
    folder = forge.good()
    site.bring_in(folder)
    before = site.library.models()
    weights_of(folder).unlink()
    assert site.bring_in(folder) == ["tiny 1.0 imported"]
    assert site.library.models() == before


def test_newer_bundle_adds_a_version(site: Site, forge: BundleForge) -> None:
    """A later bundle of the same publisher adds a version beside the first."""
    site.bring_in(forge.good())
    forge.add_model("tiny", "1.1", seed=1)
    assert site.bring_in(forge.good("second", version=2)) == [
        "tiny 1.0 imported",
        "tiny 1.1 imported",
    ]


def test_wrong_chat_template_is_refused(site: Site, forge: BundleForge) -> None:
    """Weights whose chat template is not the signed one are refused after their digest passed."""

    def lie(targets: Targets) -> None:
        targets.targets["tiny-1.0/tiny.gguf"].custom["chat_template_sha256"] = "0" * 64

    with pytest.raises(refusals.UnsafeModelError, match="chat template"):
        site.bring_in(forge.signed(forge.good(), lie))
    assert site.files() == []


def test_wrong_architecture_is_refused(site: Site, forge: BundleForge) -> None:
    """Weights of another architecture than the signed one are refused."""

    def lie(targets: Targets) -> None:
        targets.targets["tiny-1.0/tiny.gguf"].custom["architecture"] = "mamba"

    with pytest.raises(refusals.UnsafeModelError, match="architecture"):
        site.bring_in(forge.signed(forge.good(), lie))


def test_card_of_another_model_is_refused(site: Site, forge: BundleForge) -> None:
    """A card that names another version than the signed one is refused."""
    folder = forge.good()
    data = card_text("tiny", "9.9").encode()

    def lie(targets: Targets) -> None:
        target = targets.targets["tiny-1.0/card.toml"]
        old = target.hashes["sha256"]
        fresh = type(target).from_data(target.path, data, ["sha256"])
        target.length, target.hashes = fresh.length, fresh.hashes
        old_path = folder / "targets/tiny-1.0" / f"{old}.card.toml"
        old_path.write_bytes(data)
        old_path.rename(old_path.with_name(f"{fresh.hashes['sha256']}.card.toml"))

    with pytest.raises(refusals.UnsafeModelError, match=r"card says version '9\.9'"):
        site.bring_in(forge.signed(folder, lie))


def test_signed_garbage_is_refused(site: Site, forge: BundleForge) -> None:
    """Weights that are no GGUF at all are refused although a trusted publisher signed them."""
    folder = forge.good()
    forge.signed(folder, attacks.swap_weights(folder, b"PK\x03\x04" + bytes(4_000)))
    with pytest.raises(refusals.UnsafeModelError, match="does not begin"):
        site.bring_in(folder)
    assert site.files() == []
