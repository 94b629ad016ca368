"""What `appliance doctor` looks at: one function per question, each giving one `Finding`.

A check reads and never repairs. Not here: how findings look (`doctor.py`).
"""
