"""Hand-written ways to ask each topic; some are held out to measure with.

Slots: {it} names the appliance, {my} what was typed, {see} to read, {admin} the person who
runs the machine. `expand` fills them. The sets of training and held-out wordings are
disjoint before and after filling.
"""

from __future__ import annotations

from random import Random

from demo_model import questions_about_appliance, questions_about_model

# Word lists stay dense: one entry a line would be four times as long and no easier to read.
# fmt: off

SLOTS: dict[str, tuple[str, ...]] = {
    "it": (
        "this appliance", "the appliance", "this system", "this box", "this machine", "it",
        "this", "this tool", "the system", "this computer", "this device", "this server",
    ),
    "my": (
        "my question", "my questions", "my prompts", "what I type", "my messages", "my text",
        "what I write", "my chats", "my conversations", "what I ask", "my prompt", "my input",
    ),
    "see": ("read", "see", "look at", "view", "access", "open"),
    "admin": (
        "the administrator", "an administrator", "the admin", "IT", "the IT department",
        "the system administrator", "hospital IT", "administrators", "an admin", "IT staff",
    ),
}

TRAIN: dict[str, tuple[str, ...]] = {
    **questions_about_model.WORDINGS,
    **questions_about_appliance.WORDINGS,
}

HELD_OUT: dict[str, tuple[str, ...]] = {
    "hello": ("hello, are you there?", "hi, good morning"),
    "thanks": ("thank you so much", "ok, thank you"),
    "bye": ("ok bye", "see you soon"),
    "what_are_you": ("what exactly are you?", "are you a machine or a human?", "who is this?"),
    "what_can_you_do": ("what can I use you for?", "what are you able to do?"),
    "which_model": ("which AI model is this?", "how many parameters has the model?"),
    "who_made_you": ("who has made you?", "what text were you trained on?"),
    "real_patients": (
        "can this be used for real patients?", "is it safe to use you for a real patient?",
    ),
    "correct": ("can I believe your answer?", "do your answers have mistakes?"),
    "diagnosis": ("what dose of ibuprofen should I give?", "can you tell me the diagnosis?"),
    "learning": ("do you learn from this conversation?", "are my messages used for training?"),
    "internet": ("is this appliance on the internet?", "does my question go to the internet?"),
    "air_gapped": ("what does air gapped mean here?", "can you explain what air-gapped means?"),
    "what_is_recorded": ("what is being recorded?", "what do you record about my question?"),
    "no_record": ("what if the record is not written?", "can I stop the recording?"),
    "record_text": ("is my text part of the record?", "does the log contain what I wrote?"),
    "tamper": ("can anybody change the record?", "is it possible to edit the record?"),
    "who_reads_record": ("who is able to see the record?", "who can look into the record?"),
    "auditor": ("what can the auditor read?", "does an auditor see my question?"),
    "who_reads_text": ("which people can read what I write?", "can someone else see my question?"),
    "admin_reads": (
        "is the administrator able to read my chat?", "would IT be able to read my messages?",
    ),
    "sealing": (
        "which encryption is used for my questions?", "how is my conversation encrypted?",
    ),
    "delete": ("can I delete this conversation?", "how do I delete my chat?"),
    "stop": ("how can I stop an answer?", "how do I stop you?"),
    "receipt": ("what is that receipt?", "what does the receipt mean?"),
    "roles": ("what are the roles?", "which user roles are there?"),
    "new_models": ("how does a model come in?", "how can I install a new model?"),
    "approver": ("who has to approve a model?", "who decides about a new model?"),
    "idle_lock": ("after what time does it lock?", "when will my session be locked?"),
    "example_note": ("please give me a sample note", "show me a note I can try"),
    "everything": (
        "please tell me everything about the appliance", "describe this appliance in detail",
    ),
    "sleep_leaflet": (
        "please write a leaflet about better sleep", "write a long information leaflet on sleep",
    ),
    "hand_leaflet": ("please write a leaflet on washing hands", "leaflet about hand hygiene"),
}

def expand(rng: Random, wording: str) -> str:
    """The wording with every slot filled."""
    return wording.format(**{name: rng.choice(choices) for name, choices in SLOTS.items()})
