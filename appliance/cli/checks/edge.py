"""What stands between the hospital's network and the appliance: the certificate, the air gap."""

from __future__ import annotations

import stat
from datetime import datetime

from appliance.audit.client import LedgerClient
from appliance.cli import presenting
from appliance.cli.checks.finding import Finding, Patient, fail, ok, warn
from appliance.cli.checks.services import START
from appliance.cli.tls import RENEW_DAYS
from appliance.clock import System
from appliance.errors import CertificateError, UnavailableError
from appliance.operations.airgap import AirGap
from appliance.operations.edge_certificates import standing
from appliance.tls.checking import DAY_S
from appliance.tls.folder import KEY, Folder

SEE = "see docs/how-to/prove-the-air-gap.md"
LATE_S = 26 * 3_600
SHOWN = 3
RENEW = "`appliance tls renew --ca DIR`, or `appliance tls request` and `appliance tls install`"


def certificate(patient: Patient) -> Finding:
    """The edge's certificate is fit, its key is open to its owner alone, and it ends not soon."""
    folder, now = Folder(patient.paths.tls), System().now()
    try:
        checked = standing(folder, now)
    except CertificateError as error:
        return fail("certificate", error.message, RENEW)
    if checked is None:
        return _without(patient)
    key = folder.current_link / KEY
    mode = stat.S_IMODE(key.stat().st_mode)
    wanted = 0o640 if folder.is_shared else 0o600
    if mode & ~wanted:
        found = f"{key} has mode {mode:04o}"
        return fail("certificate", found, f"chmod {wanted:04o} {key}, and renew it")
    days = int((checked.until - now) // DAY_S)
    found = f"{', '.join(checked.names)}: good until {presenting.moment(checked.until)}"
    if days < RENEW_DAYS:
        return warn("certificate", f"{found}, {days} days", f"renew it: {RENEW}")
    return ok("certificate", found)


def _without(patient: Patient) -> Finding:
    if not patient.config.gateway.behind_tls:
        host = patient.config.gateway.host
        return ok("certificate", f"none, and none is needed: pages are served on {host} alone")
    found = "not to be seen from here: the edge in front has it"
    return warn("certificate", found, "`appliance tls show`, where the folder `tls` is mounted")


def air_gap(patient: Patient) -> Finding:
    """No way out was found when each part was last looked at, and that is not long ago."""
    config = patient.config
    client = LedgerClient(patient.paths.ledger_socket)
    try:
        newest = AirGap(client, System(), config.airgap.role).last()
    except UnavailableError:
        return warn("air gap", "not known: the ledger does not answer", START)
    finally:
        client.close()
    ways = [f"{role}: {way}" for role, facts in sorted(newest.items())
            for way in facts.get("open", ())]  # fmt: skip
    if ways:
        shown = ", ".join(ways[:SHOWN]) + (" and more" if len(ways) > SHOWN else "")
        return fail("air gap", f"open: {shown}", "appliance doctor --airgap, and what it says")
    if not config.airgap.role:
        return warn("air gap", "this is not the hospital's stack: nothing holds it in", SEE)
    own = newest.get(config.airgap.role)
    if own is None or System().now() - datetime.fromisoformat(own["t"]).timestamp() > LATE_S:
        return warn("air gap", "not looked at since yesterday", "appliance doctor --airgap")
    return ok("air gap", f"no way out was found in: {', '.join(sorted(newest))}")
