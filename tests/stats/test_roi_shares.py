import numpy as np
import pytest

from bids_secondlevel.stats.roi_shares import dice_with_others, shares


def test_each_mask_is_compared_with_those_of_the_others():
    rng = np.random.default_rng(0)
    masks = {f"sub-{i}": rng.random(50) < 0.3 + 0.05 * i for i in range(6)}
    vertices = {who: np.flatnonzero(mask) for who, mask in masks.items()}
    found = dice_with_others(vertices, 50)
    for who, mask in masks.items():
        others = np.mean([of for other, of in masks.items() if other != who], axis=0) >= 0.5
        expected = 2 * (mask & others).sum() / (mask.sum() + others.sum())
        assert found[who] == pytest.approx(expected)
    assert shares(vertices, 50) == pytest.approx(np.mean(list(masks.values()), axis=0))


def test_nothing_to_compare():
    nothing = np.array([], dtype=int)
    assert dice_with_others({"sub-1": np.array([1])}, 3) == {}
    assert dice_with_others({"sub-1": nothing, "sub-2": nothing}, 3) == {}
    assert dice_with_others({"sub-1": nothing, "sub-2": np.array([1])}, 3) == {
        "sub-1": 0.0,
        "sub-2": 0.0,
    }
    assert np.isnan(shares({}, 3)).all()
