"""model-loader: invoked by hand: copies the model files from S3 to the file system the analyser mounts."""

from castline.handler import handler_for
from castline.stages import load_models_event

handler = handler_for(load_models_event)
