"""The SAM transform of the template, done once for each template and cached.

The emulator would do it at every start, and it takes longer than the rest of a deployment.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from importlib.metadata import version
from pathlib import Path

from platformdirs import user_cache_path

from castline.local.engine import REGION

_KEPT = 16  # templates kept; a checkout needs one, and its tests a few


def expanded(body: str, folder: Path | None = None) -> str:
    """A template in SAM's language as plain CloudFormation, both JSON.

    Args:
        folder: the cache; by default in the user's cache folder. If it cannot be written, nothing is cached.
    """
    folder = folder or user_cache_path("castline") / "templates"
    digest = hashlib.sha256(f"{version('aws-sam-translator')}\n{body}".encode()).hexdigest()
    kept = folder / f"{digest}.json"
    with contextlib.suppress(OSError):
        return kept.read_text(encoding="utf-8")
    plain = json.dumps(_transformed(body))
    with contextlib.suppress(OSError):
        _keep(kept, plain)
    return plain


def _transformed(body: str) -> object:
    # A second of imports, at the first start only.
    import boto3
    from samtranslator.parser.parser import Parser  # type: ignore[import-untyped]
    from samtranslator.translator.translator import Translator  # type: ignore[import-untyped]

    translator = Translator(None, Parser(), boto_session=boto3.Session(region_name=REGION))
    return translator.translate(json.loads(body), parameter_values={}, get_managed_policy_map=dict)


def _keep(kept: Path, plain: str) -> None:
    kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=kept.parent, delete=False) as draft:
        draft.write(plain)
    Path(draft.name).replace(kept)
    for old in sorted(kept.parent.glob("*.json"), key=lambda path: path.stat().st_mtime)[:-_KEPT]:
        old.unlink(missing_ok=True)
