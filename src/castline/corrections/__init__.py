"""People's corrections, applied to the machine's result: pure functions of a result and its ``corrections.json``.

bind    where a correction belongs in a result, also in that of another run: by time and by words, or by time and place
apply   the result as people see it
edit    a requested edit, as a change
said    a change in one readable line
"""

from castline.corrections.apply import Corrected, Line, corrected
from castline.corrections.edit import (
    Draft,
    change_lines,
    name_faces,
    name_voice,
    not_undone,
    take_back,
    with_name,
    withdraw,
    without_name,
)
from castline.corrections.said import names_in, what

__all__ = [
    "Corrected",
    "Draft",
    "Line",
    "change_lines",
    "corrected",
    "name_faces",
    "name_voice",
    "names_in",
    "not_undone",
    "take_back",
    "what",
    "with_name",
    "withdraw",
    "without_name",
]
