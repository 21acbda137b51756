"""Numbers for CloudWatch, as one line of embedded metric format (EMF) per invocation.

Stages call ``record`` wherever they are; only a Lambda handler collects and publishes (``collected``), so
that the same stage on a laptop's command line or in a test records nothing. A metric must never prevent a result:
values that cannot be published are logged and dropped.

    Media          results published, each run once           count
    Units          units analysed                             count
    Failures       units and media that ended in an error     count
    Faces          faces seen on analysed frames              count
    SplitSeconds   splitting one media file                  seconds
    FacesSeconds   analysing one batch of frames              seconds
    SpeechSeconds  transcribing one chunk of audio            seconds
    SpeechRTF      the same over the chunk's length           ratio; 1 is real time
    CostUSD        what a run cost on AWS, when published     US dollars
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from castline.settings import Settings

Name = Literal[
    "Media", "Units", "Failures", "Faces", "SplitSeconds", "FacesSeconds", "SpeechSeconds", "SpeechRTF", "CostUSD"
]

NAMESPACE = "Castline"
_UNITS: dict[Name, MetricUnit] = {
    "Media": MetricUnit.Count,
    "Units": MetricUnit.Count,
    "Failures": MetricUnit.Count,
    "Faces": MetricUnit.Count,
    "SplitSeconds": MetricUnit.Seconds,
    "FacesSeconds": MetricUnit.Seconds,
    "SpeechSeconds": MetricUnit.Seconds,
    "SpeechRTF": MetricUnit.NoUnit,
    "CostUSD": MetricUnit.NoUnit,
}
_NO_FUNCTION = Settings.model_fields["function_name"].default

logger = Logger(child=True)
_recorded: ContextVar[list[tuple[Name, float]] | None] = ContextVar("recorded", default=None)


def record(name: Name, value: float = 1.0) -> None:
    """Record a value for the current invocation; outside one, do nothing."""
    values = _recorded.get()
    if values is not None:
        values.append((name, value))


@contextmanager
def collected(settings: Settings) -> Iterator[None]:
    """Publish the values recorded inside the block when it ends, even by an exception.

    The one dimension is ``service``, the deployment's prefix, which keeps several deployments in one account apart;
    metric names already tell the stage. Outside Lambda nothing is published.
    """
    if settings.function_name == _NO_FUNCTION:
        yield
        return
    values: list[tuple[Name, float]] = []
    token = _recorded.set(values)
    try:
        yield
    finally:
        _recorded.reset(token)
        _publish(values, settings)


def _publish(values: list[tuple[Name, float]], settings: Settings) -> None:
    if not values:
        return
    try:
        metrics = EphemeralMetrics(namespace=NAMESPACE, service=settings.prefix)
        for name, value in values:
            metrics.add_metric(name, _UNITS[name], value)
        # A property, not a dimension: free, and available in Logs Insights.
        metrics.add_metadata("function_name", settings.function_name)
        if metrics.metric_set:  # a hundred values of one name are flushed without this
            metrics.flush_metrics()
    except Exception as error:
        logger.warning("metrics are lost", reason=str(error))
