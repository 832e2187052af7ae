"""Every decoder on every kind of memory."""

import pytest
from small import EVERY, build, memory


@pytest.fixture(params=EVERY)
def decoder(request):
    return build(request.param)


@pytest.fixture(params=["grid", "regions", "clips", "concepts"])
def seen(request):
    return memory(request.param)
