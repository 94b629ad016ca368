"""A hospital that uses version 1.0 of a model and has just got version 2.0 of it."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from appliance.bundles.inventory import ModelInfo
from appliance.bundles.publisher import ModelSource
from appliance.operations.imports import Imports
from tests.simulators.bundle_forge import BundleForge, two_of_three
from tests.simulators.clinic import CONSOLE, Browser, Clinic
from tests.simulators.evaluated import mark_evaluated

NEW, OLD = "/models/ward/2.0", "/models/ward/1.0"
CARD = """name = "ward"
version = "{version}"
licence = "Apache-2.0"
intended_use = "Drafting discharge letters that a physician reads. <script>alert(1)</script>"
training_data = "Synthetic notes."
known_limits = ["Invents doses when asked for them.", "English only."]

[hardware_floor]
gpu_gb = 8
memory_mib = 6973
"""
TEMPLATE = """{%- for message in messages -%}
<|{{ message.role }}|>
{{ message.content }}<|end|>
{% endfor -%}
<|assistant|>
"""
CHANGED = TEMPLATE.replace("<|end|>", "<|end|>{# kept\u00a0short #}")


class Ward:
    """A clinic with that library. `browser` signs people in, as the clinic does."""

    def __init__(self, *, failed: int = 2) -> None:
        self.clinic = Clinic()
        self.forge = BundleForge(self.clinic.folder / "desk", two_of_three())
        self.number = 0
        root = self.forge.roots[0]
        self.clinic.operations.trusting.add(CONSOLE, "acme", root, hashlib.sha256(root).hexdigest())
        self.old = self.bring("1.0", TEMPLATE)
        mark_evaluated(self.clinic.appliance, self.old, passed=5)
        verbs = self.clinic.operations
        verbs.models.approve(self.clinic.actor("approver"), "ward", "1.0")
        self.clinic.appliance.library.set_active(self.old.id)
        self.new = self.bring("2.0", CHANGED, epoch=2)
        mark_evaluated(self.clinic.appliance, self.new, passed=5 - failed, failed=failed)
        if self.old.files["eval"] != self.new.files["eval"]:
            prompts = self.new.files["eval"]
            mark_evaluated(self.clinic.appliance, self.old, passed=5, prompts=prompts)

    def bring(self, version: str, template: str, *, epoch: int = 1, card: str = CARD) -> ModelInfo:
        """Let the console import a bundle with one more version of the model."""
        self.number += 1
        source = self.forge.add_model("ward", version, seed=self.number, epoch=epoch)
        source.card.write_text(card.format(version=version))
        path = source.gguf.with_name("chat_template.jinja")
        path.write_text(template)
        self.forge.models[-1] = ModelSource(
            source.gguf, source.card, source.prompts, template=path, security_epoch=epoch
        )
        bundle = self.forge.good(
            f"bundle-{self.number}", version=self.number,
            expires=datetime.now().astimezone() + timedelta(days=30),
        )  # fmt: skip
        Imports(self.clinic.appliance, None).import_bundle(CONSOLE, [bundle])
        return self.clinic.appliance.library.by_name("ward", version)

    def state(self, version: str) -> str:
        return str(self.clinic.appliance.library.by_name("ward", version).state)

    def close(self) -> None:
        self.clinic.close()


def page(browser: Browser, path: str) -> str:
    """Return what a page says."""
    return browser.get(path).get_data(as_text=True)


def ended(clinic: Clinic, action: str) -> str:
    """Return how the newest event of an action ended."""
    return str(clinic.record(action=action)[0]["outcome"])
