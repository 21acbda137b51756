"""The SAM transform, cached."""

from __future__ import annotations

import json
from pathlib import Path

from castline.local.deploy import Deployment
from castline.local.expansion import expanded
from castline.local.template import packaged
from castline.settings import Settings

_PLACE = {"Bucket": "code", "Key": "code.zip"}


def test_the_template_s_functions_are_expanded_once(tmp_path: Path) -> None:
    deployment = Deployment.of(Settings())
    body = packaged(deployment.template, deployment.root, _PLACE)
    plain = json.loads(expanded(body, tmp_path))
    assert not [each["Type"] for each in plain["Resources"].values() if each["Type"].startswith("AWS::Serverless")]
    (kept,) = tmp_path.iterdir()
    kept.write_text("{}")
    assert expanded(body, tmp_path) == "{}", "the cached expansion is used"
    assert expanded(body + " ", tmp_path) != "{}", "but not for another template"


def test_an_unwritable_cache_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    template = {"Transform": "AWS::Serverless-2016-10-31", "Resources": {"Box": {"Type": "AWS::S3::Bucket"}}}
    plain = json.loads(expanded(json.dumps(template), tmp_path / "file"))
    assert plain["Resources"] == template["Resources"]
