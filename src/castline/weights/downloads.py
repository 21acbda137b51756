"""What can be downloaded: addresses, sizes, digests.

Names are as in the settings (``faster-whisper:base``); files have the names that the engines expect
(``engines/speech/declared.py``).

The digests were not computed from downloads here. Each one is used because unrelated public projects verify the same
file against it:

- FaceNet's weights: several projects pin this release asset of facenet-pytorch.
- YuNet: the file of ``ShiqiYu/libfacedetection.train`` at commit dca340a; projects that compare detectors pin the same
  digest, and the copy used for docs/FACES.md has it.
- LR-ASD: the file of ``Junhua-Liao/LR-ASD`` at commit 1b6dcd2, which is what docs/VOICES.md was measured with.
- openai-whisper: its package carries the addresses with the SHA-256 of each file in them.
- whisper.cpp: the files of ``ggerganov/whisper.cpp`` on Hugging Face at revision 5359861, whose digests are
  pinned alike by many installers (Vocalinux among them), and as LFS object ids.
- faster-whisper: the repositories and revisions below are what faster-whisper's own names stand for; digests of
  all their files are pinned alike by at least two projects each. A revision is a git commit, so it pins too.

For any other model no digest is known with such certainty: put its file into the models folder yourself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from castline.weights.facenet import FACENETS
from castline.weights.locate import MOUTH_WEIGHTS_FILE, YUNET_FILE


@dataclass(frozen=True, slots=True)
class Download:
    """One file that can be fetched.

    Attributes:
        file: its name in the models folder, where it may be ``<folder>/<file>``.
        max_bytes: a larger file is not the expected one.
        sha256: hex digest.
    """

    title: str
    url: str
    file: str
    max_bytes: int
    sha256: str
    licence: str


#: The Whisper that set-up and ``fetch`` get if none is named: it detects the language, and runs on two cores.
WHISPER = "faster-whisper:base"

_MB = 1000**2
_HUB = "https://huggingface.co"

# Files that several of faster-whisper's repositories share, byte for byte.
_TOKENIZER = "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab"
_VOCABULARY = "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913"
_TOKENIZER_EN = "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df"
_VOCABULARY_EN = "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf"
_TOKENIZER_V3 = "6d8cbd7cd0d8d5815e478dac67b85a26bbe77c1f5e0c6d76d1ce2abc0e5f21ca"
_TOKENIZER_TURBO = "297b13372ac43916285644fb9687add3cc62ee2a1adb60da3dc25cc94c1871fd"
_VOCABULARY_V3 = "c69260f2ab26d659b7c398f9a2b2b48ed0df16c3b47d7326782fd9cba71690c1"
_PREPROCESSOR_V3 = "7ccc62c6f2765af1f3b46c00c9b5894426835a05021c8b9c01eecb6dfb542711"

#: By model: repository's owner, revision, size of model.bin, and the digests of model.bin, config.json,
#: tokenizer.json and the vocabulary.
_FASTER_WHISPER: dict[str, tuple[str, str, int, str, str, str, str]] = {
    "tiny": (
        "Systran", "d90ca5fe260221311c53c58e660288d3deb8d356", 75_538_270,
        "dcb76c6586fc06cbdac6dd21f14cfd129cc4cdd9dce19bf4ffa62e59cbe6e6d1",
        "a73a28cdfe1c43ccc7202fa333d1f89c202477271407ae9a7f19afa52039cac8", _TOKENIZER, _VOCABULARY,
    ),
    "tiny.en": (
        "Systran", "0d3d19a32d3338f10357c0889762bd8d64bbdeba", 75_537_502,
        "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
        "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5", _TOKENIZER_EN, _VOCABULARY_EN,
    ),
    "base": (
        "Systran", "ebe41f70d5b6dfa9166e2c581c45c9c0cfc57b66", 145_217_532,
        "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
        "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a", _TOKENIZER, _VOCABULARY,
    ),
    "base.en": (
        "Systran", "3d3d5dee26484f91867d81cb899cfcf72b96be6c", 145_216_508,
        "2a166925539a16005f14ff328359f9b9adb9dc4fb631bb3b227526862e93e2ef",
        "f3bc3821e9fc76a27bae538e11ae5b677dcdd352b4600429ce7951d398569aeb", _TOKENIZER_EN, _VOCABULARY_EN,
    ),
    "small": (
        "Systran", "536b0662742c02347bc0e980a01041f333bce120", 483_546_902,
        "3e305921506d8872816023e4c273e75d2419fb89b24da97b4fe7bce14170d671",
        "b55496ac7940a7ae47d2c01eab40edfd8701feec1229d9cce3b40014383fb828", _TOKENIZER, _VOCABULARY,
    ),
    "small.en": (
        "Systran", "d1d751a5f8271d482d14ca55d9e2deeebbae577f", 483_545_366,
        "62b2a45b05ee59acb4a5341b33ee35e041395d378d418a18acfe4c9e768ee37a",
        "666a9605530ac1f61fa8177f3702b4dacec9966749e42610839fcc32661d5fae", _TOKENIZER_EN, _VOCABULARY_EN,
    ),
    "medium": (
        "Systran", "08e178d48790749d25932bbc082711ddcfdfbc4f", 1_527_906_378,
        "9b45e1009dcc4ab601eff815b61d80e60ce3fd8c74c1a14f4a282258286b51ae",
        "3622a2ddc41ec0e0fd4e68c13c6830f03b90c38d89aaad184de02c8c642cf807", _TOKENIZER, _VOCABULARY,
    ),
    "medium.en": (
        "Systran", "a29b04bd15381511a9af671baec01072039215e3", 1_527_904_330,
        "11b220779aea4c6f3ce9d2549c8a95ea869ed84066864b999531ef53e594fe5b",
        "4a1848ebabe7938d9797c15a2e8e4ce1d36e6fd4a43d096ae5955257c67c7962", _TOKENIZER_EN, _VOCABULARY_EN,
    ),
    "large-v3": (
        "Systran", "edaa852ec7e145841d8ffdb056a99866b5f0a478", 3_087_284_237,
        "69f74147e3334731bc3a76048724833325d2ec74642fb52620eda87352e3d4f1",
        "a9306624f5ec14270a014b647e5c316b6e03a662c369758d1b90697a7b0655b9", _TOKENIZER_V3, _VOCABULARY_V3,
    ),
    "large-v3-turbo": (
        "mobiuslabsgmbh", "0a363e9161cbc7ed1431c9597a8ceaf0c4f78fcf", 1_617_884_929,
        "e76620f83d5f5b69efd3d87e3dc180c1bd21df9fbebacfd4335e5e1efcc018da",
        "b0253ea6c0d3bea6b1e19e91a02acfd3b53f4467362efcb5a3e6b16c9b3a9b7e", _TOKENIZER_TURBO, _VOCABULARY_V3,
    ),
}  # fmt: skip

_GGML_REVISION = "5359861c739e955e79d9a303bcbc70fb988958b1"
#: By model: size and digest.
_WHISPER_CPP = {
    "tiny": (77_691_713, "be07e048e1e599ad46341c8d2a135645097a538221678b7acdd1b1919c6e1b21"),
    "tiny.en": (77_704_715, "921e4cf8686fdd993dcd081a5da5b6c365bfde1162e72b08d75ac75289920b1f"),
    "base": (147_951_465, "60ed5bc3dd14eea856493d334349b405782ddcaf0028d4b5df4088345fba2efe"),
    "base.en": (147_964_211, "a03779c86df3323075f5e796cb2ce5029f00ec8869eee3fdfb897afe36c6d002"),
    "small": (487_601_967, "1be3a9b2063867b937e64e2ec7483364a79917e157fa98c5d94b5c1fffea987b"),
    "small.en": (487_614_201, "c6138d6d58ecc8322097e0f987c32f1be8bb0a18532a3f88f734d1bbf9c41e5d"),
    "medium": (1_533_763_059, "6c14d5adee5f86394037b4e4e8b59f1673b6cee10e3cf0b11bbdbee79c156208"),
    "medium.en": (1_533_774_781, "cc37e93478338ec7700281a7ac30a10128929eb8f427dda2e865faa8f6da4356"),
    "large-v1": (3_094_623_691, "7d99f41a10525d0206bddadd86760181fa920438b6b33237e3118ff6c83bb53d"),
    "large-v2": (3_094_623_691, "9a423fe4d40c82774b6af34115b8b935f34152246eb19e80e376071d3f999487"),
    "large-v3": (3_095_033_483, "64d182b440b98d5203c4f9bd541544d84c605196c4f7b845dfa11fb23594d1e2"),
    "large-v3-turbo": (1_624_555_275, "1fc70f774d38eb169993ac391eea357ef47c88757ef72ee5943879b7e8e2bc69"),
}

_OPENAI = "https://openaipublic.azureedge.net/main/whisper/models"
#: By model: the digest, and millions of parameters (two bytes each) for the limit on its size.
_OPENAI_WHISPER = {
    "tiny": ("65147644a518d12f04e32d6f3b26facc3f8dd46e5390956a9424a650c0ce22b9", 39),
    "tiny.en": ("d3dd57d32accea0b295c96e26691aa14d8822fac7d9d27d5dc00b4ca2826dd03", 39),
    "base": ("ed3a0b6b1c0edf879ad9b11b1af5a0e6ab5db9205f891f668f8b0e6c6326e34e", 74),
    "base.en": ("25a8566e1d0c1e2231d1c762132cd20e0f96a85d16145c3a00adf5d1ac670ead", 74),
    "small": ("9ecf779972d90ba49c06d968637d720dd632c55bbf19d441fb42bf17a411e794", 244),
    "small.en": ("f953ad0fd29cacd07d5a9eda5624af0f6bcf2258be67c92b79389873d91e0872", 244),
    "medium": ("345ae4da62f9b3d59415adc60127b97c714f32e89e936602e85993674d08dcb1", 769),
    "medium.en": ("d7440d1dc186f76616474e0ff0b3b6b879abc9d1a4926b7adfa41db2d497ab4f", 769),
    "large-v1": ("e4b87e7e0bf463eb8e6956e646f1e277e901512310def2c24bf0e11bd3c28e9a", 1550),
    "large-v2": ("81f7c96c852ee8fc832187b0132e569d6c3065a3252ed18e56effd0b6a73e524", 1550),
    "large-v3": ("e5b1a55b89c1367dacf97e3e19bfd829a01529dbfdeefa8caeb59b3f1b81dadb", 1550),
    "large-v3-turbo": ("aff26ae408abcba5fbf8813c21e62b0941638c5f6eebfb145be0c9839262a19a", 809),
}


def _faster_whisper(model: str) -> Iterator[Download]:
    owner, revision, size, weights, config, tokenizer, vocabulary = _FASTER_WHISPER[model]
    folder = f"faster-whisper-{model}"
    third = model.startswith("large-v3")  # more mel bands than the library's default, and another vocabulary
    files = [
        ("config.json", _MB, config),
        ("tokenizer.json", 8 * _MB, tokenizer),
        ("vocabulary.json" if third else "vocabulary.txt", 4 * _MB, vocabulary),
        *([("preprocessor_config.json", _MB, _PREPROCESSOR_V3)] if third else []),
        ("model.bin", size, weights),  # last: a folder without it does not count as a model
    ]
    for name, max_bytes, digest in files:
        url = f"{_HUB}/{owner}/{folder}/resolve/{revision}/{name}"
        yield Download(f"Whisper {model} for CTranslate2", url, f"{folder}/{name}", max_bytes, digest, "MIT")


def _whisper_cpp(model: str) -> Download:
    size, digest = _WHISPER_CPP[model]
    file = f"ggml-{model}.bin"
    url = f"{_HUB}/ggerganov/whisper.cpp/resolve/{_GGML_REVISION}/{file}"
    return Download(f"Whisper {model} for whisper.cpp", url, file, size, digest, "MIT")


def _openai_whisper(model: str) -> Download:
    digest, parameters = _OPENAI_WHISPER[model]
    file = f"whisper-{model}.pt"
    return Download(
        f"Whisper {model} of OpenAI", f"{_OPENAI}/{digest}/{model}.pt", file, 3 * parameters * _MB, digest, "MIT"
    )


_LR_ASD_COMMIT = "1b6dcd2d8fc2895683de6508ec6294ec47d388ca"
_VGGFACE2 = FACENETS["facenet-vggface2"][0]

#: The models that ``fetch`` knows: their files, by name.
DOWNLOADS: dict[str, tuple[Download, ...]] = {
    "facenet-vggface2": (
        Download(
            title="FaceNet InceptionResnetV1, trained on VGGFace2",
            url="https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/20180402-114759-vggface2.pt",
            file=_VGGFACE2.file,
            max_bytes=128 * 1024**2,
            sha256=_VGGFACE2.sha256,
            licence="MIT (code and conversion); VGGFace2 is a research data set",
        ),
    ),
    "yunet": (
        Download(
            title="YuNet",
            url="https://raw.githubusercontent.com/ShiqiYu/libfacedetection.train/"
            f"dca340aa082c71081a68d17db8e58b33a58a914b/onnx/{YUNET_FILE}",
            file=YUNET_FILE,
            max_bytes=322_906,
            sha256="104ee26c71d5c270ce79a6b3dced91c91013260d29a6bf18f9296c5b8c4c2b12",
            licence="Apache-2.0; WIDER FACE is a research data set",
        ),
    ),
    "lr-asd": (
        Download(
            title="LR-ASD, finetuned on TalkSet",
            url=f"https://raw.githubusercontent.com/Junhua-Liao/LR-ASD/{_LR_ASD_COMMIT}/weight/{MOUTH_WEIGHTS_FILE}",
            file=MOUTH_WEIGHTS_FILE,
            max_bytes=4 * _MB,
            sha256="6b4ef53694e874e96cf630198dc479c78aebb3993bbf166aee3d926dfe7d9342",
            licence="MIT; AVA-ActiveSpeaker, VoxCeleb 2 and LRS 3 are research data sets",
        ),
    ),
    **{f"faster-whisper:{model}": tuple(_faster_whisper(model)) for model in _FASTER_WHISPER},
    **{f"whisper.cpp:{model}": (_whisper_cpp(model),) for model in _WHISPER_CPP},
    **{f"openai-whisper:{model}": (_openai_whisper(model),) for model in _OPENAI_WHISPER},
}
