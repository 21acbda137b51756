"""Compares the people and the words of results with the ground truth."""

from __future__ import annotations

from collections.abc import Mapping

from castline.errors import EvaluationError, UnreadableObject
from castline.grader.base import Context, Finding, each, readable
from castline.grader.full import read_result
from castline.records import Result


def check_people_and_words(context: Context) -> Finding:
    """Half of the points for names, half for words; all for one of them if only that has ground truth.

    Names: the mean over media files of the share of their people that are named, and nothing for a file in which an
        absent person is named. Words: full points up to the limit of the word error rate over all media files (errors /
        words of the reference), falling to nothing at 1 from there.
    """
    truths = context.truths()
    people = {key: truth.people for key, truth in truths.items() if truth.people is not None}
    words = {key: truth.reference for key, truth in truths.items() if truth.reference is not None}
    graded = sorted(people.keys() | words.keys())
    if not graded:
        raise EvaluationError("the ground truth has neither people nor words for any of the media files")
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
    except UnreadableObject:
        return None  # check 4 says why


def _people(wanted: Mapping[str, frozenset[str]], results: Mapping[str, Result | None]) -> Finding:
    right = missed = wrong = 0
    shares, misnamed, unnamed = [], [], []
    for media, present in wanted.items():
        result = results[media]
        named = {person.name for person in result.people if person.identity == "known"} if result else set()
        strangers, absent = sorted(named - present), sorted(present - named)
        right += len(named & present)
        missed += len(absent)
        wrong += len(strangers)
        found = len(named & present) / len(present) if present else 1.0
        shares.append(0.0 if strangers or result is None else found)
        misnamed += [f"{readable(media)}: a stranger was given the name {readable(name)}" for name in strangers]
        unnamed += [f"{readable(media)}: {readable(name)} was not recognised" for name in absent]
    precision, recall = (f"{right / of:.2f}" if of else "-" for of in (right + wrong, right + missed))
    summary = f"people of {len(wanted)} media files: precision {precision}, recall {recall}"
    return Finding.of(sum(shares), len(shares), [summary, *[*misnamed, *unnamed][:20]])


def _words(references: Mapping[str, str], results: Mapping[str, Result | None], limit: float) -> Finding:
    # Imported late: it imports the speech engines' audio code.
    from castline.evaluation.speech import add_up, count_normalised

    heard = {media: result.transcript.text if (result := results[media]) else "" for media in references}
    languages = {media: result.transcript.language if (result := results[media]) else None for media in references}
    errors = {media: count_normalised(said, heard[media], languages[media]) for media, said in references.items()}
    total = add_up(errors.values())
    if total.wer is None:
        raise EvaluationError("the ground truth has no reference with a word in it")
    lines = [f"words of {len(references)} media files: word error rate {total.wer:.2f}, the limit is {limit:.2f}"]
    over = [(counts.wer, media) for media, counts in errors.items() if counts.wer is not None and counts.wer > limit]
    for wer, media in sorted(over, reverse=True)[:10]:
        said, got = readable(references[media], 60), readable(heard[media], 60)
        lines.append(f'{readable(media)}: {wer:.2f}, said "{said}", heard "{got}"')
    share = 1.0 if total.wer <= limit else max(0.0, 1 - total.wer) / (1 - limit) if limit < 1 else 0.0
    return Finding(share, tuple(lines))
