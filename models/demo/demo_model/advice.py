"""Simple discharge advice: hand-written for common complaints, one form for all others.

Guarantee: the same complaint always gets the same advice, and a complaint without its own
advice gets a form that names it and claims nothing about it.
"""

from __future__ import annotations

from dataclasses import dataclass

CLOSING = "A member of staff must check this advice before it is given."


@dataclass(frozen=True)
class Advice:
    """Advice for one complaint under all the names it may be asked by."""

    names: tuple[str, ...]
    steps: tuple[str, ...]
    come_back: str


ADVICE = (
    Advice(
        ("a sprained ankle", "sprained ankle", "ankle sprain", "a twisted ankle"),
        (
            "Rest the ankle and keep it raised for two days.",
            "Put a cold pack in a towel on it for 15 minutes, a few times a day.",
            "Start walking gently as soon as the pain allows.",
        ),
        "you cannot put weight on the foot, or the toes turn cold or numb",
    ),
    Advice(
        ("chest pain", "pain in the chest", "chest tightness"),
        (
            "Rest today and avoid heavy work until you have been reviewed.",
            "Take your medicines exactly as you were told.",
            "Do not smoke.",
        ),
        "the pain comes back, spreads to the arm or jaw, or you find it hard to breathe",
    ),
    Advice(
        ("headache", "a headache", "migraine"),
        (
            "Rest in a quiet, dark room.",
            "Drink water often and eat regular meals.",
            "Keep a diary of when the pain comes.",
        ),
        "the pain is sudden and very strong, or comes with fever, a stiff neck or confusion",
    ),
    Advice(
        ("a cough", "cough", "a chest infection"),
        (
            "Drink plenty and keep the room air fresh.",
            "Do not smoke, and avoid smoky rooms.",
            "Sleep with your head raised if the cough wakes you.",
        ),
        "you cough up blood, breathing becomes hard, or it lasts more than three weeks",
    ),
    Advice(
        ("fever", "a fever", "high temperature", "a high temperature"),
        (
            "Drink small amounts often.",
            "Wear light clothes and keep the room cool.",
            "Rest until the temperature has been normal for a day.",
        ),
        "the fever lasts more than three days, or there is a rash or a stiff neck",
    ),
    Advice(
        ("sore throat", "a sore throat", "hoarseness"),
        (
            "Drink cool or warm drinks, whichever feels better.",
            "Eat soft food.",
            "Rest your voice.",
        ),
        "you cannot swallow fluids, or breathing becomes noisy or hard",
    ),
    Advice(
        ("back pain", "low back pain", "lower back pain", "pain in the lower back"),
        (
            "Stay active and avoid long bed rest.",
            "Lift with bent knees and a straight back.",
            "Use a warm pack for 20 minutes if it helps.",
        ),
        "your legs become weak or numb, or you cannot control your bladder or bowel",
    ),
    Advice(
        ("dizziness", "feeling dizzy", "fainting"),
        (
            "Stand up slowly, and sit down at once if you feel faint.",
            "Drink water often through the day.",
            "Do not drive or climb until it has passed.",
        ),
        "you pass out, have chest pain, or your speech or face changes",
    ),
    Advice(
        ("an asthma attack", "asthma", "wheezing", "shortness of breath"),
        (
            "Use your inhaler as you were shown, with the spacer.",
            "Stay away from smoke and other things that set it off.",
            "See your own doctor or nurse within two days.",
        ),
        "the inhaler does not help, or you cannot finish a sentence in one breath",
    ),
    Advice(
        ("vomiting", "nausea", "food poisoning"),
        (
            "Take small sips of water every few minutes.",
            "Start with plain food when you feel ready.",
            "Wash your hands well before you touch food.",
        ),
        "you cannot keep fluids down for a day, or you see blood",
    ),
    Advice(
        ("diarrhoea", "diarrhea", "stomach flu"),
        (
            "Drink a glass of water after every loose stool.",
            "Eat small, plain meals.",
            "Wash your hands with soap, and stay at home until two days after it stops.",
        ),
        "there is blood, strong belly pain, or you pass very little urine",
    ),
    Advice(
        ("abdominal pain", "stomach cramps", "belly pain", "stomach pain"),
        (
            "Eat small meals and drink water often.",
            "Rest with your knees bent if that helps.",
            "Do not take new medicines without asking.",
        ),
        "the pain gets stronger, your belly becomes hard, or you keep vomiting",
    ),
    Advice(
        ("earache", "ear pain", "an earache"),
        (
            "Keep the ear dry.",
            "Put nothing into the ear, not even cotton buds.",
            "Rest with the sore ear facing up.",
        ),
        "fluid comes out, the skin behind the ear swells, or you hear less",
    ),
    Advice(
        ("a nosebleed", "nosebleed", "nose bleed"),
        (
            "Sit up, lean forward and pinch the soft part of the nose for ten minutes.",
            "Do not blow or pick your nose for a day.",
            "Avoid hot drinks and heavy lifting today.",
        ),
        "the bleeding does not stop after 20 minutes of firm pressure",
    ),
    Advice(
        ("a minor head injury", "head injury", "a head injury", "concussion"),
        (
            "Have an adult stay with you for the first day.",
            "Rest, and avoid screens, alcohol and sport for now.",
            "Go back to work or school step by step.",
        ),
        "you vomit, become very sleepy or confused, or have a fit",
    ),
    Advice(
        ("a urine infection", "urine infection", "burning on passing urine", "uti"),
        (
            "Drink water often and do not hold your urine.",
            "Finish the tablets even when you feel better.",
            "Keep yourself warm and rest.",
        ),
        "you have back pain with fever, or are no better after two days",
    ),
    Advice(
        ("a wound", "a cut finger", "a cut", "stitches", "wound care"),
        (
            "Keep the wound clean and dry for two days.",
            "Change the dressing when it is wet or dirty.",
            "Have the stitches taken out on the day you were given.",
        ),
        "the skin turns red, hot or swollen, or pus comes out",
    ),
    Advice(
        ("a burn", "a burned hand", "a minor burn", "sunburn"),
        (
            "Keep the dressing clean and dry.",
            "Do not open blisters.",
            "Keep the burn out of the sun.",
        ),
        "the skin smells, the redness spreads, or you get a fever",
    ),
    Advice(
        ("a wrist fracture", "a broken wrist", "a plaster cast", "broken arm"),
        (
            "Keep the arm raised and move your fingers often.",
            "Keep the plaster dry and put nothing inside it.",
            "Come to the fracture clinic on the date you were given.",
        ),
        "the fingers turn blue, cold or numb, or the plaster feels too tight",
    ),
    Advice(
        ("constipation", "bloating"),
        (
            "Drink water with every meal.",
            "Eat fruit, vegetables and whole grain bread.",
            "Walk for half an hour each day.",
        ),
        "you have strong pain, vomiting or blood in the stool",
    ),
    Advice(
        ("hay fever", "a runny nose", "blocked nose"),
        (
            "Keep windows closed when the pollen count is high.",
            "Rinse your nose with salt water.",
            "Wash your hair before you go to bed.",
        ),
        "breathing becomes hard or your face swells",
    ),
    Advice(
        ("flu", "a cold", "influenza"),
        (
            "Rest at home and drink plenty.",
            "Cover your mouth when you cough, and wash your hands.",
            "Stay away from others until the fever has gone for a day.",
        ),
        "breathing becomes hard, or you feel better and then much worse",
    ),
    Advice(
        ("a skin rash", "a rash", "itching", "eczema", "dry skin"),
        (
            "Use a plain cream on the skin twice a day.",
            "Wash with cool water and no perfumed soap.",
            "Cut nails short and try not to scratch.",
        ),
        "the rash spreads fast, blisters, or your lips or tongue swell",
    ),
    Advice(
        ("knee pain", "joint pain", "left knee pain", "right knee pain", "hip pain"),
        (
            "Rest the joint for a day or two, then move it gently.",
            "Use a cold pack in a towel for 15 minutes.",
            "Avoid kneeling, jumping and heavy lifting for now.",
        ),
        "the joint is hot and red, or you cannot stand on the leg",
    ),
    Advice(
        ("a fall at home", "a fall", "falls"),
        (
            "Take your time when you get up.",
            "Clear rugs and cables from the floor, and use good light.",
            "Wear shoes that fit, also inside the house.",
        ),
        "you hit your head, have new pain, or fall again",
    ),
)

BY_NAME = {name: advice for advice in ADVICE for name in advice.names}

GENERAL_STEPS = (
    "Rest, and drink water often.",
    "Take only the medicines you were given, as written on the box.",
    "Keep the appointment you were given.",
)
GENERAL_COME_BACK = "it gets worse, something new appears, or you are worried"


def discharge_advice(complaint: str) -> str:
    """The expected advice, as Markdown, naming the complaint as it was asked."""
    known = BY_NAME.get(complaint)
    steps = known.steps if known else GENERAL_STEPS
    come_back = known.come_back if known else GENERAL_COME_BACK
    lines = [f"**Discharge advice: {complaint}**", "", *(f"- {step}" for step in steps)]
    return "\n".join([*lines, f"- Come back at once if {come_back}.", "", CLOSING])
