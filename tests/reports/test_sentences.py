"""Results in sentences."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bids_secondlevel.reports.sentences import family_note, sentence

TEST = {
    "n": 9.0,
    "mean": 0.31,
    "ci95_low": 0.13,
    "ci95_high": 0.49,
    "t": 3.93,
    "df": 8.0,
    "p": 0.0044,
    "p_fwe": 0.02,
    "p_holm": 0.03,
    "cohens_d": 1.31,
    "hedges_g": 1.18,
    "bf10": 12.3,
    "excluded": "n/a",
    "versus": "n/a",
    "note": "n/a",
}


def said(**changed):
    return sentence("UL", SimpleNamespace(**(TEST | changed)))


def test_a_sentence_has_all_that_a_reviewer_asks_for():
    assert said(excluded="sub-05:missing_localizer; sub-09:below_min_coverage") == (
        "UL: M = 0.31, 95 % CI [0.13, 0.49], t(8) = 3.93, p = .004, p_FWE = .020, d_z = 1.31, "
        "BF10 = 12; n = 9, without sub-05 (missing localizer) and sub-09 (below min coverage)"
    )


def test_groups_have_their_own_words():
    text = said(versus="patient", n_group=7.0, n_versus=5.0, df=6.87, p_fwe=np.nan)
    assert "M difference = 0.31" in text
    assert "t(6.9) = 3.93" in text
    assert "p_Holm = .030, g = 1.18" in text
    assert text.endswith("n = 7 and 5")


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"p": 0.00004}, "p < .001"),
        ({"bf10": 2e30}, "BF10 > 10,000"),
        ({"bf10": 0.231}, "BF10 = 0.23"),
        ({"p_equivalence": 0.031}, "p_equivalence = .031"),
        ({"mean": 0.0031, "ci95_low": 0.0013, "ci95_high": 0.0049}, "M = 0.0031, 95 % CI [0.0013"),
        ({"mean": 3100, "ci95_low": 1300, "ci95_high": 4900}, "M = 3100, 95 % CI [1300, 4900]"),
        ({"mean": 0.2, "ci95_low": -0.001, "ci95_high": 0.4}, "95 % CI [0.00, 0.40]"),
        ({"mean": 2.123, "ci95_low": 1.0, "ci95_high": 3.3}, "M = 2.12, 95 % CI [1.00, 3.30]"),
        ({"p": np.nan, "note": "a single participant"}, "UL: not tested (a single participant)"),
    ],
)
def test_numbers_are_written_as_their_size_asks(changed, part):
    assert part in said(**changed)


def test_families_are_named_and_counted():
    def note(*families):
        return family_note(pd.DataFrame({"family": families}), "tests")

    assert note("n/a") == []
    assert note("A", "A", "n/a") == ["The tests form one family of 2 tests (A)."]
    assert note("A", "B") == ["Each of the tests is a family of its own."]
    assert note("A", "A", "B")[0].startswith("The tests form 2 families of 1 to 2 tests each")
