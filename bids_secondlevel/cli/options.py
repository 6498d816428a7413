"""Declare the command line."""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bids_secondlevel import __version__
from bids_secondlevel.cli.descriptor import describe
from bids_secondlevel.core.roi_rule import (
    HEMISPHERE_ROWS,
    TAILS,
    THRESHOLD_KINDS,
    VISUAL_AREAS,
    RoiRule,
)
from bids_secondlevel.core.settings import DerivativePath, Settings


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line; the defaults are those of :class:`Settings`."""
    parser = argparse.ArgumentParser(
        prog="bids_secondlevel",
        usage="%(prog)s BIDS_DIR OUTPUT_DIR {participant,group} [options]",
        description="Individual regions of interest from retinotopy and a functional localizer, "
        "and group statistics on first-level estimates inside them. Run the participant level "
        "first, then the group level.",
        epilog="Exit codes: 0 done; 1 some participant failed (the others were processed); "
        "16 invalid dataset; 18 the filters selected nothing; 64 usage; 65 unreadable or "
        "inconsistent data; 66 input missing; 73 output cannot be written.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    rule, default = RoiRule(), Settings
    parser.add_argument("bids_dir", type=Path, metavar="BIDS_DIR", help="BIDS dataset; only read")
    parser.add_argument("output_dir", type=Path, metavar="OUTPUT_DIR", help="where results go")
    parser.add_argument(
        "analysis_level", choices=("participant", "group"), help="level of the analysis"
    )

    who = parser.add_argument_group("which participants and files")
    who.add_argument(
        "--participant-label",
        nargs="+",
        metavar="LABEL",
        help="participants to process, with or without sub- (default: all)",
    )
    who.add_argument(
        "--session-label",
        nargs="+",
        metavar="LABEL",
        help="sessions to measure, with or without ses- (default: all); ROIs are always defined "
        "on all sessions of the localizer",
    )
    who.add_argument(
        "-d",
        "--derivatives",
        nargs="+",
        type=_derivative,
        metavar="[NAME=]PATH",
        help="datasets of first-level maps and of retinotopy (default: those below "
        "BIDS_DIR/derivatives, BIDS_DIR/sourcedata/freesurfer, and sourcedata/freesurfer inside "
        "each of them)",
    )
    who.add_argument(
        "--bids-filter-file",
        type=Path,
        metavar="FILE",
        help="JSON file with pybids filters for the queries localizer, estimates and retinotopy",
    )
    who.add_argument(
        "--skip-bids-validation",
        action="store_true",
        help="go on without a valid dataset_description.json in BIDS_DIR",
    )

    roi = parser.add_argument_group("definition of the regions of interest (ROIs)")
    roi.add_argument(
        "--localizer-task",
        metavar="LABEL",
        help="task whose contrasts define the ROIs (default: the only task with 'loc' in its "
        "label)",
    )
    roi.add_argument(
        "--roi-contrasts",
        nargs="+",
        metavar="LABEL",
        help="localizer contrasts, one ROI each (default: all of the localizer task)",
    )
    roi.add_argument(
        "--retinotopy-only",
        action="store_true",
        help="one ROI by retinotopy alone, without a localizer",
    )
    roi.add_argument(
        "--localizer-threshold",
        type=float,
        metavar="VALUE",
        help="a vertex is activated when its z value is greater; or a number of vertices, a "
        "percentage, or a false discovery rate, by --threshold-kind "
        f"(default: {rule.localizer_threshold:g})",
    )
    roi.add_argument(
        "--threshold-kind",
        choices=THRESHOLD_KINDS,
        help="what the threshold means; all but z apply within the retinotopic part of each "
        f"hemisphere (default: {rule.threshold_kind})",
    )
    roi.add_argument(
        "--tail",
        choices=TAILS,
        help=f"which z values count as activation (default: {rule.tail})",
    )
    roi.add_argument(
        "--exclusive",
        action="store_true",
        help="remove vertices that pass for more than one ROI",
    )
    roi.add_argument(
        "--min-vertices",
        type=int,
        metavar="N",
        help="no estimate (below_min_vertices) in a ROI with fewer vertices "
        f"(default: {rule.min_vertices})",
    )
    roi.add_argument(
        "--visual-areas",
        nargs="+",
        metavar="NAME",
        help=f"visual areas, out of {', '.join(VISUAL_AREAS)}, or their numbers; or files that "
        "hold an area, without their lh. or rh.: V1_exvivo.label, aparc.annot:pericalcarine, "
        f"wang15_mplbl.mgz:1 (default: {' '.join(rule.visual_areas)})",
    )
    roi.add_argument(
        "--eccentricity",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="range of eccentricity in degrees, limits excluded "
        f"(default: {rule.eccentricity[0]:g} {rule.eccentricity[1]:g})",
    )
    roi.add_argument(
        "--polar-angle",
        nargs=2,
        type=float,
        metavar=("FROM", "TO"),
        help="wedge of the visual field, clockwise: degrees from the upper vertical meridian, "
        "negative in the left visual field; the upper left quadrant is -90 0 (default: all)",
    )
    roi.add_argument(
        "--min-variance-explained",
        type=float,
        metavar="VALUE",
        help="vertices must exceed this in the map of variance explained (vexpl), in its unit",
    )
    roi.add_argument(
        "--retinotopy-source",
        metavar="TAG",
        help="which retinotopic maps, such as benson14 or inferred (default: the only ones found, "
        "and inferred where there are several)",
    )

    measure = parser.add_argument_group("what is measured")
    measure.add_argument(
        "--task-label",
        nargs="+",
        metavar="LABEL",
        help="tasks to measure (default: all, the localizer included)",
    )
    measure.add_argument(
        "--contrasts", nargs="+", metavar="LABEL", help="contrasts to measure (default: all)"
    )
    measure.add_argument(
        "--statistic",
        metavar="NAME",
        help=f"which maps to measure, the stat entity (default: {default.statistic})",
    )
    measure.add_argument(
        "--summary",
        choices=("mean", "median", "area-weighted-mean"),
        help="how the values in a ROI become one number; area-weighted-mean needs a surface "
        f"(default: {default.summary})",
    )
    measure.add_argument(
        "--cross-validate",
        action="store_true",
        help="measure the localizer in each of its runs, in ROIs defined on the other runs, where "
        "runs have maps of their own",
    )
    measure.add_argument(
        "--sweep",
        action="store_true",
        help="measure under other thresholds and eccentricities too (desc-sweep_estimates.tsv)",
    )
    measure.add_argument(
        "--sweep-thresholds",
        nargs="+",
        type=float,
        metavar="Z",
        help=f"default: {' '.join(f'{z:g}' for z in default.sweep_thresholds)}",
    )
    measure.add_argument(
        "--sweep-eccentricities",
        nargs="+",
        type=float,
        metavar="HIGH",
        help="upper limits in degrees (default: 0.6 to 1.4 times that of --eccentricity)",
    )
    measure.add_argument(
        "--space",
        metavar="LABEL",
        help="space in which ROIs are defined and measured (default: that of the maps; fsnative "
        "where there are several). Maps in another surface space are carried to fsnative, "
        "fsaverage, fsaverage5, fsaverage6 or fsLR, with a density such as fsLR-59k if need be",
    )
    measure.add_argument(
        "--hemi",
        nargs="+",
        choices=HEMISPHERE_ROWS,
        help="which rows there are of each estimate (default: L R both; for volumes both; there, "
        "the hemispheres are x below 0 and from 0 on)",
    )

    _add_group_level(parser)

    running = parser.add_argument_group("running")
    running.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="TOML file with any of these options by their long names; the command line wins",
    )
    running.add_argument(
        "--dry-run",
        action="store_true",
        help="print which files would be used for what, and what is missing; write nothing",
    )
    running.add_argument(
        "--no-report",
        dest="report",
        action="store_false",
        help="draw no pictures and write no pages, which take seconds for each participant",
    )
    running.add_argument(
        "--reports-only",
        action="store_true",
        help="write the pages again from the results that are there, and do nothing else",
    )
    running.add_argument(
        "--n-procs",
        type=int,
        metavar="N",
        help="participants processed at a time (default: the CPUs this process may use)",
    )
    running.add_argument(
        "--force",
        action="store_true",
        help="process participants again whose results are up to date: made by the same version "
        "with the same settings from the same files",
    )
    running.add_argument(
        "--stop-on-first-crash",
        action="store_true",
        help="stop at the first participant that fails, instead of going on with the others",
    )
    running.add_argument(
        "-v", "--verbose", action="count", help="say more; show tracebacks of failures"
    )
    _add_questions(running)
    return parser


def _add_group_level(parser: argparse.ArgumentParser) -> None:
    """Declare the options that only the group level has."""
    group = parser.add_argument_group("group level")
    group.add_argument(
        "--exclude",
        type=Path,
        metavar="FILE",
        help="TSV file with the columns participant_id and reason: participants to be left out "
        "of all statistics",
    )
    group.add_argument(
        "--min-coverage",
        type=float,
        metavar="SHARE",
        help="leave out estimates from ROIs with a smaller share of finite vertices, 0 to 1; "
        "--min-vertices works here too (default: "
        f"{Settings.min_coverage:g})",
    )
    group.add_argument(
        "--n-permutations",
        type=int,
        metavar="N",
        help="random sign flips; all of them where there are no more than this "
        f"(default: {Settings.n_permutations})",
    )

    group.add_argument(
        "--model",
        metavar="FORMULA|FILE",
        help="fit a model to the estimates: a formula such as 'estimate ~ roi * contrast + age' "
        "with columns of the estimates table and of participants.tsv, or a BIDS Stats Model "
        "(a file that ends in .json)",
    )


def _add_questions(group: argparse._ArgumentGroup) -> None:
    """Add the options that are answered without a run."""
    group.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    group.add_argument(
        "--bids-exec-spec",
        action=_PrintDescriptor,
        nargs=0,
        help="print the Boutiques descriptor of the program, for platforms, and exit",
    )


class _PrintDescriptor(argparse.Action):
    """Describe the parser that it belongs to, and end the program."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,  # noqa: ARG002
        values: str | Sequence[Any] | None,  # noqa: ARG002
        option_string: str | None = None,  # noqa: ARG002
    ) -> None:
        print(json.dumps(describe(parser), indent=2))
        parser.exit()


def _derivative(text: str) -> DerivativePath:
    name, equals, path = text.partition("=")
    if equals and "/" not in name and name and path:
        return DerivativePath(_expanded(path), name)
    return DerivativePath(_expanded(text))


def _expanded(path: str) -> Path:
    return Path(os.path.expanduser(path))  # noqa: PTH111 Path's own ends where there is no home
