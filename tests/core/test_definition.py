"""A definition is read back from a sidecar as it was; damaged sidecars are refused; words."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_secondlevel.core.definition import Definition, in_a_line, threshold_in_words
from bids_secondlevel.core.errors import DataError
from bids_secondlevel.core.roi_rule import VISUAL_AREAS, RoiDefinition, RoiRule

ANGLES = st.floats(-180, 180)
THRESHOLDS = st.one_of(
    st.tuples(st.just("z"), st.floats(0, 100)),
    st.tuples(st.just("top-n"), st.integers(1, 1000).map(float)),
    st.tuples(st.just("top-percent"), st.floats(0.1, 100)),
    st.tuples(st.just("fdr"), st.floats(0.001, 0.999)),
)


@st.composite
def rules(draw):
    kind, threshold = draw(THRESHOLDS)
    limits = draw(st.lists(st.floats(0, 90), min_size=2, max_size=2, unique=True))
    wedge = st.lists(ANGLES, min_size=2, max_size=2, unique=True).map(tuple)
    areas = st.lists(st.sampled_from([*VISUAL_AREAS, "V1_exvivo.label"]), min_size=1, unique=True)
    return RoiRule(
        visual_areas=tuple(draw(areas)),
        eccentricity=tuple(sorted(limits)),
        polar_angle=draw(st.none() | wedge),
        min_variance_explained=draw(st.none() | st.floats(-1, 1)),
        threshold_kind=kind,
        localizer_threshold=threshold,
        tail=draw(st.sampled_from(["greater", "less", "two-sided"])),
        min_vertices=draw(st.integers(1, 50)),
        exclusive=draw(st.booleans()),
    )


LABELS = st.text("abXY01+", min_size=1, max_size=5)


@st.composite
def definitions(draw):
    names = draw(st.lists(LABELS, min_size=1, max_size=3, unique=True))
    contrasts = st.lists(LABELS, min_size=1, max_size=3, unique=True).map(tuple)
    texts = st.lists(st.text(min_size=1)).map(tuple)
    return Definition(
        rois=tuple(
            RoiDefinition(
                name, of, draw(rules()), "all" if len(of) == 1 else draw(COMBINE), without
            )
            for name in names
            for of in [draw(contrasts)]
            for without in [draw(st.just(()) | contrasts)]
        ),
        localizer_task=draw(st.none() | LABELS),
        statistic=draw(st.sampled_from(["effect", "t"])),
        summary=draw(st.sampled_from(["mean", "median", "area-weighted-mean"])),
        sources=draw(st.just(()) | LABELS.map(lambda tag: (tag,))),
        maps_are=draw(st.sampled_from(["surfaces", "volumes"])),
        resampling=draw(texts),
        spheres=draw(texts),
    )


COMBINE = st.sampled_from(["all", "any"])


@settings(max_examples=40)
@given(definitions())
def test_it_is_read_back_from_a_participants_sidecar(definition):
    sidecar = json.loads(json.dumps(definition.to_sidecar()))
    assert Definition.from_sidecar(sidecar, "x.json") == definition


@settings(max_examples=40)
@given(definitions())
def test_it_is_read_back_from_a_groups_sidecar_but_for_the_spheres(definition):
    sidecar = json.loads(json.dumps(definition.to_group_sidecar()))
    read = Definition.from_sidecar(sidecar, "x.json")
    assert read.to_group_sidecar() == definition.to_group_sidecar()
    assert (read.rois, read.sources) == (definition.rois, definition.sources)


def test_a_roi_without_a_localizer_has_no_threshold_in_its_sidecar():
    roi = RoiDefinition("V1", (), RoiRule(localizer_threshold=3.0))
    described = roi.to_sidecar([roi])
    assert not [key for key in described if key.startswith("Localizer")]
    assert RoiDefinition.from_sidecar("V1", described).to_sidecar(()) == described


def test_what_tables_must_agree_in_does_not_hang_on_the_retinotopy():
    rois = (RoiDefinition("UL", ("UL",)),)
    one, other = Definition(rois=rois, sources=("benson14",)), Definition(rois=rois)
    assert one.decisive() == other.decisive()
    assert one.decisive()["Rois.UL"]["LocalizerZGreaterThan"] == 1.96
    stricter = (RoiDefinition("UL", ("UL",), RoiRule(localizer_threshold=3.0)),)
    assert Definition(rois=stricter).decisive() != one.decisive()


def changed(**values):
    rois = (RoiDefinition("UL", ("UL",)),)
    return {**Definition(rois=rois, localizer_task="loc").to_sidecar(), **values}


def roi_with(**values):
    return changed(Rois={"UL": {**changed()["Rois"]["UL"], **values}})


@pytest.mark.parametrize(
    "sidecar",
    [
        {},
        changed(Rois=["UL"]),
        changed(Rois={"UL": 5}),
        changed(Rois={"../UL": changed()["Rois"]["UL"]}),
        changed(Statistic=None),
        changed(LocalizerTask=5),
        changed(MapsAre=["surfaces"]),
        changed(Resampling=5),
        changed(Resampling=[["a"]]),
        changed(RetinotopySource=3),
        roi_with(VisualAreas=["V9"]),
        roi_with(VisualAreas=[1]),
        roi_with(Contrasts=None),
        roi_with(EccentricityLessThan="5"),
        roi_with(LocalizerTail="left"),
        roi_with(MinVertices="many"),
        roi_with(PolarAngleClockwiseFromTo=[5]),
    ],
    ids=str,
)
def test_a_damaged_sidecar_is_refused_by_name(sidecar):
    with pytest.raises(DataError, match=r"x\.json: does not say how the ROIs were defined"):
        Definition.from_sidecar(sidecar, "x.json")


def test_sentences_say_each_rule_once():
    strict = RoiRule(eccentricity=(1.0, 4.5), exclusive=True, min_vertices=5)
    definition = Definition(
        rois=(
            RoiDefinition("UL", ("UL",)),
            RoiDefinition("upper", ("UL", "UR"), RoiRule(), "any", ("LL",)),
            RoiDefinition("strict", ("UL", "UR"), strict),
        ),
        localizer_task="loc",
    )
    assert definition.sentences() == [
        "The ROIs UL and upper (UL or UR, but not LL) consist of the vertices in V1 with an "
        "eccentricity above 0 and below 5 degrees of visual angle that are activated by the "
        "localizer contrast in task loc (z > 1.96).",
        "The ROI strict (UL and UR) consists of the vertices in V1 with an eccentricity above 1 "
        "and below 4.5 degrees of visual angle that are activated by the localizer contrast in "
        "task loc (z > 1.96) and belong to no other ROI; ROIs of fewer than 5 vertices were not "
        "measured.",
    ]


def test_an_roi_in_a_volume_consists_of_voxels():
    rule = RoiRule(threshold_kind="top-n", localizer_threshold=20, min_vertices=5)
    rois = (RoiDefinition("UL", ("UL",), rule),)
    (said,) = Definition(rois=rois, localizer_task="loc", maps_are="volumes").sentences()
    assert "the voxels in V1" in said
    assert "the 20 voxels with the largest z" in said
    assert "fewer than 5 voxels" in said
    assert "vert" not in said


@pytest.mark.parametrize(
    ("rule", "words", "z"),
    [
        (RoiRule(localizer_threshold=2.5), "z > 2.5", (float("-inf"), 2.5)),
        (RoiRule(localizer_threshold=2.5, tail="less"), "z < -2.5", (-2.5, float("inf"))),
        (RoiRule(localizer_threshold=2.5, tail="two-sided"), "|z| > 2.5", (-2.5, 2.5)),
        (
            RoiRule(threshold_kind="top-n", localizer_threshold=20),
            "the 20 vertices with the largest z in each hemisphere",
            None,
        ),
        (
            RoiRule(threshold_kind="fdr", localizer_threshold=0.05, tail="two-sided"),
            "false discovery rate below 0.05 in each hemisphere, largest |z|",
            None,
        ),
    ],
)
def test_thresholds_in_words_and_numbers(rule, words, z):
    assert threshold_in_words(rule) == words
    assert rule.z_not_activated == z
    assert f", {rule.localizer_threshold:g}, {rule.tail}" in in_a_line(
        RoiDefinition("UL", ("UL",), rule)
    )
