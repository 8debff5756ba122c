"""What the tests of pictures share."""

from __future__ import annotations

from types import SimpleNamespace

import matplotlib
import matplotlib.pyplot as plt
import pytest
from toy import toy_case

matplotlib.use("Agg")


@pytest.fixture(scope="session")
def toy() -> SimpleNamespace:
    return toy_case()


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")
