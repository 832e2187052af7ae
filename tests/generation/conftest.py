"""Every decoder, small and with strong opinions, on images of its own."""

import pytest
from cases import DECODERS, Case, case


@pytest.fixture(params=["table", *DECODERS, "ensemble.Ensemble"], ids=lambda name: name.split(".")[-1])
def any_case(request) -> Case:
    return case(request.param)


@pytest.fixture(params=DECODERS, ids=lambda name: name.split(".")[-1])
def network_case(request) -> Case:
    return case(request.param)


@pytest.fixture
def table_case() -> Case:
    return case("table")
