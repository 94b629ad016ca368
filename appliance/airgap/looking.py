"""One whole look: read, try, judge. In four seconds at most, whatever the network does."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from appliance.airgap import facts, kernel, probe, probing
from appliance.airgap.judging import judge
from appliance.airgap.probe import Probe, Result
from appliance.airgap.report import Report
from appliance.airgap.stack import Role, strangers
from appliance.clock import rfc3339


def look(role: Role, now: float, process: int | None = None) -> Report:
    """Return what is found for `role`: of this process, or of another one by its number.

    Raises OSError when that process, or its network, cannot be looked at.
    """
    seen = facts.look("self" if process is None else str(process))
    attempts = [*probe.public(), *probe.resolvers(seen.name_servers or ())]
    if probe.has_a_host(role):
        attempts += probe.host(kernel.bridge_addresses(seen.routes or (), seen.addresses))
    elsewhere = process is not None and not probing.same_network(process)

    def run(probes: Sequence[Probe]) -> list[Result]:
        if elsewhere and process is not None:
            return probing.run_in_network_of(process, probes)
        return probing.run(probes)

    with ThreadPoolExecutor(2) as pool:
        # A name that another network gives out is no finding here.
        wanted = () if elsewhere else strangers(role)
        names = pool.submit(probing.resolve, wanted, seen.name_servers or ())
        results = list(pool.submit(run, attempts).result())
        results += run(probe.neighbours(names.result()))
    return Report(role, rfc3339(now), tuple(judge(role, seen, [*probing.check_itself(), *results])))
