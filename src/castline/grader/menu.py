"""The grader as a menu, for people who look at one thing after the other."""

from __future__ import annotations

from rich.console import Console
from rich.prompt import Prompt
from rich.text import Text

from castline.grader.report import show
from castline.grader.session import Session

_ALL, _SCORE, _QUIT = "a", "s", "q"


def run_menu(session: Session, console: Console) -> None:
    """Ask, check, show, until somebody quits or there is nobody to ask any more."""
    numbers = {str(check.number): check for check in session.checks}
    for number, check in numbers.items():
        console.print(Text(f"{number}  {check.title} ({check.points} points)"))
    console.print(f"{_ALL}  all of them\n{_SCORE}  the score so far\n{_QUIT}  quit", markup=False)
    while True:
        try:
            choice = Prompt.ask("check", console=console, choices=[*numbers, _ALL, _SCORE, _QUIT], default=_SCORE)
        except (EOFError, KeyboardInterrupt):
            console.print()
            return
        if choice == _QUIT:
            return
        if choice != _SCORE:
            session.run(map(int, numbers) if choice == _ALL else [int(choice)])
        show(console, session.report())
