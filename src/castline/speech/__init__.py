"""Sound in, words with times out: engines behind ``engines.Transcriber``, and how one is chosen."""

from castline.speech.choose import load_transcriber, survey_transcribers

__all__ = ["load_transcriber", "survey_transcribers"]
