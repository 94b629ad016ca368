"""Training wordings made of parts: many more than anyone would write one by one.

`<a|b|>` is one of its choices, `#` a number that is no fact of the note. Guarantee: the same
phrases at every import, none of them equal to a held-out phrase in its words, whatever the
capitals and marks.
"""

from __future__ import annotations

import re
from dataclasses import fields, replace
from random import Random

from demo_model.phrases import HELD_OUT, TRAIN, PhraseSet

# Word lists stay dense: one entry a line would be four times as long and no easier to read.
# fmt: off

_NOW = "< now| today| at triage| on arrival| this morning| currently| so far|||||||>"
_WHO_SAYS = "<Patient|Pt|He|She|Mother|Wife|Husband|Daughter|Family|Carer|Nurse|Son|Relative>"

_PARTS: dict[str, tuple[str, ...]] = {
    "requests": (
        "<Please |Kindly |Can you |Could you |Now |Next, |>"
        "<summarise|summarize|shorten|condense|sum up|sum|outline|recap|list|abridge>"
        " <this|the following|the attached|my|our|this whole> <note|entry|text|case|record|story>"
        "< for me| briefly| for the file| as a list| in short| for handover|><:|.|?| please:|>",
        "<Short|Brief|Quick|Clear|Concise|Compact> <summary|overview|list|version|recap|outline>"
        "< of this note| of the case| for the ward| for the doctor| for me|><:|.|, please:|>",
        "<I need|I want|Give me|Make|Write|Prepare|Show me|We need|Produce|Type> <the|a list of the>"
        " <facts|essentials|findings|key points|important data|main facts|core facts>"
        "< of this note| below| here| from this text|><:|.|>",
        "<Facts|Findings|Points|Data|Essentials|Extract|Note|Recap|Overview|In short><:| please:|>",
    ),
    "one_line_requests": (
        "<Please |Can you |Could you |Now |><summarise|summarize|describe|tell|give|condense>"
        " <this note|this case|this patient|it|the text> in <one|a single|just one|only one>"
        " <sentence|line|phrase><:|.| please:|>",
        "<Short|Quick|Brief|A> <one-liner|one line|single line|single sentence>"
        "< for the board| for the round| on this note| about this case|><:| please:|.|>",
    ),
    "advice_requests": (
        "<Please |Can you |Could you |Now |Kindly ><write|draft|give|prepare|make|produce>"
        " <some |the |short |plain |simple |><discharge advice|going-home advice|home advice>"
        "< for this patient| from this note| for this note| based on this|><:|.|?>",
        "<Discharge|Going-home|Home> <advice|advice sheet|leaflet>< needed| wanted|, please|><:|.>",
    ),
    "person": (
        "<A|The|One|Another|This|Our|Today a|Next a|Now a|> <pleasant|new|known|anxious|well-known|"
        "local|healthy|frail|calm|tired|fit|active|slim|quiet|worried|previously well|pale|>"
        " {old} {noun}<,||>",
        "<A|The|One|This|Our|> <pleasant|new|known|anxious|local|healthy|frail|calm|>"
        " {noun}<, | (| - | of | aged | at | who is | now | is | being |, age | age |: | / >{age}<,||>",
        "{noun}<, | - |: | / |; |. | = >{age}<,||.| -|;>",
        "{age}< / |, | - |: |; | | = >{noun}<,||.| -|;|:>",
        "{noun} <aged|of age|at age|at|being|with age|whose age is|, now|turned|who turned>"
        " {age}<,||>",
        "<Age|AGE|age|Age of patient|Years|Aged><: | |=| = | - >{age}<, |; | - |. | / >"
        "<|||sex |gender |Sex: |sex - |Gender: ><{noun}><,||.| ->",
        "<Sex|Gender|SEX|Sex of patient|Person|Who|Pat.|Pt|Patient|Client|Subject|Resident|Case|ID>"
        "<: | |=| - ><{noun}><, |; | - |. | / ><|age |aged |Age: |age: |Age = |age - >{age}<,||.| ->",
        "<Pt|Patient|Client|Case|Our case|Next|Person|Resident|Visitor|In room #|Bed #|Bay #|No #>"
        "<: | | - | is a | = |, | is an |, a >{old} {noun}<,||.| ->",
        "<I|We|Dr Lee|The team|Nurse|Just> <saw|have seen|met|examined|reviewed|admitted|assessed|"
        "have|took over|received|treated> <a|this|one|our|the> <{old} {noun}|{noun}, {age},|"
        "{noun} ({age})|{noun} aged {age}|{noun} of {age}>",
        "<In|On|For|About|Re|Regarding|Concerning><: | ><a |this |our |the |>"
        "<{old} {noun}|{noun}, {age}|{noun} ({age})|{noun} aged {age}><,|:| -|>",
        "<({noun}, {age})|[{age}, {noun}]|({age}, {noun})|[{noun} - {age}]|({old} {noun})|"
        "{noun}: age {age}|{noun} / age {age}|{noun} = {age}|\"{noun}, {age}\">",
        "<This is|Here is|Here we have|It is|There is|Meet|Following up> <a|our|the|one> "
        "<{old} {noun}|{noun} of {age}|{noun}, {age},|{noun} aged {age}>",
        "<The|This|Our> <patient|person|case|client|resident> <is|was|, being|here is|today is>"
        " <a|an|one> {old} {noun}<,| who||>",
        "{old} <pleasant|healthy|unwell|worried|known|local|unaccompanied|> {noun}<,| who||>",
        "<{noun}|{old} {noun}|{noun}, {age}>, <walking|on foot|with family|alone|in a wheelchair|"
        "on a trolley|known to us|new here|well known>,",
    ),
    "compact_person": (
        "{n}<|y| y| yr| yrs| yo| y.o.| years| yrs old|-year-old| y/o>"
        "< |, |/| / | - |; |-|>{mf}<|,|:| -|.|;>",
        "{mf}< |, |/| / | - |; |-||: >{n}<|y| y| yr| yrs| yo| y.o.| years| yrs old><|,|:| -|.|;>",
        "<Pt|Patient|Age|Case|Bed #|Client|Room #|Adm|New|ID|Demographics|Re><: | | - |, >"
        "<{n}{mf}|{mf}{n}|{n} {mf}|{mf} {n}|{n}/{mf}|{mf}/{n}|{n}y{mf}|{n}, {mf}|{mf}, {n}><|,|.| ->",
        "<sex|gender|Sex|Gender><: | |=>{mf}<, |; | / | - | ><age|Age|aged|years><: | |=>{n}<|,|.>",
        "<age|Age|aged|AGE><: | |=>{n}<, |; | / | - | ><|sex |gender |sex: |Sex: >{mf}<|,|.>",
        "<({n}/{mf})|({mf}, {n})|[{n}{mf}]|({n} {mf})|[{mf} {n}]|({mf} {n}y)>",
        "<Pt|Patient|Our patient|The patient|Re|Seen|Saw|Case|Name|||><: | | ><{title}><. | >{name}"
        "<, |; | - | (| / |: | >{n}< years old| years| y| yo| yrs| y/o| years of age|>"
        "<,|:| -|.|),|>",
        "{title}<. | >{name}<, | is |, who is | - |, now |, just |, aged | aged |, age | age |"
        " of >{n}< years old| years| y| yo| yrs| y/o||>< and|,| -|:|.|>",
        "{title}<. | >{name}<, | | - | (| / |: >{n}<| |/|y |, | yrs ><{mf}><,|:| -|.|),|>",
        "{title}<. | >{name}<, | | - | (| / |: >{mf}<| |/|, >{n}<,|:| -|.|),|>",
        "{n}<-year-old| year old| yo| y/o|y| yrs old|> <{title}>< |. >{name}<,||:| ->",
        "{title}<. | >{name}<, a |, our |, the |, >{n}<-year-old| year old| yo| y/o>"
        " <patient|person|teacher|retiree|resident|client|driver|cook|visitor|neighbour|worker>,",
        "{name}, {title}<, | - | (| / >{n}< years| y| yo|><,|.|),|>",
    ),
    "person_without_age": (
        "<A|The|This|Our|One|Today a|Another|> <pleasant|new|anxious|local|healthy|frail|calm|"
        "middle-aged|elderly|grown-up|unknown|unaccompanied|confused|> {noun}<,||>",
        "{noun}<, | - |: | (|. |; ><age|Age|exact age|date of birth|DOB|years>"
        " <unknown|not known|missing|not given|not asked|unclear|blank|to be confirmed|?><,|.|)|>",
        "<Pt|Patient|Client|Case|Sex|Gender|Person|Bed #|Room #><: | | - |=>{noun}<,|.||:| ->",
        "<I|We|The team|Just> <saw|met|examined|reviewed|admitted|have> <a|this|one|our> {noun}<,|>",
        "<This is|Here is|There is|It is> <a|our|one> {noun}<,| who||>",
        "{noun}<, known to us,|, no age given,| without papers,| in bed #,| from the home,|;| ->",
    ),
    "opening": (
        "<||Seen: |Hx: |Triage: |Note: |S: |HPI: |Story: |Admission: |Clinic: |Today: |ED: |>{who}"
        "<| who| and>"
        " <has|had|has had|got|gets|has got|reports|describes|mentions|notes|noted|has noticed|feels|"
        "is having|is experiencing|has experienced|experienced|developed|has developed|complaining of|"
        "is complaining of|complained of|suffering from|is suffering from|suffered|reporting|"
        "bothered by|is bothered by|troubled by|is troubled with|struggles with|struggling with|"
        "presenting with|is presenting with|attends with|attending with|attended for|arrives with|"
        "arriving with|comes in with|coming in for|comes with|came with|came for|came because of|"
        "turned up with|turns up with|brought in for|brought by ambulance for|brought for|was taken in"
        " with|transferred with|transferred for|sent for|sent by the GP with|sent over because of|"
        "referred because of|referred due to|in with|in for|in because of|here with|here because of|"
        "here about|here due to|living with|visits for|visits because of|visited with|visiting about|"
        "rang about|phoned about|consults for|consulting for|asks about|asks for help with|worried"
        " about|concerned about|known with|affected by|diagnosed with|tells of|speaks of|talks about|"
        "is unwell with|unwell with|poorly with|ill with|sick with|in bed with|at home with|"
        "dealing with|battling|admitted for|admitted because of|hospitalised for|kept in for|"
        "re-attends with|returned with|back with|back again with|again with|again has|now has|now with|"
        "still with|still troubled by|continues to have|keeps having|says there is|states having|"
        "stating|claims|admits to|acknowledges|shows|displays|seeks help for|seeking advice on|"
        "wants help with|needs help with|under us for|under the GP for|followed for|treated for|"
        "monitored for|limping in with|walks in with|walks in because of|presenting complaint|"
        "chief complaint|main issue|main problem is|issue is|problem is|primary problem|CC|PC|RFV>"
        "<| some| the| a lot of| what seems to be| increasing| ongoing|||||||||> {c}<, | - | (|; | | | |"
        "  | | | >{d}<.|.|.|.| now.| so far.| already.| in all.|>",
        "{who}<: |. |, | - |; | / | -- ><CC|PC|RFA|C/O|c/o|Complaint|Main complaint|Chief complaint|"
        "Presenting problem|Problem|Issue|Symptom|Symptoms|Main symptom|Reason|Reason for admission|"
        "Reason for attendance|Concern|Main concern|Present complaint|Dx|Diagnosis|Trouble|Referral|"
        "Why here|Indication|Presentation><: | |=| - | is |, >{c}<, |; | - |. | / | (| >"
        "<|||Onset: |Duration: |duration |Time: |time: |How long: |onset |Since when: |present |"
        "ongoing |lasting |has been there |Length: |course: |Timeline: |persisting |it began ||>{d}"
        "<.|.|.|.||)>",
        "<Complaint|Reason|CC|PC|Problem|Issue|Symptom|Main symptom|Concern|Attends for|Presents with|"
        "Came with|Admitted with|Referred with|Visit for|Here for|Brought in with|Consult for|"
        "Called in about|Dx|Reason for call|Reason for referral><: | | - | = >{c}<, |; | - | / | >"
        "<||||duration |Duration: |onset |present |lasting |>{d}<. |, |; | - | / | in a | in our | in >"
        "<||||Patient: |Pt: |patient |Who: |Person: |>{who}<.|.||,>",
        "{who}<, |: | - |. |; | ><|||||now |currently |unwell |ill |sick |poorly |in bed |not well |"
        "in trouble |off work |off school >{d}< with | because of | due to | - |: |; |, | of | owing to"
        " | caused by | on account of | thanks to | after >{c}<.|.|.||,>",
        "<For|Over|During|Present|Now|Time|Duration|Onset|Ongoing|Unwell><: | ><{d}><, |: | - >{c}"
        "< in | in a | in our |, | - | / |: >{who}<.|.||,>",
        "{c}<, | - |: |; | / |><| present| ongoing| going on| lasting| persisting| noticed| felt|"
        " reported| complained of| there| unchanged| getting worse| no better| getting better> {d}"
        "<, | in a | in | in our | - |: | / | reported by | for the | affecting | said >{who}<.|.||,>",
        "{who}<: |, | - |. |; | ><There has been|There is|Has been having|Had been having|Has had|"
        "Has been getting|Has felt|Cannot shake off|Cannot get rid of|Wants us to look at|Tells us about|"
        "Asks us about|Needs review of|Woke with|Started with|Began with|Went to bed with|Is left with|"
        "Is plagued by|Lives with|Put up with|Noticed|Kept having|Had to stop work for|Worse with>"
        " {c}<, | | | | - ><|||which has lasted |which has been there |that has lasted |that started |"
        "that has been there |going on |which began |ongoing |present |lasting |unchanged |all the time |"
        "not settling |on and off |off and on |day and night |getting worse |slowly worse |and it has"
        " been so |it has been there |gradually >{d}<.|.|.|.|,|>",
        "{who}< states| says| reports| told us| thinks| feels| is sure| explains| adds>"
        "< that there has been| having| having had| to have| there is| it is| about| that> {c} {d}<.|.|>",
        "{who} {c} {d}<.|,||;| -|...|!>", "{who} <w|w/|c|with|+|&|re|for|><: | >{c} {d}<.|,||;>",
        "{who} <({c}, {d})|({c} {d})|[{c} {d}]|\"{c}\" {d}|'{c}', {d}|*{c}* {d}><.||,>",
        "{who}. <It is|It was|This is|It concerns|It started as|All began with|The trouble is|"
        "What bothers most is|The family reports|The mother reports|The GP writes|The letter says|"
        "The worry is|Our concern is|What brings them is|The reason is> {c}<, | | - >{d}<.|.|,|>",
    ),
    "opening_with_history": (
        "{who}<, |: | - |; |. | ><|||has |had |gives |reports |describes |presents with |comes with |"
        "with |attends with |tells of |in with |brought with |referred with |there is |now |shows >"
        "<a |an |the |one |about |> {h} <history|hx|h/o|story|course|spell|bout|period|episode|run|"
        "background|duration|complaint|problem|stretch|phase|onset>< of|:| with| -|,|> {c}<.|.|.||,>",
        "<A |The ||||Gives a |Reports a |History: |HPI: |Hx: >{h} <history|hx|h/o|story|course|spell|"
        "bout|period|episode|run|stretch> <of|with|:|->  {c}<, | in a | in | in our | - |: | for >{who}"
        "<.|.||,>",
        "{who}<, |: | - |; |. | ><|||has |with |reports |and >{c}<, | - | (|; | with | of ><|a |the >"
        "{h} <history|hx|story|course|spell|period|duration|onset><.|.||,|).>",
    ),
    "pain": (
        "<Pain|pain|PAIN|Pain score|Pain scale|Pain level|Pain rating|Pain index|Pain NRS|NRS|NPRS|VAS|"
        "PS|Score for pain|Numeric pain score|Pain assessment|Ache|Soreness|Hurt|Discomfort|Pain value|"
        "Pain severity|Level of pain|Degree of pain|Severity|Pain (0-10)|Pain today|Pain tonight|"
        "Pain grade|Worst pain|Pain at night|Pain when sitting|Pain when coughing|Pain on walking|"
        "Current pain|Reported pain|Pain after rest|Pain on touch|Pain first>"
        "<: |: | | | = |=| - |, | is | was | at | of | about | around | given as | put at | said to be |"
        " recorded as | noted as | measured | marked | stands at | remains | runs at | equals |"
        " stays at | feels like | comes to | assessed at | judged | estimated at | up to >{v}"
        "<|/10|/10|/10| out of 10| of 10| out of ten| in 10|-10 scale| / 10| from 10| points>"
        + _NOW + "<.|.|.|.||,|;>",
        "<{v}/10|{v} out of 10|{v} of 10|{v} / 10|{v} in 10> <pain|on the pain scale|for pain|pain score|"
        "on NRS|on VAS|pain level|as pain score|when asked about pain|on the scale|hurting|in pain|"
        "pain reported|pain noted|is the pain|is the pain score|pain felt>" + _NOW + "<.|.|.||,>",
        _WHO_SAYS + " <puts|rates|scores|marks|gives|calls|grades|judges|estimates|quotes|sets|reports|"
        "records|names|feels|states|measures> <the pain|pain|it|the hurt|a pain|their pain|this pain>"
        "< at| as| to be| a| with| of||> {v}<|/10|/10|/10| out of 10| of 10>" + _NOW + "<.|.|.||,>",
        "<Rating|Rates|Rated|Scoring|Scored|Scores|Grading|Giving|Hurting|Aching|Hurts|Aches|Sore>"
        "< at| pain at| pain| it| as|> {v}<|/10|/10| out of 10| of 10><| for pain| pain><.|.||,>",
        "<With|Has|Having|Shows|In|Feels|Still|Some|Now> <pain|a pain score|a pain level|aches>"
        "< of|:| at| about| around|> {v}<|/10|/10| out of 10| of 10><.|.||,>",
        "<On|Using> <the scale|NRS|VAS|the pain scale|a scale of 0 to 10|the numeric scale><, |: | >"
        "<pain|the pain|it is|patient says|scores|this is|reaches|> {v}<|/10|><.|.||,>",
        "<How much pain|Pain now|Does it hurt|Pain asked|How bad|Any pain>? {v}<|/10|/10| of 10><.|.|>",
    ),
    "blood_pressure": (
        "<BP|BP|BP|bp|Bp|B.P.|B/P|RR Riva|NIBP|ABP|Blood pressure|Blood pressure|blood pressure|Blood press.|"
        "Arterial pressure|Blood-pressure|Cuff pressure|Pressure|Tension|Systolic/diastolic|BP left arm|"
        "BP right arm|BP standing|BP seated|BP supine|BP at rest|BP repeat|BP today|Cuff|Manual BP|"
        "Resting BP|First BP|Blood pressure reading|BP reading|Arm BP|Latest BP|Last BP|Admission BP>"
        "<: |: | | | = |=| - |, | is | was | at | of | about | reads | shows | taken as | recorded as |"
        " measured at | measured | stands at | found to be | came to | noted as | recorded | checked |"
        " comes out at | stayed | remains | showing | reading | came back | registers >{v}"
        "<|||| mmHg| mm Hg|mmHg| mmhg|>" + _NOW + "<.|.|.|.||,|;>",
        "<Her|His|The|Patient's|Measured|Recorded|Initial|Latest|Repeat|Last|First|Usual|A|Baseline>"
        " <BP|blood pressure|pressure|bp|cuff reading|cuff pressure>"
        "< is| was| of| at| reads| shows| came to| measured|:|> {v}<|| mmHg>" + _NOW + "<.|.|.||,>",
        "<With|Has|Shows|Had|Running|Holding|Recording|Got|Gave|Found> <a |><BP|blood pressure|pressure>"
        "< of| at|:|> {v}<|| mmHg><.|.||,>",
        "{v}< mmHg|><, |: | - | | as | for | is the | = ><BP|blood pressure|NIBP|bp|cuff><.|.||,>",
        "<We|Nurse|Triage|Monitor|The cuff|Ambulance> <measured|found|recorded|noted|took|shows|got|reads>"
        " <a |><BP|blood pressure|pressure>< of| as| at|:|> {v}<|| mmHg><.|.||,>",
    ),
    "heart_rate": (
        "<HR|HR|HR|hr|H.R.|Heart rate|Heart rate|heart rate|Pulse|Pulse|pulse|PR|P|Pulse rate|Heart-rate|"
        "Heart rhythm|Beats|Ventricular rate|Heart|Rate|Radial pulse|Apex beat|Pulse at wrist|HR at rest|"
        "Resting pulse|Resting HR|Monitor HR|ECG rate|Pulse today|Cardiac rate|Heartbeat|Puls|Resting heart rate|"
        "Pulse check|Latest pulse|Admission HR|Pulse by hand>"
        "<: |: | | | = |=| - |, | is | was | at | of | about | reads | shows | counted at | recorded as |"
        " measured at | measured | stands at | found to be | came to | noted as | recorded | checked |"
        " comes out at | stayed | remains | runs at | beating at | racing at | steady at | goes at >{v}"
        "<|||| bpm|bpm|/min| /min| per min| per minute| a minute| beats| beats per minute| p.m.| regular|"
        " irregular| and regular| and steady>" + _NOW + "<.|.|.|.||,|;>",
        "<Her|His|The|Patient's|Measured|Recorded|Initial|Latest|Repeat|Last|First|Resting|A|Baseline>"
        " <HR|heart rate|pulse|hr|heart|heartbeat|pulse rate>"
        "< is| was| of| at| reads| shows| beats at| measured| runs at|:|> {v}<|| bpm|/min| per minute>"
        + _NOW + "<.|.|.||,>",
        "<With|Has|Shows|Had|Running|Holding|Recording|Got|Gave|Found> <a |><HR|heart rate|pulse|pulse rate>"
        "< of| at|:|> {v}<|| bpm|/min><.|.||,>",
        "{v}< bpm| beats|/min|><, |: | - | | as | for | is the | = ><HR|heart rate|pulse|heartbeats><.|.||,>",
        "<We|Nurse|Triage|Monitor|The monitor|ECG> <measured|found|counted|noted|took|shows|got|reads>"
        " <a |><HR|heart rate|pulse>< of| as| at|:|> {v}<|| bpm|/min><.|.||,>",
    ),
    "breathing_rate": (
        "<RR|RR|RR|rr|R.R.|Resp|Resps|resp|Resp rate|Resp. rate|Respiratory rate|Respirations|Respiration|"
        "Breathing rate|Breaths|Breathing|Rate of breathing|AF|BR|Breath rate|Breath count|Ventilation rate|"
        "RR counted|Breaths counted|Respiratory frequency|RR at rest>"
        "<: |: | | | = |=| - |, | is | was | at | of | about | reads | counted at | recorded as |"
        " measured | stands at | found to be | came to | noted as | counted | checked | runs at >{v}"
        "<||||/min| /min| per min| per minute| a minute| breaths| breaths per minute| bpm| unlaboured>"
        + _NOW + "<.|.|.|.||,|;>",
        "<Her|His|The|Patient's|Measured|Initial|Latest|Repeat|Last|Resting|A> <RR|respiratory rate|"
        "breathing rate|resp rate|breathing>< is| was| of| at| reads|:|> {v}<||/min| per minute><.|.||,>",
        "<With|Has|Shows|Had|Takes|Breathes|Breathing|Breathed>< a RR of| at| about| a rate of|> {v}"
        "< breaths| breaths a minute| times a minute| per minute|/min><.|.||,>",
        "{v}< breaths|/min|><, |: | - | | as | = ><RR|resp rate|breaths per minute|breathing><.|.||,>",
    ),
    "temperature": (
        "<T|T|Temp|Temp|temp|Temp.|Temperature|Temperature|temperature|Body temperature|Body temp|Tympanic|"
        "Tympanic temp|Oral temp|Axillary temp|Ear temp|Core temp|Fever check|Thermometer|Rectal temp|"
        "Temp (ear)|Temp (oral)|Forehead temp|Temp today|Skin temp|Heat|Tmax|Latest temp|Admission temp|TEMP>"
        "<: |: | | | = |=| - |, | is | was | at | of | about | reads | shows | taken as | recorded as |"
        " measured at | measured | stands at | found to be | came to | noted as | up to | checked |"
        " stays at | remains | registers >{v}"
        "<||||C| C| \u00b0C|\u00b0C| degrees| degrees C| Celsius| deg| deg C|\u00b0| oral| tympanic>"
        + _NOW + "<.|.|.|.||,|;>",
        "<Her|His|The|Patient's|Measured|Initial|Latest|Repeat|Last|A|Ambulance> <temp|temperature|"
        "body temperature|fever>< is| was| of| at| reads| measured|:|> {v}<|| C| \u00b0C| degrees>"
        + _NOW + "<.|.|.||,>",
        "<With|Has|Shows|Had|Running|Warm with|Recording> <a temp|a temperature|temp|temperature|it>"
        "< of| at|:|> {v}<|| C| degrees><.|.||,>",
        "{v}< C| \u00b0C| degrees|><, |: | - | | as | = | on the ><temp|temperature|thermometer><.|.||,>",
    ),
    "saturation": (
        "<SpO2|SpO2|spo2|SPO2|SaO2|Sats|Sats|sats|Sat|O2 sat|O2 sats|O2 saturation|Oxygen saturation|Oxygen|"
        "Saturation|Saturations|saturation|Oximetry|Pulse oximetry|Pulse ox|Oxygen level|O2|Oxygen sats|"
        "Finger probe|SpO2 on air|Sats on air|Sats at rest|Sats (RA)|SATS|Peripheral saturation>"
        "<: |: | | | = |=| - |, | is | was | at | of | about | reads | shows | recorded as | measured at |"
        " measured | stands at | found to be | came to | noted as | checked | stays at | remains | holds at >{v}"
        "<%|%|%| %|| percent| per cent| pct>"
        "<||| on air| on room air| RA| in air| at rest| on oxygen| on # l oxygen| breathing air>"
        "<.|.|.|.||,|;>",
        "<Her|His|The|Patient's|Measured|Initial|Latest|Repeat|Last|A> <sats|saturation|oxygen saturation|"
        "SpO2|oxygen level|oxygen>< is| are| was| were| of| at| reads|:|> {v}<%|%| %|| percent><.|.||,>",
        "<Saturating|Satting|Oxygenating|Sats holding|Keeps sats> <at|around|to|about|> {v}<%|%| %|| percent>"
        "<|| on air| on room air><.|.||,>",
        "{v}<%| %| percent>< | on | - |: | for ><SpO2|sats|saturation|oximetry|the probe|pulse ox><.|.||,>",
    ),
    "weight": (
        "<Weight|Weight|weight|Wt|wt|Wt.|Body weight|Weight today|BW|Bodyweight|Mass|Kilos|Scales|Weight now|"
        "Body mass|Current weight|Weight in clothes|WEIGHT|Dry weight|Admission weight>"
        "<: |: | | | = |=| - |, | is | was | at | of | about | reads | shows | recorded as | measured at |"
        " measured | stands at | came to | noted as >{v}"
        "< kg|kg| kg| kgs| kilo| kilos| kilograms| Kg| KG|><.|.|.|.||,|;>",
        "<Weighs|Weighing|Weighed|Tips the scales at|Puts on scales|Scales show|Scales say|Has a weight of|"
        "Is|Body of|Weighs in at|Weighs about|Weighed today at> {v}< kg|kg| kilos| kilograms><.|.||,>",
        "<Her|His|The|Patient's|Measured|Latest> <weight|body weight|wt>< is| was| of| at|:|> {v}"
        "< kg|kg| kilos><.|.||,>", "{v}<kg| kg| kilos>< weight| body weight| on the scales>.",
    ),
    "allergy": (
        "<Allergies|Allergies|Allergies|Allergy|Allergy|allergies|allergy|ALLERGIES|ALLERGY|Allergic|"
        "Allergic to|Allerg.|Allergens|Allergen|Drug allergy|Drug allergies|Known allergies|Known allergy|"
        "Allergy status|Allergy list|Allergy alert|Allergy record|Alert|ALERT|Warning|Caution|Intolerance|"
        "Intolerances|Sensitivity|Sensitivities|Hypersensitivity|Adverse reactions|Reactions|Adr|ADR|"
        "Risk|Red band|Allergy band|Allergy history|Hx allergy|Food or drug allergy|Bad reactions|All>"
        "<: |: |: | | | = |=| - |, | is | are | was | - to |: to |; |: yes, | yes: | (+): |: yes - |+ | noted: |"
        " known: | recorded: | present: | listed: | on file: | include | to | confirmed: | documented: >{v}"
        "<||||||| (rash)| - rash| (hives)| (swelling)| (anaphylaxis)| (mild)| (severe)| only| as a child|"
        " since childhood| in #| (old notes)| per family| per GP|, confirmed|!| - red band>"
        "<.|.|.|.||,|;>",
        "<Patient|Pt|He|She|||||||||> <is|was|is known to be|has always been|is said to be|is severely|"
        "is mildly|is highly|is reportedly|remains|became|seems|strongly|very|known> <allergic|sensitive|"
        "hypersensitive|intolerant> <to|to|to|of|against|towards> {v}"
        "<||||| (rash)| since childhood|, confirmed| as per file|, wears a band| (mild)><.|.|.||,>",
        "<Patient|Pt|He|She|Mother says he|Family says she||||||> <has|had|has got|reports|reported|gives|"
        "states|describes|mentions|notes|carries|lists|confirms|declares|admits|developed|shows> "
        "<an allergy|a known allergy|allergies|a reaction|reactions|an intolerance|a hypersensitivity|"
        "a documented allergy|a rash|hives|an allergic reaction|one allergy|a severe allergy|trouble|a sensitivity>"
        " <to|to|to|against|with|from|after|on> {v}<||||| (rash)| as a child| in #|, confirmed><.|.|.||,>",
        "{v}<: | - | = | >< allergy| allergies|allergic|-allergic| intolerance| sensitivity| reaction|allergy|"
        " causes rash| gives hives| makes face swell| triggers a rash| not tolerated| to be avoided|"
        " is an allergen|: allergic| provokes hives>"
        "<||| noted| known| on file| reported| confirmed| present| recorded><.|.|.||,|!>",
        "<Avoid|Avoids|Must avoid|No|Never give|Do not give|Cannot have|Can't take|Can not have|Must not take|"
        "Should not get|Refuses|Does not tolerate|Not tolerating|Cannot tolerate|Please avoid|Keep away from|"
        "Beware of|Swells with|Itches with|Rash with|Rash from|Rash after|Hives after|Hives from|Comes out in"
        " a rash with|Swelling after|Anaphylaxis to|Anaphylaxis with|Reaction to|Reacted to|Reacts badly to|"
        "Reacts with rash to|Itching from|Breaks out after|Bad reaction to|Severe reaction to|Tolerates no|"
        "Wheeze after|Once reacted to|Is unable to take>"
        " {v}<|||| -|, |: | (|;><allergy|allergic|allergy|rash|known allergy|allergic reaction|allergies>"
        "<.|.|.||,|).>",
        "<Noted|Reported|Documented|Recorded|Confirmed|Suspected|Possible|Established|Severe|Mild|Old|"
        "Childhood|Longstanding|Proven|There is|There is an|One|Positive for|Also an|Wristband for|Tested:|Red"
        " sticker:|File shows|Chart says|GP notes|Notes mention|Carries card for|Wears band for> "
        "<allergy|allergies|allergic reaction|hypersensitivity|intolerance|sensitivity|drug allergy>"
        "< to| to|:| -| against|=> {v}<|||| (rash)| since childhood><.|.|.||,>",
        "<Allergic|Any allergies|Allergies|Allergy|Known allergies|Allergies asked|Asked about allergies>"
        "<? |? Yes, |? Yes: |? yes - |?: |: yes, |: answer | - says >{v}<.|.||,>",
    ),
    "no_allergy": (
        "<Allergies|Allergies|Allergies|Allergy|Allergy|allergies|allergy|ALLERGIES|ALLERGY|Allergic|"
        "Allergic to|Allerg.|Allergens|Allergen|Drug allergy|Drug allergies|Known allergies|Known allergy|"
        "Allergy status|Allergy list|Allergy alert|Allergy record|Alert|Intolerance|"
        "Intolerances|Sensitivity|Sensitivities|Hypersensitivity|Adverse reactions|Reactions|ADR|"
        "Allergy band|Allergy history|Hx allergy|Food or drug allergy|Bad reactions|Allergies to drugs|"
        "Allergies to food|Drug reactions|Allergies (drugs, food)|Allergies or intolerances>"
        "<: |: |: | | | = |=| - |, | is | are | was |; |? |: - |... | noted: | recorded: | reported: >"
        "<none|none|nil|nil|no|No|None|Nil|zero|0|negative|not any|nothing|neg|none at all|denied|denies|"
        "nothing known|nothing reported|nothing recorded|none reported|none recorded|none stated|none listed|"
        "none documented|none on file|none that we know of|none found|none ever|none so far|no known|"
        "not present|absent|without|not that they know|not aware of any|no problems|clear|nil of note|"
        "no issues|none noted|none given|none to date|never|nil recorded|nil reported|nil stated|free|"
        "has none|none declared|-|/|(-)|no entries|blank, confirmed none|none confirmed|not known any|"
        "nothing to report|nil in the notes>"
        "<.|.|.|.||,|;>",
        "<No|No|No|Nil|Zero|Not any|Without|Never any|Free of|Denies|Denied|Denying|Has no|Have no|Had no|Reports no|"
        "Reported no|States no|Knows of no|There are no|There is no|Not aware of|Mentions no|Gives no|Lists no|"
        "Carries no|Notes show no|File shows no|Says no|Absence of|Confirms no|Declares no|Negative for|We found no|"
        "GP records no|Patient has no|Pt has no|She has no|He has no|Patient denies|Pt denies|She denies|He denies|"
        "Family knows of no|Mother knows of no|Asked, has no|Chart has no|Records no|Does not have|Doesn't have any|"
        "Does not report|Never had|Never had any|Is without|Lacks> "
        "<|||known |known |drug |food |reported |recorded |previous |documented |history of |significant |relevant |"
        "latex or drug |medication |medicine |real |known drug |known food |true |current |past |any |important |severe >"
        "<allergies|allergies|allergies|allergy|allergic reactions|allergic history|allergens|hypersensitivity|"
        "intolerances|drug reactions|reactions to drugs|adverse reactions|sensitivities|allergy history|"
        "bad reactions to medicines>"
        "<|||||||| known| reported| recorded| noted| to drugs| to food| to medicines| to report| so far|"
        " at all| on file| listed| stated| documented| whatsoever| of any kind| in the notes| to speak of|"
        " as far as known| to date| to anything><.|.|.|.||,|;>",
        "<Patient|Pt|He|She|Mother says he|Family says she|||||||> <is|was|has|says|is known|is reportedly|remains> "
        "<not allergic|non-allergic|never been allergic|not known to be allergic|not allergic|allergic to nothing|"
        "free of allergies|free from allergy|without allergies|without allergy|without known allergies|"
        "unaware of allergies|not sensitive|not hypersensitive|allergy-free|allergy free>"
        "<||| to anything| to any drug| to any medicine| to drugs| to food| to date| as far as we know|"
        " at all| so far><.|.|.|.||,>",
        "<NKDA|NKA|nkda|nka|NKFA|N.K.D.A.|NAD for allergy|NKAs|NKDAs|Allergies NKDA|Allergy: NKA|ALL: NKDA|"
        "NKDA / NKA|Nil known|Nil known allergies|No known drug or food allergies|nil known allergies|"
        "(NKDA)|NKDA, confirmed|NKDA (checked)|NKA per file|NKDA per GP>"
        "<.|.|.||,|;>",
        "<Takes|Tolerates|Can take|Can have|Eats> <all|any|every> <medicines|drugs|foods|antibiotics>"
        "<, | without |; | - ><no allergy|allergy denied|an allergy|allergic reaction|no allergies>.",
        "<Allergic|Any allergies|Allergies|Allergy|Known allergies|Allergies asked|Asked about allergies|"
        "Asked for allergies|Allergy question|Drug allergy><? |? - |?: |: answer |, says |: patient says |, reply: >"
        "<No|no|None|none|Nil|Nothing|Never|Denied|Not any|Negative|No.|\"none\"|\"no\"|not that I know>"
        "<.|.||,|;>",
    ),
    "history": (
        "<PMH|PMHx|PMH|pmh|Hx|H/O|h/o|Past history|Past medical history|Medical history|History|Background|"
        "Previous illnesses|Comorbidities|Co-morbidities|Comorbid|Past|Chronic conditions|Long-term conditions|"
        "Conditions|Known conditions|Diagnoses|Previous diagnoses|Old diagnoses|Earlier illnesses|"
        "Other illnesses|Past problems|Problem list|Known diseases|Previous history|Anamnesis|Pre-existing>"
        "<: |: |: | | = | - |, | of | is | was | includes | include | notable for | significant for | positive for"
        " | - includes | consists of | shows | lists | relevant for >{v}<.|.|.|.||,|;>",
        "<Has|Had|Has had|Known|Known for|Known with|Known to have|Lives with|Suffers from|Previously|"
        "Previously had|Earlier|Diagnosed with|Previous|Past|Prior|Also has|Also|Long-standing|Underlying|"
        "Treated before for|Under GP for|Years of|Background of|History positive for|Notes show|GP lists|"
        "In the past:|Has known|Carries a diagnosis of|Past episodes of|Is known to suffer from> {v}"
        "<|||| in the past| for years| for a long time| already| on file| before><.|.|.||,>",
        "{v}< in the past| in the history| in the background| known| previously| on the problem list|"
        " as known illness| in medical history><.|.||,>",
    ),
    "medicines": (
        "<Meds|meds|Med|Medication|Medications|Medicines|Drugs|Drug list|Rx|DHx|DH|Current meds|Current drugs|"
        "Regular meds|Regular medication|Home meds|Home medication|Usual medicines|Tablets|Pills|Prescriptions|"
        "Drug history|Medication list|Med list|Daily medicines|Medicines now|Repeat prescription|Therapy|Treatment>"
        "<: |: |: | | = | - |, | is | are | include | includes | consist of | at home: | on file: | currently: >{v}"
        "<|||| daily| regularly| as before| at home><.|.|.|.||,|;>",
        "<Takes|Taking|Took|On|Uses|Using|Is on|Is taking|Currently on|Has been on|Has been taking|Prescribed|"
        "Was prescribed|Regularly takes|Daily takes|Gets|Receives|Swallows|Maintained on|Already on|Stable on|"
        "At home takes|Usually takes|Also takes|Being given|GP prescribes|Managed with|Started on|Normally on|"
        "Pt takes|Patient is on|He takes|She takes|Needs> {v}<|||| daily| every day| regularly| at home|"
        " in the morning| as needed| at night><.|.|.||,>",
    ),
    "plan": (
        "<Plan|Plan|Plan|plan|PLAN|P|Plans|Mgmt|Mx|Management|Management plan|Treatment plan|Care plan|Rx plan|"
        "Next step|Next steps|Next|To do|TODO|To-do|Action|Actions|Orders|Order|Ordered|Decision|Decided|Agreed|"
        "Proposal|Proposed|Intention|Aim|Advice|Recommended|Recommendation|Recommendations|Follow-up|Further|"
        "Going forward|From here|Steps|Outcome|Disposition|Dispo|Therapy|Intervention|Procedure|Arrangements|"
        "Plan from here|Plan A|Plan now|Plan for today|Plan for tonight|Plan of care|Doctor's plan|Team plan>"
        "<: |: |: |: | | = | - |, | is | is to have | will be | includes | involves | - for | of | made: | then: |"
        " as follows: | agreed: | consists of | now: | remains |; >{v}"
        "<||||||| today| as discussed| with family| per senior| please| if possible| now| (agreed)|, patient agrees>"
        "<.|.|.|.||,|;>",
        "<We|I|Team|The team|Doctor|Dr Lee|Registrar|Ward|Nurse|Patient|Pt|They|Consultant> "
        "<will do|will arrange|will organise|will order|will have|will need|will get|to have|needs|to get|"
        "is for|suggests|recommends|advises|ordered|orders|wants|requests|requested|plans|planned|organised|"
        "decided on|agreed on|proposes|booked|is booked for|is listed for|scheduled|is to have|asks for|gets>"
        " {v}<|||| today| as discussed| now| next><.|.|.||,>",
        "<Needs|Will need|Requires|To have|To get|Booked for|Booked|Listed for|Scheduled|Requested|Ordered|"
        "Organised|Arranging|Arrange|Organise|Now|Going for|Going to have|Let us do|Let's do|Suggest|Suggested|Advise|"
        "Advised|Recommend|Start with|Proceed to|Proceed with|Will get|Will have|Should have|Should get|"
        "We suggest|We recommend|I suggest|Awaiting|Waiting for|Due|Due for|Set up|Continue with|Go ahead with|"
        "Prepared for|Intended|Intend|Aim for|Aiming for|Agreed|Decided on|Finally|After that|Afterwards|Hence|So|"
        "Therefore|Thus|Consider|Starting|Begin|Patient to have|Pt for|Sent for|Off to|Follow with|Discussed, agreed on>"
        "<:||||||> {v}<|||| today| as discussed| now| please| next><.|.|.||,>",
        "{v}< planned| arranged| ordered| booked| requested| to follow| to be done| is planned| is the plan|"
        " was agreed| agreed| advised| recommended| suggested| will follow| next| as next step| needed| due>"
        "<.|.|.||,>",
    ),
    "fillers": (
        "<Seen|Reviewed|Examined|Assessed|Arrived|Came|Admitted|Triaged|Registered|Moved> <at|around|about> "
        "#:<05|10|15|20|25|30|40|45|50|55><.|.||,>",
        "<Bed|Bay|Room|Cubicle|Ward|Chair|Trolley|Floor|Area|Corridor|Clinic|Desk|Unit> #<.|.||,>",
        "<Smokes|Used to smoke|Drinks|Takes|Walks|Sleeps|Works|Cycles|Reads|Eats> # <cigarettes|beers|"
        "coffees|hours|miles|units|km|glasses|meals|books> <a day|a week|per day|daily|at weekends|a night><.|.||,>",
        "<Has|Lives with|Cares for|Here with|Keeps> # <children|cats|dogs|sons|brothers|grandchildren|hens|friends><.|.||,>",
        "<Last|Previous|Next|First> <visit|meal|seen|check|dose|admission|period|tetanus shot|bowel movement> "
        "<# days ago|in #|# weeks ago|yesterday|at #:30|last year|unknown><.|.||,>",
        "<Looks|Appears|Seems|Is|Feels|Remains> <well|tired|pale|calm|anxious|comfortable|unwell|alert|upset|"
        "stable|sleepy|worried|cheerful|clean|hydrated|thin|relaxed|awake><.|.||,>",
        "<Works as|Is|Was|Retired|Former|Trained as> <a |an |><nurse|farmer|cook|student|builder|clerk|baker|painter|"
        "cleaner|lawyer|sailor|tailor|miner|pilot|singer|butcher><.|.||,>",
        "<Here with|Came with|Accompanied by|Brought by|Lives with> <a |the |><son|wife|husband|friend|neighbour|"
        "brother|sister|carer|grandmother|colleague|partner|nobody|police><.|.||,>",
        "<Heart sounds|Lungs|Abdomen|Skin|Throat|Pupils|Ears|Neck|Gait|Speech|Reflexes|Joints|Pulses> "
        "<normal|clear|soft|fine|unremarkable|equal|pink|supple|dry|moist|not examined|ok><.|.||,>",
        "<Non-drinker|Ex-smoker|Never smoked|No alcohol|Vegetarian|Vaccinated|Wears glasses|Left-handed|Hard of hearing|"
        "Speaks little English|Interpreter used|Slept well|Slept badly|Appetite good|Bowels open|Passing urine|"
        "Independent|Uses a stick|Lives in a flat|Lives in a care home|On holiday here|Drives a van|Likes gardening|"
        "Consent given|Next of kin told|Old notes requested|Bloods not taken|GP aware|Letter sent|Not pregnant|"
        "Walks a mile|Fasting|Wants to go home|Asks for water|No fever at home|No injury recalled|No contacts ill|"
        "Better when lying|Worse at night|Worse after meals|Better after rest|Came by bus|Came by taxi|Walked here><.|.||,>",
        "<GCS|Glucose|BM|Height|Hb|CRP|WCC|Sodium|Score|NEWS|Ref|Case no|Bleep|Ext|Tag> #<.|.||,>",
        "<Seen by|Reviewed by|Handed over to|Discussed with|Spoke to|Called> <nurse|Dr Lee|the GP|the registrar|ward #|"
        "the team|physio|pharmacy|social work|bed manager>< at #:15| again| today|><.|.||,>",
    ),
    "vital_signs": (
        "<Vitals|Obs|Vital signs|Observations|Measurements|Readings|Numbers|Parameters|Measured|Findings|Exam|"
        "Examination|On exam|O/E|OE|At triage|At the door|On admission|Today|Currently|Now|Monitor|Signs|Status|"
        "Values|Baseline|Data|Checks|Triage obs|First obs|Obs on arrival|Obs at triage|Objective|O|Clinical>"
        "<:|:|:| -|,|>",
    ),
}
_SURNAMES = (
    "Taylor", "Wilson", "Davies", "Evans", "Thomas", "Roberts", "Walker", "Wright", "Hall", "Green", "Wood",
    "Clarke", "Hughes", "Edwards", "Turner", "Moore", "Cooper", "Ward", "Morris", "Cook", "Bell", "Baker",
    "Patel", "Singh", "Ahmed", "Chen", "Wang", "Kim", "Nguyen", "Silva", "Santos", "Costa", "Lopez", "Cruz",
    "Meyer", "Wagner", "Becker", "Hoffmann", "Koch", "Bauer", "Klein", "Schulz", "Huber", "Keller", "Frei",
    "Dubois", "Martin", "Petit", "Leroy", "Moreau", "Bianchi", "Conti", "Greco", "Bruno", "Jansen", "Visser",
    "Bakker", "de Vries", "van Dijk", "Larsen", "Hansen", "Olsen", "Berg", "Lund", "Virtanen", "Korhonen",
    "Kowalski", "Nowak", "Horvat", "Kovacs", "Popescu", "Ivanova", "Petrov", "Yilmaz", "Kaya", "Demir",
    "Haddad", "Hassan", "Osman", "Okafor", "Mensah", "Diallo", "Tanaka", "Sato", "Suzuki", "O'Neill", "Murphy",
    "Kelly", "Byrne", "McKay", "Fraser", "Reid", "Grant", "X", "A.", "B.", "J. K.", "S.", "P. T.", "N.N.",
)
# How many are made for each kind, and for how many of them the hand-written ones count.
_MADE = 2500
_BY_HAND = 1000
# fmt: on

_CHOICE = re.compile(r"<([^<>]*)>")
_SLOT = re.compile(r"(\{\w+\})")
_BEFORE = ("Also ", "And ", "Note ", "NB ", "NB: ", "- ", "* ", "Further: ", "Plus ", "then ", "(", "> ")


def plain_words(phrase: str) -> str:
    """The words and slots of a phrase, without capitals and marks."""
    return " ".join(re.findall(r"[a-z0-9]+|\{\w+\}", phrase.lower()))


def _mistyped(rng: Random, text: str) -> str:
    """The text with one letter lost, doubled or swapped, never inside a slot."""
    parts = _SLOT.split(text)
    long = [i for i, part in enumerate(parts) if not part.startswith("{") and len(part) > 5]
    if not long:
        return text
    i = rng.choice(long)
    part, at = parts[i], rng.randrange(1, len(parts[i]) - 1)
    pair = part[at : at + 2]
    if not pair.isalpha():
        return text
    parts[i] = part[:at] + rng.choice((pair[::-1], pair[0], pair[0] + pair)) + part[at + 2 :]
    return "".join(parts)


def _cased(rng: Random, text: str) -> str:
    """The text in small or, less often, in capital letters, its slots untouched."""
    change = str.lower if rng.random() < 0.75 else str.upper
    return "".join(p if p.startswith("{") else change(p) for p in _SLOT.split(text))


def _make(rng: Random, pattern: str, *, rough: bool) -> str:
    """One phrase of a pattern, a little rough in places, as notes are."""
    text = pattern
    while found := _CHOICE.search(text):
        text = text[: found.start()] + rng.choice(found[1].split("|")) + text[found.end() :]
    while "#" in text:
        text = text.replace("#", str(rng.choice((rng.randint(1, 23), rng.randint(1, 60)))), 1)
    text = re.sub(r" +", " ", text).replace(" ,", ",").strip()
    if rough and rng.random() < 0.05:
        text = rng.choice(_BEFORE) + text
        text += ")" if text.startswith("(") else ""
    if rng.random() < 0.06:
        text = _mistyped(rng, text)
    return _cased(rng, text) if rng.random() < 0.12 else text


def _widened(by_hand: PhraseSet, held_out: PhraseSet) -> PhraseSet:
    """The hand-written phrases, repeated so that they keep their share, and the made ones."""
    rng = Random(20_260_102)  # noqa: S311
    surnames = by_hand.surnames + tuple(n for n in _SURNAMES if n not in held_out.surnames)
    wide: dict[str, tuple[str, ...]] = {"surnames": surnames}
    everything = {plain_words(p) for f in fields(PhraseSet) for p in getattr(held_out, f.name)}
    for name, patterns in _PARTS.items():
        weights = [len(pattern) ** 0.5 for pattern in patterns]
        rough = name not in ("person", "compact_person", "person_without_age", "vital_signs")
        made = [
            _make(rng, rng.choices(patterns, weights)[0], rough=rough) for _ in range(_MADE)
        ]
        hand = getattr(by_hand, name)
        kept = tuple(p for p in made if p and plain_words(p) not in everything)
        wide[name] = hand * (_BY_HAND // len(hand)) + kept
    made_without = tuple(
        re.sub(r"[ ,;/=(-]*\{d\}", "", p).rstrip() for p in wide["opening"] if "{c}" in p
    )
    simple = tuple(p for p in made_without if re.search(r"\{c\}\W*$", p) and "(" not in p)
    kept = tuple(p for p in simple if plain_words(p) not in everything)
    hand = by_hand.opening_without_duration
    wide["opening_without_duration"] = hand * (_BY_HAND // len(hand)) + kept
    return replace(by_hand, **wide)


WIDE = _widened(TRAIN, HELD_OUT)
