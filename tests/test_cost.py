"""The cost of a run, computed by hand."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from castline import cost
from castline.cost import USUAL_FILM, Sizes, cost_of, estimate, prices, standing
from castline.cost.model import decode_seconds
from castline.cost.prices import POLLS_A_MONTH
from castline.local.template import load_template
from castline.records import Options, Usage, VideoStream


def test_a_run_costs_the_sum_of_its_units() -> None:
    usages = [
        Usage(stage="split", seconds=10, memory_mb=1024),
        Usage(stage="faces", seconds=5, memory_mb=3072),
        Usage(stage="speech", seconds=2.5, memory_mb=2048),
    ]
    found = cost_of(usages, units=2)
    items = {item.what: item for item in found.items}
    assert items["Lambda compute"].quantity == 10 + 15 + 5
    assert items["Lambda compute"].usd == pytest.approx(30 * 0.0000166667, abs=1e-8)
    assert items["Lambda requests"].quantity == 3
    # Half a GB of /tmp is free; the splitter has ten, the analyser one.
    assert items["Lambda /tmp over 512 MB"].quantity == 10 * 9.5 + 7.5 * 0.5
    # Two units written and read, two parts written and read, manifest and result beside them.
    assert items["S3 writes"].quantity == 4 + 1 + 10
    assert items["S3 reads"].quantity == 4 + 2
    assert found.usd == pytest.approx(sum(item.usd for item in found.items), abs=1e-6)
    assert items["SQS"].quantity == 5 * 3
    assert found.usd == pytest.approx(0.000587, abs=1e-6)
    assert found.prices_as_of == cost.PRICES_AS_OF


def test_a_cold_start_is_billed_but_not_as_a_request() -> None:
    usages = [Usage(stage="faces", seconds=1, memory_mb=1024), Usage(stage="init", seconds=2, memory_mb=1024)]
    items = {item.what: item for item in cost_of(usages, 1).items}
    assert (items["Lambda requests"].quantity, items["Lambda starts (INIT)"].quantity) == (1, 2)
    assert items["Lambda compute"].quantity == 1


@given(st.lists(st.floats(0, 900), max_size=8), st.integers(0, 50))
def test_cost_grows_with_time_and_units_and_is_never_negative(seconds: list[float], units: int) -> None:
    usages = [Usage(stage="faces", seconds=value, memory_mb=1024) for value in seconds]
    base = cost_of(usages, units)
    assert all(item.usd >= 0 for item in base.items)
    assert cost_of([*usages, Usage(stage="faces", seconds=60, memory_mb=1024)], units).usd > base.usd
    assert cost_of(usages, units + 1).usd > base.usd
    assert cost_of(usages[::-1], units).usd == pytest.approx(base.usd, abs=1e-9)


def _usd(film: VideoStream | None, seconds: float = 600, audio: bool = True, **changes: Any) -> float:
    sizes = Sizes(**changes)
    usages, units = estimate(seconds, Options(), film, audio=audio, sizes=sizes)
    return cost_of(usages, units, sizes=sizes).usd


def _film(width: int = 1280, height: int = 720, fps: float | None = 30, codec: str = "h264") -> VideoStream:
    return VideoStream(codec=codec, width=width, height=height, fps=fps)


def test_an_hour_of_1080p_takes_the_splitter_as_long_as_measured() -> None:
    usages, _ = estimate(3600, Options(), _film(1920, 1080), audio=True, sizes=Sizes())
    (split,) = [usage for usage in usages if usage.stage == "split"]
    assert split.seconds == pytest.approx(286, rel=0.05)


def test_what_is_decoded_matters() -> None:
    assert _usd(None) < _usd(_film(640, 360)) < _usd(_film()) < _usd(_film(1920, 1080)) < _usd(_film(3840, 2160))
    assert _usd(_film(fps=60)) > _usd(_film()) == _usd(_film(fps=None))
    assert _usd(_film(codec="prores")) > _usd(_film(codec="av1")) > _usd(_film()) > _usd(_film(codec="mjpeg"))
    assert _usd(_film(codec="never heard of")) == _usd(_film())
    assert _usd(_film(), audio=False) < _usd(_film())
    keyframes = Options(sampling="keyframes")
    less, units = estimate(600, keyframes, _film(), audio=True, sizes=Sizes())
    assert cost_of(less, units).usd < _usd(_film())


def test_watching_mouths_costs_what_it_takes() -> None:
    def spent(speakers: str, *, film: VideoStream | None = USUAL_FILM, audio: bool = True) -> dict[str, float]:
        options = Options.model_validate({"speakers": speakers})
        found: dict[str, float] = {}
        for usage in estimate(3600, options, film, audio=audio, sizes=Sizes())[0]:
            found[usage.stage] = found.get(usage.stage, 0.0) + usage.seconds
        return found

    off, voices, auto = spent("off"), spent("voices"), spent("auto")
    assert voices["speech"] - off["speech"] == pytest.approx(3600 * 0.09, rel=0.01)
    assert (voices["split"], voices["faces"], "mouths" in voices) == (off["split"], off["faces"], False)
    assert auto["speech"] == voices["speech"]
    assert auto["split"] > voices["split"], "small frames are written"
    assert auto["mouths"] == pytest.approx(3600 * 0.08 / (3008 / 1769), rel=0.01)
    assert spent("auto", film=None) == spent("voices", film=None)
    assert spent("auto", audio=False).keys() == {"split", "faces", "init"}


def test_the_bit_rate_takes_time_if_it_is_known() -> None:
    """Twelve hours of 4K in ranges of three minutes: what one of them takes at a camera's bit rate."""
    film, options = _film(3840, 2160, codec="hevc"), Options(sampling="interval")
    megabits = 42 * 180
    assert decode_seconds(180, options, film, 2048, megabits) > 2 * decode_seconds(180, options, film, 2048)
    assert decode_seconds(180, options, film, 2048, megabits) < 840 / 2
    assert decode_seconds(180, options, film, 2048, 2 * megabits) < 840
    prores = _film(codec="prores")
    assert decode_seconds(180, options, prores, 2048, megabits) == decode_seconds(180, options, prores, 2048)


def test_the_deployment_matters_too() -> None:
    assert _usd(_film(), architecture="arm64") == pytest.approx(0.8 * _usd(_film()), rel=0.1)
    assert _usd(_film(), splitter_disk_mb=512, analyser_disk_mb=512) < _usd(_film())
    assert _usd(_film(), executions=60) > _usd(_film()), "more environments have to start"
    steps = _usd(_film(), orchestration="stepfunctions") - _usd(_film())
    assert steps == pytest.approx((2 * 30 + 6) * 0.000025, rel=0.2)
    assert 0 < _usd(_film(), orchestration="queue") - _usd(_film(), orchestration="events") < 0.0001


def test_throttled_attempts_cost_in_a_state_machine() -> None:
    """3 600 s: 180 units, of which 40 start at once; with executions for all, nobody waits."""
    few, enough = (
        {
            item.what: item.quantity
            for item in cost_of(*estimate(3600, Options(), USUAL_FILM, audio=True, sizes=sizes), sizes=sizes).items
        }["Step Functions, with throttled tries"]
        for sizes in (Sizes(orchestration="stepfunctions"), Sizes(orchestration="stepfunctions", executions=40))
    )
    assert enough == 2 * 180 + 6
    assert few > enough


def test_an_idle_deployment_costs_a_little() -> None:
    idle = {item.what: item.usd for item in standing()}
    assert idle == {"alarms": 1.5, "metrics": 2.7, "dashboard": 3.0, "image in ECR": 0.14}
    asked = {item.what: item for item in standing(by_queue=True, own_key=True)}
    assert asked["polling of queues"].quantity == 4 * 648_000
    assert asked["polling of queues"].usd == pytest.approx(1.0368)
    assert asked["your KMS key"].usd == 1


def test_sizes_and_alarms_equal_the_template_s() -> None:
    template = load_template(Path(__file__).parents[1] / "template.yaml")
    parameters, resources = template["Parameters"], template["Resources"].values()
    sizes = Sizes()
    assert {
        "SplitterMemory": sizes.splitter_mb,
        "AnalyserMemory": sizes.analyser_mb,
        "SplitterStorage": sizes.splitter_disk_mb,
        "AnalyserStorage": sizes.analyser_disk_mb,
        "Architecture": sizes.architecture,
        "Orchestration": sizes.orchestration,
    } == {name: parameters[name]["Default"] for name in (
        "SplitterMemory", "AnalyserMemory", "SplitterStorage", "AnalyserStorage", "Architecture", "Orchestration",
    )}  # fmt: skip
    by = {kind: [item.get("Condition", "") for item in resources if item["Type"] == kind] for kind in (
        "AWS::CloudWatch::Alarm", "AWS::Lambda::EventSourceMapping",
    )}  # fmt: skip
    conditions = by["AWS::CloudWatch::Alarm"]
    assert {item.what: item.quantity for item in standing()}["alarms"] == conditions.count("")
    queued = {item.what: item.quantity for item in standing(by_queue=True)}
    assert queued["alarms"] == conditions.count("") + conditions.count("ByQueue")
    assert queued["polling of queues"] == by["AWS::Lambda::EventSourceMapping"].count("ByQueue") * POLLS_A_MONTH


def test_prices_are_in_one_file() -> None:
    """A number so small that equals a price is that price."""
    root = Path(__file__).parents[1]
    table = root / "src" / "castline" / "cost" / "prices.py"
    known = {value for value in vars(prices).values() if isinstance(value, float) and value < 0.001}
    assert len(known) > 5
    found = {
        f"{path.relative_to(root)}:{node.lineno}"
        for folder in ("src", "benchmarks", "scripts")
        for path in (root / folder).rglob("*.py")
        if path != table
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, float) and node.value in known
    }
    assert found == set()
