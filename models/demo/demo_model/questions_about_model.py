"""Hand-written ways to greet the demo model and to ask what it is and may be used for.

The slots in braces are filled by `demo_model.questions.expand`.
"""

from __future__ import annotations

# Word lists stay dense: one entry a line would be four times as long and no easier to read.
# fmt: off

WORDINGS: dict[str, tuple[str, ...]] = {
    "hello": (
        "hello", "hi", "hey", "good morning", "good afternoon", "good evening", "hi there",
        "hello there", "hello model", "hey there", "greetings", "hiya", "hello, anyone there?",
        "good day", "morning", "hi demo", "hello again", "hallo", "howdy", "Hi, I am new here",
    ),
    "thanks": (
        "thanks", "thank you", "thanks a lot", "many thanks", "thank you very much", "thx",
        "great, thanks", "that is helpful, thank you", "cheers", "perfect, thank you", "ok thanks",
        "nice work", "well done", "good answer", "great", "thanks for the help", "ty", "super",
        "ok", "okay", "very good", "I see, thanks", "good job",
    ),
    "bye": (
        "bye", "goodbye", "see you", "see you later", "bye bye", "have a nice day", "good night",
        "that is all, bye", "I am done, goodbye", "talk to you later", "farewell", "ciao",
        "see you tomorrow", "that was all", "I have to go", "I am leaving now",
    ),
    "what_are_you": (
        "what are you?", "who are you?", "are you a human?", "are you a person?",
        "are you a doctor?", "are you a real doctor?", "are you a robot?", "what is this?",
        "am I talking to a person?", "are you an AI?", "tell me about yourself",
        "introduce yourself", "what is your name?", "who am I talking to?", "are you a nurse?",
        "are you a chatbot?", "what kind of thing are you?", "describe yourself", "are you alive?",
        "is this a human answering?", "do you have a name?", "are you a program?",
    ),
    "what_can_you_do": (
        "what can you do?", "help", "how can you help me?", "what can I ask you?",
        "what are you good at?", "what can I do here?", "how do I use {it}?", "help me",
        "what should I ask?", "give me some examples", "what do you do?", "what is {it} for?",
        "how does this work?", "what tasks can you do?", "show me what you can do",
        "what are your skills?", "which things can you do?", "can you help me?", "menu",
        "what questions can you answer?", "how do I start?", "what are you for?", "options",
    ),
    "which_model": (
        "which model are you?", "what model are you?", "what model is this?", "how big are you?",
        "how many parameters do you have?", "which version are you?", "what is your version?",
        "what model am I using?", "are you ChatGPT?", "are you GPT?", "are you Llama?",
        "are you a large language model?", "what architecture are you?", "model name?",
        "which language model is running?", "what size is the model?", "what LLM is this?",
        "how large is your file?", "which model answers me?", "model version", "are you Claude?",
        "are you a big model?", "what is the name of the model?", "what model runs on {it}?",
    ),
    "who_made_you": (
        "who made you?", "who trained you?", "who built you?", "who created you?",
        "where do you come from?", "what were you trained on?", "who are your makers?",
        "who are you made by?", "who developed you?", "what is your training data?",
        "were you trained on patient data?", "which data were you trained on?",
        "where does your knowledge come from?", "who wrote you?", "who is behind you?",
        "what data did you learn from?", "how were you trained?", "who is your creator?",
        "did you see real patient data?", "which company made you?",
    ),
    "real_patients": (
        "can I use this for real patients?", "can I use you for real patients?",
        "may I enter real patient data?", "is this safe for real patients?",
        "can I paste a real note?", "is this for clinical use?", "can I use this in care?",
        "can I use your answer for my patient?", "are you a medical device?",
        "should I use this on the ward?", "can I use {it} for patient care?",
        "are you approved for clinical use?", "can I rely on you for treatment?",
        "am I allowed to use you with real patients?", "is it ok to type in a real patient?",
        "can I use this model in my clinic?", "do you work on real notes?",
        "can I use you with my own patients?", "is this model certified?",
        "can I use this in an emergency?", "may I use real notes?",
    ),
    "correct": (
        "is your answer correct?", "can I trust you?", "can I trust your answers?",
        "are you always right?", "do you make mistakes?", "how accurate are you?",
        "can you be wrong?", "should I check your answers?", "how reliable are you?",
        "do I have to check the answer?", "is this answer right?", "are you sure?",
        "how often are you wrong?", "do you make things up?", "do you hallucinate?",
        "must I check before I use it?", "can I copy the answer without checking?",
        "is the answer reliable?", "how do I know this is true?", "is that correct?",
        "are your summaries correct?",
    ),
    "diagnosis": (
        "what is the diagnosis?", "what is wrong with this patient?", "can you diagnose me?",
        "which antibiotic should I give?", "what dose of paracetamol should I give?",
        "what is the right treatment?", "what drug should I use?", "how do I treat pneumonia?",
        "what does this patient have?", "can you prescribe something?", "how much insulin?",
        "what is the dose of amoxicillin?", "how many mg of ibuprofen for a child?",
        "is this a heart attack?", "do I have cancer?", "which medicine helps against pain?",
        "how should I treat this?", "should I operate?", "what is the best drug for asthma?",
        "what is the maximum dose of morphine?", "does this patient have sepsis?",
        "should this patient go to intensive care?", "what treatment do you suggest?",
        "give me a diagnosis", "can I give aspirin to this patient?", "which tablets for fever?",
        "how do you treat a stroke?", "suggest a treatment for diabetes", "dose of heparin",
    ),
    "learning": (
        "do you learn from my questions?", "do you learn from {my}?", "do you remember me?",
        "is {my} used for training?", "will you be trained on {my}?", "do you get smarter?",
        "are you trained on our conversations?", "do you learn while I use you?",
        "do you remember earlier conversations?", "can I teach you something?",
        "are {my} used to train you?", "do you keep learning?", "do you improve over time?",
        "will you remember this tomorrow?", "is my data used to train models?",
        "do you store what you learn?", "can you learn new things?",
    ),
    "languages": (
        "which languages do you speak?", "do you speak German?", "do you speak Spanish?",
        "can you answer in French?", "what languages do you know?", "do you speak English?",
        "can you translate?", "translate this into Arabic", "do you understand Turkish?",
        "can I write in Polish?", "do you know other languages?", "answer in Italian please",
        "can you speak Dutch?", "is only English possible?", "which language can I use?",
    ),
    "how_are_you": (
        "how are you?", "how are you today?", "how do you feel?", "are you ok?", "what's up?",
        "how is it going?", "are you happy?", "are you tired?", "do you have feelings?",
        "how are things?", "you all right?", "how was your day?", "are you bored?",
        "do you feel pain?", "how have you been?",
    ),
}
