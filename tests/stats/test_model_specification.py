"""BIDS Stats Models that are valid, broken, or ask for what is not supported."""

import copy

import pytest
from stats_models import ONE_SAMPLE, REALISTIC, SUBJECT, contrast, model, node

from bids_secondlevel.core.errors import DataError, UsageError
from bids_secondlevel.stats.models.specification import NodeContrast, check_stats_model


def check(content):
    return check_stats_model(content, "model.json")


def changed(*path, to):
    """Change a place in a valid model."""
    content = copy.deepcopy(model(ONE_SAMPLE))
    place = content
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    return content


def test_what_is_taken_from_a_model():
    checked = check(model(REALISTIC["two groups"], Input={"task": "main", "subject": ["01"]}))
    (dataset,) = checked.nodes
    assert checked.name == "a model"
    assert checked.inputs == {"task": ("main",), "subject": ("01",)}
    assert (dataset.variables, dataset.group_by) == (("sex.F", "sex.M"), ("contrast",))
    assert dataset.contrasts == (
        NodeContrast("F>M", ("sex.F", "sex.M"), ((1.0, -1.0),), "t"),
        NodeContrast("mean", ("sex.F", "sex.M"), ((0.5, 0.5),), "t"),
    )
    assert dataset.filters == ({},)


def test_the_input_is_not_changed():
    content = model(node([1], dummies={"Test": "skip"}))
    before = copy.deepcopy(content)
    check(content)
    assert content == before


def test_without_edges_nodes_follow_one_another():
    content = model(ONE_SAMPLE)
    del content["Edges"]
    assert len(check(content).nodes) == 1
    alone = changed("Nodes", to=[ONE_SAMPLE])
    del alone["Edges"]
    assert check(alone).messages == ()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([1], "The file: Input should be a valid dictionary"),
        ({}, "Name: Field required; 2 more"),
        (changed("Nodes", to="x"), "Nodes: Input should be a valid list"),
        (changed("Nodes", 2, "Level", to="dataset"), r"Nodes\[2\]\.Level: .* 'Dataset'"),
        (changed("Nodes", 2, "Model", to={"X": [1]}), r"Nodes\[2\]\.Model\.Type: Field required"),
        (changed("Nodes", 2, "Model", "X", to=[1, 2.5]), r"Nodes\[2\]\.Model\.X\[1\]: "),
        (
            changed("Nodes", 0, "Contrasts", 0, "Weights", to="1"),
            r"Nodes\[0\]\.Contrasts\[0\]\.Weights: ",
        ),
        (changed("Nodes", 2, "Name", to="run"), "two nodes have the same name"),
        (
            changed("Edges", 0, "Source", to="runs"),
            "Source 'runs', which is not a node; .* run, sub",
        ),
        (changed("Edges", 0, "Destination", to="x"), "Destination 'x', which is not a node"),
    ],
)
def test_what_is_no_valid_model(content, said):
    with pytest.raises(DataError, match=said) as caught:
        check(content)
    assert str(caught.value).startswith("model.json: ")
    assert caught.value.exit_code == 65


def with_instruction(**instruction):
    return model(node([1], instruction))


def with_contrast(conditions, weights, test="t"):
    return model(node([1, "age"], contrasts=[contrast("c", conditions, weights, test)]))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (model(), "no node of the Level Dataset"),
        (changed("Nodes", 2, "Model", "Type", to="meta"), "Model.Type meta is not supported"),
        (changed("Nodes", 2, "Model", "Formula", to="0 + age"), "Model.Formula is not supported"),
        (
            changed("Nodes", 2, "Model", "HRF", to={"Variables": [], "Model": "spm"}),
            "Model.HRF is not supported",
        ),
        (changed("Nodes", 2, "Model", "Options", to={}), "Model.Options is not supported"),
        (changed("Nodes", 2, "Model", "X", to=[]), "Model.X is empty"),
        (changed("Nodes", 2, "Model", "X", to=[1, "a", "a"]), "a variable is in Model.X twice"),
        (changed("Nodes", 2, "Dummy", to=1), "Dummy is not supported"),
        (
            changed("Nodes", 2, "DummyContrasts", to={"Conditions": [1], "Test": "t"}),
            "DummyContrasts.Conditions is not supported",
        ),
        (changed("Nodes", 2, "GroupBy", to=["subject"]), "GroupBy subject leaves one number"),
        (changed("Nodes", 2, "DummyContrasts", to=None), "neither Contrasts nor DummyContrasts"),
        (with_instruction(Name="Convolve", Input=["a"]), "Convolve is not supported; Factor, "),
        (with_instruction(Input=["a"]), "transformation None is not supported"),
        (with_instruction(Name="Factor", Input=["a"], Output=["b"]), "argument Output is not"),
        (with_instruction(Name="Factor", Input=["a"], Constraint="drop_one"), "Constraint is not"),
        (with_instruction(Name="Scale", Input=["a"], ReplaceNA="after"), "ReplaceNA is not"),
        (with_instruction(Name="Scale", Input=["a"], Demean=[True]), "are true or false"),
        (
            with_instruction(Name="Scale", Input=["a", "b"], Output="c"),
            "2 names as Output, found 1",
        ),
        (with_instruction(Name="Product", Input=["a", "b"]), "Product: has no Output"),
        (
            with_instruction(Name="Product", Input=["a", "b"], Output=["c", "d"]),
            "1 names as Output, found 2",
        ),
        (with_instruction(Name="Demean"), "expected names of variables as Input"),
        (with_instruction(Name="Demean", Input=[1]), "expected names of variables as Input"),
        (with_contrast(["age"], [1, -1]), "contrast c: expected 1 weights .* found 2"),
        (with_contrast([1, "age"], [[1, -1], [1]], "F"), "found 2 and 1"),
        (with_contrast([1, "age"], [[1, 0], [0, 1]]), "several rows of weights need the Test F"),
        (with_contrast(["age"], ["x"]), "contrast c: a weight is not a number"),
        (with_contrast(["age"], ["1/0"]), "contrast c: a weight is not a number"),
        (with_contrast(["age"], [0]), "contrast c: all weights are 0"),
        (with_contrast([], []), "contrast c: expected 0 weights"),
        (with_contrast(["age", "age"], [1, 1]), "is in ConditionList twice"),
        (
            model(node([1], contrasts=[contrast("c", [1], [1])] * 2)),
            "two contrasts have the same name",
        ),
        (
            model(
                ONE_SAMPLE,
                node([1], name="b"),
                edges=[
                    {"Source": "subject", "Destination": "dataset"},
                    {"Source": "dataset", "Destination": "b"},
                ],
            ),
            "node b: it is fed by dataset, a node of the level Dataset too",
        ),
        (
            model(ONE_SAMPLE, edges=[{"Source": "run", "Destination": "subject"}]),
            "no edge leads to it",
        ),
        (
            model(
                ONE_SAMPLE,
                edges=[{"Source": "subject", "Destination": "dataset", "Filter": {"run": [1]}}],
            ),
            "Filter by run is not supported",
        ),
    ],
)
def test_what_is_not_supported_is_named(content, said):
    with pytest.raises(UsageError, match=said) as caught:
        check(content)
    assert str(caught.value).startswith("model.json: ")
    assert caught.value.exit_code == 64


def test_what_the_first_level_does_may_be_anything():
    subject = {**SUBJECT, "Model": {"X": ["*"], "Type": "meta", "Formula": "1"}}
    content = changed("Nodes", 1, to=subject)
    (message,) = check(content).messages
    assert message == (
        "run (Run), subject (Subject): not fitted; their results are expected as input from the "
        "first-level analysis."
    )


def test_nesting_without_end():
    nested = []
    for _ in range(300):
        nested = [nested]
    with pytest.raises(DataError, match="is not a valid BIDS Stats Model"):
        check({"Nodes": nested})
