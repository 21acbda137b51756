"""Forgetting is proven: what is left is found, and what belongs to the recording is distinguished."""

from __future__ import annotations

import pytest

from castline import keys
from castline import people as api
from castline.errors import UnreadableObject
from castline.people import Mentions, Proof
from castline.report import flat_transcript

_MEDIA = "talk.mp4"
_NAMES = [
    "Ada",
    "Grace Hopper",
    "Zoë",
    "张伟",
    'D\'Arcy "Mac" O’Neil & Søn',
    "<script>x",
    "Max",
    "result",
    "Person 1",
]


def _prove(people, name: str) -> Proof:
    return api.prove_forgotten(name, people.store, people.settings)


@pytest.mark.parametrize("name", _NAMES)
def test_a_name_is_everywhere_before_and_nowhere_after(people, name: str) -> None:
    people.enrolled({name: [b"A1", b"A2"], "Bob": [b"B1"]})
    people.publish(
        _MEDIA,
        [people.face("A", b"A-crop"), people.face("B", b"B-crop", left=0.6)],
        [people.face("A", left=0.1)],
        said="good morning",
    )
    assert people.names(_MEDIA) == [(name, "known"), ("Bob", "known")]
    found = {trace.where.partition("://")[2].partition("/")[2] for trace in _prove(people, name).left}
    assert {f"{name}/0.jpg", f"{name}/1.jpg", keys.gallery_index_key(people.model)} <= found
    assert {f"{_MEDIA}/{file}" for file in ("result.json", "report.html", f"people/{keys.slug(name)}.jpg")} <= found

    api.forget(name, people.store, people.settings)
    people.reassemble(everything=True)
    proof = _prove(people, name)
    assert proof.left == []
    listed = [
        b for b, _ in people.store.objects if b in (people.settings.gallery_bucket, people.settings.output_bucket)
    ]
    assert proof.objects == len(listed)
    parts = [key for _, key in people.store.objects if keys.parse_part(key)]
    assert proof.files == len(people.published(_MEDIA)) + len(parts) + 1
    assert ("Bob", "known") in people.names(_MEDIA)
    if name not in ("Max", "result", "Person 1"):  # words of the page, of the format, of the results
        assert proof.alone == []


def test_spoken_names_and_keys_are_left_alone_and_reported(people) -> None:
    people.enrolled({"Ada Lovelace": [b"L1"]}, Ada=[b"A1"])
    people.publish("Interview with Ada.mp4", [people.face("L", b"L-crop")])
    people.publish("voice.ogg", said="then ADA said no")
    people.publish("adamant.ogg", said="Canada is adamant")
    api.forget("Ada", people.store, people.settings)
    people.reassemble(everything=True)
    proof = _prove(people, "Ada")
    assert proof.left == []
    told = {trace.where.removeprefix("s3://castline-"): trace.why for trace in proof.alone}
    assert told["output/Interview with Ada.mp4"] == "part of the key"
    assert told["gallery/Ada Lovelace/0.jpg"] == "part of another name"
    assert {"output/voice.ogg/transcript.txt", "output/voice.ogg/result.json", "output/voice.ogg/report.html"} <= set(
        told
    )
    assert told["output/voice.ogg/transcript.srt"].startswith("spoken, or part of a key")
    assert not any("adamant" in where for where in told)


def test_views_that_were_not_updated_are_found(people) -> None:
    people.enrolled(Ada=[b"A1"])
    people.publish(_MEDIA, [people.face("A", b"A-crop")])
    api.forget("Ada", people.store, people.settings)
    left = {trace.where: trace.why for trace in _prove(people, "Ada").left}
    assert left[f"s3://castline-output/{_MEDIA}/result.json"] == "named in the result"
    assert left[f"s3://castline-output/{_MEDIA}/people/ada.jpg"] == "a picture of the person"


def test_a_stale_view_is_found_even_if_the_result_is_clean(people) -> None:
    people.enrolled(Ada=[b"A1"])
    people.publish(_MEDIA, [people.face("A", b"A-crop")])
    old = people.published(_MEDIA)
    api.forget("Ada", people.store, people.settings)
    people.reassemble()
    for name in ("report.html", "people/ada.jpg"):
        people.store.put(people.settings.output_bucket, f"{_MEDIA}/{name}", old[name])
    left = {trace.where.rpartition(f"{_MEDIA}/")[2]: trace.why for trace in _prove(people, "Ada").left}
    assert left == {"report.html": "not what its result says", "people/ada.jpg": "a picture of the person"}
    assert people.reassemble(everything=True) == [_MEDIA]
    assert _prove(people, "Ada").left == []


def test_a_hint_beside_a_subtitle_is_a_mention(people) -> None:
    people.publish("voice.ogg", said="good morning")
    result = people.result("voice.ogg")
    (cue,) = result.transcript.cues
    hinted = result.transcript.model_copy(update={"cues": (cue.model_copy(update={"visible": "Ada"}),)})
    result = result.model_copy(update={"transcript": hinted})
    people.store.put(people.settings.output_bucket, "voice.ogg/result.json", result.to_json())
    assert {trace.why for trace in _prove(people, "Ada").left} == {"named in the result"}


def test_unreadable_results_and_foreign_files_count(people) -> None:
    bucket = people.settings.output_bucket
    people.store.put(bucket, "old.mp4/result.json", b'{"schema_version": 0, "people": ["Ada"]}')
    people.store.put(bucket, "old.mp4/transcript.txt", b"nothing of note")
    people.store.put(bucket, "notes.txt", b"seen: Ada")
    people.store.put(bucket, "other.txt", b"seen: Bob")
    people.store.put(people.settings.gallery_bucket, keys.gallery_index_key("x"), b'{"entries": {"Ada/1.jpg": {')
    assert sorted(trace.why for trace in _prove(people, "Ada").left) == [
        "embeddings",
        "its result cannot be read",
        "not written by Castline",
    ]


def test_a_flat_transcript_and_a_message_may_mention_somebody(people) -> None:
    """Spoken words stay; a flat transcript that differs from its result may be about anybody."""
    bucket = people.settings.output_bucket
    people.publish("voice.ogg", said="then Ada said no")
    people.store.put(bucket, "voice.txt", flat_transcript(people.result("voice.ogg")))
    message = "2026-11-26/4f2a-10-11-12-0123456789abcdef.json"
    people.store.put(bucket, message, b'{"text": {"body": "Ada, call me"}, "transcription": {"text": "for Ada"}}')
    proof = _prove(people, "Ada")
    assert proof.left == []
    told = {trace.where.removeprefix(f"s3://{bucket}/"): trace.why for trace in proof.alone}
    assert told["voice.txt"] == "spoken"
    assert told[message] == "part of a message as received, or spoken in it"
    people.store.put(bucket, "voice.txt", b"[00:00:00.000 --> 00:00:01.000]  Ada was here\n")
    assert [trace.why for trace in _prove(people, "Ada").left] == ["not written by Castline"]


def test_gallery_warnings_are_mentions(people) -> None:
    people.enrolled(Ada=[b"?"], Bob=[b"B1"])
    people.publish(_MEDIA, [people.face("B", b"B-crop")])
    assert [trace.why for trace in _prove(people, "Ada").left if _MEDIA in trace.where] == ["named in the result"] * 2
    api.forget("Ada", people.store, people.settings)
    people.reassemble(everything=True)
    assert _prove(people, "Ada").left == []


def test_an_unreadable_change_may_be_about_anybody_and_is_removed(people) -> None:
    people.enrolled(Ada=[b"A1"])
    key = ".changes/000000.json"
    people.store.put(people.settings.gallery_bucket, key, b'{"kind": "enrolled", "added": ["Ada/0.jpg"')
    left = {trace.where: trace.why for trace in _prove(people, "Ada").left}
    assert left[f"s3://{people.settings.gallery_bucket}/{key}"] == "it cannot be read, and may contain them"
    api.forget("Ada", people.store, people.settings)
    assert _prove(people, "Ada").left == []


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("Ada", "Ada", True),
        ("Ada", "xAda", False),
        ("Ada", "Adam and Canada", False),
        ("Ada", "(ada)", True),
        ("Ada", "ada_1.mp4", True),
        ("Ada", "ADA's", True),
        ("Zoë", "zoe\u0308 was here", True),
        ("Zoë", "Zoe", False),
        ("Zoë", "a/Zo%C3%AB.mp4", True),
        ("张伟", "我是张伟。", True),
        ("O'Neil", "O&#39;Neil", True),
        ("O'Neil", "O&#x27;Neil", True),
        ('Mac "X"', r'{"name":"Mac \"X\""}', True),
        ("A & B", "A &amp; B", True),
        ("A & B", r"A \u0026 B", True),
        ("Strauß", "STRAUSS", True),
        ("a.b", "aXb", False),
        ("Person 1", "Person 12", False),
        ("Person 1", "person 1.", True),
        ("50 Cent", "150 cent", False),
    ],
)
def test_mentions_are_found_as_whole_words_in_every_spelling(name: str, text: str, found: bool) -> None:
    assert Mentions(name).within(text) is found


def test_an_object_too_large_to_read_is_not_proven_clean(people, monkeypatch: pytest.MonkeyPatch) -> None:
    store, settings = people.store, people.settings
    store.put(settings.output_bucket, "somebody's.txt", b"x")
    get = store.get

    def refuse(bucket: str, key: str, **how: int) -> bytes | None:
        if key == "somebody's.txt":
            raise UnreadableObject("somebody's.txt has 300000000 bytes")
        return get(bucket, key, **how)

    monkeypatch.setattr(store, "get", refuse)
    proof = api.prove_forgotten("Ada", store, settings)
    assert [trace.why for trace in proof.left] == ["somebody's.txt has 300000000 bytes"]
