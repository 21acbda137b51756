"""One declaration per option: every door agrees on it, with the same bounds."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
import typer
from annotated_types import Ge, Le, MaxLen, MinLen
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from typer.testing import CliRunner

from castline.cli.asked import takes_options
from castline.engines.choose import names_pattern
from castline.errors import OptionsError
from castline.local.deploy import Deployment
from castline.local.template import load_template
from castline.records import Options
from castline.records.options import PER_MEDIA, doors, sidecar_schema
from castline.runs.request import override
from castline.settings import Settings, variable

ROOT = Path(__file__).parents[1]
PARAMETERS: dict[str, Any] = load_template(ROOT / "template.yaml")["Parameters"]
FUNCTIONS: dict[str, Any] = load_template(ROOT / "template.yaml")["Globals"]["Function"]["Environment"]["Variables"]
AT_DEPLOYMENT = {name: door.parameter for name, door in doors() if door.parameter}


def _limit(name: str, kind: type[Any], attribute: str) -> Any:
    found = [entry for entry in Options.model_fields[name].metadata if isinstance(entry, kind)]
    return getattr(found[0], attribute) if found else None


@pytest.mark.parametrize("name", AT_DEPLOYMENT)
def test_the_template_s_parameter_agrees_with_the_option(name: str) -> None:
    field, parameter = Options.model_fields[name], PARAMETERS[AT_DEPLOYMENT[name]]
    default = Deployment.of(Settings(), template=ROOT / "template.yaml").values[AT_DEPLOYMENT[name]]
    assert str(parameter["Default"]) == default
    if field.annotation is bool:
        assert parameter["AllowedValues"] == ["true", "false"]
    elif get_args(field.annotation) and all(isinstance(choice, str) for choice in get_args(field.annotation)):
        assert parameter["AllowedValues"] == list(get_args(field.annotation))
    elif field.annotation in (int, float):
        assert parameter["Type"] == "Number"
        bounds = _limit(name, Ge, "ge"), _limit(name, Le, "le")
        assert None not in bounds
        assert (Decimal(str(parameter["MinValue"])), Decimal(str(parameter["MaxValue"]))) == tuple(
            Decimal(str(bound)) for bound in bounds
        )
    assert FUNCTIONS[variable(name)] == {"Ref": AT_DEPLOYMENT[name]}


def _taken(parameter: dict[str, Any], text: str) -> bool:
    """Whether CloudFormation accepts a text for a parameter."""
    pattern = parameter.get("AllowedPattern")
    fits = len(text) <= parameter.get("MaxLength", 4096)
    return fits and (pattern is None or re.fullmatch(pattern, text) is not None)


@pytest.mark.parametrize("name", ["language", "prompt", "hotwords"])
@given(data=st.data())
def test_text_that_the_template_accepts_the_code_accepts(name: str, data: st.DataObject) -> None:
    letters = st.text(alphabet="a,é -", max_size=1200 if name == "prompt" else 60)
    many = st.lists(st.sampled_from(["a", "", "b" * 200, "c" * 201]), max_size=110).map(",".join)
    text = data.draw(letters | many if name == "hotwords" else letters)
    if _taken(PARAMETERS[AT_DEPLOYMENT[name]], text):
        Settings(**{name: text})
    elif name == "language":
        with pytest.raises(ValidationError):
            Settings(**{name: text})


@pytest.mark.parametrize("letter", ["a", "~", " ", "é", "ß", "ü", "߿", "語", "🙂"])
@pytest.mark.parametrize("parameter", ["SpeechPrompt", "HotWords"])
def test_speech_s_texts_fit_the_environment_of_a_function(parameter: str, letter: str) -> None:
    """Lambda gives all variables of a function 4 KB together, names and values."""
    longest = max(
        (letter * (count - many) + "a" * many for count in range(1001) for many in (0, count // 2)),
        key=lambda text: len(text.encode()) if _taken(PARAMETERS[parameter], _words(text, parameter)) else 0,
    )
    taken = len(_words(longest, parameter).encode())
    assert 500 <= taken <= 1000


def _words(text: str, parameter: str) -> str:
    """The text with as many commas as hot words need."""
    return text if parameter == "SpeechPrompt" else ",".join(text[at : at + 199] for at in range(0, len(text), 200))


@pytest.mark.parametrize(
    ("name", "text"),
    [("language", "d"), ("language", "d" * 36), ("prompt", "x" * 1001), ("hotwords", ",".join("a" * 101))],
)
def test_what_the_code_refuses_the_template_refuses(name: str, text: str) -> None:
    assert not _taken(PARAMETERS[AT_DEPLOYMENT[name]], text)
    with pytest.raises(ValidationError):
        Settings(**{name: text})


def test_only_options_that_the_image_decides_are_limited_to_the_environment() -> None:
    assert {name for name, door in doors() if not door.sidecar} == {
        "frames_per_unit", "detector", "embedder", "transcriber", "voice_encoder",
        "active_speaker",
    }  # fmt: skip
    assert {name for name, door in doors() if not door.parameter} == {
        "long_side", "frames_per_unit", "audio_track", "speakers", "voice_encoder",
        "active_speaker",
    }  # fmt: skip


@pytest.mark.parametrize("role", ["detector", "embedder", "transcriber"])
def test_engines_in_the_template_are_the_declared_ones(role: str) -> None:
    assert PARAMETERS[role.title()]["AllowedPattern"] == names_pattern(role)


@pytest.mark.parametrize("name", [name for name, door in doors() if door.flag])
def test_a_flag_agrees_with_the_sidecar(name: str) -> None:
    said: list[dict[str, Any]] = []
    app = typer.Typer()

    @app.command()
    @takes_options
    def command(path: str, *, flags: dict[str, Any]) -> None:
        said.append({"path": path, **flags})

    door = dict(doors())[name]
    flag = door.flag.partition("/")[2] or door.flag
    value = "3" if Options.model_fields[name].annotation in (int, int | None) else "en"
    argv = [flag] if door.sets or name == "word_times" else [flag, value]
    done = CliRunner().invoke(app, ["x", *argv])
    assert done.exit_code == 0, done.output
    assert CliRunner().invoke(app, ["y"]).exit_code == 0
    assert said[1] == {"path": "y"}
    assert set(said[0]) == {"path", name}
    del said[0]["path"]
    asked = override(Options(), json.dumps(said[0]).encode(), "flags")
    assert getattr(asked, name) != getattr(Options(), name)
    jsonschema.validate(json.loads(json.dumps(said[0])), sidecar_schema())


def test_the_published_schema_of_a_sidecar_is_the_declared_one() -> None:
    assert json.loads((ROOT / "docs" / "sidecar.schema.json").read_text()) == sidecar_schema()


@pytest.mark.parametrize("name", PER_MEDIA)
def test_the_schema_refuses_what_the_pipeline_refuses(name: str) -> None:
    low, high = _limit(name, Ge, "ge"), _limit(name, Le, "le")
    texts = [{}, 10**9, "x" * 3000, ["x" * 300], [1]]
    shortest = _limit(name, MinLen, "min_length")
    longest = _limit(name, MaxLen, "max_length")
    numbers = [bound + step for bound, step in ((low, -1), (high, 1)) if bound is not None]
    for value in [*texts, *numbers, "x" * ((shortest or 1) - 1), ["x"] * ((longest or 100) + 1)]:
        try:
            override(Options(), json.dumps({name: value}).encode(), "sidecar")
            taken = True
        except OptionsError:
            taken = False
        valid = jsonschema.Draft202012Validator(sidecar_schema()).is_valid({name: value})
        assert taken or not valid, (name, value)
