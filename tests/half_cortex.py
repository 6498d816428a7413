"""A hemisphere of a participant, as tests of ROIs need it."""

import numpy as np

from bids_secondlevel.core.hemispheres import Bilateral
from bids_secondlevel.core.values import Retinotopy, RoiMasks
from bids_secondlevel.maps.cortex import Cortex
from bids_secondlevel.maps.spheres import Alignment
from bids_secondlevel.rois.estimates import EstimateRow


def half(side="L", n=10, *, eccentricity=None, polar_angle=None, areas=None, triangles=None):
    """Make a hemisphere; what is not given is not known."""
    known = np.full(n, np.nan) if eccentricity is None else eccentricity
    return Cortex(
        side=side,
        retinotopy=Retinotopy(np.ones(n, int), known, polar_angle),
        localizer={},
        alignment=Alignment(n),
        areas=areas,
        triangles=triangles,
    )


def bilateral(of_hemispheres):
    """Turn what is given by hemisphere into one value."""
    return Bilateral(of_hemispheres["L"], of_hemispheres["R"])


def only_rois(rois, retinotopic=None):
    """Give ROIs by name and hemisphere as the program has them: masks, or why there is none."""
    return Bilateral.of(
        lambda side: {
            name: RoiMasks((retinotopic or rois)[name][side], None, masks[side])
            for name, masks in rois.items()
        }
    )


def empty_row(**columns):
    """Make a row of the table of estimates that has no number yet."""
    key = {
        "participant_id": "sub-01",
        "session": None,
        "task": "main",
        "contrast": "attend",
        "roi": "left",
        "hemi": "L",
        "space": "fsnative",
        "statistic": "effect",
    }
    return EstimateRow(**(key | columns))
