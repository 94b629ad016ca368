"""A draft that comes to a publisher's desk on a colleague's stick: it chooses no place to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.bundles.desk.drafts import Draft
from appliance.errors import VerificationError


@pytest.mark.parametrize("name", ["metadata", "targets"])
def test_a_draft_with_a_link_for_a_folder_is_not_signed(tmp_path: Path, name: str) -> None:
    """A draft whose folder is a link to somewhere else is refused; nothing there is touched."""
    stick, home = tmp_path / "stick", tmp_path / "home"
    stick.mkdir()
    home.mkdir()
    (home / "timestamp.json").write_text("precious")
    (home / ".notes.0123abcd.new").write_text("precious too")
    (stick / name).symlink_to(home)
    with pytest.raises(VerificationError, match="is a link"):
        Draft.open([stick])
    assert {path.name for path in home.iterdir()} == {"timestamp.json", ".notes.0123abcd.new"}
    assert (home / "timestamp.json").read_text() == "precious"
