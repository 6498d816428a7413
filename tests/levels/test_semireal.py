"""Every estimate of a semi-real study, against an independent implementation of the analysis.

The study lies beside this project, not in it; without it these tests are skipped, and nothing
is tested here that is not tested elsewhere too.
"""

from pathlib import Path

import pytest
from study import read_tsv, run

DATA = Path(__file__).parents[3] / "shared" / "data"
KEY = ("participant_id", "task", "contrast", "roi", "hemi")

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the semi-real study is not here")


def by_key(rows):
    return {tuple(row[name] for name in KEY): row for row in rows}


def test_every_estimate_equals_the_oracle(tmp_path):
    assert run(DATA / "semireal", tmp_path, "participant").returncode == 0
    assert run(DATA / "semireal", tmp_path, "group").returncode == 0
    found = by_key(read_tsv(tmp_path / "group_estimates.tsv"))
    expected = by_key(read_tsv(DATA / "semireal-oracle.tsv"))
    assert found.keys() == expected.keys()
    for key, oracle in expected.items():
        row = found[key]
        assert (row["n_vertices"], row["n_finite"]) == (oracle["n_vertices"], oracle["n_finite"])
        if oracle["mean"] == "n/a":
            assert (row["estimate"], row["status"]) == ("n/a", "empty_roi")
        else:
            assert float(row["estimate"]) == pytest.approx(float(oracle["mean"]), rel=1e-5)
