"""Write the files that make the output folder a BIDS derivative dataset."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bids_secondlevel import __version__
from bids_secondlevel.core.files import Dataset
from bids_secondlevel.outputs.files import (
    remove_leftovers,
    write_atomically,
    write_files,
    write_json,
)

BIDS_VERSION = "1.10.0"
TOOL = "bids_secondlevel"

# Files that the BIDS schema does not have yet; the validator ignores these.
_BIDSIGNORE = """\
*_mask.label.gii
*_mask.json
*_estimates.tsv
*_estimates.json
*_quality.tsv
*_quality.json
*_overlap.tsv
*_overlap.json
group_*.tsv
group_*.json
group_*.gii
*.html
figures
logs/
analyses/
"""


def write_dataset_files(
    output_dir: Path, datasets: Sequence[Dataset], bids_dir: Path, description: Mapping[str, Any]
) -> None:
    """Write the files that make the output a BIDS derivative dataset; the same for every job.

    Without `datasets` (at group level), an existing description is not changed.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    remove_leftovers((output_dir, output_dir / "logs", output_dir / "figures"))
    write_atomically(output_dir / ".bidsignore", _BIDSIGNORE.encode())
    path = output_dir / "dataset_description.json"
    if path.exists() and not datasets:
        return
    links = {"raw": bids_dir, **{dataset.name: dataset.root for dataset in datasets}}
    relative = {name: _relative_uri(root, output_dir) for name, root in links.items()}
    sources = []
    for name, root in relative.items():
        source = {"URL": root}
        if name == "raw" and isinstance(description.get("DatasetDOI"), str):
            source["DOI"] = description["DatasetDOI"]
        sources.append(source)
    generated_by: dict[str, Any] = {
        "Name": TOOL,
        "Version": __version__,
        "Description": "Individual ROIs from retinotopy and localizers, measured and tested",
    }
    container = _container()
    if container:
        generated_by["Container"] = container
    write_json(
        output_dir / "dataset_description.json",
        {
            "Name": "bids_secondlevel: individual regions of interest and estimates in them",
            "BIDSVersion": BIDS_VERSION,
            "DatasetType": "derivative",
            "GeneratedBy": [generated_by],
            "SourceDatasets": sources,
            "DatasetLinks": relative,
        },
    )


def write_methods(markdown: str, bibtex: str, logs: Path) -> None:
    """Write the methods text and its references to a folder ``logs``.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    write_files({logs / "CITATION.md": markdown.encode(), logs / "CITATION.bib": bibtex.encode()})


def _relative_uri(root: Path, output_dir: Path) -> str:
    """Return a path relative to the output, which allows moving both together."""
    # Links are resolved at their real position, so the path starts at that of the output.
    return Path(os.path.relpath(root.absolute(), os.path.realpath(output_dir))).as_posix()


def _container() -> dict[str, str] | None:
    """Return the container that the program runs in, if known."""
    tag = os.environ.get("BIDS_SECONDLEVEL_CONTAINER")
    if os.environ.get("APPTAINER_CONTAINER") or os.environ.get("SINGULARITY_CONTAINER"):
        return {"Type": "apptainer", **({"Tag": tag} if tag else {})}
    return {"Type": "docker", "Tag": tag} if tag else None
