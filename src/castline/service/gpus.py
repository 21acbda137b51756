"""How many workers there are, and which GPU each of them sees."""

from __future__ import annotations

from castline.engines.device import device_of, gpus_seen
from castline.errors import DeviceMissing, SettingsError
from castline.service.settings import ServiceSettings, cores
from castline.settings import Settings


def gpus_of_workers(service: ServiceSettings, settings: Settings) -> tuple[str, ...]:
    """For each worker, the GPU that it alone is shown; empty: it sees what the service sees.

    Raises:
        SettingsError: GPUs are named for engines that compute on the processor.
        DeviceMissing: a named GPU is not there, or the device is ``cuda`` and there is none.
    """
    named = service.gpus
    if named and settings.device == "cpu":
        raise SettingsError("CASTLINE_SERVICE_GPUS needs CASTLINE_DEVICE=cuda; without it, engines use the processor")
    for gpu in dict.fromkeys(named):
        if not gpus_seen(gpu):
            raise DeviceMissing(f"CASTLINE_SERVICE_GPUS={','.join(named)}: CTranslate2 sees no GPU {gpu} here")
    if named:
        return tuple(named[number % len(named)] for number in range(service.workers or len(named)))
    chosen = device_of(settings.device, "CTranslate2", lambda: gpus_seen() > 0)
    return ("",) * (service.workers or (cores() if chosen == "cpu" else 1))
