"""Word the methods section of a paper from what was really done, with its references."""

import platform
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING

from bids_secondlevel import __version__
from bids_secondlevel.core.definition import Definition
from bids_secondlevel.core.files import COMBINATIONS
from bids_secondlevel.core.hemispheres import BOTH, main_rows
from bids_secondlevel.core.inference import is_mean_of_sessions
from bids_secondlevel.core.results import GroupResults
from bids_secondlevel.core.rows import MISSING
from bids_secondlevel.core.words import counted, in_words, listed
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
    def narrated(self) -> str:
        """Names and year, as part of a sentence."""
        return f"{self.names} ({self._fields['year']})"

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
"""The meaning of sources of retinotopic maps, and references."""

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
    definition: Definition,
    space: str | None,
    *,
    independence: Collection[str],
    hemis: Collection[str],
    profiles: Collection[str] = (),
    sources: Mapping[str, int] | None = None,
) -> MethodsText:
    """Word how ROIs were defined and measured.

    Parameters
    ----------
    space
        Of the ROIs.
    independence
        What there is of estimates: independent, cross-validated or circular ones.
    hemis
        The hemispheres that there are rows of.
    profiles
        The profiles over the visual field that there are; see :data:`~.rois.visual_field.PROFILES`.
    sources
        How many participants have retinotopic maps of each source, if there are several.
    """
    versions = software_versions()
    cited = ["gorgolewski2016", "gorgolewski2017", "yarkoni2019", "nibabel", "harris2020"]
    own = versions.pop("bids_secondlevel")
    maps = []
    for tag in definition.sources:
        meaning, key = SOURCES.get(tag, ("", ""))
        n = f" for {counted(sources[tag], 'participant')}" if sources and tag in sources else ""
        maps.append(tag + (f" ({meaning}; {_cite(key)})" if key else "") + n)
        cited += [key] if key else []
    units = definition.units
    # Which option was not given is said on pages.
    options = {choice for choice in definition.choices if "--" in choice}
    sentences = [
        "Individual regions of interest (ROIs) were defined and measured in each participant, "
        f"{_where(units, space)}, with bids_secondlevel {own}, a BIDS App "
        f"({_cite('gorgolewski2017')}) for data in the Brain Imaging Data Structure "
        f"({_cite('gorgolewski2016')}).",
        f"Visual areas and eccentricities were taken from retinotopic maps: {' and '.join(maps)}."
        if maps
        else "Visual areas and eccentricities were taken from retinotopic maps.",
        *(f"Resampling to the space of the ROIs: {how}." for how in definition.resampling),
        *(of for of in definition.sentences() if of not in options),
        *_combinations(definition),
    ]
    measured = [
        f"Within each ROI, the values of the {definition.statistic} maps of every contrast "
        f"were {_SUMMARIES[definition.summary]} the {units} with data, {_hemispheres(hemis)}. "
        "Empty ROIs had no estimate."
    ]
    if not {"circular", "crossvalidated"}.isdisjoint(independence):
        cited.append("kriegeskorte2009")
        if "crossvalidated" in independence:
            measured.append(
                "Contrasts of the localizer were measured by cross-validation: for each run, ROIs "
                "were defined on the other runs, and the estimates were averaged over runs "
                f"({_cite('kriegeskorte2009')})."
            )
        if "circular" in independence:
            but = " if this was not possible" if "crossvalidated" in independence else ""
            measured.append(
                "Estimates of the localizer's own contrasts in the ROIs that they define are "
                f"circular ({_cite('kriegeskorte2009')}){but}; they served as a check of the "
                "localizer and were not tested."
            )
    measured += _profiles(definition, profiles)
    libraries = ", ".join(f"{name} {version}" for name, version in versions.items())
    software = (
        f"Analyses used pybids ({_cite('yarkoni2019')}), nibabel ({REFERENCES['nibabel'].names}) "
        f"and NumPy ({_cite('harris2020')}). Versions: {libraries}."
    )
    return MethodsText((" ".join(sentences), " ".join(measured), software), tuple(cited))


def _where(units: str, space: str | None) -> str:
    """Word where ROIs were defined.

    Examples
    --------
    >>> _where("vertices", "fsaverage"), _where("voxels", "T1w")
    ('on the cortical surface fsaverage', 'in volumes in space T1w')
    """
    if units == "voxels":
        return f"in volumes{f' in space {space}' if space else ''}"
    if space == "fsnative":
        return "on the native cortical surface"
    return f"on the cortical surface{f' {space}' if space else ''}"


def _profiles(definition: Definition, profiles: Collection[str]) -> list[str]:
    """Word which averages were computed in the visual field."""
    kinds = {"eccentricity": "eccentricity", "polar_angle": "polar angle"}
    bins = [name for profile, name in kinds.items() if profile in profiles]
    if not bins:
        return []
    if "distance" in profiles:
        positions = in_words([of.name for of in definition.positions])
        bins.append(f"distance from positions in the visual field ({positions})")
    return [
        "Independently of the ROIs, every contrast was averaged over all "
        f"{definition.units} of each visual area in bins of {in_words(bins)}. Neither the "
        "localizer nor the ranges of the ROIs were used for these averages."
    ]


def _hemispheres(hemis: Collection[str]) -> str:
    """Word which hemispheres are measured.

    Examples
    --------
    >>> _hemispheres(["L", "R", "both"]), _hemispheres(["R"])
    ('in each hemisphere and in both hemispheres pooled', 'in the right hemisphere')
    """
    names = {"L": "in the left hemisphere", "R": "in the right hemisphere"}
    single = [name for hemi, name in names.items() if hemi in hemis]
    parts = ["in each hemisphere"] if len(single) > 1 else single
    return in_words([*parts, *(["in both hemispheres pooled"] if BOTH in hemis else [])])


def _combinations(definition: Definition) -> list[str]:
    """Word how maps of several runs became one."""
    by_way: dict[str, list[str]] = {}
    for what, how in definition.combined:
        by_way.setdefault(how, []).append(what)
    one = COMBINATIONS["single"]
    return [
        f"Maps of several runs were combined within each participant ({in_words(whats)}): {how}."
        for how, whats in by_way.items()
        if how != one
    ]


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
        independence=estimates["independence"][estimates["estimate"].notna()].unique(),
        hemis=estimates["hemi"].unique(),
        profiles=results.visual_field["profile"].unique(),
        sources=_sources(results),
    )
    tested = _describe_inference(results)
    return MethodsText(
        (*measured.paragraphs, *tested.paragraphs),
        tuple(dict.fromkeys((*measured.cited, *tested.cited))),
    )


def _sources(results: GroupResults) -> dict[str, int]:
    """Count the participants by the source of their retinotopy, if there are several."""
    counts = Counter(str(tag) for tag in results.participants["retinotopy_source"])
    del counts[MISSING]
    return counts if len(counts) > 1 else {}


def n_measured(estimates: "pd.DataFrame") -> int:
    """Count the participants with an estimate that is compared and corrected for."""
    is_main = estimates["hemi"].isin(main_rows(estimates["hemi"].unique()))
    return estimates["participant_id"][is_main & estimates["estimate"].notna()].nunique()


def _describe_inference(results: GroupResults) -> MethodsText:
    """Word how participants were tested."""
    estimates = results.estimates
    cited = ["hedges1981", "benjamini1995", "holm1979", "virtanen2020"]
    main = main_rows(estimates["hemi"].unique())
    tests = [
        f"Estimates of {n_measured(estimates)} participants were analysed.{_left_out(results)}",
        _tests_in_words(results),
        "Effect sizes are Cohen's d and Hedges' g "
        f"({_cite('hedges1981')}), with 95 % confidence intervals from the noncentral t "
        "distribution.",
    ]
    if (results.statistics["independence"] == "circular").any():
        tests.append("Circular estimates were not tested.")
    inference = results.inference
    of = {
        "contrast": "the tests of a contrast, in all ROIs",
        "task": "all tests of a task",
        "all": "all tests",
    }[inference.family]
    where = " and ".join(
        {"both": "both hemispheres pooled", "L": "the left", "R": "the right hemisphere"}[hemi]
        for hemi in main
    )
    where = "the left hemisphere" if main == ("L",) else where
    flips = _flips_in_words(results)
    if flips:
        cited.append("nichols2002")
        tests.append(
            f"In addition, the signs of participants were flipped ({flips}), and p values were "
            "corrected for the familywise error rate by the distribution of the largest |t| "
            f"({_cite('nichols2002')})."
        )
    holm = REFERENCES["holm1979"].narrated
    tests.append(
        f"p values were also corrected after {holm}, and the false discovery rate was controlled "
        f"after {REFERENCES['benjamini1995'].narrated}. Each correction was over {of}, in {where}; "
        "tests against 0 and each kind of comparison were corrected separately."
    )
    if not results.visual_field.empty:
        largest = ""
        if results.visual_field["p_fwe"].notna().any():
            cited.append("nichols2002")
            source = "" if flips else f" ({_cite('nichols2002')})"
            largest = f"by the largest |t| under sign flips{source} and "
        tests.append(
            "The mean of each bin of the visual field was tested against 0 with Student's t. p "
            f"values were corrected {largest}after {holm}, over the bins of a profile of one "
            "contrast, visual area and hemisphere."
        )
    asked = _asked_in_words(results)
    tests += asked.paragraphs
    cited += asked.cited
    if results.model is not None:
        fits = results.model.fits
        how = in_words([FIT_KINDS[of].replace(": ", " for ") for of in fits["fit"].unique()])
        robust = ""
        if fits["node"].eq(MISSING).all():
            cited += ["bell2002", "pustejovsky2018"]
            robust = (
                " Coefficients were tested by t with cluster-robust standard errors (CR2, with "
                "participants as clusters) and Bell-McCaffrey degrees of freedom "
                f"({_cite('bell2002')}; Welch's for groups with one estimate per participant), and "
                f"terms by F with the approximate Hotelling test ({_cite('pustejovsky2018')})."
            )
        tests.append(f"The model “{results.model.given}” was fitted ({how}).{robust}")
    return MethodsText((" ".join(tests),), tuple(cited))


def _flips_in_words(results: GroupResults) -> str:
    """Word how many flips of signs there were; nothing if there were none."""
    tables = (results.statistics, results.comparisons, results.planned)
    flipped = [table[table["n_flips"].notna()] for table in tables]
    exact = [table["n_flips"] == 2 ** table["n"] for table in flipped]
    kinds = {is_exact for of in exact for is_exact in of}
    random = f"{results.inference.n_permutations:,} random"
    # Those of the largest |t| are of all participants together.
    if kinds == {True} and 2 ** n_measured(results.estimates) <= results.inference.n_permutations:
        return "all possible flips"
    if kinds == {False}:
        return f"{random} flips"
    return f"all possible flips, or {random} ones if there were more" if kinds else ""


def _asked_in_words(results: GroupResults) -> MethodsText:
    """Word the evidence of tests, and what is done only if it is asked for."""
    cited = ["rouder2009"]
    text = [
        f"Bayes factors are for t tests ({_cite('rouder2009')}) with a Cauchy prior of scale 0.707."
    ]
    bound = results.inference.equivalence_bound
    if bound is not None:
        cited.append("schuirmann1987")
        text.append(
            f"Equivalence was tested by two one-sided tests ({_cite('schuirmann1987')}) with "
            f"bounds of -{bound:g} and {bound:g}."
        )
    n_planned = results.planned["name"].nunique()
    if n_planned:
        planned = counted(n_planned, "planned contrast")
        text.append(
            "The planned contrast (a weighted sum of the estimates of each participant) was a "
            "family of its own."
            if n_planned == 1
            else f"The {planned} (weighted sums of the estimates of each participant) were a "
            "family of their own."
        )
    if results.groups:
        cited.append("welch1947")
        sizes = Counter(results.groups.values())
        text.append(
            f"Groups ({', '.join(f'{name}: {n}' for name, n in sorted(sizes.items()))}) were "
            f"tested separately, and compared by Welch's t test ({_cite('welch1947')}); Hedges' g "
            "is relative to the pooled standard deviation."
        )
    if not results.maps.empty:
        maps = _maps_in_words(results.maps)
        text += maps.paragraphs
        cited += maps.cited
    if not results.anova.empty:
        cited += ["greenhouse1959", "olejnik2003"]
        text.append(
            "Repeated-measures analyses of variance (type III sums of squares, participants "
            "without missing estimates) were corrected for non-sphericity "
            f"({_cite('greenhouse1959')}), with generalized eta squared ({_cite('olejnik2003')})."
        )
    return MethodsText(tuple(text), tuple(cited))


def _maps_in_words(maps: "pd.DataFrame") -> MethodsText:
    """Word how maps of the group were tested."""
    cited = ["nichols2002", "winkler2014"]
    of_groups = maps["versus"] != MISSING
    permuted = f"{maps['n_permutations'].max():.0f} or fewer if these were all there are"
    text = [
        "Maps of each contrast were tested across participants at every vertex of "
        f"{maps['space'].iloc[0]} by t tests, if at least half of the participants had data "
        "there."
    ]
    if (maps["n_permutations"] > 0).any():
        corrected = (
            f"p values were corrected for the familywise error by the largest |t| under flips of "
            f"the signs of participants ({permuted}; {_cite('nichols2002')}; "
            f"{_cite('winkler2014')}), over both hemispheres and, separately, over the "
            "retinotopic region of the group: the vertices in the retinotopy masks of at least "
            "half of the participants."
        )
        text.append(corrected)
    if of_groups.any():
        cited.append("welch1947")
        text.append(
            f"Groups were compared by Welch's t ({_cite('welch1947')}); permutations exchanged "
            "participants between the groups."
        )
    return MethodsText(tuple(text), tuple(cited))


def _left_out(results: GroupResults) -> str:
    """Word who, and which numbers, are not in the statistics."""
    excluded = [f"{who} ({why})" if why else who for who, why in results.exclusions.items()]
    text = f" Excluded: {', '.join(excluded)}." if excluded else ""
    units = results.definition.units
    statuses = results.estimates["status"]
    for status, least in (
        ("below_min_coverage", f"with data in less than {100 * results.min_coverage:g} % of their"),
        ("below_min_vertices", f"of fewer than {results.min_vertices}"),
    ):
        whose = list(results.estimates.loc[statuses == status, "participant_id"].unique())
        if whose:
            text += f" Estimates in ROIs {least} {units} were excluded ({listed(whose, 10)})."
    return text


def _tests_in_words(results: GroupResults) -> str:
    """Word which tests were made."""
    kinds = {
        "roi": "between ROIs",
        "contrast": "between contrasts",
        "hemi": "between hemispheres",
        "session": "between sessions",
        "task": "between tasks",
    }
    comparisons = results.comparisons
    made = set(comparisons["comparison"][comparisons["p"].notna()])
    parts = []
    if results.statistics["p"].notna().any():
        parts.append(
            "For every ROI, task and contrast, the mean was tested against 0 with Student's t"
        )
    compared = [words for kind, words in kinds.items() if kind in made]
    if compared:
        parts.append(f"differences {in_words(compared)} were tested with paired t tests")
    if not parts:
        return "No test was possible."
    text = f"{'; '.join(parts)} (two-sided; SciPy, {_cite('virtanen2020')})."
    text = text[0].upper() + text[1:]
    if is_mean_of_sessions(results.statistics["session"]).any():
        text += (
            " Each session was tested, and the means over sessions of participants with estimates "
            "in all of them."
        )
    minor = comparisons["excluded"].str.contains("minor_hemisphere", regex=False)
    if (minor & (comparisons["comparison"] == "hemi")).any():
        text += (
            " ROIs with less than 10 % in one of the hemispheres were excluded from the "
            "comparisons of hemispheres."
        )
    if results.dependences:
        text += (
            f" Contrasts were not compared with their own parts ({'; '.join(results.dependences)})."
        )
    return text


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
