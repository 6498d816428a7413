"""The simulated study of the demo: what is planted in it, and how it is written as BIDS.

The model is in :mod:`bids_secondlevel.demo.simulation`; the first-level fits are nilearn's own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bids_secondlevel import __version__
from bids_secondlevel.core.hemispheres import Bilateral, Hemisphere
from bids_secondlevel.core.values import Array
from bids_secondlevel.demo.simulation import (
    PrfMaps,
    WedgeDipole,
    ar1_noise,
    block_design,
    flatten_occipital_cortex,
    participant_effects,
    simulated_response,
)
from bids_secondlevel.outputs.dataset import BIDS_VERSION
from bids_secondlevel.outputs.files import write_atomically, write_json
from bids_secondlevel.outputs.images import blank_volume, map_gifti, map_mgz
from bids_secondlevel.rois.quality import QUADRANTS, Quadrant

NAME = "bids_secondlevel demo: a simulated study"
"""Name of the BIDS dataset, by which an earlier demo is recognized."""
PLANTED: Mapping[Quadrant, float] = {"UL": 0.8, "UR": 0.4, "LL": 0.0, "LR": -0.3}
"""Mean effect of attention in each quadrant of the visual field, in percent signal change."""
FIELD_LIMIT = 5.0
"""Degrees of eccentricity up to which there is a stimulus, and an effect."""
BETWEEN_SD = 0.15
"""Standard deviation of these effects between participants, in percent signal change."""

SPACE = "fsaverage5"
RETINOTOPY_TAG = "dipole"

_SEED = 1977
_N_PARTICIPANTS = 8
_REPETITION_TIME = 2.0  # seconds
_N_SCANS = 180
_BLOCK = 12.0  # seconds
_LOCALIZER_RESPONSE = 1.5  # percent signal change
_MAIN_RESPONSE = 1.0  # percent signal change
_NOISE_SD = 1.5  # percent signal change
_NOISE_CORRELATION = 0.3

_README = f"""\
A simulated study: no person was measured, and age, sex and group are invented.

Eight participants look at checkerboards in one quadrant of the visual field at a time (task
loc), and at all quadrants while they attend to them or ignore them (task main).
The BOLD images are empty placeholders of a single voxel. The time series were simulated on the
surface and fitted straight away; derivatives/firstlevel has the fits, and derivatives/freesurfer
the retinotopy.

Planted mean effect of attention (contrast attendMinusIgnore) for each quadrant of the visual
field, in percent signal change: {", ".join(f"{q} {value:g}" for q, value in PLANTED.items())}.
It ends at {FIELD_LIMIT:g} degrees of eccentricity.
What was planted in each participant is in participants.tsv.
"""
_README_FIRST_LEVEL = """\
Simulated surface time series (responses convolved with nilearn's Glover HRF, plus first-order
autoregressive noise), fitted with nilearn's general linear model. Space: nilearn's fsaverage5.
"""
_README_RETINOTOPY = """\
The wedge-dipole model of V1, V2 and V3 (Balasubramanian, Polimeni and Schwartz, 2002) on
fsaverage5: neither a measurement nor the Benson atlas, and no FreeSurfer was run.
varea: visual area, 0 is none; eccen: eccentricity; angle: polar angle, from the upper vertical
meridian (0) to the lower (180) in the contralateral field; sigma: size of the population
receptive field. All but varea are in degrees.
"""

_STATISTICS = {
    "effect": {"Description": "Contrast of parameter estimates", "Units": "percent signal change"},
    "variance": {"Description": "Variance of the effect", "Units": "(percent signal change)^2"},
    "z": {"Description": "Effect divided by its standard error, as z value"},
}


@dataclass(frozen=True)
class Task:
    """An experiment: what is shown, and what is contrasted."""

    label: str
    description: str
    conditions: Mapping[str, str]
    """Description of each condition, by name."""
    n_cycles: int
    """How often every condition is shown."""
    contrasts: Mapping[str, Mapping[str, float]]
    """Weights of the conditions, by name of the contrast."""


LOCALIZER = Task(
    label="loc",
    description="Checkerboard in one quadrant of the visual field at a time, up to 5 degrees",
    conditions={
        "UL": "upper left quadrant",
        "UR": "upper right quadrant",
        "LL": "lower left quadrant",
        "LR": "lower right quadrant",
    },
    n_cycles=6,
    contrasts={q: {shown: 1.0 if shown == q else -1 / 3 for shown in QUADRANTS} for q in QUADRANTS},
)
MAIN = Task(
    label="main",
    description="Checkerboard in all four quadrants, attended in some blocks",
    conditions={"attend": "stimulus attended", "ignore": "stimulus ignored"},
    n_cycles=10,
    contrasts={"attendMinusIgnore": {"attend": 1.0, "ignore": -1.0}},
)
TASKS = (LOCALIZER, MAIN)


@dataclass(frozen=True)
class Participant:
    """A simulated participant."""

    label: str
    """Without ``sub-``."""
    effects: Mapping[Quadrant, float]
    """This participant's effect of attention, in percent signal change."""
    retinotopy: WedgeDipole
    """This participant's visual areas, a little larger or smaller than others', and turned."""
    seed: tuple[int, ...]


def planted_in_field(half: str, low: float, high: float) -> float | None:
    """Say which mean effect was planted in the upper or the lower half of a ring.

    Parameters
    ----------
    half
        ``U`` or ``L``.
    low, high
        Of eccentricity, in degrees.

    Returns
    -------
    float or None
        In percent signal change; ``None`` if the effect ends within the ring.
    """
    if low >= FIELD_LIMIT:
        return 0.0
    of_quadrants = [effect for quadrant, effect in PLANTED.items() if quadrant[0] == half]
    return sum(of_quadrants) / len(of_quadrants) if high <= FIELD_LIMIT else None


def draw_participants() -> tuple[Participant, ...]:
    """Draw the participants; the same ones each time."""
    rng = np.random.default_rng(_SEED)
    effects = participant_effects(PLANTED, BETWEEN_SD, _N_PARTICIPANTS, rng)
    return tuple(
        Participant(
            label=f"{number:02d}",
            effects=own,
            retinotopy=WedgeDipole(
                k=WedgeDipole.k * rng.uniform(0.92, 1.08), rotation=rng.uniform(-6.0, 6.0)
            ),
            seed=(_SEED, number),
        )
        for number, own in enumerate(effects, 1)
    )


def flatten_fsaverage() -> Bilateral[Array]:
    """Flatten the occipital cortex of nilearn's fsaverage5, which comes with nilearn.

    Returns
    -------
    Bilateral of (10242,) array of complex
        Positions in mm; see :func:`~bids_secondlevel.demo.simulation.flatten_occipital_cortex`.
    """
    from nilearn.datasets import load_fsaverage

    meshes = load_fsaverage(SPACE)

    def flatten(hemisphere: Hemisphere) -> Array:
        sphere, white = (
            meshes[name].parts["left" if hemisphere == "L" else "right"].coordinates
            for name in ("sphere", "white_matter")
        )
        return flatten_occipital_cortex(
            np.asarray(sphere, dtype=np.float64), np.asarray(white, dtype=np.float64), hemisphere
        )

    return Bilateral.of(flatten)


def amplitudes(task: Task, effects: Mapping[Quadrant, float]) -> dict[Quadrant, list[float]]:
    """Return the response of the cortex of each quadrant to each condition of a task.

    All participants respond to the localizer alike, and differ in their effects of attention on
    the main task; all of it in percent signal change.
    """
    if task is LOCALIZER:
        return {q: [_LOCALIZER_RESPONSE * (q == shown) for shown in QUADRANTS] for q in QUADRANTS}
    return {q: [_MAIN_RESPONSE + effects[q], _MAIN_RESPONSE] for q in QUADRANTS}


def fit(
    task: Task, events: pd.DataFrame, response: Array, rng: np.random.Generator
) -> dict[tuple[str, str], Array]:
    """Simulate a run of one hemisphere, and fit it with nilearn's general linear model.

    Parameters
    ----------
    response : (n_conditions, n_vertices) array of float
        In percent signal change.

    Returns
    -------
    dict of (contrast, statistic) to (n_vertices,) array of float
    """
    from nilearn.glm import compute_contrast
    from nilearn.glm.first_level import make_first_level_design_matrix, run_glm

    design = make_first_level_design_matrix(
        np.arange(_N_SCANS) * _REPETITION_TIME, events, hrf_model="glover"
    )
    noise = ar1_noise(_N_SCANS, response.shape[1], _NOISE_SD, _NOISE_CORRELATION, rng)
    series = 100 + design[list(task.conditions)].to_numpy() @ response + noise
    labels, results = run_glm(series, design.to_numpy(), noise_model="ar1")
    maps = {}
    for name, weights in task.contrasts.items():
        vector = np.array([weights.get(column, 0.0) for column in design.columns])
        contrast = compute_contrast(labels, results, vector)
        maps[name, "effect"] = contrast.effect_size()
        maps[name, "variance"] = contrast.effect_variance()
        maps[name, "z"] = contrast.z_score()
    return maps


def simulate_participant(bids_dir: Path, participant: Participant, flat: Bilateral[Array]) -> None:
    """Simulate, fit and write one participant: raw skeleton, retinotopy, statistical maps.

    Parameters
    ----------
    flat : Bilateral of (n_vertices,) array of complex
        The flattened cortex; see :func:`flatten_fsaverage`.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    rng = np.random.default_rng(participant.seed)
    subject = f"sub-{participant.label}"
    retinotopy = flat.map(participant.retinotopy.to_field)
    surf = bids_dir / "derivatives" / "freesurfer" / subject / "surf"
    for hemi, maps in retinotopy.items():
        _write_retinotopy(surf, hemi, maps)
    for task in TASKS:
        stem = f"{subject}_task-{task.label}"
        events = block_design(tuple(task.conditions), task.n_cycles, _BLOCK, rng)
        raw = bids_dir / subject / "func"
        write_atomically(raw / f"{stem}_bold.nii.gz", blank_volume(_N_SCANS, _REPETITION_TIME))
        _write_tsv(raw / f"{stem}_events.tsv", events, "%g")
        first_level = bids_dir / "derivatives" / "firstlevel" / subject / "func"
        for hemi, maps in retinotopy.items():
            own = amplitudes(task, participant.effects)
            response = simulated_response(own, maps, hemi, FIELD_LIMIT)
            for (contrast, statistic), values in fit(task, events, response, rng).items():
                name = f"{stem}_hemi-{hemi}_space-{SPACE}_contrast-{contrast}_stat-{statistic}"
                path = first_level / f"{name}_statmap.func.gii"
                write_atomically(path, map_gifti(values, hemi))


def write_study(bids_dir: Path, participants: Sequence[Participant]) -> None:
    """Write the files of the datasets as a whole.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    # First of all the description, by which even an unfinished demo is recognized.
    _write_dataset(bids_dir, NAME, "raw", _README)
    _write_participants_table(bids_dir, participants)
    for task in TASKS:
        write_json(
            bids_dir / f"task-{task.label}_bold.json",
            {
                "TaskName": task.label,
                "TaskDescription": f"{task.description}. Simulated; the image is a placeholder.",
                "RepetitionTime": _REPETITION_TIME,
            },
        )
        write_json(
            bids_dir / f"task-{task.label}_events.json",
            {"trial_type": {"Description": "Condition", "Levels": dict(task.conditions)}},
        )
    first_level = bids_dir / "derivatives" / "firstlevel"
    _write_dataset(first_level, f"{NAME}, first level", "derivative", _README_FIRST_LEVEL)
    write_atomically(first_level / ".bidsignore", b"*_statmap.func.gii\n*_statmap.json\n")
    for statistic, description in _STATISTICS.items():
        write_json(first_level / f"stat-{statistic}_statmap.json", description)
    freesurfer = bids_dir / "derivatives" / "freesurfer"
    _write_dataset(freesurfer, f"{NAME}, retinotopy", "derivative", _README_RETINOTOPY)
    write_atomically(freesurfer / ".bidsignore", b"sub-*/\n")


def _write_participants_table(bids_dir: Path, participants: Sequence[Participant]) -> None:
    n = len(participants)
    planted = {
        f"planted_{quadrant}": [p.effects[quadrant] for p in participants] for quadrant in PLANTED
    }
    table = {
        "participant_id": [f"sub-{participant.label}" for participant in participants],
        "age": np.random.default_rng(_SEED).integers(20, 40, n),
        "sex": ["FM"[number % 2] for number in range(n)],
        "group": ["AB"[number // 2 % 2] for number in range(n)],
        **planted,
    }
    _write_tsv(bids_dir / "participants.tsv", pd.DataFrame(table), "%.6f")
    effect = "Simulated effect of attention in this quadrant of the visual field"
    write_json(
        bids_dir / "participants.json",
        {
            "age": {"Description": "Age (invented)", "Units": "year"},
            "sex": {"Description": "Sex (invented)", "Levels": {"F": "female", "M": "male"}},
            "group": {
                "Description": "Group (invented; the simulation treats both alike)",
                "Levels": {"A": "first group", "B": "second group"},
            },
            **{name: {"Description": effect, "Units": "percent signal change"} for name in planted},
        },
    )


def _write_retinotopy(surf: Path, hemisphere: Hemisphere, maps: PrfMaps) -> None:
    by_name = {
        "varea": maps.visual_area,
        "eccen": maps.eccentricity.astype(np.float32),
        "angle": maps.angle.astype(np.float32),
        "sigma": maps.sigma.astype(np.float32),
    }
    for name, values in by_name.items():
        path = surf / f"{hemisphere.lower()}h.{RETINOTOPY_TAG}_{name}.mgz"
        write_atomically(path, map_mgz(values))


def _write_dataset(folder: Path, name: str, dataset_type: str, readme: str) -> None:
    description: dict[str, object] = {
        "Name": name,
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": dataset_type,
        "License": "CC0",
        "GeneratedBy": [{"Name": "bids_secondlevel-demo", "Version": __version__}],
    }
    if dataset_type == "derivative":
        description["SourceDatasets"] = [{"URL": "../.."}]
    write_json(folder / "dataset_description.json", description)
    write_atomically(folder / "README", readme.encode())


def _write_tsv(path: Path, table: pd.DataFrame, number: str) -> None:
    text = table.to_csv(sep="\t", index=False, float_format=number, lineterminator="\n")
    write_atomically(path, text.encode())
