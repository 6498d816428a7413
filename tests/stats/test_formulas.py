"""What a formula may ask for, and the design it makes."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_secondlevel.core.errors import UsageError
from bids_secondlevel.stats.models.formula import make_design, parse_formula

TABLES = {
    "the estimates table": ("estimate", "area_mm2", "roi", "contrast"),
    "participants.tsv": ("age", "group", "my score", "log"),
}


def parse(text):
    return parse_formula(text, TABLES, ("estimate", "area_mm2"))


@pytest.mark.parametrize(
    ("text", "names", "terms"),
    [
        ("estimate ~ age", ("age",), ["1", "age"]),
        ("area_mm2~1", (), ["1"]),
        ("estimate ~ 0 + group", ("group",), ["group"]),
        ("estimate ~ -1 + group", ("group",), ["group"]),
        (
            "estimate ~ roi * contrast + age",
            ("roi", "contrast", "age"),
            ["1", "roi", "contrast", "age", "roi:contrast"],
        ),
        (
            "estimate ~ (roi + age + group)**2 - roi:age",
            ("roi", "age", "group"),
            ["1", "roi", "age", "group", "roi:group", "age:group"],
        ),
        ("estimate ~ group / age", ("group", "age"), ["1", "group", "group:age"]),
        ("estimate ~ age %in% group", ("age", "group"), ["1", "group", "group:age"]),
        ("estimate ~ `my score`", ("my score",), ["1", "my score"]),
        ("estimate ~ center(`my score`)", ("my score",), ["1", "center(`my score`)"]),
        ("estimate ~ I((age - 40) / 10)", ("age",), ["1", "I((age - 40) / 10)"]),
        ("estimate ~ I(age**2) + log", ("age", "log"), ["1", "I(age ** 2)", "log"]),
        ("estimate ~ bs(age, df=4)", ("age",), ["1", "bs(age, df=4)"]),
        ("estimate ~ bs(age, knots=[30, 50])", ("age",), ["1", "bs(age, knots=[30, 50])"]),
        (
            "estimate ~ C(group, contr.treatment('b')) : poly(age, 2)",
            ("group", "age"),
            ["1", "C(group, contr.treatment('b')):poly(age, 2)"],
        ),
        ("estimate ~ C(group, contr.sum)", ("group",), ["1", "C(group, contr.sum)"]),
        ("estimate ~ log(age) + exp(-age)", ("age",), ["1", "log(age)", "exp(-age)"]),
    ],
)
def test_what_a_formula_may_hold(text, names, terms):
    formula = parse(text)
    assert formula.response == text.split("~")[0].strip()
    assert formula.names == names
    assert [str(term) for term in formula.terms] == terms


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("age", "expected a column, ~, and terms"),
        ("~ age", "expected a column, ~, and terms"),
        ("estimate ~", "expected a column, ~, and terms"),
        ("", "expected a column, ~, and terms"),
        ("estimate ~ age ~ group", "expected a column, ~, and terms"),
        ("estimate + area_mm2 ~ age", "expected a column, ~, and terms"),
        ("log(estimate) ~ age", "expected a column, ~, and terms"),
        ("estimate ~ agee", "there is no column agee; the estimates table has estimate, "),
        ("estimate ~ center(agee)", "there is no column agee; .* participants.tsv has age, group"),
        ("score ~ age", "there is no column score"),
        ("roi ~ age", "roi is not allowed on the left side; expected one of estimate, area_mm2"),
        ("estimate ~ estimate", "estimate is on both sides"),
        ("estimate ~ age +", "cannot be read"),
        ("estimate ~ (age", "cannot be read"),
        ("estimate ~ age group", "cannot be read"),
        ("estimate ~ center(age", "cannot be read"),
        ("estimate ~ 'age'", "cannot be read"),
        ("estimate ~ 0", "the right side is empty"),
        ("estimate ~ age - age - 1", "the right side is empty"),
        ("estimate ~ " + " + ".join(["age"] * 200), "longer than 500"),
    ],
)
def test_what_is_no_formula(text, said):
    with pytest.raises(UsageError, match=said) as caught:
        parse(text)
    assert caught.value.exit_code == 64


# Whatever of these is evaluated leaves a file behind.
TOUCH = "open('touched', 'w')"


@pytest.mark.parametrize(
    "text",
    [
        f"estimate ~ {{{TOUCH}}}",
        f"estimate ~ {TOUCH}",
        f"estimate ~ center({TOUCH})",
        f"estimate ~ center(age, {TOUCH})",
        f"estimate ~ center(data={TOUCH})",
        f"estimate ~ C(group, levels=[{TOUCH}])",
        f"estimate ~ C(group, contr.treatment({TOUCH}))",
        f"estimate ~ center(age)[{TOUCH}]",
        f"estimate ~ age[{TOUCH}]",
        f"estimate ~ center(age if {TOUCH} else age)",
        f"estimate ~ center(lambda: {TOUCH})",
        f"estimate ~ I(age + {TOUCH})",
        f"estimate ~ I(-{TOUCH})",
        f"estimate ~ I(age ** {TOUCH})",
        f"estimate ~ I(age == {TOUCH})",
        f"estimate ~ I([{TOUCH} for _ in age])",
        f"estimate ~ I((x := {TOUCH}))",
        f"estimate ~ I(f'{{{TOUCH}}}')",
        f"estimate ~ center(`my score`, {TOUCH})",
        f"{TOUCH} ~ age",
        "estimate ~ (open)('touched', 'w')",
        "estimate ~ __import__('os').mkdir('touched')",
        "estimate ~ {__import__('os').mkdir('touched')}",
        "estimate ~ __import__('os').mkdir('touched')(age)",
        "estimate ~ center(*__import__('os').mkdir('touched'))",
        "estimate ~ center(**__import__('os').mkdir('touched'))",
        "estimate ~ np.savetxt('touched', age)",
        "estimate ~ center(np.savetxt('touched', age))",
        "estimate ~ age.to_csv('touched')",
        "estimate ~ center(age.to_csv('touched'))",
        "estimate ~ age + center(`my score`) + center('`').x(`\"', open('touched', 'w'))",
    ],
)
def test_nothing_is_evaluated_that_is_not_allowed(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError):
        parse(text)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("estimate ~ {age + 1}", "{ is not allowed"),
        ("estimate ~ eval('1')", r"eval\('1'\) is not allowed"),
        ("estimate ~ center(age).real", r"\.real"),
        ("estimate ~ center(age.real)", r"age\.real is not allowed"),
        ("estimate ~ contr.custom([1])", "is not allowed"),
        ("estimate ~ C(group, contr.custom)", r"contr\.custom is not allowed"),
        ("estimate ~ center(age, _state=age)", "_state=age"),
        ("estimate ~ hashed(group, levels=9)", r"hashed\(group, levels=9\) is not allowed"),
        ("estimate ~ lag(age)", r"lag\(age\) is not allowed"),
        ("estimate ~ age | group", r"\| is not allowed"),
        ("estimate ~ age + (1|group)", r"\| is not allowed.* random intercept of each participant"),
        ("estimate ~ [age ~ group]", "expected a column"),
        ("estimate ~ .", r"\. is not allowed"),
        ("estimate ~ __class__", "there is no column __class__"),
        ("estimate ~ center(__builtins__)", "there is no column __builtins__"),
        ("estimate ~ np", "there is no column np"),
        ("estimate ~ I(b'x')", "is not allowed"),
        ("estimate ~ I(age * 'x')", "'x' is not allowed"),
        ("estimate ~ I([1] * 1000000000)", r"\[1\] is not allowed"),
        ("estimate ~ I(9**9**9**9)", r"\*\* 9"),
        ("estimate ~ I((2 * 9)**9)", r"\(2 \* 9\) \*\* 9 is not allowed"),
        ("estimate ~ I(age**99)", r"age \*\* 99 is not allowed"),
        ("estimate ~ (age + group)**99", "99 is not allowed"),
        ("estimate ~ (age + group)^99", "99 is not allowed"),
        ("estimate ~ bs(age, df=1000000)", "more than 20"),
        ("estimate ~ bs(age, df=9 + 1000000)", "more than 20"),
        ("estimate ~ poly(age, 1000000)", "more than 20"),
    ],
)
def test_what_is_refused_is_named(text, named):
    with pytest.raises(UsageError, match=named):
        parse(text)


@given(st.text(st.sampled_from("estimate~age+*:()[]{}`'\"._ 09,=-^%\\\n"), max_size=40))
@settings(max_examples=300)
def test_any_text_is_a_formula_or_a_usage_error(text):
    try:
        formula = parse("estimate ~ " + text)
    except UsageError:
        return
    assert set(formula.names) <= {name for columns in TABLES.values() for name in columns}


def random_data(seed, n=60):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "roi": pd.Categorical(rng.choice(["UL", "UR"], n)),
            "group": pd.Categorical(rng.choice(["a", "b", "c"], n)),
            "contrast": pd.Categorical(rng.choice(["x", "y", "z"], n)),
            "age": rng.normal(40, 8, n),
            "my score": rng.normal(0, 1, n),
        }
    )


FORMULAS = [
    "estimate ~ group",
    "estimate ~ 0 + group",
    "estimate ~ group * age",
    "estimate ~ group:age",
    "estimate ~ roi * group + age",
    "estimate ~ roi:group",
    "estimate ~ 0 + roi + group",
    "estimate ~ roi * group * contrast + `my score`",
    "estimate ~ roi / group",
    "estimate ~ roi * poly(age, 2)",
]


@given(st.integers(0, 1000), st.sampled_from(FORMULAS))
@settings(max_examples=60)
def test_an_omnibus_test_compares_means_that_weigh_all_cells_alike(seed, text):
    """Combinations that are all 0 exactly where leaving the sum-coded columns out loses nothing."""
    data = random_data(seed)
    formula = parse(text)
    categorical = [name for name in formula.names if data[name].dtype == "category"]
    design = make_design(formula, data, categorical)
    rng = np.random.default_rng(seed)
    for term, weights in design.omnibus.items():
        # Cell means of a random coefficient vector for which the term has no effect ...
        null = np.linalg.svd(weights)[2][weights.shape[0] :]
        beta = rng.normal(size=len(null)) @ null
        means = design.matrix @ beta
        # ... are those of the other terms under sum coding, written out here by hand.
        others = [str(t) for t in formula.terms if str(t) != term]
        coded = np.hstack([hand_coded(t, data, formula) for t in others] or [np.zeros((60, 0))])
        left = means - coded @ np.linalg.lstsq(coded, means, rcond=None)[0]
        assert np.abs(left).max() < 1e-8


def hand_coded(term, data, formula):
    """Columns of a term: sum-to-zero, or all levels where a margin of the term is missing."""
    terms = [set(str(t).split(":")) - {"1"} for t in formula.terms]
    columns = np.ones((len(data), 1))
    parts = [] if term == "1" else term.split(":")
    seen = terms[: terms.index(set(parts))]
    for part in parts:
        if part.startswith("poly"):
            block = np.vander(data["age"] - data["age"].mean(), 3)[:, :2]
            block = np.linalg.qr(np.column_stack([np.ones(len(data)), block[:, ::-1]]))[0][:, 1:]
        elif data[part].dtype == "category":
            levels = data[part].cat.categories
            block = np.array(data[part].to_numpy()[:, None] == levels.to_numpy(), dtype=float)
            margin = set(parts) - {part}
            if margin in seen:
                block = block[:, :-1] - block[:, -1:]
        else:
            block = data[part].to_numpy()[:, None]
        columns = np.einsum("ni,nj->nij", columns, block).reshape(len(data), -1)
    return columns


def test_names_of_columns_are_never_evaluated(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = 'x", open("touched", "w"), "'
    tables = {"the estimates table": ("estimate",), "participants.tsv": (name,)}
    formula = parse_formula(f"estimate ~ `{name}`", tables, ("estimate",))
    data = pd.DataFrame({name: pd.Categorical(["a", "b", "a", "b"])})
    design = make_design(formula, data, [name])
    assert design.columns[0] == "Intercept"
    assert design.matrix[:, 1].tolist() == [0, 1, 0, 1]
    assert list(design.omnibus) == [name]
    with pytest.raises(UsageError):
        parse_formula(f"estimate ~ C(`{name}`)", tables, ("estimate",))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("estimate ~ log(age)", "invalid value encountered in log"),
        ("estimate ~ log(zero)", "divide by zero"),
        ("estimate ~ center(group)", "center"),
        ("estimate ~ C(group, levels=['a'])", "outside of the nominated levels"),
        ("estimate ~ C(group, contr.treatment('q'))", "'q'"),
        ("estimate ~ bs(age, df=1)", "Unable to evaluate"),
        ("estimate ~ exp(big)", "overflow"),
        ("estimate ~ C(group, contr.poly([1]))", "cardinality"),
    ],
)
def test_a_transform_that_does_not_fit_the_data(text, said):
    data = pd.DataFrame(
        {
            "age": [-1.0, 1.0, 2.0, 3.0],
            "zero": [0.0, 1.0, 2.0, 3.0],
            "big": [1e4, 1.0, 2.0, 3.0],
            "group": pd.Categorical(["a", "b", "a", "b"]),
        }
    )
    tables = {"t": ("estimate", "age", "zero", "big", "group")}
    with pytest.raises(UsageError, match=said) as caught:
        make_design(parse_formula(text, tables, ("estimate",)), data, ["group"])
    assert text in str(caught.value)
