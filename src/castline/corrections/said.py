"""Describes corrections: one readable line each, made from the correction and stored nowhere."""

from __future__ import annotations

from collections.abc import Iterator

from castline.records import Correction, LinesCorrection, VoiceCorrection


def what(correction: Correction) -> str:
    """``at 0:09.7 “The buget.” is “The budget.”``"""
    if isinstance(correction, LinesCorrection):
        at = correction.heard[0].start_s
        minutes, seconds = divmod(round(at, 1), 60)
        heard = " / ".join(f"“{line.text.strip()}”" for line in correction.heard)
        said = " / ".join(
            f"{f'{line.speaker}: ' if line.speaker else ''}“{line.text.strip()}”" for line in correction.said
        )
        return f"at {minutes:.0f}:{seconds:04.1f} {heard} is {said or 'not said'}"
    if isinstance(correction, VoiceCorrection):
        return f"the voice {correction.was} is {correction.name}"
    return f"{correction.was or 'somebody'} is {'' if correction.holds else 'not '}{correction.name}"


def names_in(correction: Correction) -> Iterator[str]:
    """Names that a correction gives; not spoken words."""
    if isinstance(correction, LinesCorrection):
        yield from (line.speaker for line in correction.said if line.speaker)
    else:
        yield from (correction.name, correction.was)
