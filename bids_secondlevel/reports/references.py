"""The literature that methods texts cite, as a list of references and as BibTeX."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Reference:
    """A publication.

    Attributes
    ----------
    cited : str
        As it stands in a text, without brackets.
    authors : tuple of str
        Family name, comma, initials.
    year : int
    title : str
    source : str
        Journal or publisher.
    place : str
        Volume and pages, or article number.
    doi : str
        Empty where there is none.
    """

    cited: str
    authors: tuple[str, ...]
    year: int
    title: str
    source: str
    place: str = ""
    doi: str = ""


REFERENCES: Mapping[str, Reference] = {
    "benson2014": Reference(
        "Benson et al., 2014",
        ("Benson, N. C.", "Butt, O. H.", "Brainard, D. H.", "Aguirre, G. K."),
        2014,
        "Correction of distortion in flattened representations of the cortical surface allows "
        "prediction of V1-V3 functional organization from anatomy",
        "PLOS Computational Biology",
        "10(3), e1003538",
        "10.1371/journal.pcbi.1003538",
    ),
    "benson2018": Reference(
        "Benson & Winawer, 2018",
        ("Benson, N. C.", "Winawer, J."),
        2018,
        "Bayesian analysis of retinotopic maps",
        "eLife",
        "7, e40224",
        "10.7554/eLife.40224",
    ),
    "benjamini1995": Reference(
        "Benjamini & Hochberg, 1995",
        ("Benjamini, Y.", "Hochberg, Y."),
        1995,
        "Controlling the false discovery rate: a practical and powerful approach to multiple "
        "testing",
        "Journal of the Royal Statistical Society: Series B",
        "57(1), 289-300",
        "10.1111/j.2517-6161.1995.tb02031.x",
    ),
    "gorgolewski2016": Reference(
        "Gorgolewski et al., 2016",
        ("Gorgolewski, K. J.", "others"),
        2016,
        "The brain imaging data structure, a format for organizing and describing outputs of "
        "neuroimaging experiments",
        "Scientific Data",
        "3, 160044",
        "10.1038/sdata.2016.44",
    ),
    "gorgolewski2017": Reference(
        "Gorgolewski et al., 2017",
        ("Gorgolewski, K. J.", "others"),
        2017,
        "BIDS apps: improving ease of use, accessibility, and reproducibility of neuroimaging "
        "data analysis methods",
        "PLOS Computational Biology",
        "13(3), e1005209",
        "10.1371/journal.pcbi.1005209",
    ),
    "harris2020": Reference(
        "Harris et al., 2020",
        ("Harris, C. R.", "others"),
        2020,
        "Array programming with NumPy",
        "Nature",
        "585, 357-362",
        "10.1038/s41586-020-2649-2",
    ),
    "hedges1981": Reference(
        "Hedges, 1981",
        ("Hedges, L. V.",),
        1981,
        "Distribution theory for Glass's estimator of effect size and related estimators",
        "Journal of Educational Statistics",
        "6(2), 107-128",
        "10.3102/10769986006002107",
    ),
    "kriegeskorte2009": Reference(
        "Kriegeskorte et al., 2009",
        ("Kriegeskorte, N.", "Simmons, W. K.", "Bellgowan, P. S. F.", "Baker, C. I."),
        2009,
        "Circular analysis in systems neuroscience: the dangers of double dipping",
        "Nature Neuroscience",
        "12, 535-540",
        "10.1038/nn.2303",
    ),
    "nichols2002": Reference(
        "Nichols & Holmes, 2002",
        ("Nichols, T. E.", "Holmes, A. P."),
        2002,
        "Nonparametric permutation tests for functional neuroimaging: a primer with examples",
        "Human Brain Mapping",
        "15(1), 1-25",
        "10.1002/hbm.1058",
    ),
    "nibabel": Reference(
        "Brett et al.",
        ("Brett, M.", "others"),
        2024,
        "nibabel: access a cacophony of neuro-imaging file formats",
        "Zenodo",
        doi="10.5281/zenodo.591597",
    ),
    "seabold2010": Reference(
        "Seabold & Perktold, 2010",
        ("Seabold, S.", "Perktold, J."),
        2010,
        "statsmodels: econometric and statistical modeling with Python",
        "Proceedings of the 9th Python in Science Conference",
        "92-96",
        "10.25080/Majora-92bf1922-011",
    ),
    "shrout1979": Reference(
        "Shrout & Fleiss, 1979",
        ("Shrout, P. E.", "Fleiss, J. L."),
        1979,
        "Intraclass correlations: uses in assessing rater reliability",
        "Psychological Bulletin",
        "86(2), 420-428",
        "10.1037/0033-2909.86.2.420",
    ),
    "virtanen2020": Reference(
        "Virtanen et al., 2020",
        ("Virtanen, P.", "others"),
        2020,
        "SciPy 1.0: fundamental algorithms for scientific computing in Python",
        "Nature Methods",
        "17, 261-272",
        "10.1038/s41592-019-0686-2",
    ),
    "yarkoni2019": Reference(
        "Yarkoni et al., 2019",
        ("Yarkoni, T.", "others"),
        2019,
        "PyBIDS: Python tools for BIDS datasets",
        "Journal of Open Source Software",
        "4(40), 1294",
        "10.21105/joss.01294",
    ),
}


def reference_list(keys: Iterable[str]) -> list[str]:
    """Write references in full, sorted by author.

    Examples
    --------
    >>> print(*reference_list(["benson2018"]))
    Benson, N. C., Winawer, J. (2018). Bayesian analysis of retinotopic maps. eLife, 7, e40224. \
https://doi.org/10.7554/eLife.40224
    """
    return sorted(_in_full(REFERENCES[key]) for key in set(keys))


def bibtex(keys: Iterable[str]) -> str:
    """Write references as BibTeX, sorted by key."""
    return "\n".join(_entry(key, REFERENCES[key]) for key in sorted(set(keys)))


def _in_full(reference: Reference) -> str:
    authors = ", ".join(reference.authors).replace(", others", ", et al.")
    where = ", ".join(part for part in (reference.source, reference.place) if part)
    link = f" https://doi.org/{reference.doi}" if reference.doi else ""
    return f"{authors} ({reference.year}). {reference.title}. {where}.{link}"


def _entry(key: str, reference: Reference) -> str:
    fields = {
        "author": " and ".join(reference.authors),
        "title": f"{{{reference.title}}}",
        "journal": reference.source,
        "year": str(reference.year),
        "note": reference.place,
        "doi": reference.doi,
    }
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join((f"@article{{{key},", *lines, "}", ""))
