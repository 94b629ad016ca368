"""Import: a good bundle enters, every broken one is refused and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Targets

from appliance.bundles import refusals, trust
from appliance.bundles.imports.steps import Step, Watch
from appliance.bundles.manifest import SIDE_FILES
from appliance.bundles.media import file_digest
from appliance.bundles.places import library_file
from appliance.errors import ApplianceError, ConflictError
from tests.simulators import bundle_forge as attacks
from tests.simulators.bundle_forge import BundleForge, card_text, two_of_three, weights_of
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


class Seen(Watch):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.bytes: list[tuple[int, int]] = []

    def step(self, step: Step, facts: Mapping[str, object]) -> None:
        self.steps.append(step)

    def progress(self, done: int, total: int) -> None:
        self.bytes.append((done, total))


def test_progress_counts_to_the_total(site: Site, forge: BundleForge) -> None:
    """Progress grows and ends at the sum of all files."""
    seen = Seen()
    site.bring_in(forge.good(), watch=seen)
    assert seen.bytes == sorted(seen.bytes)
    assert seen.bytes[-1][0] == seen.bytes[-1][1] > 0


def test_every_step_is_reached_in_order(site: Site, forge: BundleForge) -> None:
    """An import goes through all steps, and its row says that it is done."""
    seen = Seen()
    site.bring_in(forge.good(), watch=seen)
    assert seen.steps == list(Step)
    (row,) = site.library.imports()
    assert (row.state, row.reason, row.imported_by) == ("committed", "", "usr_steward")


def test_refusal_is_in_the_row_of_the_import(site: Site, forge: BundleForge) -> None:
    """A refused import's row says refused and why."""
    folder = forge.good()
    attacks.break_content(folder)
    with pytest.raises(refusals.ContentError) as caught:
        site.bring_in(folder)
    (row,) = site.library.imports()
    assert (row.state, row.reason) == ("refused", caught.value.message)


def test_all_files_of_a_model_lie_in_the_library(site: Site, forge: BundleForge) -> None:
    """Each file lies under its digest and role, read-only, and the row tells the digests."""
    site.bring_in(forge.good())
    model = site.library.by_name("tiny")
    assert set(model.files) == {*SIDE_FILES, "chunks"}
    for role in SIDE_FILES:
        path = library_file(site.library.folder, model.files[role], role)
        assert file_digest(path) == model.files[role]
        assert stat.S_IMODE(path.stat().st_mode) == 0o444
    chunks = library_file(site.library.folder, model.digest, "chunks")
    assert chunks.read_text() == f"{model.digest}\n"
    assert file_digest(chunks) == model.files["chunks"]
    assert [path.name for path in site.library.staging.iterdir()] == [".import.lock"]


def test_model_tells_who_signed_it(site: Site, forge: BundleForge) -> None:
    """The row of a model tells the keys of the list, the key of its own signature, the licence."""
    site.bring_in(forge.good())
    model = site.library.by_name("tiny")
    assert model.signers == tuple(s.public_key.keyid for s in forge.signers.targets)
    assert model.oms_key == forge.signers.for_models.public_key.keyval["public"]
    assert (model.licence, model.architecture) == ("Apache-2.0", "llama")
    assert model.parameters > 0


def test_missing_file_is_named_and_the_rest_is_kept(site: Site, forge: BundleForge) -> None:
    """A file that is on no medium is named; what was read waits in staging for the next run."""
    folder = forge.good()
    weights = weights_of(folder)
    data = weights.read_bytes()
    weights.unlink()
    with pytest.raises(refusals.IncompleteError, match=rf"{weights.name} is on none of the media"):
        site.bring_in(folder)
    assert site.library.models() == []
    assert [name for name in site.files() if not name.endswith((".part", ".notes"))] == []
    weights.write_bytes(data)
    assert site.bring_in(folder) == ["tiny 1.0 imported"]


def test_list_without_files_brings_nothing_in(site: Site, forge: BundleForge) -> None:
    """Metadata that carry no model are accepted as a newer list, and nothing is imported."""
    folder = forge.good()
    shutil.rmtree(folder / "targets")
    assert site.bring_in(folder) == []
    assert [item.targets_version for item in site.library.publishers()] == [1]


def test_returns_are_never_read(site: Site, forge: BundleForge) -> None:
    """Whatever lies in `returns/` changes nothing, not even a FIFO."""
    folder = forge.good()
    (folder / "returns").mkdir()
    os.mkfifo(folder / "returns" / "x.checkpoint")
    assert site.bring_in(folder) == ["tiny 1.0 imported"]


def test_verifying_changes_nothing(site: Site, forge: BundleForge) -> None:
    """Verifying a bundle reads every byte and leaves no row, no file and no newer floor."""
    seen = Seen()
    review = site.library.review([forge.good()], TIME, seen, read=True)
    assert [model.name for model in review.carried] == ["tiny"]
    assert review.new == review.carried
    assert seen.bytes[-1][0] == seen.bytes[-1][1] > 0
    assert (site.files(), site.library.imports()) == ([], [])
    assert [item.targets_version for item in site.library.publishers()] == [0]


@pytest.mark.parametrize(
    ("broken", "error", "words"), [*BROKEN[:4], BROKEN[-1]], ids=lambda item: str(item)[:20]
)
def test_verifying_refuses_what_an_import_refuses(
    site: Site,
    forge: BundleForge,
    broken: Callable[[Path], None],
    error: type[ApplianceError],
    words: str,
) -> None:
    """A bundle with one thing broken does not verify, for the same reason."""
    folder = forge.good()
    broken(folder)
    with pytest.raises(error, match=words):
        site.library.review([folder], TIME, read=True)


def test_inspecting_reads_no_weights(site: Site, forge: BundleForge) -> None:
    """Inspecting tells what is listed and what lacks, by signed metadata alone."""
    folder = forge.good()
    weights_of(folder).unlink()
    review = site.library.review([folder], TIME, read=False)
    assert [target.role for target in review.missing] == ["weights"]


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
    """Weights that hold another chat template than they were signed with are refused."""
    folder, path = forge.good(), "tiny-1.0/chat_template.jinja"

    def lie(targets: Targets) -> None:
        old = attacks.replace(folder, targets, path, b"{{ messages }}")
        new = targets.targets[path].hashes["sha256"]
        targets.targets["tiny-1.0/tiny.gguf"].custom["chat_template_sha256"] = new
        bill = "tiny-1.0/bom.cdx.json"
        text = attacks.stored(folder, targets, bill).read_text()
        attacks.replace(folder, targets, bill, text.replace(old, new).encode())
        forge.sign_model(folder, targets, "tiny-1.0")

    with pytest.raises(refusals.UnsafeModelError, match="chat template"):
        site.bring_in(forge.signed(folder, lie))
    assert site.files() == []


def test_model_signed_by_another_key_is_refused(site: Site, forge: BundleForge) -> None:
    """A model's own signature by a key that the publisher's root does not name is refused."""
    folder = forge.good()

    def lie(targets: Targets) -> None:
        forge.sign_model(folder, targets, "tiny-1.0", CryptoSigner.generate_ecdsa())

    with pytest.raises(refusals.SignatureError, match="key"):
        site.bring_in(forge.signed(folder, lie))
    assert site.files() == []


def test_wrong_architecture_is_refused(site: Site, forge: BundleForge) -> None:
    """Weights of another architecture than the signed one are refused."""

    def lie(targets: Targets) -> None:
        targets.targets["tiny-1.0/tiny.gguf"].custom["architecture"] = "mamba"

    with pytest.raises(refusals.UnsafeModelError, match="architecture"):
        site.bring_in(forge.signed(forge.good(), lie))


def test_card_of_another_model_is_refused(site: Site, forge: BundleForge) -> None:
    """A card that names another version than the signed one is refused."""
    data = card_text("tiny", "9.9").encode()
    folder = forge.with_file(forge.good(), "tiny-1.0/card.toml", data)
    with pytest.raises(refusals.UnsafeModelError, match=r"card says version '9\.9'"):
        site.bring_in(folder)


def test_signed_garbage_is_refused(site: Site, forge: BundleForge) -> None:
    """Weights that are no GGUF at all are refused although a trusted publisher signed them."""
    folder = forge.good()
    forge.with_weights(folder, b"PK\x03\x04" + bytes(4_000))
    with pytest.raises(refusals.UnsafeModelError, match="does not begin"):
        site.bring_in(folder)
    assert site.files() == []


class At(Watch):
    """Does something when a step is reached, and keeps what was said of each."""

    def __init__(self, when: Step, act: Callable[[], object] = lambda: None) -> None:
        self._when, self._act = when, act
        self.facts: dict[Step, Mapping[str, object]] = {}

    def step(self, step: Step, facts: Mapping[str, object]) -> None:
        self.facts[step] = facts
        if step is self._when:
            self._act()


def test_trust_taken_back_meanwhile_counts(site: Site, forge: BundleForge) -> None:
    """A publisher that loses trust while its bundle is read gets nothing into the library."""
    (publisher,) = site.library.publishers()
    watch = At(Step.STREAMED, lambda: site.library.revoke_publisher(publisher.id, "usr_it"))
    with pytest.raises(refusals.RevokedPublisherError):
        site.bring_in(forge.good(), watch=watch)
    assert (site.library.models(), site.files()) == ([], [])


def test_keys_changed_meanwhile_count(site: Site, forge: BundleForge) -> None:
    """A list signed by keys that a person has just replaced brings nothing in."""
    bundle = forge.good()
    forge.rotate(two_of_three())
    (publisher,) = site.library.publishers()
    chain = {f"{number}.root.json": data for number, data in enumerate(forge.roots, start=1)}
    newest = trust.advance(trust.reload(publisher.root), chain)
    watch = At(Step.STREAMED, lambda: site.library.keep_root(publisher.id, newest))
    with pytest.raises(ConflictError, match="keys of publisher were changed"):
        site.bring_in(bundle, watch=watch)
    assert site.library.models() == []
    with pytest.raises(refusals.SignatureError):
        site.bring_in(bundle)


def test_versions_of_root_and_list_are_told(site: Site, forge: BundleForge) -> None:
    """Both floors are stated, so that they can be found again where the record alone is left."""
    watch = At(Step.METADATA_OK)
    site.bring_in(forge.good(version=7), watch=watch)
    stated = watch.facts[Step.METADATA_OK]
    assert (stated["root"], stated["targets"]) == (1, 7)


@pytest.mark.parametrize("name", ["a-before", "z-after"])
def test_a_publisher_may_be_trusted_anew_by_a_later_root(
    site: Site, forge: BundleForge, name: str
) -> None:
    """Its bundles carry both roots, and the one that a person trusts now is the one that counts."""
    (publisher,) = site.library.publishers()
    forge.rotate(two_of_three())
    site.library.revoke_publisher(publisher.id, "usr_it")
    root = forge.roots[1]
    site.library.add_publisher(name, root, trust.fingerprint(root), "usr_it")
    assert site.bring_in(forge.good()) == ["tiny 1.0 imported"]
    assert site.library.by_name("tiny").publisher != publisher.id
