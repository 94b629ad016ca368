"""Notes written by hand, as people type them, outside the generator's style.

They are there to measure how far the demo falls short beyond that style; nothing is trained
on them. Each stands with the facts that the summary format has room for.
"""

from __future__ import annotations

from dataclasses import replace

from demo_model.notes import NO_ALLERGY, Facts

# Word lists stay dense: one entry a line would be four times as long and no easier to read.
# fmt: off

_NONE = Facts(
    age=None, months=False, sex=None, complaint="", duration=None, pain=None,
    blood_pressure=None, heart_rate=None, breathing_rate=None, temperature=None,
    saturation=None, weight=None, allergy=None, history=None, medicines=None, plan=None,
)

FREE_NOTES: tuple[tuple[str, Facts], ...] = (
    (("Mrs Smith, 82 F, slipped in the bathroom and now has left hip pain. 8/10. Obs BP 158/92, "
     "HR 104, RR 20, SpO2 94% RA, T 36.4. PMH AF, takes apixaban. NKDA. Plan: hip X-ray."),
     replace(_NONE, age=82, sex="female", complaint="left hip pain", pain=8,
             blood_pressure="158/92", heart_rate=104, breathing_rate=20, temperature="36.4",
             saturation=94, history="AF", medicines="apixaban", allergy=NO_ALLERGY,
             plan="hip X-ray")),
    ("45M with chest tightness for 2 hours, 7/10, BP 160/95, HR 110, sats 96%. Smoker.",
     replace(_NONE, age=45, sex="male", complaint="chest tightness", duration="for 2 hours",
             pain=7, blood_pressure="160/95", heart_rate=110, saturation=96)),
    (("A 29-year-old woman came to A&E with a throbbing headache that started yesterday. She "
     "scores it 5/10. BP 118/74, pulse 72, temp 36.8. No allergies. Home with advice."),
     replace(_NONE, age=29, sex="female", complaint="throbbing headache",
             duration="since yesterday", pain=5, blood_pressure="118/74", heart_rate=72,
             temperature="36.8", allergy=NO_ALLERGY, plan="home with advice")),
    (("4-year-old boy, mum says he has had a barking cough for 2 days. Temp 38.4, RR 32, SpO2 97%, "
     "weight 16 kg. Allergic to amoxicillin. Plan: one dose of dexamethasone."),
     replace(_NONE, age=4, sex="male", complaint="barking cough", duration="for 2 days",
             temperature="38.4", breathing_rate=32, saturation=97, weight=16,
             allergy="amoxicillin", plan="one dose of dexamethasone")),
    (("Patient: 71-year-old man. Complaint: swollen left leg for 4 days. Pain 3/10. BP 134/80. "
     "HR 88. Known type 2 diabetes, on metformin 500 mg. Plan: Doppler of the left leg."),
     replace(_NONE, age=71, sex="male", complaint="swollen left leg", duration="for 4 days",
             pain=3, blood_pressure="134/80", heart_rate=88, history="type 2 diabetes",
             medicines="metformin 500 mg", plan="Doppler of the left leg")),
    (("19 year old female, twisted her right ankle at football this morning, swollen and tender. "
     "Pain 6/10. Cannot take ibuprofen (allergy). Plan: X-ray right ankle, ice, crutches."),
     replace(_NONE, age=19, sex="female", complaint="twisted right ankle",
             duration="since this morning", pain=6, allergy="ibuprofen",
             plan="X-ray right ankle, ice, crutches")),
    (("56 yo woman with palpitations since last night. HR 148 irregular, BP 102/60, SpO2 98%. "
     "Background of hypertension. Takes ramipril. Plan: ECG, bloods, cardiology review."),
     replace(_NONE, age=56, sex="female", complaint="palpitations", duration="since last night",
             heart_rate=148, blood_pressure="102/60", saturation=98, history="hypertension",
             medicines="ramipril", plan="ECG, bloods, cardiology review")),
    (("38 M, cut his left hand with a kitchen knife 1 hour ago. Pain 4/10. Tetanus up to date. "
     "BP 126/82, HR 90. NKDA. Plan: clean, suture, dressing."),
     replace(_NONE, age=38, sex="male", complaint="cut left hand", duration="for 1 hour", pain=4,
             blood_pressure="126/82", heart_rate=90, allergy=NO_ALLERGY,
             plan="clean, suture, dressing")),
)
