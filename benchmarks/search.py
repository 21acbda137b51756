"""Searching ten thousand recordings: pages of hits, the size of the index, and how soon a new result is found.

    python -m benchmarks.search [--results 10000] [--minutes 30] [--archive postgresql://…] [--seconds 600]

The results are made from a seed on request, so only the index is on disk. Words follow Zipf's law (a vocabulary of
20 000), sentences have 13 words, faces are sighted once per second. Some results are really read; for the others, the
index is given what reading would yield, because making and reading 10 000 takes an hour.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import statistics
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import md5
from itertools import accumulate
from pathlib import Path

from castline import keys
from castline.archive.index import Entry, Index, Seen, entry_of
from castline.archive.place import open_index
from castline.archive.refresh import refresh, refresh_one
from castline.archive.search import search
from castline.archive.sqlite import SqliteIndex
from castline.records import ObjectInfo, Options, Result
from castline.records.reading import MAX_BYTES
from castline.settings import Settings
from castline.storage import MemoryStore

_BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
_VOCABULARY = 20_000
_PEOPLE = 500
_READ = 40  # results that are read; the size of all is estimated from them
_QUERIES = (
    "{0}",
    "{1000}",
    "{15000}",
    '"{3} {7}"',
    "{20} {4000}",
    '{2} person:"Person Name7"',
    '{900} person:"Person Name7" with:"Person Name8"',
    "person:Name7 with:Name9",
    "{0} after:2026-02",
    "{0} before:2025-02",
    "{5} file:number-77",
    "{50} language:de",
    "file:number-1234",
    "{12}*",
)


class Made(MemoryStore):
    """A store that makes its results when they are read."""

    def __init__(self, count: int, minutes: int) -> None:
        super().__init__()
        self.count, self.minutes, self.read_bytes, self.made_s = count, minutes, 0, 0.0
        chance = random.Random(1)
        letters = "abcdefghijklmnopqrstuvwxyz"
        self.words = ["".join(chance.choices(letters, k=2 + n % 9)) for n in range(_VOCABULARY)]
        self._weights = list(accumulate(1 / (n + 2.7) for n in range(_VOCABULARY)))

    def find(self, bucket: str, prefix: str = "") -> Iterator[ObjectInfo]:
        if bucket == Settings().output_bucket:
            yield from (self._info(n, keys.result_key(media(n))) for n in range(self.count))

    def head(self, bucket: str, key: str) -> ObjectInfo | None:
        return None if key.endswith(keys.CORRECTIONS) else self._info(_number(key), key)

    def get(self, bucket: str, key: str, *, max_bytes: int = MAX_BYTES) -> bytes | None:
        start = time.perf_counter()
        body = self._result(_number(key))
        self.read_bytes += len(body)
        self.made_s += time.perf_counter() - start
        return body

    def entry(self, number: int) -> Entry:
        """What ``refresh`` makes of a result, without making and reading the result: a tenth of the time."""
        chance = random.Random(number)
        length = self.minutes * 60
        said = chance.choices(self.words, cum_weights=self._weights, k=length * 5 // 2)
        lines, at = [], 0.0
        for first in range(0, len(said), 13):
            words = said[first : first + 13]
            end = round(round(at + 0.4 * (len(words) - 1), 2) + 0.35, 2)
            lines.append((round(at * 1000), round(end * 1000), " ".join(words), ""))
            at = round(at + 0.4 * 13, 2)
        people = []
        for place in range(1, 5):
            name, identity, spans = self._somebody(place, chance, length)
            ranges = tuple((start * 1000, end * 1000) for start, end in spans)
            people.append(Seen(f"person-{place}", name, identity, "", 100_000, ranges))
        language = chance.choice(["en", "en", "de"])
        info = self._info(number, "")
        assert info.last_modified
        return Entry(
            media(number), info.etag, int(info.last_modified.timestamp()), "0" * 16, "complete", "", language,
            length * 1000, tuple(lines), tuple(people), len(said),
        )  # fmt: skip

    def _info(self, number: int, key: str) -> ObjectInfo:
        etag = md5(str(number).encode(), usedforsecurity=False).hexdigest()
        return ObjectInfo(key=key, size=1, etag=etag, last_modified=_BEGIN + timedelta(hours=number))

    def _result(self, number: int) -> bytes:
        chance = random.Random(number)
        length = self.minutes * 60
        said = chance.choices(self.words, cum_weights=self._weights, k=length * 5 // 2)
        segments, at = [], 0.0
        for first in range(0, len(said), 13):
            times = [round(at + 0.4 * n, 2) for n in range(len(said[first : first + 13]))]
            words = [
                {"start_s": t, "end_s": round(t + 0.35, 2), "text": word, "probability": 0.9}
                for t, word in zip(times, said[first : first + 13], strict=True)
            ]
            end = words[-1]["end_s"]
            text = " ".join(said[first : first + 13])
            segments.append(
                {
                    "id": f"speech-{len(segments) + 1}", "start_s": at, "end_s": end, "text": text, "words": words,
                    "avg_logprob": -0.2345, "no_speech_prob": 0.0123, "compression_ratio": 1.345, "suspect": False,
                    "language": None, "visible": None,
                }
            )  # fmt: skip
            at = round(at + 0.4 * 13, 2)
        people = [self._person(n, chance, length) for n in range(1, 5)]
        result = {
            "media": media(number), "run": "0" * 16, "status": "complete", "error": None, "failures": [],
            "warnings": [], "sampling": "interval", "probe": None, "duration_s": length, "engines": {}, "gallery": "g",
            "source": {"bucket": "b", "key": media(number), "etag": "e", "version": None, "size": 1},
            "options": _OPTIONS, "people": people,
            "transcript": {
                "engine": "none", "language": chance.choice(["en", "en", "de"]), "text": " ".join(said),
                "segments": segments,
                "cues": [{"start_s": s["start_s"], "end_s": s["end_s"], "lines": [s["text"]]} for s in segments],
            },
            "timeline": [
                {"start_s": s["start_s"], "end_s": s["end_s"], "kind": "speech", "ref": s["id"], "label": s["text"]}
                for s in segments
            ],
            "processing": {"timings": [], "cost": {"usd": 0, "items": [], "prices_as_of": "2026"}},
        }  # fmt: skip
        return json.dumps(result, separators=(",", ":")).encode()

    def _person(self, number: int, chance: random.Random, length: int) -> dict[str, object]:
        name, identity, spans = self._somebody(number, chance, length)
        ranges = [{"start_s": start, "end_s": end} for start, end in spans]
        tracks = [
            {
                "id": f"track-{number}-{n}", **span,
                "sightings": [
                    {"time_s": t, "box": [0.1234, 0.2345, 0.3456, 0.4567], "score": 0.999}
                    for t in range(span["start_s"], span["end_s"])
                ],
            }
            for n, span in enumerate(ranges)
        ]  # fmt: skip
        return {
            "id": f"person-{number}", "name": name, "identity": identity, "confidence": 0.9,
            "on_screen_s": 100, "ranges": ranges, "tracks": tracks,
        }  # fmt: skip

    def _somebody(self, number: int, chance: random.Random, length: int) -> tuple[str, str, list[tuple[int, int]]]:
        """Name, identity, and seconds on screen."""
        starts = sorted(chance.sample(range(length - 20), k=min(25, length // 40)))
        spans = [(start, start + chance.randint(2, 19)) for start in starts]
        known = chance.random() < 0.7
        name = f"Person Name{chance.randrange(_PEOPLE)}" if known else f"Person {number}"
        return name, "known" if known else "unknown", spans


_OPTIONS = Options().model_dump(mode="json")


def media(number: int) -> str:
    return f"year-{number % 7}/number-{number}.mp4"


def _number(key: str) -> int:
    return int(key.partition("number-")[2].partition(".")[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=int, default=10_000)
    parser.add_argument("--minutes", type=int, default=30)
    parser.add_argument("--archive", default="", help="a database of its own; SQLite without")
    parser.add_argument("--seconds", type=float, default=600, help="as many results as go into the index meanwhile")
    parser.add_argument("--folder", type=Path, help="keep the index there; another run goes on with it")
    asked = parser.parse_args()
    store = Made(asked.results, asked.minutes)
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(state_dir=asked.folder or Path(folder), archive=asked.archive)
        index = open_index("benchmark", settings)
        _as_read(index, store, settings)
        start, known, count = time.perf_counter(), index.etags(), 0
        for number in range(asked.results):
            if media(number) not in known:
                index.put(store.entry(number))
                count += 1
            if time.perf_counter() - start > asked.seconds:
                asked.results = store.count = number + 1
                break
        took = time.perf_counter() - start
        index.settle()
        size, whole = _size(index), store.read_bytes / _READ * asked.results
        hours = asked.results * asked.minutes / 60
        print(f"{asked.results} results, {hours:.0f} hours, {whole / 1e9:.2f} GB by {_READ} of them")
        print(f"{count} written in {took:.0f} s ({took / max(count, 1) * 1e3:.1f} ms each, without reading)")
        print(f"index {size / 1e6:.0f} MB, {size / whole:.1%} of the results")
        _pages(index, store)
        _new(index, store, settings)


def _as_read(index: Index, store: Made, settings: Settings) -> None:
    """Read some results, and check that they yield what the index is given for all."""
    count, store.count = store.count, _READ
    start = time.perf_counter()
    refresh(index, store, settings)
    took = time.perf_counter() - start - store.made_s
    print(f"{_READ} results read in {took / _READ * 1e3:.0f} ms each")
    for number in range(3):
        info = store.head("", media(number))
        assert info and info.last_modified
        result = Result.model_validate_json(store._result(number))
        made = entry_of(media(number), result, info.etag, int(info.last_modified.timestamp()))
        assert made == store.entry(number)
    store.count = count


def _size(index: Index) -> int:
    """In bytes."""
    if isinstance(index, SqliteIndex):
        return index.path.stat().st_size
    with index.reading() as connection:
        tables = ("recording", "seen", "said")
        return sum(
            int(connection.execute(f"SELECT pg_total_relation_size('{table}')").fetchone()[0]) for table in tables
        )


def _pages(index: Index, store: Made) -> None:
    for pattern in _QUERIES:
        text = pattern
        for number in sorted({int(n) for n in re.findall(r"\{(\d+)\}", pattern)}, reverse=True):
            text = text.replace(f"{{{number}}}", store.words[number])
        times, busy = [], []
        for _ in range(7):
            start, cpu = time.perf_counter(), time.process_time()
            found = search(index, text)
            times.append((time.perf_counter() - start) * 1e3)
            busy.append((time.process_time() - cpu) * 1e3)
        cpu_ms, ms = statistics.median(busy), statistics.median(times)
        print(f"{pattern:52} {len(found.hits):3} hits  {ms:7.1f} ms, worst {max(times):7.1f} ms; CPU {cpu_ms:7.1f} ms")


def _new(index: Index, store: Made, settings: Settings) -> None:
    times, listed = [], []
    for _ in range(5):
        store.count += 1
        new = media(store.count - 1)
        start, made = time.perf_counter(), store.made_s
        refresh_one(new, index, store, settings)
        assert search(index, f"file:number-{store.count - 1}").hits[0].media == new
        times.append(time.perf_counter() - start - store.made_s + made)
        store.count += 1
        start, made = time.perf_counter(), store.made_s
        refresh(index, store, settings)
        assert search(index, f"file:number-{store.count - 1}").hits
        listed.append(time.perf_counter() - start - store.made_s + made)
    by_event, by_listing = statistics.median(times), statistics.median(listed)
    print(f"a new result is found after {by_event:.2f} s by its event, {by_listing:.2f} s by listing")


if __name__ == "__main__":
    main()
