"""``castline eval``: measures how good the engines are on your own photos and recordings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from castline.cli.connect import answer, check_installed, console, friendly_errors
from castline.cli.eval_tracks import tracks
from castline.cli.eval_voices import voices
from castline.cli.measured import progress, table_of, write
from castline.cli.plain import Commands
from castline.cli.shown import escape
from castline.display import counted
from castline.engines.base import Detector, Embedder
from castline.engines.choose import choices
from castline.engines.plugins import thresholds_for
from castline.errors import EvaluationError
from castline.evaluation import Identification, PairList, PhotoFolder, Verification, read_dataset
from castline.evaluation.bands import Band
from castline.evaluation.bands import bands as measure_bands
from castline.evaluation.degrade import WAYS
from castline.evaluation.measure import Described, FacesReport, describe, measure
from castline.evaluation.plot import check_drawable, draw
from castline.evaluation.speech import FileReport, SpeechReport, check_countable, evaluate, read_transcripts
from castline.settings import settings

_TRANSCRIBERS = ", ".join(choices("transcriber"))

app = Commands(no_args_is_help=True, help="Measure how good the engines are on your own data.")


@app.command()
def faces(
    path: Annotated[Path, typer.Argument(help="A folder with a folder of photos per person, or a CSV: a,b,same.")],
    embedder: Annotated[
        str | None, typer.Option(help="As CASTLINE_EMBEDDER, e.g. dlib-resnet-v1 or arcface:FILE; default: settings.")
    ] = None,
    enrol: Annotated[int, typer.Option(min=1, help="Photos enrolled of each person; the others are the queries.")] = 5,
    left_out: Annotated[
        int, typer.Option(min=0, help="How many people, last by name, are left out of the gallery as strangers.")
    ] = 3,
    bands: Annotated[bool, typer.Option(help="Also degrade each photo in many ways, and compare it again.")] = False,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the curves to this .png.")] = None,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all numbers to this file.")] = None,
) -> None:
    """Measure how well people are told apart: all pairs of photos, and known people among strangers.

    Example: castline eval faces lfw10 --plot curves.png
    """
    from castline.engines.choose import load_detector, load_embedder

    with friendly_errors():
        check_installed("onnxruntime", "cv2")
        data = read_dataset(path)
        if plot:
            check_drawable(plot)
        config = settings().model_copy(update={"embedder": embedder} if embedder else {})
        detector, engine = load_detector(config), load_embedder(config)
        with progress("faces") as bar:
            task = bar.add_task("", total=len(data.photos))
            found = describe(data.photos, detector, engine, lambda: bar.advance(task))
        done = measure(data, found, engine.info, detector.info.id, enrol=enrol, left_out=left_out)
        _print(path.name, done.report, found)
        report = done.report
        if bands:
            report = report.model_copy(update={"bands": _bands(data, detector, engine)})
            answer.print(_bands_table(report.bands))
        if json:
            write(json, report)
        if plot:
            title = f"{done.report.title} on {path.name}"
            draw(plot, title, done.same, done.different, done.report.verification)
            console.print(f"plot: {escape(str(plot))}", soft_wrap=True)


@app.command()
def speech(
    transcripts: Annotated[
        Path, typer.Argument(help="A tab-separated table with the columns file and reference; paths relative to it.")
    ],
    transcriber: Annotated[
        str | None,
        typer.Option(help=f"As CASTLINE_TRANSCRIBER: {', '.join(choices('transcriber'))}; default: settings."),
    ] = None,
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write all numbers and texts to this file.")
    ] = None,
) -> None:
    """Transcribe recordings whose words are known: word error rate and speed, per file and in total.

    Example: castline eval speech transcripts.tsv --transcriber faster-whisper:base
    """
    from castline.engines.choose import load_transcriber

    with friendly_errors():
        check_countable()
        utterances = read_transcripts(transcripts)
        config = settings().model_copy(update={"transcriber": transcriber} if transcriber else {})
        engine = load_transcriber(config)
        with progress("speech") as bar:
            task = bar.add_task("", total=len(utterances))
            report = evaluate(utterances, engine, config, lambda: bar.advance(task))
        _print_speech(transcripts.name, report)
        if json:
            write(json, report)


def _bands(data: PhotoFolder | PairList, detector: Detector, engine: Embedder) -> tuple[Band, ...]:
    if not isinstance(data, PhotoFolder):
        raise EvaluationError("bands need a folder of photos per person; pairs do not say who is who")
    photos = {path: name for name, paths in data.people.items() for path in paths}
    with progress("bands") as bar:
        task = bar.add_task("", total=len(WAYS))
        return measure_bands(photos, detector, engine, thresholds_for(engine.info.id), done=lambda: bar.advance(task))


def _bands_table(found: Sequence[Band]) -> Table:
    rows = table_of("degraded photos", "found", "no use", "EER", "best stranger", "named", "FRR", "maybe FAR")
    for band in found:
        rows.add_row(
            band.name,
            f"{band.found} of {band.photos}",
            str(band.useless),
            _percent(band.eer),
            "" if band.highest_different is None else f"{band.highest_different:.3f}",
            f"{band.false_accepts} of {band.different_pairs}",
            _percent(band.frr),
            _percent(band.maybe_far),
        )
    return rows


def _percent(rate: float | None) -> str:
    return "" if rate is None else f"{rate:.2%}"


def _print(name: str, report: FacesReport, found: Described) -> None:
    of = f" of {counted(report.people, 'person', 'people')}" if report.people else ""
    photos = counted(report.photos, "photo") + of
    answer.print(f"[bold]{escape(name)}[/]  {photos}; {escape(report.title)} ({report.model})")
    if found.with_several:
        answer.print(f"  [yellow]{len(found.with_several)} with several faces, none of which dominates, left out[/]: "
                      f"{escape(', '.join(report.with_several[:5]))}{' …' if len(found.with_several) > 5 else ''}",
                      soft_wrap=True)  # fmt: skip
    if found.without_face:
        answer.print(f"  [yellow]{len(found.without_face)} without a face, left out[/]: "
                      f"{escape(', '.join(report.without_face[:5]))}{' …' if len(found.without_face) > 5 else ''}",
                      soft_wrap=True)  # fmt: skip
    answer.print()
    answer.print(_verification_table(report.verification))
    answer.print()
    answer.print(_thresholds_table(report.verification))
    if report.identification:
        answer.print()
        answer.print(_identification_table(report.identification))
        for wrong in report.identification.wrong_names:
            answer.print(f"  [red]{escape(wrong.photo)} was named {escape(wrong.named)}[/]", soft_wrap=True)
    else:
        answer.print(f"\nidentification not measured: {escape(report.not_identified or '')}", soft_wrap=True)


def _verification_table(found: Verification) -> Table:
    table = table_of("verification", "", "threshold")
    table.add_row("best accuracy", f"{found.accuracy:.2%}", f"{found.accuracy_threshold:.3f}")
    table.add_row("best, both kinds alike", f"{found.balanced_accuracy:.2%}",
                  f"{found.balanced_accuracy_threshold:.3f}")  # fmt: skip
    table.add_row("area under the curve", f"{found.auc:.5f}")
    table.add_row("equal error rate", f"{found.eer:.2%}", f"{found.eer_threshold:.3f}")
    return table


def _thresholds_table(found: Verification) -> Table:
    table = table_of("pairs at a threshold", "", "FAR", "of strangers", "FRR", "of one person")
    for point in found.at:
        table.add_row(
            f"“{point.name}”",
            f"{point.threshold:.3f}",
            f"{point.far:.2%}",
            f"{point.false_accepts}/{found.different_pairs}",
            f"{point.frr:.2%}",
            f"{point.false_rejects}/{found.same_pairs}",
        )
    return table


def _identification_table(found: Identification) -> Table:
    table = table_of("identification", "photos", "right name", "wrong name", "ambiguous", "unknown")
    table.add_row(f"{found.enrolled_people} enrolled people", str(found.probes),
                  _of(found.named, found.probes), _bad(found.confused, found.probes),
                  _of(found.ambiguous, found.probes), _of(found.unknown, found.probes))  # fmt: skip
    of = found.stranger_photos
    table.add_row(f"{found.strangers} strangers", str(of), "", _bad(found.strangers_named, of),
                  _of(found.strangers_ambiguous, of), _of(found.strangers_unknown, of))  # fmt: skip
    if found.rank1 is not None:
        table.add_row("rank-1", "", f"{found.rank1:.1%}")
    if found.rejected is not None and found.rejected_as_unknown is not None:
        table.add_row("rejected", "", "", "", f"{found.rejected:.1%}", f"{found.rejected_as_unknown:.1%}")
    return table


def _print_speech(name: str, report: SpeechReport) -> None:
    files, words = len(report.files), report.raw.words
    answer.print(f"[bold]{escape(name)}[/]  {counted(files, 'file')}, {counted(words, 'word')}; "
                  f"{escape(report.title)} ({escape(report.engine)})\n", soft_wrap=True)  # fmt: skip
    table = table_of("file", "audio", "RTF", "raw WER", "s/d/i", "norm. WER", "s/d/i")
    for row in report.files:
        table.add_row(escape(row.file), *_heard(row))
    table.add_row("total", *_heard(report), style="bold")
    answer.print(table)
    answer.print("\n[dim]s/d/i: words substituted, deleted, inserted; "
                  "raw: without case and punctuation; norm.: after Whisper's normaliser[/]",
                  soft_wrap=True)  # fmt: skip
    of_files: dict[str, list[str]] = {}
    for row in report.files:
        for warning in row.warnings:
            of_files.setdefault(warning, []).append(row.file)
    for warning, names in of_files.items():
        where = names[0] if len(names) == 1 else f"{len(names)} files"
        answer.print(f"  [yellow]{escape(where)}[/]: {escape(warning)}", soft_wrap=True)


def _heard(report: SpeechReport | FileReport) -> Iterator[str]:
    yield f"{report.audio_s:.1f} s"
    yield "–" if report.rtf is None else f"{report.rtf:.2f}"
    for found in (report.raw, report.normalised):
        yield "–" if found.wer is None else f"{found.wer:.1%}"
        yield f"{found.substitutions}/{found.deletions}/{found.insertions}"


def _of(count: int, total: int) -> str:
    return f"{count} ({count / total:.0%})" if total else "–"


def _bad(count: int, total: int) -> str:
    return f"[red]{_of(count, total)}[/]" if count else _of(count, total)


app.command()(voices)
app.command()(tracks)
