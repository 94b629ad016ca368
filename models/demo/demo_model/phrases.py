"""Every sentence a synthetic note can contain, in two disjoint sets.

`TRAIN` is all the training generator may use. `HELD_OUT` is used only to measure, so
that the score speaks about new wording and not only about new numbers.
This module holds text; it draws nothing and decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

# Word lists stay dense: one entry a line would be four times as long and no easier to read.
# fmt: off


@dataclass(frozen=True)
class PhraseSet:
    """One complete set of wordings, from which a whole note and its request can be written.

    Slots in braces: h (3-day), age (as in aged 67), old (67-year-old), n (67), mf (M or F), noun
    (man, girl, patient), who (the person phrase), c (complaint), d (duration), v (a value).
    """

    requests: tuple[str, ...]
    one_line_requests: tuple[str, ...]
    advice_requests: tuple[str, ...]
    named_advice_requests: tuple[str, ...]
    person: tuple[str, ...]
    compact_person: tuple[str, ...]
    surnames: tuple[str, ...]
    person_without_age: tuple[str, ...]
    opening: tuple[str, ...]
    opening_with_history: tuple[str, ...]
    opening_without_duration: tuple[str, ...]
    pain: tuple[str, ...]
    blood_pressure: tuple[str, ...]
    heart_rate: tuple[str, ...]
    breathing_rate: tuple[str, ...]
    temperature: tuple[str, ...]
    saturation: tuple[str, ...]
    weight: tuple[str, ...]
    allergy: tuple[str, ...]
    no_allergy: tuple[str, ...]
    history: tuple[str, ...]
    medicines: tuple[str, ...]
    plan: tuple[str, ...]
    fillers: tuple[str, ...]
    vital_signs: tuple[str, ...]


TRAIN = PhraseSet(
    requests=(
        "Summarise please:", "Brief summary:", "Make a summary of this.", "Summary needed:",
        "Read this note and summarise it:", "List the facts of this note:", "Shorten this note:",
        "Can I have a summary of this note?",
        "Summarise this note:", "Summarize this note:", "Please summarise this note:",
        "Please summarize the note below:", "Summarise the following note.",
        "Can you summarise this?", "Could you sum up this note?", "Sum this up:",
        "Give me a summary of this note:", "Write a summary of this patient:",
        "I need a short summary.", "Short summary please:", "summary:", "summarise",
        "Summarise this clinical note:", "Please make this note shorter:",
        "Make a list of the key facts:", "What are the main points of this note?",
        "Key points please:", "Summary of this case, please:", "Summarise this patient:",
        "Turn this note into a short list:", "Pull out the key facts from this note.",
        "What matters in this note?", "Help me summarise this admission note:",
        "Summarise this triage note:", "Boil this down for me:", "tl;dr",
        "Please go through this note and summarise it:", "Hand-over summary please:",
    ),
    one_line_requests=(
        "Summarise this note in one sentence:", "One sentence summary please:",
        "Sum this up in one line:", "Give me one line on this patient:",
        "One-line summary:", "In one sentence, summarise this note:",
        "Can you put this note in a single sentence?", "Summarise in one line.",
        "Write one sentence about this patient:", "One sentence for the handover:",
    ),
    advice_requests=(
        "Write discharge advice for this patient:", "Write simple discharge advice:",
        "Discharge advice for this note, please:", "Please write advice for going home:",
        "What should this patient do at home?", "Write going-home advice for this note:",
        "Give discharge advice for the patient below:", "Discharge advice please.",
        "Can you write the discharge advice?", "Draft discharge advice from this note:",
        "Write plain advice for this patient to take home:", "Advice for home:",
    ),
    named_advice_requests=(
        "Write discharge advice for {c}.", "Write simple discharge advice for {c}.",
        "Discharge advice for {c}", "discharge advice: {c}", "Advice for {c} please",
        "Please write discharge advice for a patient with {c}.",
        "Can you write discharge advice for {c}?", "What should I tell a patient with {c}?",
        "Going home advice for {c}", "Give me discharge advice for {c}.",
        "Write advice for someone going home with {c}.", "I need discharge advice for {c}",
        "Draft simple advice for {c}.", "Patient with {c} goes home, write the advice.",
        "Write short discharge advice for a person with {c}", "advice about {c}",
        "Please give simple advice for {c}.", "Make a discharge leaflet for {c}.",
        "How should a patient with {c} look after themselves at home?",
        "Write home care advice for {c}.", "Home advice for {c}, in plain words.",
    ),
    person=(
        "We saw a {old} {noun}", "{noun} who is {age}", "{noun}: {age}", "({old}) {noun}",
        "Our patient is a {old} {noun}", "{noun} / {age}", "{age}, {noun},",
        "Name withheld, {old} {noun}", "Case: {old} {noun}", "{noun} [{age}]",
        "Have here a {noun} of {age},", "{noun} - age {age} -", "Patient ({noun}, {age})",
        "{noun} in good spirits, {age},", "The {noun} is {age} and",
        "{old} {noun}", "{noun} aged {age}", "{noun}, {age}", "{noun}, {age} old",
        "{noun} of {age}", "Patient is a {old} {noun}", "The patient, a {old} {noun},",
        "A {old} {noun}", "This {old} {noun}", "{noun} ({age})", "{old} {noun},",
        "A {noun}, age {age},", "Pt: {noun}, {age}.",
        "Patient: {noun}, age {age}.", "Age {age}, {noun}.", "Here is a {old} {noun}",
    ),
    compact_person=(
        "{n}-{mf}", "{mf} / {n}", "{n}, {mf}", "({n}{mf})", "{title} {name} {n}{mf}",
        "{title} {name} - {n} -", "{title} {name}, who is {n},", "{mf} {n} yrs", "{n} yrs {mf}",
        "{n}{mf}", "{n} {mf}", "{mf}{n}", "{mf} {n}", "{n}y {mf}", "{n}/{mf}", "{n} y/o {mf}",
        "{title} {name}, {n}", "{title} {name}, {n} {mf},", "{title} {name} ({n})", "{n}yo {mf}",
        "{title} {name}, {n} years old,", "{title} {name}, aged {n},",
    ),
    surnames=("Smith", "Jones", "Brown", "Lee", "Khan", "Garcia", "Novak", "Weber", "Ali", "Rossi"),
    person_without_age=(
        "A {noun}", "The {noun}", "This {noun}", "{noun}", "{noun} of unknown age",
        "A {noun}, age not recorded,", "Adult {noun}, age unknown,",
    ),
    opening=(
        "{who} woke up with {c} {d}.", "{who}: {c} {d}.", "{who} has been troubled by {c} {d}.",
        "{who} mentions {c} {d}.", "{who} was sent in for {c} {d}.",
        "{who} walked in because of {c} {d}.", "{who} with {d} of {c}.",
        "{who} called about {c}, {d}.", "{who} gives {c} {d} as the reason for coming.",
        "{who} - {c} - {d}.", "{who} brought by family: {c} {d}.", "{who} developed {c} {d}.",
        "{who} is suffering {c} {d}.", "Reason for visit {c} {d}, {who}.",
        "{who} still has {c} {d}.", "{who} now {c} {d}.", "{who}. Problem: {c}. Time: {d}.",
        "Came today, {who}, {c} {d}.", "{who} feels {c} {d}.", "{who}, who has {c} {d}.",
        "{who} experiencing {c} {d}.", "{who} referred with {c} {d}.",
        "{who} under observation for {c} {d}.",
        "{who} presents with {c} {d}.", "{who} presented with {c} {d}.",
        "{who} with {c} {d}.", "{who} came in with {c} {d}.", "{who} has had {c} {d}.",
        "{who} reports {c} {d}.", "{who} complains of {c} {d}.", "{who} c/o {c} {d}.",
        "{who}. Presenting complaint: {c}, {d}.", "{who}. PC: {c} {d}",
        "{who}, {c} {d}.", "{who}. {d}, {c}.", "{who} was brought in with {c} {d}.",
        "{who} describes {c} {d}.", "{who} seen for {c} {d}.", "{who} is here for {c} {d}.",
        "{who} attended with {c}, which has been present {d}.", "{who} says {c} {d}.",
        "{who} arrived with {c} that has gone on {d}.", "{who}, main problem {c} {d}.",
        "Seen today: {who} with {c} {d}.", "Referred for {c} {d}: {who}.",
        "{who} {c} {d}.", "{who} suffers from {c} {d}.", "{who} admitted with {c} {d}.",
        "{who}. Complaint: {c}. Duration: {d}.", "{who} had {c} {d}.",
        "{c} {d} in a {who}.", "{who} {d} {c}.", "{who} noticed {c} {d}.",
    ),
    opening_with_history=(
        "{who} with a {h} history of {c}.", "{who} presents with a {h} history of {c}.",
        "{h} history of {c} in a {who}.", "{who}, {h} history of {c}.", "{who} has a {h} h/o {c}.",
    ),
    opening_without_duration=(
        "{who} woke up with {c}.", "{who}: {c}.", "{who} mentions {c}.",
        "{who} was sent in for {c}.", "{who} walked in because of {c}.", "{who} - {c}.",
        "{who} developed {c}.", "{who} now {c}.", "{who}. Problem: {c}.",
        "Came today, {who}, {c}.", "{who} feels {c}.", "{who} experiencing {c}.",
        "{who} referred with {c}.", "{who} still has {c}.",
        "{who} presents with {c}.", "{who} presented with {c}.", "{who} with {c}.",
        "{who} came in with {c}.", "{who} has {c}.", "{who} reports {c}.",
        "{who} complains of {c}.", "{who} c/o {c}.", "{who}. Presenting complaint: {c}.",
        "{who}, {c}.", "{who} was brought in with {c}.", "{who} describes {c}.",
        "{who} seen for {c}.", "{who} is here for {c}.", "{who} {c}.", "{who}. PC: {c}",
        "Seen today: {who} with {c}.", "Referred for {c}: {who}.", "{who} had {c}.",
        "{who}. Complaint: {c}.", "{who} admitted with {c}.", "{c} in a {who}.",
    ),
    pain=(
        "Pain {v}.", "Pain scale {v}/10.", "Discomfort {v}/10.", "Pain - {v}/10.", "{v}/10 pain.",
        "{v} out of 10 for pain.", "Pain on movement {v}/10.", "Patient gives {v}/10 for pain.",
        "VAS {v}.", "VAS {v}/10.", "Pain reported as {v}/10.", "Pain about {v} out of 10.",
        "Scores pain {v}.", "Pain intensity {v}/10.", "Pain currently {v} of 10.",
        "In pain, {v}/10.", "Pain then {v}/10.",
        "Pain {v}/10.", "Pain score {v}/10.", "Pain is {v}/10.", "Pain {v} out of 10.",
        "Pain rated {v} out of 10.", "Pain score {v} of 10.", "pain: {v}/10", "Pain now {v}/10.",
        "Rates the pain {v}/10.", "Says pain is {v} out of 10.", "Pain level {v}.",
        "Pain score is {v}.", "It hurts {v}/10.", "NRS {v}/10.", "Gives the pain a {v} out of 10.",
        "Pain scored at {v}/10.", "Pain at rest {v}/10.", "She rates the pain {v}/10.",
        "He rates his pain {v} out of 10.", "Pain={v}/10", "The pain is {v}/10.",
    ),
    blood_pressure=(
        "BP reads {v}.", "Blood pressure: {v}.", "BP {v} lying.", "bp: {v}", "Pressure {v}.",
        "BP {v}.", "BP was {v}.", "BP: {v}.", "Blood pressure {v}.", "Blood pressure is {v}.",
        "BP of {v}.", "Blood pressure {v} mmHg.", "BP {v} mmHg.", "bp {v},",
        "Blood pressure was {v} on arrival.", "The blood pressure is {v}.", "BP={v}",
        "His blood pressure was {v}.", "Her BP is {v}.", "BP {v} sitting.",
    ),
    heart_rate=(
        "Heart rate: {v}.", "Pulse rate {v}.", "pulse {v},", "Heart beats {v} per minute.",
        "HR at {v}.",
        "HR {v}.", "Heart rate {v}.", "Pulse {v}.", "HR was {v}.", "Pulse: {v}.", "P {v}.",
        "Heart rate is {v}.", "Pulse of {v} per minute.", "HR {v} bpm.", "Heart rate {v}/min.",
        "pulse {v} regular,", "hr {v},", "Pulse was {v}.", "HR={v}", "The heart rate is {v}.",
        "Her pulse was {v}.", "with a heart rate of {v},",
    ),
    breathing_rate=(
        "RR {v}.", "Respiratory rate {v}.", "Resp rate {v}.", "Breathing rate {v}.",
        "Resps {v}.", "RR was {v}.", "RR: {v}/min.", "Respiratory rate is {v} per minute.",
        "Breaths {v} per minute.", "resp {v},",
    ),
    temperature=(
        "Temperature: {v}.", "Temp of {v}.", "Temp reads {v}.", "T: {v}.", "temperature {v},",
        "Temp {v}.", "Temperature {v}.", "T {v}.", "Temp was {v} C.", "Temperature is {v} °C.",
        "Temp: {v}.", "Temperature of {v} degrees.", "temp {v}C,", "Temp {v} °C.",
        "Temperature {v} by ear.", "Temp {v} on arrival.", "The temperature is {v}.", "Temp={v}",
    ),
    saturation=(
        "SpO2 {v}%.", "Sats {v}%.", "Saturation {v} %.", "Sats {v}% on air.", "SpO2: {v}%.",
        "O2 sats {v}%.", "Oxygen saturation {v}%.", "Oxygen saturation is {v} percent.",
        "SpO2 was {v}% on room air.", "sats {v},", "SpO2 {v}.",
    ),
    weight=(
        "Weight {v} kg.", "Weighs {v} kg.", "Wt {v}kg.", "Weight: {v} kg.", "Body weight {v} kg.",
        "Weight is {v} kg.", "wt {v} kg,", "Weighed at {v} kg.",
    ),
    allergy=(
        "Cannot take {v} (allergy).", "Allergy status: {v}.", "Allergies - {v}.",
        "Reacts to {v}.", "Allergic reaction to {v} in the past.", "{v} allergy.",
        "Allergy documented: {v}.", "NB allergic to {v}!", "Allergies are {v}.",
        "Avoid {v}, allergic.",
        "Allergic to {v}.", "Allergy: {v}.", "Allergies: {v}.", "Known allergy to {v}.",
        "Has an allergy to {v}.", "Allergies include {v}.", "Is allergic to {v}.",
        "She is allergic to {v}.", "He has an allergy to {v}.",
        "Allergy to {v} noted.", "ALLERGY {v}.", "Reports an allergy to {v}.", "allergic: {v}",
    ),
    no_allergy=(
        "Allergies: nil known.", "No allergy.", "Allergy status: none.",
        "Not allergic to anything.", "Allergies - none.", "No allergies known.",
        "No known allergies.", "NKDA.", "No allergies.", "Allergies: none.", "Nil allergies.",
        "Allergies none known.", "No known drug allergies.", "Has no allergies.", "NKA.",
        "Denies allergies.",
    ),
    history=(
        "History of {v}.", "PMH {v}.", "PMH: {v}.", "Past history: {v}.", "Known {v}.",
        "Has a history of {v}.", "Past medical history {v}.", "Background: {v}.",
        "History: {v}.", "Background of {v}.", "Medical history includes {v}.", "Hx {v}.",
    ),
    medicines=(
        "Takes {v}.", "On {v}.", "Meds: {v}.", "Medication: {v}.", "Medicines: {v}.",
        "Currently takes {v}.", "Regular medicines {v}.", "Medicines are {v}.", "meds {v},",
        "Current medication {v}.", "Treated with {v}.", "Drugs: {v}.", "Uses {v}.",
    ),
    plan=(
        "Plan today: {v}.", "For {v}.", "We will arrange {v}.", "Decision: {v}.",
        "Management: {v}.", "Arranged {v}.", "Then {v}.", "Plan made: {v}.", "To do: {v}.",
        "We plan {v}.",
        "Plan: {v}.", "Plan is {v}.", "Plan {v}.", "The plan is {v}.", "P: {v}.",
        "Plan for {v}.", "Planned: {v}.", "Our plan: {v}.", "Next: {v}.", "plan - {v}",
    ),
    fillers=(
        "Seen in bed 12.", "Seen at 14:30.", "Arrived at 08:15.", "Ward 4.", "Bay 3, bed 2.",
        "Lives alone.", "Lives with a partner.", "Works as a teacher.", "No previous surgery.",
        "Walked in without help.", "Came by ambulance.", "Looks well.", "Looks tired.",
        "Alert and oriented.", "Here with a daughter.", "Here with mother.", "Non-smoker.",
        "Smokes 10 a day.", "Drinks 2 glasses of wine a week.", "No recent travel.",
        "Ate breakfast at 7.", "Sleeping badly.", "Has 3 children.", "Room 21.", "Cubicle 5.",
        "Notes reviewed.", "Second visit this month.", "Skin warm and dry.", "Has 2 cats.",
        "Chest clear.", "Abdomen soft.", "No rash.", "Eating and drinking.", "Feels worried.",
        "Triage at 19:05.", "Retired driver.", "Plays football.", "Lives on floor 6.",
        "Reviewed by nurse at 11:40.", "Family informed.", "Worse when walking.",
    ),
    vital_signs=("Vitals:", "Obs:", "Vital signs:", "On arrival:", "O/E", "On examination:"),
)

HELD_OUT = PhraseSet(
    requests=(
        "Please give me a summary of the note below.", "Can you make a short summary of this?",
        "Summarise the note:", "Key facts of this patient please:",
        "Could you summarise this clinical note for me?", "What are the key points here?",
    ),
    one_line_requests=(
        "Summarise this patient in one sentence:", "Give me a one sentence summary:",
        "Put this in one line please:",
    ),
    advice_requests=(
        "Please write discharge advice for this patient.", "Give simple discharge advice:",
        "Write advice for home for this patient:",
    ),
    named_advice_requests=(
        "Please write simple discharge advice for {c}.",
        "Can you give me discharge advice for {c}?", "Write going home advice for {c}.",
        "What discharge advice do I give for {c}?", "Discharge advice for someone with {c}, please",
    ),
    person=(
        "The patient is a {old} {noun}", "{noun}, aged {age}", "A {noun} of {age}",
        "Patient: {old} {noun}.", "A {noun} aged {age}", "{noun} - {age}",
    ),
    compact_person=("{n} yr {mf}", "{mf}, {n}", "{title} {name}, {n}y"),
    surnames=("Miller", "Okafor", "Silva"),
    person_without_age=("An adult {noun}", "{noun}, age unknown,"),
    opening=(
        "{who} came to us with {c} {d}.", "{who} is seen with {c} {d}.",
        "{who} has been having {c} {d}.", "{who}. Main complaint: {c} {d}.",
        "{who} reporting {c} {d}.", "{who} was admitted for {c} {d}.",
        "{who} - {c} {d}.", "{who} has {c}, present {d}.",
    ),
    opening_with_history=("{who} came in with a {h} history of {c}.",),
    opening_without_duration=(
        "{who} came to us with {c}.", "{who} is seen with {c}.", "{who}. Main complaint: {c}.",
        "{who} was admitted for {c}.",
    ),
    pain=(
        "Pain was {v}/10.", "Scores the pain {v} out of 10.", "Pain currently {v}/10.",
        "Reports pain of {v}/10.",
    ),
    blood_pressure=("Blood pressure of {v}.", "BP is {v}.", "BP measured {v}.", "BP - {v}."),
    heart_rate=("Heart rate was {v}.", "Pulse is {v}.", "HR: {v}.", "HR of {v}."),
    breathing_rate=("Respiratory rate was {v}.", "RR is {v}.", "Respiratory rate: {v}."),
    temperature=("Temperature was {v}.", "Temp is {v}.", "Temperature: {v} °C."),
    saturation=("Saturation was {v}%.", "SpO2 is {v}%.", "O2 saturation {v}%."),
    weight=("Weight was {v} kg.", "Weighing {v} kg."),
    allergy=("Allergic to {v} since childhood.", "Known to be allergic to {v}.", "Allergy - {v}."),
    no_allergy=("There are no known allergies.", "Without allergies.", "Allergies: no."),
    history=("Medical history: {v}.", "Past medical history: {v}.", "There is a history of {v}."),
    medicines=("Is taking {v}.", "Current medicines: {v}.", "Medication is {v}."),
    plan=("Plan now: {v}.", "Plan today is {v}.", "The plan: {v}."),
    fillers=(
        "Seen in bed 9.", "Came in at 16:45.", "Works as a driver.", "Lives with 4 others.",
        "Looks comfortable.", "Ward 7.", "Here with a brother.", "Smokes 5 a day.",
        "No recent surgery.", "Second visit this year.",
    ),
    vital_signs=("Vital signs are:", "Observations:"),
)


def shared_phrases() -> list[str]:
    """Every phrase that stands in both sets; the held-out score is honest only if none does."""
    shared = []
    for field in fields(PhraseSet):
        both = set(getattr(TRAIN, field.name)) & set(getattr(HELD_OUT, field.name))
        shared.extend(sorted(both))
    return shared
