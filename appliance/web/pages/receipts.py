"""Receipts: the page that explains one, and the file to keep.

The author of an answer finds it under the answer; whoever may prove entries finds one under any
entry of the record. Both pages are the same, because the proof is.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, make_response, render_template, request, url_for
from markupsafe import Markup

from appliance.audit import qr
from appliance.identity.permissions import Permission
from appliance.operations.receipts import AnswerReceipt
from appliance.web import current
from appliance.web.access import allow
from appliance.web.files import proof
from appliance.web.pages.record import reason_of

pages = Blueprint("receipts", __name__)

# As large as an entry's number can be (RFC 8785 integers).
LARGEST = 2**53 - 1
# A code of 141 by 141 modules, which a phone reads from a screen or a print of 8 cm. The proof
# without its entry stays below until the record has some fifty million entries.
MAX_CODE_BYTES = 1_452


@pages.get("/answers/<message:answer_id>/receipt")
@allow(Permission.RECEIPTS_OWN)
def of_answer(answer_id: str) -> Response:
    """Show the receipt of an answer to its author."""
    receipt = current.operations().receipts.of_own_answer(current.actor(), answer_id)
    return _page(receipt, url_for("receipts.file_of_answer", answer_id=answer_id))


@pages.get("/answers/<message:answer_id>/receipt/file")
@allow(Permission.RECEIPTS_OWN)
def file_of_answer(answer_id: str) -> Response:
    """Send the receipt of an answer to its author as a file."""
    receipt = current.operations().receipts.of_own_answer(current.actor(), answer_id)
    return proof(receipt.text, answer_id)


@pages.get(f"/record/entries/<int(max={LARGEST}):seq>/receipt")
@allow(Permission.RECORD_PROVE)
def of_entry(seq: int) -> Response:
    """Show the proof of any entry."""
    values: dict[str, Any] = {"seq": seq, **reason_of(request.args)}
    return _page(_of_entry(seq), url_for("receipts.file_of_entry", **values))


@pages.get(f"/record/entries/<int(max={LARGEST}):seq>/receipt/file")
@allow(Permission.RECORD_PROVE)
def file_of_entry(seq: int) -> Response:
    """Send the proof of any entry as a file."""
    return proof(_of_entry(seq).text, f"entry-{seq}")


def _of_entry(seq: int) -> AnswerReceipt:
    reason = reason_of(request.args)
    return current.operations().receipts.of_entry(
        current.actor(), seq, purpose=reason.get("reason"), case=reason.get("case")
    )


def _code(receipt: AnswerReceipt) -> Markup | None:
    """Return the proof without its entry as a QR code; None when it is too long for one."""
    if len(receipt.short.encode()) > MAX_CODE_BYTES:
        return None
    # Numbers and constants only: what is encoded shows as modules, not as text.
    return Markup(qr.svg_element(receipt.short))  # noqa: S704


def _page(receipt: AnswerReceipt, file_address: str) -> Response:
    page = render_template(
        "receipt.html",
        receipt=receipt,
        entry=receipt.entry,
        mine=receipt.entry["agent"]["user"] == current.actor().user,
        code=_code(receipt),
        file_address=file_address,
    )
    return make_response(page)
