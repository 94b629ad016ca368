"""What a synthetic patient can suffer from, be allergic to, and be planned for.

Guarantee: the training lists and the held-out lists share no entry, and invented words
for the held-out notes are built from syllables the training words do not use.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

# Word lists stay dense: one entry a line would be four times as long and no easier to read.
# fmt: off


@dataclass(frozen=True)
class Vocabulary:
    """The nouns of one side of the split."""

    complaints: tuple[str, ...]
    modifiers: tuple[str, ...]
    sites: tuple[str, ...]
    allergens: tuple[str, ...]
    histories: tuple[str, ...]
    medicines: tuple[str, ...]
    plans: tuple[str, ...]
    syllables: tuple[str, ...]


_SENSATIONS = (
    "pain in the {}", "{} pain", "swelling of the {}", "itching of the {}", "a burn on the {}",
    "a cut on the {}", "numbness in the {}", "weakness of the {}", "stiff {}", "sore {}",
    "a bruise on the {}", "a rash on the {}", "cramps in the {}", "a wound on the {}",
    "a bite on the {}", "redness of the {}", "tingling in the {}", "a lump on the {}",
)
_ILLNESSES = ("pain", "cramp", "fever", "rash", "cough", "syndrome", "swelling", "attacks", "ache")
_INVENTED = (
    "{a} {i}", "{a} {b}", "{a}", "{a} of the {s}", "{s} {a}", "{a} {b} {i}", "{i} from {a}",
)

_PLANS = (
    "X-ray of the {s}", "{m} and review", "start {m}", "{m}", "ultrasound of the {s}", "{a} test",
    "stop {m}", "refer to {a}", "{a} and rest", "MRI of the {s}", "give {m}", "{a}", "{s} X-ray",
)

TRAIN = Vocabulary(
    complaints=(
        "chest pain", "headache", "a cough", "fever", "sore throat", "back pain", "dizziness",
        "shortness of breath", "vomiting", "diarrhoea", "nausea", "abdominal pain", "earache",
        "a sprained ankle", "palpitations", "a nosebleed", "fatigue", "toothache", "constipation",
        "a skin rash", "burning on passing urine", "a urine infection", "blurred vision",
        "a fall at home", "a minor head injury", "an asthma attack", "heartburn", "migraine",
        "joint pain", "neck pain", "a runny nose", "blocked nose", "loss of appetite",
        "difficulty sleeping", "anxiety", "low mood", "leg swelling", "a wrist fracture",
        "a broken collarbone", "hay fever", "an eye infection", "red eyes", "a broken toe",
        "chest tightness", "wheezing", "sweating at night", "weight loss", "blood in the urine",
        "a dog bite", "a bee sting", "sunburn", "fainting", "tremor", "hiccups", "gout",
        "stomach cramps", "flu", "a cold", "dry skin", "eczema", "shingles", "ringing in the ears",
        "ear pain", "a fishbone in the throat", "swollen glands", "a burned hand", "knee pain",
        "hip pain", "muscle pain", "dehydration", "food poisoning", "a chest infection",
        "a black eye", "confusion", "a cut finger", "tiredness", "hoarseness", "bloating",
    ),
    modifiers=(
        "severe", "mild", "sudden", "chronic", "acute", "painful", "worsening", "intermittent",
        "constant", "sharp", "new", "itchy", "strong", "persistent", "burning", "slight",
    ),
    sites=(
        "left knee", "right knee", "left hand", "right hand", "left foot", "right foot",
        "left shoulder", "right elbow", "left wrist", "lower back", "upper arm", "left hip",
        "right ear", "neck", "lower leg", "left ankle", "right thumb", "scalp", "face", "jaw",
        "right eye", "left big toe", "right calf", "chest", "ribs", "left heel", "forehead",
        "right groin", "left forearm", "tongue",
    ),
    allergens=(
        "penicillin", "latex", "nuts", "aspirin", "ibuprofen", "eggs", "codeine", "morphine",
        "shellfish", "peanuts", "amoxicillin", "plasters", "iodine", "pollen", "cow's milk",
        "trimethoprim", "soya", "kiwi", "diclofenac", "wasp stings", "gluten", "tramadol",
        "erythromycin", "cat hair", "house dust", "paracetamol", "strawberries", "nickel",
    ),
    histories=(
        "hypertension", "diabetes", "asthma", "COPD", "heart failure", "epilepsy", "stroke",
        "high blood pressure", "type 2 diabetes", "depression", "kidney disease", "migraine",
        "atrial fibrillation", "angina", "thyroid disease", "arthritis", "osteoporosis", "gout",
        "breast cancer", "anaemia", "a hip replacement", "reflux", "psoriasis", "dementia",
    ),
    medicines=(
        "metformin", "aspirin", "ramipril", "bisoprolol", "insulin", "warfarin", "salbutamol",
        "paracetamol", "ibuprofen", "omeprazole", "simvastatin", "amlodipine", "furosemide",
        "levothyroxine", "sertraline", "prednisolone", "apixaban", "digoxin", "an inhaler",
        "vitamin D", "iron tablets", "the pill", "codeine", "gabapentin", "metoprolol",
    ),
    plans=(
        "ECG and blood tests", "chest X-ray", "pain relief and review", "rest and fluids",
        "urine test", "home today", "observe overnight", "antibiotics by mouth", "CT of the head",
        "ultrasound of the abdomen", "refer to physiotherapy", "wound care", "splint and sling",
        "inhaler and review", "repeat blood tests tomorrow", "fluids by drip", "bed rest",
        "see the family doctor next week", "X-ray of the wrist", "discharge with advice",
        "admit to the ward", "eye drops", "blood cultures", "oxygen by mask", "stitches",
        "tetanus injection", "diet advice", "follow-up in clinic", "stop the tablets",
        "MRI of the spine", "plaster cast", "referral to cardiology", "nasal spray",
    ),
    syllables=(
        "bor", "vel", "tran", "mig", "sul", "quen", "dap", "rol", "fis", "nom", "tel", "gar",
        "wis", "lup", "cha", "dre", "mon", "pri", "sta", "ko", "li", "ra", "zu", "ten", "bra",
        "vin", "oc", "ul", "est", "ph", "gle", "my", "ster", "ton", "ex", "no", "sha", "rin",
        "ble", "fum", "ig", "ud", "plo", "cer", "hin", "jas", "dro", "ax", "ity", "osis", "oma",
        "ki", "wen", "yor", "zan", "thi", "kar", "pel", "o", "a", "e", "ist", "ling", "um",
    ),
)

# At a third, copying of unseen words still did not emerge in a network of this size, and it took
# the room that real words needed.
INVENTED_SHARE = 0.05

HELD_OUT = Vocabulary(
    complaints=(
        "groin pain", "a swollen lip", "hot flushes", "a stiff back", "a wasp sting",
        "a broken finger", "stomach ache", "pain when swallowing", "a twisted knee",
        "a nose injury", "an itchy scalp", "an ear infection", "night cramps", "a cat bite",
    ),
    modifiers=("recurrent", "dull", "increasing", "bad"),
    sites=("right shoulder", "left elbow", "right heel", "upper back", "left calf", "right hip"),
    allergens=("sulfa drugs", "almonds", "bee stings", "cephalexin", "sesame", "wool"),
    histories=("chronic back pain", "lung cancer", "glaucoma", "a knee replacement", "eczema"),
    medicines=("atorvastatin", "lisinopril", "citalopram", "folic acid", "melatonin"),
    plans=(
        "X-ray of the foot", "blood tests and review", "CT of the chest", "home with advice",
        "refer to neurology", "observe for the day", "pain relief and rest", "urine culture",
    ),
    syllables=(
        "fal", "dum", "kri", "pos", "hel", "gim", "tor", "wab", "jun", "sko", "ner", "vash",
        "lo", "mip", "ruk", "ent", "ga", "sil", "bo", "dex",
    ),
)


def _invented_word(rng: Random, syllables: tuple[str, ...], free_letters: bool) -> str:
    """A word nobody has seen: from syllables, or now and then from single letters."""
    if free_letters and rng.random() < 0.5:
        letters = [
            rng.choice("aeiou" if i % 2 == rng.randrange(5) % 2 else "bcdfghjklmnpqrstvwxyz")
            for i in range(rng.randint(3, 9))
        ]
        return "".join(letters)
    return "".join(rng.choice(syllables) for _ in range(rng.choice((2, 2, 3, 3, 4))))


def draw_complaint(
    rng: Random, words: Vocabulary, *, training: bool, plain: bool = False
) -> str:
    """A complaint: mostly real, often built from a body part, now and then invented."""
    if not plain and rng.random() < 0.1:
        modifier = rng.choice(words.modifiers)
        rest = draw_complaint(rng, words, training=training)
        return f"{modifier} {rest.removeprefix('an ').removeprefix('a ')}"
    draw = rng.random()
    if draw < INVENTED_SHARE:
        return rng.choice(_INVENTED).format(
            a=_invented_word(rng, words.syllables, training),
            b=_invented_word(rng, words.syllables, training),
            i=rng.choice(_ILLNESSES),
            s=rng.choice(words.sites),
        )
    if draw < 0.45:
        return rng.choice(_SENSATIONS).format(rng.choice(words.sites))
    return rng.choice(words.complaints)


def known_words(words: Vocabulary) -> frozenset[str]:
    """Every single word that the lists hold, apart from what is built from syllables."""
    lists = (
        words.complaints, words.modifiers, words.sites, words.allergens, words.histories,
        words.medicines, words.plans, _SENSATIONS, _PLANS, ("mg", "and"),
    )
    return frozenset(word for entries in lists for entry in entries for word in entry.split())


def draw_allergen(rng: Random, words: Vocabulary, *, training: bool) -> str:
    """One allergen, or two; now and then an invented one."""
    if rng.random() < INVENTED_SHARE:
        return _invented_word(rng, words.syllables, training)
    if rng.random() < 0.1:
        return " and ".join(rng.sample(words.allergens, 2))
    return rng.choice(words.allergens)


def draw_history(rng: Random, words: Vocabulary) -> str:
    """One or two earlier illnesses."""
    return " and ".join(rng.sample(words.histories, rng.choice((1, 1, 1, 2))))


def draw_medicines(rng: Random, words: Vocabulary, *, training: bool) -> str:
    """One to three medicines, some with a dose and some with an invented name."""

    def one() -> str:
        invented = rng.random() < INVENTED_SHARE
        name = _invented_word(rng, words.syllables, training) if invented else ""
        name = name or rng.choice(words.medicines)
        dose = f" {rng.choice((2, 5, 10, 20, 25, 40, 50, 75, 100, 250, 500, 1000))} mg"
        return name + (dose if rng.random() < 0.25 else "")

    names = [one() for _ in range(rng.choice((1, 1, 1, 2)))]
    return " and ".join(names) if len(names) == 2 else ", ".join(names)


def draw_plan(rng: Random, words: Vocabulary, *, training: bool, plain: bool = False) -> str:
    """One step, or two joined by a comma; a few of them built on the spot."""
    if plain:
        return rng.choice(words.plans)
    if rng.random() < 0.08:
        form = rng.choice(_PLANS)
        medicine = draw_medicines(rng, words, training=training)
        invented = _invented_word(rng, words.syllables, training)
        return form.format(m=medicine, s=rng.choice(words.sites), a=invented)
    return ", ".join(rng.sample(words.plans, rng.choice((1, 1, 1, 1, 2))))
