"""The OpenAPI document against the service: no request that it allows causes a server error."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings, strategies
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from castline.service.jobs import Jobs
from tests.conftest import at_scale
from tests.service.conftest import Running, running, service_settings

#: Requests per operation.
_EXAMPLES = at_scale(10, 500)
_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    response_schema_conformance,
    content_type_conformance,
    response_headers_conformance,
]


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory, needs_whisper: None) -> Iterator[Running]:
    """Jobs are accepted and never run, because their URLs lead anywhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Jobs, "take", lambda _: None)
        with running(service_settings(tmp_path_factory.mktemp("fuzzed"), requests_per_minute=10**6)) as up:
            yield up


def test_no_request_is_a_server_error(fuzzed: Running) -> None:
    operations = schemathesis.openapi.from_url(f"{fuzzed.url}/openapi.json").get_all_operations()
    names = [_ask(operation.ok(), fuzzed) for operation in operations]
    assert len(names) == 14


def _ask(operation: schemathesis.APIOperation, fuzzed: Running) -> str:
    """Requests that the document allows, and some that it does not; some without a token, or with a wrong one."""

    @given(
        case=strategies.one_of(
            operation.as_strategy(),
            operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE),
        ),
        token=strategies.sampled_from([fuzzed.admin, fuzzed.admin, fuzzed.admin, "root:wrong", ""]),
    )
    @settings(max_examples=_EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    def ask(case: schemathesis.Case, token: str) -> None:
        case.call_and_validate(
            base_url=fuzzed.url,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            checks=_CHECKS,
        )
        fuzzed.state.jobs.lock(False)

    ask()
    return operation.label
