"""Questions about one fact of a note that the conversation already holds.

Guarantee: the answer repeats the note's value, or says that the note does not say.
"""

from __future__ import annotations

from random import Random

from demo_model.answers import NOT_IN_NOTE
from demo_model.notes import NO_ALLERGY, Facts

_NAMES: dict[str, tuple[str, ...]] = {
    "age": ("age", "age of the patient"),
    "complaint": ("complaint", "main complaint", "presenting complaint", "problem"),
    "duration": ("duration", "duration of the complaint"),
    "pain": ("pain score", "pain", "pain level"),
    "blood_pressure": ("blood pressure", "BP"),
    "heart_rate": ("heart rate", "pulse", "HR"),
    "breathing_rate": ("breathing rate", "respiratory rate", "RR"),
    "temperature": ("temperature", "temp"),
    "saturation": ("oxygen saturation", "SpO2", "saturation"),
    "weight": ("weight", "body weight"),
    "allergy": ("allergy", "known allergy"),
    "history": ("history", "past history", "medical history"),
    "medicines": ("medication", "current medication"),
    "plan": ("plan", "next step"),
}
_FORMS = (
    "What is the {}?",
    "what was the {}?",
    "{}?",
    "Which {} does the note give?",
    "and the {}?",
    "Tell me the {}.",
    "What does the note say about the {}?",
    "Is there a {} in the note?",
    "the {} please",
    "give me the {}",
)
_SPECIAL: dict[str, tuple[str, ...]] = {
    "age": ("How old is the patient?", "how old?"),
    "allergy": ("Does the patient have allergies?", "Any allergies?", "allergic to anything?"),
    "medicines": ("What does the patient take?", "Which medicines?", "any medicines?"),
    "duration": ("For how long?", "How long has this been going on?", "Since when?"),
    "plan": ("What happens next?", "What is planned?"),
    "complaint": ("Why did the patient come?", "What is the patient here for?"),
}


def _sentence(facts: Facts, field: str) -> str | None:
    """The answer for a stated fact; None where the note is silent."""
    forms = {
        "age": facts.age and f"The age is {facts.age} {'months' if facts.months else 'years'}.",
        "complaint": f"The complaint is {facts.complaint}.",
        "duration": facts.duration and f"The complaint has lasted {facts.duration}."
        if facts.duration and facts.duration.startswith("for")
        else facts.duration and f"The complaint is present {facts.duration}.",
        "pain": None if facts.pain is None else f"The pain score is {facts.pain}/10.",
        "blood_pressure": facts.blood_pressure
        and f"The blood pressure is {facts.blood_pressure} mmHg.",
        "heart_rate": facts.heart_rate and f"The heart rate is {facts.heart_rate} per minute.",
        "breathing_rate": facts.breathing_rate
        and f"The breathing rate is {facts.breathing_rate} per minute.",
        "temperature": facts.temperature and f"The temperature is {facts.temperature} °C.",
        "saturation": facts.saturation and f"The oxygen saturation is {facts.saturation} %.",
        "weight": facts.weight and f"The weight is {facts.weight} kg.",
        "allergy": "The note says that there are no known allergies."
        if facts.allergy == NO_ALLERGY
        else facts.allergy and f"The allergy is to {facts.allergy}.",
        "history": facts.history and f"The history is {facts.history}.",
        "medicines": facts.medicines and f"The medicines are {facts.medicines}.",
        "plan": facts.plan and f"The plan is {facts.plan}.",
    }
    return forms[field] or None


def draw_note_question(rng: Random, facts: Facts) -> tuple[str, str]:
    """A question about one fact, and its answer."""
    field = rng.choice(list(_NAMES))
    question = rng.choice(_FORMS).format(rng.choice(_NAMES[field]))
    if field in _SPECIAL and rng.random() < 0.5:
        question = rng.choice(_SPECIAL[field])
    return question, _sentence(facts, field) or NOT_IN_NOTE
