"""Stage 2: one unit, one part, written once."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace

import cv2
import pytest

from castline import keys
from castline.errors import (
    DiskFull,
    GalleryError,
    ModelCorrupt,
    ModelError,
    ModelNotFound,
    NoSpeechEngine,
    StorageError,
)
from castline.events import object_created
from castline.media.pictures import decode_jpeg, encode_jpeg
from castline.recognition.photo import embed_photo
from castline.records import AudioPart, ErrorPart, FramesPart, Segment
from castline.stages import analyse_event


def test_a_frames_unit_becomes_a_part(world) -> None:
    frames, _ = world.split()
    assert world.analyse(frames) == [{"parts": ["frames-0000"], "assembled": []}]
    part = FramesPart.from_json(world.store.get(world.settings.output_bucket, frames.part_key))
    assert (part.unit, part.detector, part.embedder) == ("frames-0000", "fake-detector", "dlib-resnet-v1")
    assert [frame.time_ms for frame in part.frames] == [0, 1000]
    assert [len(frame.faces) for frame in part.frames] == [1, 1]
    face = part.frames[0].faces[0]
    assert face.box == pytest.approx((0.25, 0.25, 0.75, 0.75))
    assert face.embedding.vector()[0] == 1
    assert part.usage.stage == "faces"
    assert set(part.usage.steps) == {"download", "load", "decode", "faces"}
    assert world.engines.transcriber.calls == 0


def test_an_audio_unit_becomes_a_part(world) -> None:
    _, audio = world.split()
    world.analyse(audio)
    part = AudioPart.from_json(world.store.get(world.settings.output_bucket, audio.part_key))
    assert (part.unit, part.transcriber, part.language) == ("audio-0000", "fake-speech", "en")
    assert [segment.text for segment in part.segments] == ["hello"]
    assert part.usage.stage == "speech"
    assert world.engines.detector.calls == 0


class _Deaf:
    """Engines of a machine without a speech model."""

    def __init__(self, world, error: ModelError) -> None:
        self.detector, self.embedder = world.engines.detector, world.engines.embedder
        self._error = error

    @property
    def transcriber(self):
        raise self._error


def test_without_any_speech_engine_people_are_found_with_a_warning(world) -> None:
    units = world.split(colours=("red", "green"), chunks=2)
    world.engines = _Deaf(world, NoSpeechEngine("no weights"))
    world.analyse(*units)
    part = AudioPart.from_json(world.store.get(world.settings.output_bucket, units[-1].part_key))
    assert (part.transcriber, part.language, part.segments) == (None, None, ())
    assert [warning.code for warning in part.warnings] == ["no_speech_engine"]
    result = world.result()
    assert (result.status, result.failures, result.error) == ("complete", (), None)
    assert len(result.people) == 2
    assert (result.transcript.engine, result.transcript.text) == (None, "")
    assert result.engines == {"detector": "fake-detector", "embedder": "dlib-resnet-v1"}
    (warning,) = result.warnings
    assert (warning.code, warning.start_s) == ("no_speech_engine", None)
    assert "no speech was transcribed" in str(warning)


@pytest.mark.parametrize("error", [ModelNotFound("whisper.cpp is not installed"), ModelCorrupt("damaged")])
def test_a_requested_engine_that_is_missing_remains_an_error(world, error: ModelError) -> None:
    _, audio = world.split()
    world.engines = _Deaf(world, error)
    world.analyse(audio)
    assert world.store.get(world.settings.output_bucket, audio.part_key) is None
    assert ErrorPart.from_json(world.store.get(world.settings.output_bucket, audio.error_key)).error.code == error.code


@pytest.mark.parametrize(
    ("language", "script", "codes"),
    [
        (None, ("hello",), ["language_guessed"]),
        ("en", ("hello",), []),
        (None, (), []),  # whichever language was not spoken
    ],
)
def test_an_english_only_model_gives_a_warning(world, monkeypatch, language, script, codes) -> None:
    monkeypatch.setattr(world.engines.transcriber, "info", replace(world.engines.transcriber.info, languages=("en",)))
    world.engines.transcriber.script = tuple(Segment(start_s=0, end_s=1, text=text) for text in script)
    world.settings = world.settings.model_copy(update={"language": language})
    world.analyse(*world.split())
    assert [warning.code for warning in world.result().warnings] == codes


class _SaysLess:
    """Engines of a machine without a voice encoder."""

    def __init__(self, world) -> None:
        self.detector, self.embedder = world.engines.detector, world.engines.embedder
        self.transcriber = world.engines.transcriber

    @property
    def voice_encoder(self):
        raise ModelNotFound("resemblyzer is not installed")


def test_without_a_voice_encoder_words_are_transcribed_with_a_warning(world) -> None:
    world.settings = world.settings.model_copy(update={"speakers": "voices"})
    units = world.split(chunks=2)
    world.engines = _SaysLess(world)
    world.analyse(*units)
    result = world.result()
    assert result.status == "complete"
    assert result.transcript.text.startswith("hello")
    assert result.transcript.speakers == ()
    assert {str(notice) for notice in result.warnings if notice.code == "no_voices"} == {
        "voices are not told apart: resemblyzer is not installed"
    }


def test_a_repeated_event_writes_nothing_and_runs_no_model(world) -> None:
    frames, audio = world.split()
    world.analyse(frames)
    before = world.store.get(world.settings.output_bucket, frames.part_key)
    assert world.analyse(frames, frames) == [{"parts": [], "assembled": []}] * 2
    assert world.engines.detector.calls == 1
    assert world.written(world.settings.output_bucket) == [frames.part_key]
    world.analyse(audio, frames)
    assert world.store.get(world.settings.output_bucket, frames.part_key) == before


def test_the_first_of_two_writers_wins(world, monkeypatch: pytest.MonkeyPatch) -> None:
    frames, _ = world.split()
    head = world.store.head
    unseen = (world.settings.output_bucket, frames.part_key)  # both looked before either wrote
    monkeypatch.setattr(world.store, "head", lambda *where: None if where == unseen else head(*where))
    first = world.analyse(frames)
    body = world.store.get(world.settings.output_bucket, frames.part_key)
    second = world.analyse(frames)
    assert (first[0]["parts"], second[0]["parts"]) == (["frames-0000"], [])
    assert world.store.get(world.settings.output_bucket, frames.part_key) == body


def test_the_last_analyser_assembles(world) -> None:
    frames, audio = world.split()
    assert [answer["assembled"] for answer in world.analyse(audio, frames)] == [[], ["talk.mp4"]]
    result = world.result()
    assert (result.status, result.transcript.text) == ("complete", "hello")


def test_a_late_manifest_completes_the_run(world) -> None:
    units = world.split()
    key = keys.manifest_key("talk.mp4", units[0].run)
    manifest = world.store.get(world.settings.stage1_bucket, key)
    world.store.delete(world.settings.stage1_bucket, [key])
    world.analyse(*units)
    assert world.result() is None
    world.store.put(world.settings.stage1_bucket, key, manifest)
    assert world.analyse(key) == [{"parts": [], "assembled": ["talk.mp4"]}]
    assert world.result().status == "complete"


def _corrupt_zips(whole: bytes) -> dict[str, bytes]:
    def archive(name: str, content: bytes, **how: int) -> bytes:
        body = io.BytesIO()
        with zipfile.ZipFile(body, "w", **how) as made:
            made.writestr(name, content)
        return body.getvalue()

    deflated = bytearray(archive("000000000.jpg", bytes(range(256)) * 50, compression=zipfile.ZIP_DEFLATED))
    deflated[45:60] = b"\xff" * 15
    encrypted = bytearray(archive("000000000.jpg", b"x"))
    encrypted[6] |= 1
    encrypted[encrypted.index(b"PK\1\2") + 8] |= 1
    unknown = bytearray(archive("000000000.jpg", b"x"))
    unknown[8] = 77
    unknown[unknown.index(b"PK\1\2") + 10] = 77
    flipped = bytearray(whole)
    flipped[60] ^= 0xFF
    return {
        "empty": b"",
        "text": b"no zip at all",
        "cut off": whole[: len(whole) // 2],
        "flipped": bytes(flipped),
        "deflate broken": bytes(deflated),
        "encrypted": bytes(encrypted),
        "unknown method": bytes(unknown),
        "not named by time": archive("cover.jpg", b"x"),
        "no picture": archive("000000000.jpg", b"no picture"),
        "empty picture": archive("000000000.jpg", b""),
    }


_DAMAGE = list(_corrupt_zips(b"PK" + b"\0" * 100))


@pytest.mark.parametrize("damage", _DAMAGE)
def test_a_corrupt_zip_leaves_an_error_part_and_the_run_ends(damage: str, world) -> None:
    frames, audio = world.split()
    body = _corrupt_zips(world.store.get(world.settings.stage1_bucket, frames.stage1_key))[damage]
    world.store.put(world.settings.stage1_bucket, frames.stage1_key, body)
    world.analyse(audio)
    assert world.analyse(frames) == [{"parts": ["frames-0000"], "assembled": ["talk.mp4"]}]
    part = ErrorPart.from_json(world.store.get(world.settings.output_bucket, frames.error_key))
    assert (part.unit, part.error.code) == ("frames-0000", "unit_unreadable")
    result = world.result()
    assert (result.status, result.error.code, result.transcript.text) == ("partial", "unit_unreadable", "hello")


@pytest.mark.parametrize("damage", ["empty", "text", "cut off", "length", "stereo"])
def test_a_corrupt_flac_leaves_an_error_part(damage: str, world) -> None:
    import numpy as np
    import soundfile

    _, audio = world.split()
    whole = world.flac()
    stereo = io.BytesIO()
    soundfile.write(stereo, np.zeros((1600, 2), np.int16), 16_000, format="FLAC")
    huge = bytearray(whole)
    huge[21:26] = b"\x0f\xff\xff\xff\xff"  # a length of 2 ** 36 samples
    bodies = {
        "empty": b"",
        "text": b"no flac",
        "cut off": whole[:30],
        "length": bytes(huge),
        "stereo": stereo.getvalue(),
    }
    world.store.put(world.settings.stage1_bucket, audio.stage1_key, bodies[damage])
    world.analyse(audio)
    part = ErrorPart.from_json(world.store.get(world.settings.output_bucket, audio.error_key))
    assert part.error.code == "unit_unreadable"
    assert world.engines.transcriber.calls == 0


@pytest.mark.parametrize("error", [StorageError("S3 said no"), DiskFull("full"), MemoryError()])
def test_a_temporary_failure_is_raised_and_leaves_nothing(error: Exception, world) -> None:
    frames, _ = world.split()
    world.engines.detector.error = error
    with pytest.raises(type(error)):
        world.analyse(frames)
    assert world.keys_in(world.settings.output_bucket) == []
    world.engines.detector.error = None
    assert world.analyse(frames)[0]["parts"] == ["frames-0000"]


def test_a_missing_model_is_recorded_at_once(world) -> None:
    frames, audio = world.split()
    world.engines.transcriber.error = ModelNotFound("no Whisper here")
    world.analyse(frames, audio)
    result = world.result()
    assert (result.status, result.error.message) == ("partial", "no Whisper here")
    assert [failure.unit for failure in result.failures] == ["audio-0000"]


def test_a_unit_that_succeeds_later_replaces_its_error(world) -> None:
    frames, audio = world.split()
    world.engines.transcriber.error = ModelNotFound("no Whisper here")
    world.analyse(frames, audio)
    world.engines.transcriber.error = None
    assert world.analyse(audio)[0]["parts"] == ["audio-0000"]
    result = world.result()
    assert (result.status, result.failures, result.transcript.text) == ("complete", (), "hello")


@pytest.mark.parametrize("key", ["test_00.jpg", "talk.mp4/0123456789abcdef/other/0000.zip", "report.html"])
def test_foreign_keys_are_ignored(key: str, world) -> None:
    assert world.analyse(key) == [{"parts": [], "assembled": []}]
    assert not world.store.objects


def test_the_same_key_in_another_bucket_is_ignored(world) -> None:
    (frames, _) = world.split()
    event = object_created(world.settings.output_bucket, frames.stage1_key)
    assert analyse_event(event, world.store, world.settings, world.engines) == {"parts": [], "assembled": []}


def test_a_deleted_unit_is_ignored(world) -> None:
    frames, _ = world.split()
    world.store.delete(world.settings.stage1_bucket, [frames.stage1_key])
    assert world.analyse(frames) == [{"parts": [], "assembled": []}]
    assert world.keys_in(world.settings.output_bucket) == []


def test_enrolled_people_are_named_and_embedded_once(world) -> None:
    world.store.put(world.settings.gallery_bucket, "Ada/1.jpg", world.picture("red"))
    frames, audio = world.split()
    world.analyse(audio, frames)
    assert [(person.name, person.identity) for person in world.result().people] == [("Ada", "known")]
    calls = world.engines.detector.calls
    world.analyse(frames)
    assert world.engines.detector.calls == calls
    assert world.keys_in(world.settings.gallery_bucket, ".embeddings/") == [".embeddings/dlib-resnet-v1.json"]


def test_a_photo_to_enrol_is_graded_and_refused_if_useless(world) -> None:
    image = decode_jpeg(world.picture("green", size=160))

    def blurred(sigma: float) -> bytes:
        return encode_jpeg(cv2.GaussianBlur(image, (0, 0), sigma))

    assert embed_photo(encode_jpeg(image), world.engines).grade == "clear"
    assert embed_photo(blurred(1.5), world.engines).grade == "poor"
    with pytest.raises(GalleryError, match=r"too blurred to recognise anybody by \(\d+ px, sharpness \d\)$"):
        embed_photo(blurred(4), world.engines)


def test_a_photo_to_enrol_may_be_avif(world) -> None:
    bgr = cv2.cvtColor(decode_jpeg(world.picture("green")), cv2.COLOR_RGB2BGR)
    assert embed_photo(bytes(cv2.imencode(".avif", bgr)[1]), world.engines).vector()[1] == 1


def test_a_photo_to_enrol_shows_exactly_one_person(world) -> None:
    assert embed_photo(world.picture("green"), world.engines).vector()[1] == 1
    with pytest.raises(GalleryError, match="no face"):
        embed_photo(world.picture("black"), world.engines)
    with pytest.raises(GalleryError, match="not a picture"):
        embed_photo(b"text", world.engines)
    with pytest.raises(GalleryError, match="a HEIC photo, which is not supported; save it as JPEG"):
        embed_photo(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 99, world.engines)
    one = world.engines.detector
    single = one.detect

    def two_faces(images):
        return [faces * 2 for faces in single(images)]

    one.detect = two_faces
    with pytest.raises(GalleryError, match="2 faces"):
        embed_photo(world.picture("green"), world.engines)


@pytest.mark.parametrize("how", ["many", "large"])
def test_a_zip_larger_than_a_batch_is_not_unpacked(how: str, world, monkeypatch: pytest.MonkeyPatch) -> None:
    frames, audio = world.split()
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
        if how == "many":
            for at in range(1001):
                archive.writestr(f"{at:09d}.jpg", b"")
        else:
            with archive.open("000000000.jpg", "w", force_zip64=True) as file:
                for _ in range(257):
                    file.write(bytes(1024 * 1024))
    assert len(body.getvalue()) < 1_000_000
    world.store.put(world.settings.stage1_bucket, frames.stage1_key, body.getvalue())
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("unpacked"))
    world.analyse(frames, audio)
    (failure,) = world.result().failures
    assert "more than a batch has" in failure.error.message
