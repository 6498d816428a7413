"""The literature that methods texts cite."""

from importlib.resources import files

import pytest

from bids_secondlevel.reports.methods import REFERENCES, MethodsText


def test_every_entry_of_the_literature_is_read():
    text = files("bids_secondlevel").joinpath("data", "references.bib").read_text(encoding="utf-8")
    assert text.count("@") == len(REFERENCES)
    assert MethodsText((), tuple(REFERENCES)).bibtex() == text
    for reference in REFERENCES.values():
        assert reference.in_full.partition(" https://doi.org/10.")[0].endswith(".")


@pytest.mark.parametrize(
    ("key", "cited"),
    [
        ("hedges1981", "Hedges, 1981"),
        ("nichols2002", "Nichols & Holmes, 2002"),
        ("kriegeskorte2009", "Kriegeskorte et al., 2009"),
        ("harris2020", "Harris et al., 2020"),
    ],
)
def test_one_two_and_more_authors(key, cited):
    assert REFERENCES[key].cited == cited


def test_a_reference_in_full():
    assert REFERENCES["harris2020"].in_full == (
        "Harris, C. R., et al. (2020). Array programming with NumPy. Nature, 585, 357-362. "
        "https://doi.org/10.1038/s41586-020-2649-2"
    )
