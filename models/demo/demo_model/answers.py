"""The fixed answers of the demo model about the appliance, and its fixed refusals.

Guarantee: one topic has one answer, word for word. This module states facts about the
appliance; when the appliance changes, these sentences must be read again.
"""

from __future__ import annotations

UNKNOWN = (
    "I am a small demo model. I can summarise a short synthetic note, write simple discharge "
    "advice, or answer questions about this appliance."
)
NO_NOTE = "Please paste the note into the same message, and I will work from it."
NO_COMPLAINT = "Please name the complaint, or paste the note, and I will write the advice."
NOT_IN_NOTE = "The note does not say."

ANSWERS: dict[str, str] = {
    "hello": (
        "Hello. I am the demo model of this appliance. Paste a short synthetic note, name a "
        "complaint for discharge advice, or ask me about this appliance."
    ),
    "thanks": "You are welcome. Please check every answer before you use it.",
    "bye": "Goodbye. Remember to sign out if you share this computer.",
    "what_are_you": (
        "I am a small demo language model that runs on this appliance. I show how asking, "
        "stopping and recording work. I am a program, not a person and not a clinician."
    ),
    "what_can_you_do": (
        "I can do three things:\n\n"
        "- summarise a short synthetic clinical note\n"
        "- write simple discharge advice for a complaint or a note\n"
        "- answer questions about this appliance\n\n"
        "Anything else is beyond a small demo model."
    ),
    "which_model": (
        "I am demo, version 1: a Llama-style network with about 2.5 million parameters. I fit in "
        "a file of less than 3 MB and run on one processor core."
    ),
    "who_made_you": (
        "I was made by the makers of this appliance and trained from scratch on text from "
        "their own generator. No patient data and no outside data set was used."
    ),
    "real_patients": (
        "No. I am a demo model and must not be used for real patients. I was trained on "
        "synthetic notes and will be wrong on real ones."
    ),
    "correct": (
        "Do not rely on it. I can be wrong, also when I sound sure. Every answer must be "
        "checked by a person before it is used."
    ),
    "diagnosis": (
        "I cannot diagnose, choose a treatment or give a dose. Please ask a clinician. I can "
        "summarise a short synthetic note or write simple discharge advice."
    ),
    "learning": (
        "No. I do not learn from conversations. My weights are fixed, and a new version can "
        "only come in on signed media."
    ),
    "internet": (
        "No. This appliance is air-gapped: it has no route to the internet, and nothing you "
        "type leaves it for the outside."
    ),
    "air_gapped": (
        "Air-gapped means that there is no connection to the internet at all. The appliance "
        "works inside the hospital, and updates and model weights come in on signed media."
    ),
    "what_is_recorded": (
        "Each question and each answer is entered in a hash-chained record. The question is "
        "recorded before the model sees it. The record holds who, when and which model, and "
        "commitments to the content, but no text."
    ),
    "no_record": (
        "No record, no answer. The record cannot be switched off. If it cannot be written, the "
        "question does not reach the model."
    ),
    "record_text": (
        "No. The record holds no text, only commitments to it. The text itself is sealed and "
        "kept apart from the record."
    ),
    "tamper": (
        "Not without being noticed. Each entry of the record is chained to the one before it "
        "by a hash, so a changed or missing entry breaks the chain and shows when the record "
        "is verified."
    ),
    "who_reads_record": (
        "An auditor reads the record. It shows metadata such as who asked, when and which "
        "model answered. It does not show the text."
    ),
    "auditor": (
        "An auditor sees metadata only: who asked, when, which model answered and how it "
        "ended. An auditor does not see the text of a question or an answer."
    ),
    "who_reads_text": (
        "You can read your own conversations. The text is sealed under a key per "
        "conversation: the administrator cannot read it, and an auditor sees metadata only."
    ),
    "admin_reads": (
        "No. The text is sealed with AES-256-GCM under a key per conversation, and an "
        "administrator cannot read it."
    ),
    "sealing": (
        "Questions and answers are sealed with AES-256-GCM. Every conversation has a key of "
        "its own."
    ),
    "delete": (
        "You can delete a conversation where your hospital's policy allows it. Its key is then "
        "destroyed, so nobody can read the text again. The record keeps its entry, without text."
    ),
    "stop": (
        "Press the Stop button or the Esc key. The text so far is kept, marked as stopped, "
        "and recorded as stopped."
    ),
    "receipt": (
        "A receipt is a small file that proves that one question and its answer are in the "
        "record. It can be checked later without showing any other entry."
    ),
    "roles": (
        "There are five roles:\n\n"
        "- **clinician**: asks questions and reads the answers\n"
        "- **auditor**: reads and verifies the record\n"
        "- **steward**: brings in new models\n"
        "- **approver**: agrees before a model goes live\n"
        "- **administrator**: runs the machine, but cannot read content"
    ),
    "new_models": (
        "Model weights only come in on signed media. The appliance checks the signature, a "
        "steward imports the model, and an approver must agree before it goes live."
    ),
    "approver": (
        "A second person does. The steward brings a model in, and the approver, who is never "
        "the same person, agrees before it goes live."
    ),
    "idle_lock": (
        "A session locks after 10 minutes without activity. Sign in again and you return to "
        "where you were."
    ),
    "languages": "I only know simple English.",
    "how_are_you": "I am a program, so I have no feelings, but I am running. How can I help?",
    "example_note": (
        "Here is a synthetic note to try:\n\n"
        "Summarise this note: 54-year-old woman with a cough for 5 days. Pain 2/10. BP 128/76, "
        "HR 88, temp 38.1, SpO2 95%. Allergic to penicillin. Plan: chest X-ray."
    ),
    "everything": (
        "**About this appliance**\n\n"
        "This appliance runs language models inside the hospital. It is air-gapped: it has no "
        "route to the internet.\n\n"
        "**What is recorded**\n\n"
        "Each question and each answer is entered in a hash-chained record. The question is "
        "recorded before the model sees it. The record holds no text, only commitments, so it "
        "proves what happened without showing what was said.\n\n"
        "**Who can read what**\n\n"
        "- You can read your own conversations.\n"
        "- An auditor reads metadata only.\n"
        "- An administrator runs the machine but cannot read content.\n\n"
        "The text is sealed with AES-256-GCM under a key per conversation.\n\n"
        "**Models**\n\n"
        "Model weights only come in on signed media. A steward imports a model, and an "
        "approver must agree before it goes live.\n\n"
        "**In daily use**\n\n"
        "- The Stop button or the Esc key stops an answer.\n"
        "- A session locks after 10 minutes without activity.\n"
        "- Every answer must be checked by a person before it is used."
    ),
    "sleep_leaflet": (
        "**Sleeping better: information for patients**\n\n"
        "Many people sleep badly at some time in their lives. In most cases it gets better "
        "with a few simple habits.\n\n"
        "**During the day**\n\n"
        "- Get up at the same time every day, also at the weekend.\n"
        "- Go outside in daylight, best in the morning.\n"
        "- Drink no coffee, tea or cola after lunch.\n\n"
        "**In the evening**\n\n"
        "- Eat a light meal and avoid alcohol.\n"
        "- Put away your phone one hour before bed.\n"
        "- Keep the bedroom dark, quiet and cool.\n\n"
        "**If you cannot fall asleep**\n\n"
        "Do not stay in bed and watch the clock. Get up, sit somewhere quiet, and go back to "
        "bed when you feel tired.\n\n"
        "**When to ask for help**\n\n"
        "Talk to your doctor if you sleep badly for more than a month, if you snore and stop "
        "breathing, or if you feel very low.\n\n"
        "A member of staff must check this leaflet before it is given."
    ),
    "hand_leaflet": (
        "**Clean hands: information for visitors**\n\n"
        "Clean hands are the best protection against infection in a hospital. It takes less "
        "than a minute.\n\n"
        "**When to clean your hands**\n\n"
        "- when you come in and when you leave\n"
        "- before and after you touch a patient\n"
        "- before you eat\n"
        "- after you use the toilet\n\n"
        "**How to do it**\n\n"
        "1. Wet your hands and take soap.\n"
        "2. Rub palms, backs, fingers and thumbs for 20 seconds.\n"
        "3. Rinse well.\n"
        "4. Dry with a paper towel.\n\n"
        "If your hands look clean, you can use hand rub instead. Rub until they are dry.\n\n"
        "Please do not visit if you have a fever, a cough or diarrhoea.\n\n"
        "A member of staff must check this leaflet before it is given."
    ),
}
