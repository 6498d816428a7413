"""BIDS Stats Models as people write them."""


def contrast(name, conditions, weights, test="t"):
    return {"Name": name, "ConditionList": conditions, "Weights": weights, "Test": test}


def node(x, *instructions, name="dataset", contrasts=(), dummies=None, group_by=("contrast",)):
    """Make a node of the level Dataset."""
    made = {
        "Level": "Dataset",
        "Name": name,
        "GroupBy": list(group_by),
        "Model": {"X": list(x), "Type": "glm"},
    }
    if instructions:
        made["Transformations"] = {
            "Transformer": "pybids-transforms-v1",
            "Instructions": list(instructions),
        }
    if contrasts:
        made["Contrasts"] = list(contrasts)
    if dummies is not None or not contrasts:
        made["DummyContrasts"] = {"Test": "t"} if dummies is None else dummies
    return made


RUN = {
    "Level": "Run",
    "Name": "run",
    "GroupBy": ["run", "subject"],
    "Transformations": {
        "Transformer": "pybids-transforms-v1",
        "Instructions": [
            {"Name": "Factor", "Input": ["trial_type"]},
            {"Name": "Convolve", "Model": "spm", "Input": ["trial_type.*"]},
        ],
    },
    "Model": {"X": [1, "trial_type.*"], "Type": "glm", "HRF": {"Variables": ["a"], "Model": "spm"}},
    "Contrasts": [contrast("attend", ["trial_type.a"], [1])],
}
SUBJECT = {
    "Level": "Subject",
    "Name": "subject",
    "GroupBy": ["subject", "contrast"],
    "Model": {"X": [1], "Type": "meta"},
    "DummyContrasts": {"Test": "pass"},
}


def model(*nodes, edges=None, **more):
    """Make a whole model: run, subject, and the nodes given, all of them fed by subject."""
    if edges is None:
        edges = [{"Source": "run", "Destination": "subject"}]
        edges += [{"Source": "subject", "Destination": n["Name"]} for n in nodes]
    return {
        "Name": "a model",
        "BIDSModelVersion": "1.0.0",
        "Input": {"task": "main"},
        "Nodes": [RUN, SUBJECT, *nodes],
        "Edges": edges,
        **more,
    }


FACTOR_SEX = {"Name": "Factor", "Input": ["sex"]}
FACTOR_GROUP = {"Name": "Factor", "Input": "group"}

ONE_SAMPLE = node([1])
TWO_GROUPS = node(
    ["sex.F", "sex.M"],
    FACTOR_SEX,
    contrasts=[
        contrast("F>M", ["sex.F", "sex.M"], [1, -1]),
        contrast("mean", ["sex.F", "sex.M"], ["1/2", "1/2"]),
    ],
    dummies={"Test": "t"},
)
ADJUSTED = node(
    ["sex.M", "sex.F", "age_dm"],
    FACTOR_SEX,
    {"Name": "Demean", "Input": ["age"], "Output": "age_dm"},
    contrasts=[
        contrast("female_gt_male", ["sex.M", "sex.F"], [-1, 1]),
        contrast("age_lt_0", ["age_dm"], [-1]),
    ],
)
INTERACTION = node(
    ["sex.M", "sex.F", "age.M", "age.F"],
    FACTOR_SEX,
    {"Name": "Scale", "Input": ["age"], "Output": ["z"]},
    {"Name": "Product", "Input": ["sex.M", "z"], "Output": "age.M"},
    {"Name": "Product", "Input": ["sex.F", "z"], "Output": "age.F"},
    contrasts=[contrast("slopes", ["age.M", "age.F"], [1, -1])],
)
LEVELS = node(
    ["group.*", "age"],
    FACTOR_GROUP,
    {"Name": "Scale", "Input": "age", "Demean": True, "Rescale": False},
    contrasts=[
        contrast("g1 vs g3", ["group.1", "group.3"], [1, -1]),
        contrast(
            "any difference",
            ["group.1", "group.2", "group.3"],
            [[1, 0, -1], [0, 1, -1]],
            "F",
        ),
        contrast("one row", ["group.1", "group.2"], [[1, -1]], "F"),
    ],
)
REFERENCE = node(
    [1, "group.2", "group.3", "score"],
    FACTOR_GROUP,
    {"Name": "Scale", "Input": ["score"], "Demean": False},
    dummies={"Contrasts": [1, "group.3"], "Test": "F"},
)
REALISTIC = {
    "one sample": ONE_SAMPLE,
    "two groups": TWO_GROUPS,
    "adjusted for age": ADJUSTED,
    "group by age": INTERACTION,
    "levels": LEVELS,
    "reference level": REFERENCE,
}
