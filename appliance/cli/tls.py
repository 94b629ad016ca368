"""`appliance tls`: the certificate that browsers see. From the site's CA, or from an own one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from cryptography import x509

from appliance.cli import presenting, writing
from appliance.cli.actor import console_actor
from appliance.cli.commands import json_option, noun
from appliance.cli.invocation import Invocation, pass_invocation
from appliance.cli.publisher_keys import new_passphrase, passphrase_of, passphrase_option
from appliance.clock import System, rfc3339
from appliance.errors import CertificateError, NotInitialisedError
from appliance.tls import authority, checking
from appliance.tls.authority import SERVER_DAYS
from appliance.tls.checking import DAY_S, Checked, title
from appliance.tls.folder import Folder

if TYPE_CHECKING:
    from appliance.tls.folder import Pending

NEW_FILE = click.Path(path_type=Path, dir_okay=False)
OLD_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
DIR = click.Path(path_type=Path, file_okay=False)
# From here on the doctor and `tls show` ask for a renewal.
RENEW_DAYS = 30

name_option = click.option(
    "--name", "names", multiple=True, metavar="NAME",
    help="A host name or address that people type. Repeat it. [default: as now]",
)  # fmt: skip
days_option = click.option(
    "--days", type=click.IntRange(1, checking.LONGEST_DAYS - 1), default=SERVER_DAYS,
    show_default=True, help="How long the certificate is good for.",
)  # fmt: skip
ca_option = click.option(
    "--ca", "folder", type=DIR, required=True, metavar="DIR", help="The folder of the own CA."
)


@noun("tls")
def tls() -> None:
    """The edge's certificate: ask the site's CA for one, or make it with an own CA.

    \b
    With the site's CA:    tls request, then tls install
    With an own CA:        tls ca once, then tls renew with its stick in this machine
                           (or tls request here, tls issue elsewhere, tls install here)
    """


@tls.command("request")
@name_option
@click.option("--out", type=NEW_FILE, required=True, metavar="FILE", help="Where to write it.")
@json_option
@pass_invocation
def request(invocation: Invocation, names: tuple[str, ...], out: Path) -> None:
    """Make a key and a request (CSR) for the CA.

    The key stays on this machine. The edge goes on with the certificate that it has.

    \b
    Examples:
      appliance tls request --name llm.hospital.example --out /media/stick/llm.csr
      appliance tls request --out /media/stick/llm.csr
    """
    writing.refuse_existing(out)
    with invocation.operations() as verbs:
        made = verbs.edge_certificates.request(console_actor(), names)
    writing.write_pieces(out, [made], mode=0o644)

    def people() -> None:
        presenting.say(f"wrote {out}; nothing in it is secret")
        presenting.remark("next: have the CA sign it, as a server's certificate, with all names")
        presenting.remark("next: appliance tls install FILE... with the certificate and its chain")

    invocation.present({"file": str(out)}, people)


@tls.command("install")
@click.argument("files", nargs=-1, required=True, type=OLD_FILE, metavar="FILE...")
@json_option
@pass_invocation
def install(invocation: Invocation, files: tuple[Path, ...]) -> None:
    """Check a signed certificate with its chain, and put it in place.

    Give all files that the CA gave, its root too, in any order; PEM or DER. What does not fit is
    refused, and the edge goes on with what it has. It takes the new one by itself within
    seconds; what is under way is not cut.

    \b
    Example:
      appliance tls install /media/stick/llm.crt /media/stick/chain.pem
    """
    given = [one for file in files for one in checking.read(_bytes(file), str(file))]
    with invocation.operations() as verbs:
        checked = verbs.edge_certificates.install(console_actor(), given)
    _present(invocation, checked, "put in place")


@tls.command("renew")
@ca_option
@name_option
@days_option
@passphrase_option
@json_option
@pass_invocation
def renew(
    invocation: Invocation, folder: Path, names: tuple[str, ...], days: int,
    passphrase_file: Path | None,
) -> None:  # fmt: skip
    """Make a new key and certificate with the own CA, and put them in place.

    The first time, name the server; later the names stay as they are. The edge takes it within
    seconds; what is under way is not cut.

    \b
    Examples:
      appliance tls renew --ca /media/stick/ca --name llm.hospital.example
      appliance tls renew --ca /media/stick/ca
    """
    if not invocation.config.state.is_dir():
        # Else the CA would sign for a machine that is not there.
        raise NotInitialisedError(f"there is no state folder {invocation.config.state}")
    signer = _unlock(folder, passphrase_file)
    with invocation.operations() as verbs:
        checked = verbs.edge_certificates.renew(console_actor(), signer, names, days)
    _present(invocation, checked, "put in place")


@tls.command("ca")
@click.argument("folder", type=DIR, metavar="DIR")
@click.option("--for", "permitted", multiple=True, required=True, metavar="DOMAIN",
              help="What it may vouch for: a domain, or a network such as 10.1.0.0/16. Repeat it.",
              )  # fmt: skip
@click.option("--title", default="appliance CA", show_default=True, metavar="TEXT",
              help="Its name, as browsers show it.")  # fmt: skip
@passphrase_option
@json_option
@pass_invocation
def ca(
    invocation: Invocation, folder: Path, permitted: tuple[str, ...], title: str,
    passphrase_file: Path | None,
) -> None:  # fmt: skip
    """Make an own CA in a new folder, such as on a stick. Needs no state folder.

    It can vouch for the names given here and for no others. Its key lies encrypted under a
    passphrase; keep the stick in a safe, and a copy of it in another one.

    \b
    Example:
      appliance tls ca /media/stick/ca --for hospital.example --title "Hospital appliance CA"
    """
    passphrase = new_passphrase(passphrase_file)
    made = authority.create(folder, title, permitted, passphrase.encode(), System().now())
    value = {"folder": str(folder), "sha256": checking.fingerprint(made)}

    def people() -> None:
        presenting.say(f"made {folder}; SHA-256 of its certificate:")
        presenting.say(value["sha256"])
        presenting.remark(f"next: have the site's computers trust {folder / authority.CERTIFICATE}")
        presenting.remark(f"next: appliance tls renew --ca {folder} --name NAME")

    invocation.present(value, people)


@tls.command("issue")
@click.argument("request_file", type=OLD_FILE, metavar="REQUEST")
@ca_option
@click.option("--out", type=NEW_FILE, required=True, metavar="FILE", help="Where to write it.")
@days_option
@passphrase_option
@json_option
@pass_invocation
def issue(
    invocation: Invocation, request_file: Path, folder: Path, out: Path, days: int,
    passphrase_file: Path | None,
) -> None:  # fmt: skip
    """Sign a request with the own CA, on a machine that is not the appliance.

    The names in it are shown first. What was signed is kept in the CA's folder under issued/.

    \b
    Example:
      appliance tls issue /media/stick/llm.csr --ca ./ca --out /media/stick/llm.pem
    """
    from appliance.tls import requests

    writing.refuse_existing(out)
    data = _bytes(request_file)
    _, names = requests.read(data)
    presenting.remark(f"the request is for {', '.join(names)}")
    signed = _unlock(folder, passphrase_file).issue(data, System().now(), days)
    writing.write_pieces(out, [signed], mode=0o644)

    def people() -> None:
        presenting.say(f"wrote {out}")
        presenting.remark(f"next: on the appliance, appliance tls install {out.name}")

    invocation.present({"file": str(out), "names": list(names)}, people)


@tls.command("show")
@json_option
@pass_invocation
def show(invocation: Invocation) -> None:
    """Say which certificate is in use, for whom, until when, and what to do next.

    \b
    Example:
      appliance tls show
    """
    from appliance.operations.edge_certificates import standing

    folder, now = Folder(invocation.config.paths.tls), System().now()
    pending = folder.pending()
    current = folder.current()
    if current is None:
        value: dict[str, Any] = {"state": "none", "next": _next_without(pending)}
    else:
        value = _shown(checking.read(current.chain)[0], now)
        try:
            checked = standing(folder, now)
        except CertificateError as error:
            value |= {"state": "not fit", "why": error.message, "next": error.hint}
        else:
            if checked is not None:
                value |= _standing(checked, now)
    value["request"] = "waits for its certificate" if pending is not None else "none"
    invocation.present(value, lambda: _print_shown(value))


def _shown(leaf: x509.Certificate, now: float) -> dict[str, Any]:
    from appliance.tls import keys, names

    end = leaf.not_valid_after_utc.timestamp()
    return {
        "state": "in use",
        "for": list(names.stated(leaf.extensions)),
        "signed by": title(leaf.issuer),
        "from": rfc3339(leaf.not_valid_before_utc.timestamp()),
        "until": rfc3339(end),
        "days left": int((end - now) // DAY_S),
        "key": keys.describe(leaf.public_key()),
        "sha256": checking.fingerprint(leaf),
    }


def _standing(checked: Checked, now: float) -> dict[str, Any]:
    left = int((checked.until - now) // DAY_S)
    soon = left < RENEW_DAYS
    then = "appliance tls renew --ca DIR, or tls request and tls install" if soon else (
        f"nothing for {left - RENEW_DAYS} days; then renew it"
    )  # fmt: skip
    return {
        "until": rfc3339(checked.until), "days left": left, "next": then,
        "root": title(checked.root.subject), "root sha256": checking.fingerprint(checked.root),
    }  # fmt: skip


def _next_without(pending: Pending | None) -> str:
    if pending is not None:
        return "have the CA sign the request, then `appliance tls install FILE...`"
    return "`appliance tls request` for the site's CA, or `appliance tls ca` for an own one"


def _print_shown(value: dict[str, Any]) -> None:
    presenting.facts({name: item for name, item in value.items() if name != "next"})
    presenting.remark(f"next: {value['next']}")


def _present(invocation: Invocation, checked: Checked, what: str) -> None:
    def people() -> None:
        presenting.say(
            f"{what}: {', '.join(checked.names)} until {presenting.moment(checked.until)}"
        )
        presenting.say(f"SHA-256 {checked.fingerprint}")
        if checked.too_long:
            presenting.remark(f"it is good for more than {checking.LONGEST_DAYS} days: some "
                              "browsers refuse that")  # fmt: skip
        presenting.remark("next: open the page in a browser, and compare the SHA-256")

    invocation.present(checked.facts(), people)


def _unlock(folder: Path, passphrase_file: Path | None) -> authority.Authority:
    authority.certificate_in(folder)  # before a passphrase is asked for
    passphrase = passphrase_of("the CA's key", passphrase_file)
    return authority.unlock(folder, passphrase.encode())


def _bytes(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(checking.MAX_BYTES + 1)
