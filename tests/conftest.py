"""Fixtures for everybody: the shared test data, and the folder of model files."""

from __future__ import annotations

from pathlib import Path

import pytest

from castline.models.locate import find_mtcnn
from castline.models.prepare import can_export, ensure_mtcnn

CHECKOUT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The test data beside the checkout; the test is skipped where there is none."""
    folder = (CHECKOUT / "../shared/data").resolve()
    if not folder.is_dir():
        pytest.skip("the shared test data is not beside the checkout")
    return folder


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """A models folder that holds MTCNN; exported once, kept for later runs."""
    folder = CHECKOUT / ".castline" / "models"
    if find_mtcnn(folder) is None and not can_export():
        pytest.skip("MTCNN is not exported yet, and torch and facenet-pytorch are not installed to do it")
    ensure_mtcnn(folder)
    return folder
