"""A simulated study from end to end: ``bids_secondlevel-demo DIR``.

Writes a small BIDS dataset whose answer is known (:mod:`bids_secondlevel.demo.study`), runs both
levels of the program on it as a user would, and shows what they found beside what was planted.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from bids_secondlevel.cli import main as cli
from bids_secondlevel.core.errors import DONE, OutputError, SecondLevelError, UsageError
from bids_secondlevel.core.hemispheres import BOTH
from bids_secondlevel.core.rows import each_row
from bids_secondlevel.demo.study import (
    BETWEEN_SD,
    FIELD_LIMIT,
    MAIN,
    NAME,
    PLANTED,
    draw_participants,
    flatten_fsaverage,
    planted_in_field,
    simulate_participant,
    write_study,
)

_LARGEST_SHOWN = 16.0
"""Degrees of eccentricity, of the printed profile."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo with some arguments (default: those of the process); return its exit code."""
    try:
        return simulate_and_analyse(_parse(argv))
    except SystemExit as stop:  # argparse: --help and --version end with 0
        return DONE if not stop.code else UsageError.exit_code
    except SecondLevelError as error:
        _say(f"bids_secondlevel-demo: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        _say("Interrupted.")
        return 130


def simulate_and_analyse(folder: Path) -> int:
    """Simulate the study in ``bids/``, write its analysis to ``derivatives/``, show the result.

    Returns
    -------
    int
        Exit code: 0, or that of the level that failed.

    Raises
    ------
    OutputError
        If the folder has other content than an earlier demo, or cannot be written.
    """
    check_folder(folder)
    bids_dir, output_dir = folder / "bids", folder / "derivatives"
    participants = draw_participants()
    write_study(bids_dir, participants)
    flat = flatten_fsaverage()
    for number, participant in enumerate(participants, 1):
        _say(f"Simulating and fitting sub-{participant.label} ({number} of {len(participants)})")
        simulate_participant(bids_dir, participant, flat)
    for level, *options in (("participant", "--localizer-task", "loc"), ("group",)):
        arguments = [str(bids_dir), str(output_dir), level, *options]
        _say(f"Running: bids_secondlevel {' '.join(arguments)}")
        code = cli.main(arguments)
        if code != DONE:
            _say(f"bids_secondlevel-demo: the {level} level failed with exit code {code}.")
            return code
    print(result_text(output_dir))
    return DONE


def check_folder(folder: Path) -> None:
    """Check that a folder is new or empty, or has an earlier demo.

    Raises
    ------
    OutputError
        If it is not.
    """
    try:
        occupied = folder.exists() and any(folder.iterdir())
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be used as a folder ({error.strerror}). Choose another one."
        ) from error
    if not occupied:
        return
    try:
        name = json.loads((folder / "bids" / "dataset_description.json").read_bytes())["Name"]
    except (OSError, ValueError, LookupError, TypeError):
        name = None
    if name != NAME:
        raise OutputError(
            f"{folder}: is not empty and has no earlier demo. Choose a new or empty folder."
        )


def result_text(output_dir: Path) -> str:
    """Compare the results of the group level with the planted effects."""
    import pandas as pd

    path = output_dir / "group_statistics.tsv"
    statistics = pd.read_csv(path, sep="\t", na_values="n/a")
    is_shown = (statistics["task"] == MAIN.label) & (statistics["hemi"] == BOTH)
    found = statistics[is_shown].set_index("roi")
    lines = [
        "",
        f"Effect of attention (attendMinusIgnore) in V1: mean of {found['n'].max()} participants, "
        "both hemispheres,",
        "in percent signal change. The effects of single participants were planted with a standard",
        f"deviation of {BETWEEN_SD:g} around the planted mean, which is exactly their average.",
        "",
        "ROI   planted   estimated   95 % CI",
    ]
    for quadrant, planted in PLANTED.items():
        mean, low, high = found.loc[quadrant, ["mean", "ci95_low", "ci95_high"]]
        lines.append(f"{quadrant}    {planted:7.2f}   {mean:9.2f}   [{low:5.2f}, {high:5.2f}]")
    lines += _field_lines(output_dir / "group_visualfield.tsv")
    table = "sub-01/func/sub-01_space-fsaverage5_desc-roi_estimates.tsv"
    mask = (
        "sub-01/func/sub-01_task-loc_hemi-R_space-fsaverage5_label-UL_desc-combined_mask.label.gii"
    )
    lines += [
        "",
        "Look at:",
        f"  {output_dir / 'group.html'}",
        f"  {output_dir / 'sub-01.html'}",
        f"  {path}",
        f"  {output_dir / table}",
        f"  {output_dir / mask}",
    ]
    return "\n".join(lines)


def _field_lines(path: Path) -> list[str]:
    """Put responses above and below the horizontal meridian beside what was planted there."""
    import pandas as pd

    tests = pd.read_csv(path, sep="\t", na_values="n/a")
    is_shown = (tests["profile"] == "cell") & (tests["contrast"] == "attendMinusIgnore")
    cells = tests[is_shown & (tests["hemi"] == BOTH)]
    is_upper = (cells["polar_angle_low"] >= -90) & (cells["polar_angle_high"] <= 90)
    cells = cells.assign(half=is_upper.map({True: "U", False: "L"}))
    found = cells.groupby(["eccentricity_low", "eccentricity_high", "half"])["mean"].mean()
    lines = [
        "",
        "The same effect in the visual field, above and below the horizontal meridian: means of "
        "the cells of",
        f"each ring, without a localizer. It was planted up to {FIELD_LIMIT:g} degrees, within the "
        "ring of 4 to 5.66 degrees.",
        "",
        "eccentricity      upper field            lower field",
        "                  planted   estimated    planted   estimated",
    ]
    for ring in each_row(found.unstack("half").reset_index()):
        low, high = ring.eccentricity_low, ring.eccentricity_high
        line = f"{low:5.2f} to {high:5.2f}  "
        for half, estimated in (("U", ring.U), ("L", ring.L)):
            planted = planted_in_field(half, low, high)
            said = "" if planted is None else f"{planted:.2f}"
            line += f"{said:>9}{estimated:12.2f}  "
        if high <= _LARGEST_SHOWN:
            lines.append(line.rstrip())
    return lines


def _parse(argv: Sequence[str] | None) -> Path:
    parser = argparse.ArgumentParser(
        prog="bids_secondlevel-demo",
        description="Simulate a small study with known effects, run both levels of "
        "bids_secondlevel on it, and show the results beside the known effects. This takes about a "
        "minute and needs no network.",
        epilog="Exit codes: 0 done; 64 usage; 73 DIR cannot be written or has other content; "
        "otherwise the exit code of the level that failed.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "folder",
        type=Path,
        metavar="DIR",
        help="new or empty folder, or the folder of an earlier demo, which is overwritten",
    )
    folder: Path = parser.parse_args(argv).folder
    return folder.absolute()  # the printed paths can then be used in any folder


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
