"""Plans as the tests need them."""

from bids_secondlevel.core.files import Plan
from bids_secondlevel.core.roi_rule import HEMISPHERE_ROWS, RoiRule
from bids_secondlevel.core.visual_field import FieldBins


def plan(**asked):
    """Make a plan; what is not said is as by default, and nothing is measured."""
    default = {
        "space": "fsnative",
        "maps_space": "fsnative",
        "density": None,
        "is_volume": False,
        "hemi": HEMISPHERE_ROWS,
        "localizer_task": "loc",
        "rule": RoiRule(),
        "rois": (),
        "variants": (),
        "measured": (),
        "sessions": {},
        "session_labels": (),
        "n_runs": {},
        "statistic": "effect",
        "summary": "mean",
        "visual_field": FieldBins(),
        "retinotopy_source": None,
        "cross_validate": False,
        "explore": False,
        "run_weights": "auto",
        "filtered": {},
        "choices": (),
        "messages": (),
    }
    return Plan(**(default | asked))
