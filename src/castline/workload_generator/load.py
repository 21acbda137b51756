"""A load test: which files go up, when, and what came of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from castline import keys
from castline.workload_generator.patterns import Pattern, UsageError
from castline.workload_generator.report import LoadReport
from castline.workload_generator.running import Load, Progress
from castline.workload_generator.sending import Job
from castline.workload_generator.target import Profile, Target, check
from castline.workload_generator.watching import result_key

__all__ = ["Job", "Progress", "plan", "run_load"]


def plan(folder: Path, count: int | None, profile: Profile) -> list[Job]:
    """What to upload, in the order of the names.

    Args:
        folder: searched with its subfolders; hidden files are left out.
        count: default: every media file once; more than there are go round the folder again.

    Returns:
        One job per upload. Keys are flat in the classic profile, where also only videos count:
        the files' names, or ``test_00`` … when there are fewer files than uploads. In the full
        profile they keep the tree below the folder, and the second round is ``copy-01/…``.

    Raises:
        UsageError: no such folder, no media in it, or two files for one result.
        KeyLayoutError: a name that cannot be a key.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}")
    suffixes = keys.VIDEO_SUFFIXES if profile == "classic" else keys.MEDIA_SUFFIXES
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in suffixes and path.is_file() and not path.name.startswith(".")
    )
    if not files:
        raise UsageError(f"no {'video' if profile == 'classic' else 'media'} in {folder}: {' '.join(sorted(suffixes))}")
    count = count or len(files)
    jobs = []
    for index in range(count):
        path = files[index % len(files)]
        if profile == "full":
            again = index // len(files)
            key = (f"copy-{again:02d}/" if again else "") + path.relative_to(folder).as_posix()
        else:
            key = path.name if count <= len(files) else f"test_{index:02d}{path.suffix.lower()}"
        jobs.append(Job(keys.check_media_key(key), path))
    results = Counter(result_key(profile, job.key) for job in jobs)
    if doubled := [key for key, times in results.items() if times > 1]:
        raise UsageError(f"{results[doubled[0]]} files of {folder} would share one result, {doubled[0]}")
    return jobs


def run_load(
    target: Target,
    jobs: Sequence[Job],
    pattern: Pattern,
    concurrency: int,
    timeout_s: float,
    on_progress: Callable[[Progress], None] | None = None,
) -> LoadReport:
    """Upload everything, wait for the results, and tell. Ctrl-C ends it with the report so far.

    Args:
        concurrency: uploads under way at a time, at most; later ones are sent later than planned.
        timeout_s: what each media file is given, from the beginning of its upload to its result.
        on_progress: called in this thread after every look.

    Raises:
        UsageError: a bucket is not there or not ours, or the store does not answer.
    """
    check(target)
    load = Load(target, jobs, pattern, concurrency, timeout_s)
    interrupted = False
    try:
        load.run(on_progress or (lambda progress: None))
    except KeyboardInterrupt:
        interrupted = True
    return load.report(interrupted)
