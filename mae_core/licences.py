"""Whether a licence of published weights forbids commercial use."""

import re

WORDS = ("nc", "noncommercial")
# Named without saying so: Apple's for machine learning research, and that of Meta's SEER.
RESEARCH_ONLY = ("apple-amlr", "seer-license")


def is_non_commercial(licence: str) -> bool:
    """Whether a licence, as model hubs name it ('cc-by-nc-4.0'), is for research alone.

    False for an empty or unknown one: nothing is known then.
    """
    name = licence.lower().strip()
    words = re.split(r"[^a-z]+", name.replace("non-commercial", "noncommercial"))
    return name in RESEARCH_ONLY or any(word in WORDS for word in words)
