"""What the functions do, independent of Lambda: event in, objects written, short answer out."""

from castline.stages.dispatch import analyse_event, failure_event, split_event
from castline.stages.load_models import load_models_event

__all__ = ["analyse_event", "failure_event", "load_models_event", "split_event"]
