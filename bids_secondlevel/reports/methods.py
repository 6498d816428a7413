"""Word the methods section of a paper from what was really done, with its references."""

import platform
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING

from bids_secondlevel import __version__
from bids_secondlevel.core.definition import Definition
from bids_secondlevel.core.hemispheres import main_rows
from bids_secondlevel.core.results import GroupResults
from bids_secondlevel.core.rows import MISSING
from bids_secondlevel.core.words import in_words
from bids_secondlevel.stats.models.table import FIT_KINDS

if TYPE_CHECKING:
    import pandas as pd

_ENTRY = re.compile(r"^@\w+\{(\w+),\n(?:  .*\n)+\}\n", re.MULTILINE)
_FIELD = re.compile(r"^  (\w+) = \{+(.*?)\}+,$", re.MULTILINE)


@dataclass(frozen=True)
class Reference:
    """A publication."""

    bibtex: str
    """Its entry of a BibTeX file, a field in each line."""

    @property
    def names(self) -> str:
        """Family names of the authors, as a text cites them."""
        first, *others = (author.partition(",")[0] for author in self._authors)
        if not others:
            return first
        return f"{first} et al." if others[1:] or others == ["others"] else f"{first} & {others[0]}"

    @property
    def cited(self) -> str:
        """Names and year, as a text cites it, without brackets."""
        return f"{self.names}, {self._fields['year']}"

    @property
    def in_full(self) -> str:
        """The line of a list of references."""
        fields = self._fields
        authors = ", ".join(self._authors).replace(", others", ", et al.")
        where = ", ".join(fields[name] for name in ("journal", "note") if name in fields)
        link = f" https://doi.org/{fields['doi']}" if "doi" in fields else ""
        return f"{authors} ({fields['year']}). {fields['title']}. {where}.{link}"

    @property
    def _fields(self) -> dict[str, str]:
        return dict(_FIELD.findall(self.bibtex))

    @property
    def _authors(self) -> list[str]:
        return self._fields["author"].split(" and ")


_LITERATURE = files("bids_secondlevel").joinpath("data", "references.bib")
REFERENCES: Mapping[str, Reference] = {
    entry[1]: Reference(entry[0])
    for entry in _ENTRY.finditer(_LITERATURE.read_text(encoding="utf-8"))
}
"""What methods texts cite, by key."""

SOURCES: Mapping[str, tuple[str, str]] = {
    "benson14": ("an anatomical template of retinotopy", "benson2014"),
    "inferred": ("Bayesian inference from measured and predicted retinotopy", "benson2018"),
}
"""What the tags of retinotopic maps stand for, with what to cite."""

_SUMMARIES = {
    "mean": "averaged over",
    "median": "summarized by their median over",
    "area-weighted-mean": "averaged, weighted by the surface area of vertices, over",
}


@dataclass(frozen=True)
class MethodsText:
    """Paragraphs of a methods section, and the keys of what they cite."""

    paragraphs: tuple[str, ...]
    cited: tuple[str, ...]

    def markdown(self) -> str:
        """Give the text with its list of references."""
        references = [f"- {line}" for line in reference_list(self.cited)]
        parts = ["# Methods", *self.paragraphs, "# References", "\n".join(references)]
        return "\n\n".join(parts) + "\n"

    def bibtex(self) -> str:
        """Give what is cited as BibTeX."""
        return "\n".join(REFERENCES[key].bibtex for key in sorted(set(self.cited)))


def describe_measurement(
    definition: Definition, space: str | None, *, cross_validated: bool
) -> MethodsText:
    """Word how ROIs were defined and measured.

    Parameters
    ----------
    space
        Of the ROIs.
    cross_validated
        Whether there are cross-validated estimates of the localizer.
    """
    versions = software_versions()
    cited = ["gorgolewski2016", "gorgolewski2017", "yarkoni2019", "nibabel", "harris2020"]
    own = versions.pop("bids_secondlevel")
    maps = []
    for tag in definition.sources:
        meaning, key = SOURCES.get(tag, ("", ""))
        maps.append(tag + (f" ({meaning}; {_cite(key)})" if key else ""))
        cited += [key] if key else []
    units = definition.units
    if units == "voxels":
        where = f"voxels of the maps{f' in space {space}' if space else ''}"
    else:
        where = f"vertices of the {f'surface space {space}' if space else 'cortical surface'}"
    sentences = [
        "Individual regions of interest (ROIs) were defined and measured with bids_secondlevel "
        f"{own}, a BIDS App ({_cite('gorgolewski2017')}) for data in the Brain Imaging Data "
        f"Structure ({_cite('gorgolewski2016')}), on the {where} of each "
        "participant and hemisphere.",
        f"Visual areas and eccentricities were taken from retinotopic maps: {' and '.join(maps)}."
        if maps
        else "Visual areas and eccentricities were taken from retinotopic maps.",
        *(f"Carried to the space of the ROIs: {how}." for how in definition.resampling),
        *definition.sentences(),
    ]
    measured = [
        f"Within each ROI, the values of the {definition.statistic} maps of every contrast "
        f"were {_SUMMARIES[definition.summary]} the {units} with a finite value, in each "
        f"hemisphere or in both hemispheres pooled. ROIs without {units} gave no estimate."
    ]
    if definition.localizer_task:
        cited.append("kriegeskorte2009")
        if cross_validated:
            measured.append(
                "Contrasts of the localizer were measured by cross-validation: in each run, ROIs "
                "were defined on the other runs, and the estimates were averaged over runs "
                f"({_cite('kriegeskorte2009')})."
            )
        else:
            measured.append(
                "Estimates of the localizer's own contrasts in the ROIs that they define are "
                f"circular ({_cite('kriegeskorte2009')}); they served as a control and were not "
                "tested."
            )
    libraries = ", ".join(f"{name} {version}" for name, version in versions.items())
    software = (
        f"Files were found with pybids ({_cite('yarkoni2019')}), read with nibabel "
        f"({REFERENCES['nibabel'].names}) and computed on with NumPy ({_cite('harris2020')}). "
        f"Versions: {libraries}."
    )
    return MethodsText((" ".join(sentences), " ".join(measured), software), tuple(cited))


def software_versions() -> dict[str, str]:
    """Tell the versions of this program and of what it computes with, by name."""
    libraries = ("pybids", "nibabel", "numpy", "pandas", "scipy", "formulaic", "nilearn")
    return {
        "bids_secondlevel": __version__,
        "Python": platform.python_version(),
        **{name: version(name) for name in libraries},
    }


def group_methods(results: GroupResults) -> MethodsText:
    """Word how a group was measured and tested."""
    estimates = results.estimates
    spaces = sorted(set(estimates["space"].unique()) - {MISSING})
    measured = describe_measurement(
        results.definition,
        " and ".join(spaces) or None,
        cross_validated="crossvalidated" in estimates["independence"].unique(),
    )
    tested = _describe_inference(results)
    return MethodsText(
        (*measured.paragraphs, *tested.paragraphs),
        tuple(dict.fromkeys((*measured.cited, *tested.cited))),
    )


def n_measured(estimates: "pd.DataFrame") -> int:
    """Count the participants with an estimate that is compared and corrected for."""
    is_main = estimates["hemi"].isin(main_rows(estimates["hemi"]))
    return estimates["participant_id"][is_main & estimates["estimate"].notna()].nunique()


def _describe_inference(results: GroupResults) -> MethodsText:
    """Word how participants were tested."""
    cited = ["hedges1981", "benjamini1995", "virtanen2020"]
    excluded = [f"{who} ({why})" if why else who for who, why in results.exclusions.items()]
    left_out = f" Excluded: {', '.join(excluded)}." if excluded else ""
    tests = [
        f"Estimates of {n_measured(results.estimates)} participants were analysed.{left_out} For "
        "every ROI, task "
        "and contrast, the mean was tested against 0 with Student's t; differences between ROIs, "
        "between contrasts and between hemispheres were tested with paired t tests (two-sided; "
        f"SciPy, {_cite('virtanen2020')}). Effect sizes are Cohen's d and Hedges' g "
        f"({_cite('hedges1981')}), with 95 % confidence intervals from the noncentral t "
        "distribution. Circular estimates were not tested."
    ]
    n_flips = results.inference.n_permutations
    if n_flips:
        cited.append("nichols2002")
        tests.append(
            "In addition, the signs of participants were flipped (all flips where there are no "
            f"more than {n_flips}, otherwise {n_flips} random ones), and p values "
            "were corrected for the familywise error by the distribution of the largest |t| over "
            f"all tests ({_cite('nichols2002')})."
        )
    tests.append(f"The false discovery rate was controlled after {_cite('benjamini1995')}.")
    if results.model is not None:
        fits = results.model.fits
        how = in_words([FIT_KINDS[fit] for fit in fits["fit"].unique()])
        robust = ""
        if fits["node"].eq(MISSING).all():
            cited += ["bell2002", "pustejovsky2018"]
            robust = (
                " Coefficients were tested by t with cluster-robust standard errors of the kind "
                "CR2, the clusters being the participants, and Bell-McCaffrey degrees of freedom "
                f"({_cite('bell2002')}; Welch's for groups with one number per participant), and "
                "terms by F with the approximate Hotelling test "
                f"({_cite('pustejovsky2018')})."
            )
        tests.append(f"The model “{results.model.given}” was fitted ({how}).{robust}")
    return MethodsText((" ".join(tests),), tuple(cited))


def reference_list(keys: Iterable[str]) -> list[str]:
    """Write references in full, sorted by author.

    Examples
    --------
    >>> print(*reference_list(["benson2018"]))
    Benson, N. C., Winawer, J. (2018). Bayesian analysis of retinotopic maps. eLife, 7, e40224. \
https://doi.org/10.7554/eLife.40224
    """
    return sorted(REFERENCES[key].in_full for key in set(keys))


def _cite(key: str) -> str:
    return REFERENCES[key].cited
