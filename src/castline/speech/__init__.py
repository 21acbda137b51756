"""Sound in, words with times out: engines behind ``engines.Transcriber``, and how one is chosen."""

from castline.speech.choose import load_transcriber, survey_transcribers
from castline.speech.declared import names_pattern

__all__ = ["load_transcriber", "names_pattern", "survey_transcribers"]
