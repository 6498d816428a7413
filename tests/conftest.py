import os

import pytest
from hypothesis import HealthCheck, settings
from study import make_group_study, make_study

# Needs spheres that are too large to be kept here, and says where from.
collect_ignore = [] if "SPHERES" in os.environ else ["maps/real_spheres.py"]

# Time is measured in benchmarks/, and no test fails because the machine is busy.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture
def study(tmp_path):
    """One participant, 01."""
    return make_study(tmp_path / "bids")


@pytest.fixture
def group_study(tmp_path):
    """Four participants whose effects differ by known offsets."""
    return make_group_study(tmp_path / "bids")


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out"
