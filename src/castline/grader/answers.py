"""Whether the people and the words of results are right, by the ground truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from castline.errors import EvaluationError
from castline.grader.base import Context, Finding
from castline.grader.full import NoResult, read_result
from castline.grader.objects import CannotCheck, each, listing, readable
from castline.records import Result


@dataclass(slots=True)
class _Names:
    """Known names in results, counted per media file."""

    right: int = 0
    missed: int = 0
    wrong: int = 0
    shares: list[float] = field(default_factory=list)
    worst: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def add(self, media: str, wanted: frozenset[str], result: Result | None) -> None:
        """One media file: the share of its people that are named; nothing at all once a stranger is."""
        named = {person.name for person in result.people if person.identity == "known"} if result else set()
        strangers, missed = sorted(named - wanted), sorted(wanted - named)
        self.right += len(named & wanted)
        self.missed += len(missed)
        self.wrong += len(strangers)
        recall = len(named & wanted) / len(wanted) if wanted else 1.0
        self.shares.append(0.0 if strangers or result is None else recall)
        self.worst += [f"{readable(media)}: a stranger was given the name {readable(name)}" for name in strangers]
        self.lines += [f"{readable(media)}: {readable(name)} was not recognised" for name in missed]


def check_people_and_words(context: Context) -> Finding:
    """Half of the points for names, half for words; all for one of them where only that has ground truth.

    Names: the mean over media of the share of its people that are named, and nothing for a media file in which
    anybody is named who is not there. Words: everything up to the limit of the word error rate over all
    media (errors / words of the reference), from there on falling to nothing at 1.

    Raises:
        CannotCheck: no ground truth, none for any of the media, or nothing to count words with.
    """
    truths = context.truths()
    people = {key: truth.people for key, truth in truths.items() if truth.people is not None}
    words = {key: truth.reference for key, truth in truths.items() if truth.reference is not None}
    graded = sorted(people.keys() | words.keys())
    if not graded:
        raise CannotCheck("the ground truth has neither people nor words for any of the media")
    listing(context.target.store, context.target.output_bucket, limit=1)  # so that a missing bucket is said as such
    results = dict(zip(graded, each(lambda media: _result(context, media), graded), strict=True))
    findings = []
    if people:
        findings.append(_people(people, results))
    if words:
        findings.append(_words(words, results, context.max_wer))
    lines = [line for finding in findings for line in finding.lines]
    return Finding(sum(finding.share for finding in findings) / len(findings), tuple(lines))


def _result(context: Context, media: str) -> Result | None:
    try:
        return read_result(context, media)
    except NoResult:
        return None  # why, check 4 tells


def _people(wanted: Mapping[str, frozenset[str]], results: Mapping[str, Result | None]) -> Finding:
    names = _Names()
    for media, people in wanted.items():
        names.add(media, people, results[media])
    given, present = names.right + names.wrong, names.right + names.missed
    precision = f"{names.right / given:.2f}" if given else "-"
    recall = f"{names.right / present:.2f}" if present else "-"
    summary = f"people of {len(wanted)} media: precision {precision}, recall {recall}"
    return Finding.of(sum(names.shares), len(names.shares), [summary, *[*names.worst, *names.lines][:20]])


def _words(references: Mapping[str, str], results: Mapping[str, Result | None], limit: float) -> Finding:
    # Late: it brings the speech engines' audio code along.
    from castline.evaluation.speech import add_up, count_normalised

    heard = {media: result.transcript.text if (result := results[media]) else "" for media in references}
    languages = {media: result.transcript.language if (result := results[media]) else None for media in references}
    try:
        errors = {media: count_normalised(said, heard[media], languages[media]) for media, said in references.items()}
    except EvaluationError as error:
        raise CannotCheck(error.message) from error
    total = add_up(errors.values())
    if total.wer is None:
        raise CannotCheck("the ground truth has no reference with a word in it")
    lines = [f"words of {len(references)} media: word error rate {total.wer:.2f}, the limit is {limit:.2f}"]
    over = [(counts.wer, media) for media, counts in errors.items() if counts.wer is not None and counts.wer > limit]
    for wer, media in sorted(over, reverse=True)[:10]:
        said, got = readable(references[media], 60), readable(heard[media], 60)
        lines.append(f'{readable(media)}: {wer:.2f}, said "{said}", heard "{got}"')
    share = 1.0 if total.wer <= limit else max(0.0, 1 - total.wer) / (1 - limit) if limit < 1 else 0.0
    return Finding(share, tuple(lines))
