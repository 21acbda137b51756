"""From spoken segments to subtitle cues: pure functions, no file format.

A segment's text becomes pieces with times (`pieces`), pieces become units that no line break may cut (`units`),
units become cues of at most two lines (`layout`), and each cue gets the time it is shown (`timing`).
"""

from castline.cues.layout import cues_of
from castline.cues.pieces import Piece, pieces
from castline.cues.text import clean, width

__all__ = ["Piece", "clean", "cues_of", "pieces", "width"]
