"""Read a model formula safely, and turn data into the design it asks for.

Formulaic evaluates parts of a formula as Python, some of them while it parses. So nothing is
handed to it before :func:`parse_formula` has found that there are only names of columns, numbers,
operators of formulas, and calls of a few of its transforms.
"""

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from bids_secondlevel.core.errors import UsageError
from bids_secondlevel.core.values import Array

if TYPE_CHECKING:
    import pandas as pd
    from formulaic.parser.types import Factor, Term

TRANSFORMS = (
    *("C", "I", "center", "scale", "standardize", "poly", "bs", "cr", "cs", "cc"),
    *("log", "log2", "log10", "exp"),
)
"""Functions of formulaic that a formula may call."""

CODINGS = ("treatment", "sum", "helmert", "diff", "poly", "SAS")
"""Codings of categories that ``C(column, contr.CODING)`` may name."""

_OPERATORS = frozenset("~+-*/:^")
_LONGEST = 500
_LARGEST_POWER = 4
_MOST_BASES = 20
_ROWS = 10_000
_BASES = ("poly", "bs", "cr", "cs", "cc")
_SIZES = ("df", "degree")
_HARMLESS = (
    *(ast.Name, ast.List, ast.Tuple, ast.keyword),
    *(ast.operator, ast.unaryop, ast.expr_context),
)


@dataclass(frozen=True, eq=False)
class ModelFormula:
    """A checked formula."""

    text: str
    response: str
    """Column on its left side."""
    names: tuple[str, ...]
    """Columns on its right side, in the order of their appearance."""
    terms: Any
    """A ``SimpleFormula`` of formulaic."""


@dataclass(frozen=True, eq=False)
class Design:
    """The design that a formula makes of data."""

    matrix: Array
    """(n_rows, n_columns)"""
    columns: tuple[str, ...]
    """Names of the coefficients, as formulaic writes them."""
    term_of: tuple[str, ...]
    """The term of each column."""
    omnibus: Mapping[str, Array]
    """For each term but the intercept, the combinations of coefficients that are all 0 if the term
    has no effect, (n_combinations, n_columns); see :func:`make_design`."""


def parse_formula(
    text: str, tables: Mapping[str, Sequence[str]], responses: Sequence[str]
) -> ModelFormula:
    """Check a formula and parse it.

    Parameters
    ----------
    text
        In Wilkinson's notation, such as ``estimate ~ roi * contrast + age``.
    tables
        Columns that may be named, by the table they are in.
    responses
        Columns that may be on the left side.

    Raises
    ------
    UsageError
        If it is no formula, names something that is not there, or asks for anything but columns,
        numbers, operators, and calls of :data:`TRANSFORMS`.

    Examples
    --------
    >>> columns = {"the estimates table": ("estimate", "roi"), "participants.tsv": ("age",)}
    >>> parse_formula("estimate ~ roi * center(age)", columns, ("estimate",)).names
    ('roi', 'age')
    """
    from formulaic import Formula
    from formulaic.errors import FormulaicError

    text = " ".join(text.split())
    if len(text) > _LONGEST:
        raise UsageError(f"Model formula: longer than {_LONGEST} characters.")
    for sign in "{}|\\":
        if sign in text:
            _refuse(text, sign)
    try:
        left, right = _sides(text)
        _check_columns(text, (left, *right), tables)
        terms = Formula(text).rhs
    except FormulaicError as error:
        said = str(error).partition("\n")[0]
        raise UsageError(f"Model formula {text!r}: cannot be read. {said}") from error
    if left not in responses:
        raise UsageError(
            f"Model formula {text!r}: {left} is not allowed on the left side; expected one of "
            f"{', '.join(responses)}."
        )
    if left in right:
        raise UsageError(f"Model formula {text!r}: {left} is on both sides.")
    if not list(terms):
        raise UsageError(
            f"Model formula {text!r}: the right side is empty. Add a term, such as 'estimate ~ 1'."
        )
    return ModelFormula(text, left, tuple(dict.fromkeys(right)), terms)


def _check_columns(text: str, names: Sequence[str], tables: Mapping[str, Sequence[str]]) -> None:
    known = {name for columns in tables.values() for name in columns}
    there = "; ".join(
        f"{table} has {', '.join(columns) or 'none, or is not there'}"
        for table, columns in tables.items()
    )
    for name in names:
        if name not in known:
            raise UsageError(f"Model formula {text!r}: there is no column {name}; {there}.")


def _sides(text: str) -> tuple[str, list[str]]:
    """Check every token of a formula; return the left column and the names on the right side."""
    from formulaic.parser.algos.tokenize import tokenize

    tokens = [(token.kind.value, token.token) for token in tokenize(text)]
    tildes = [i for i, (kind, part) in enumerate(tokens) if kind == "operator" and "~" in part]
    if tildes != [1] or tokens[0][0] != "name" or len(tokens) < 3:
        raise UsageError(
            f"Model formula {text!r}: expected a column, ~, and terms, such as "
            "'estimate ~ age + group'."
        )
    names: list[str] = []
    powers = [str(number) for number in range(_LARGEST_POWER + 1)]
    is_power = any(kind == "operator" and ("**" in part or "^" in part) for kind, part in tokens)
    for kind, part in tokens[1:]:
        is_plain = {
            "operator": part == "in" or set(part) <= _OPERATORS,
            "context": part in "()",
            "value": part in powers or not (is_power or part == "."),  # powers multiply terms
        }
        if kind == "name":
            names.append(part)
        elif kind == "python":
            names += _names_in_call(part, text)
        elif not is_plain[kind]:
            _refuse(text, part)
    return tokens[0][1], names


def _names_in_call(expression: str, text: str) -> list[str]:
    """Check a call in a formula as Python code; return the columns it names."""
    if "`" in expression and ("'" in expression or '"' in expression):
        _refuse(text, f"{expression} (backticks and quotes in one call)")
    aliases: dict[str, str] = {}

    def alias(match: re.Match[str]) -> str:
        name = f"_column{len(aliases)}_"
        aliases[name] = match[1]
        return f" {name} "

    try:
        tree = ast.parse(re.sub("`([^`]+)`", alias, expression).strip(), mode="eval")
    except (SyntaxError, ValueError) as error:
        raise UsageError(f"Model formula {text!r}: {expression} cannot be read.") from error
    nodes = list(ast.walk(tree.body))
    for node in nodes:
        _check_node(node, text)
    functions = _function_names(tree)
    names = [n for n in nodes if isinstance(n, ast.Name) and n not in functions]
    names.sort(key=lambda name: (name.lineno, name.col_offset))
    return [aliases.get(name.id, name.id) for name in names]


def _function_names(tree: ast.AST) -> list[ast.expr]:
    """List the names in an expression that are of functions, and not of columns."""
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [*calls, *(node.value for node in ast.walk(tree) if isinstance(node, ast.Attribute))]


def _check_node(node: ast.AST, text: str) -> None:
    """Refuse a part of an expression that is not known to be harmless."""
    match node:
        case ast.Call():
            _check_function(node, text)
        case ast.BinOp(op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div() | ast.Pow()):
            _check_calculation(node, text)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
            _check_calculation(node, text)
        case ast.Constant(value=bool() | int() | float() | str() | None):
            pass
        case _ if not isinstance(node, _HARMLESS) and not _is_coding(node):
            _refuse(text, ast.unparse(node))


def _check_function(call: ast.Call, text: str) -> None:
    """Refuse a call of anything but a transform or a coding, or one of too many results."""
    name = call.func.id if isinstance(call.func, ast.Name) else ""
    options = [keyword.arg or "" for keyword in call.keywords]
    is_known = name in TRANSFORMS or _is_coding(call.func)
    if not is_known or any(option[:1] in ("", "_") for option in options):
        _refuse(text, ast.unparse(call))
    sizes = [*call.args[1:], *(k.value for k in call.keywords if k.arg in _SIZES)]
    if name in _BASES and any(map(_is_too_large, sizes)):
        _refuse(text, f"{ast.unparse(call)} (more than {_MOST_BASES})")


def _check_calculation(node: ast.BinOp | ast.UnaryOp, text: str) -> None:
    """Refuse large powers, and texts and lists, which Python multiplies."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        power = node.right.value if isinstance(node.right, ast.Constant) else None
        is_small = isinstance(power, int | float) and abs(power) <= 10
        if not is_small or not any(isinstance(part, ast.Name) for part in ast.walk(node.left)):
            _refuse(text, ast.unparse(node))
    for part in ast.iter_child_nodes(node):
        if isinstance(part, ast.List | ast.Tuple) or (
            isinstance(part, ast.Constant) and type(part.value) not in (int, float)
        ):
            _refuse(text, ast.unparse(part))


def _is_coding(node: ast.AST) -> bool:
    match node:
        case ast.Attribute(value=ast.Name(id="contr"), attr=name):
            return name in CODINGS
    return False


def _is_too_large(size: ast.expr) -> bool:
    """Return whether a basis may have so many functions that it does not fit into memory."""
    if isinstance(size, ast.Constant):
        return isinstance(size.value, int | float) and size.value > _MOST_BASES
    return not isinstance(size, ast.List | ast.Tuple)


def _refuse(text: str, what: str) -> NoReturn:
    intercepts = (
        " Remove (1|participant_id): the model always has a random intercept of each participant "
        "with several estimates."
    )
    raise UsageError(
        f"Model formula {text!r}: {what} is not allowed. A formula may hold names of columns "
        "(in backticks if they are not plain words), numbers, ~ + - * / : ** %in% ( ), and "
        f"calls of {', '.join(TRANSFORMS)} on columns, with contr.{', contr.'.join(CODINGS)} to "
        f"code categories.{intercepts if '|' in text else ''}"
    )


def make_design(formula: ModelFormula, data: "pd.DataFrame", categorical: Sequence[str]) -> Design:
    """Build the design of a formula.

    Categories have treatment coding: the reference is the first level of a column, others are
    compared with it. For omnibus tests the design is built again with sum-to-zero coding of those
    categories whose coding the formula does not set. Both designs span the same space, so that
    the coefficients of the second are combinations of those of the first; these combinations are
    what is tested. A main effect is then one over all levels of what it interacts with, not at
    their reference (type III tests, as in SAS or in ``car::Anova``).

    Parameters
    ----------
    data : DataFrame
        With the columns that the formula names, none of them n/a.
    categorical
        Those of them that hold categories.

    Raises
    ------
    UsageError
        If a transform cannot be applied to these data.
    """
    from formulaic.parser.types import Factor, Term

    for factor in dict.fromkeys(factor for term in formula.terms for factor in term.factors):
        _check_arguments(formula, factor, categorical)
    aliases = _aliases(data)
    terms = [
        Term([_with_aliases(factor, aliases) for factor in term.factors]) for term in formula.terms
    ]
    coded = _materialize(formula, terms, data, aliases)
    matrix = coded.to_numpy(dtype=np.float64)
    term_of = tuple(
        str(term)
        for term, where in zip(formula.terms, coded.model_spec.term_indices.values(), strict=True)
        for _ in where
    )
    factors = {
        spelled: Factor(f"C({alias}, contr.sum)", eval_method="python")
        for name, alias in aliases.items()
        for spelled in ((alias,) if name in categorical else ()) + (f"C({alias})",)
    }
    summed_terms = [Term([factors.get(f.expr, f) for f in term.factors]) for term in terms]
    columns = tuple(_without_aliases(str(name), aliases) for name in coded.columns)
    del coded  # as large as the matrix
    summed = _materialize(formula, summed_terms, data, aliases)
    relation = _relation(summed.to_numpy(dtype=np.float64), matrix)
    omnibus = {
        str(term): relation[where]
        for term, where in zip(formula.terms, summed.model_spec.term_indices.values(), strict=True)
        if where and str(term) != "1"
    }
    return Design(matrix, columns, term_of, omnibus)


def _relation(one: Array, other: Array) -> Array:
    """Find the combinations of the columns of one design that are the columns of another.

    Rows are taken a part at a time, so that no copy of all of them is made.
    """
    width = one.shape[1]
    triangle = np.empty((0, width + other.shape[1]))
    for start in range(0, len(one), _ROWS):
        here = slice(start, start + _ROWS)
        rows = np.vstack([triangle, np.column_stack([one[here], other[here]])])
        triangle = np.asarray(np.linalg.qr(rows, mode="r"))
    relation: Array = np.linalg.lstsq(triangle[:, :width], triangle[:, width:], rcond=None)[0]
    return relation


def _check_arguments(formula: ModelFormula, factor: "Factor", categorical: Sequence[str]) -> None:
    """Refuse functions of numbers that are given categories."""
    if factor.eval_method.value != "python":
        return
    aliases = {name: f"_column{i}_" for i, name in enumerate(categorical)}
    names = {alias: name for name, alias in aliases.items()} | {name: name for name in categorical}
    text = re.sub("`([^`]+)`", lambda match: aliases.get(match[1], match[0]), factor.expr)
    for call in ast.walk(ast.parse(text.strip(), mode="eval")):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id != "C":
            functions = _function_names(call)
            given = [n for n in ast.walk(call) if isinstance(n, ast.Name) and n not in functions]
            for name in (names[node.id] for node in given if node.id in names):
                raise UsageError(
                    f"Model formula {formula.text!r}: {call.func.id} needs numbers, but {name} is "
                    f"used as categories. Write {name} alone, or C({name})."
                )


def _aliases(data: "pd.DataFrame") -> dict[str, str]:
    """Return columns names under which formulaic evaluates them.

    It looks names of functions up among the columns first: one called ``C`` or ``center`` would
    take the place of the function. Aliases are longer than all that could be taken for one.
    """
    texts = [str(level) for values in data.to_numpy(dtype=object).T for level in set(values)]
    longest = max(map(len, [*data.columns, *texts]), default=0)
    return {name: f"_{'x' * longest}{i}_" for i, name in enumerate(data.columns)}


def _with_aliases(factor: "Factor", aliases: Mapping[str, str]) -> "Factor":
    """Write a part of a term with the aliases of its columns; functions keep their names."""
    from formulaic.parser.types import Factor

    if factor.eval_method.value == "lookup":
        return Factor(aliases[factor.expr], eval_method="lookup")
    if factor.eval_method.value != "python":
        return factor
    quoted = re.sub("`([^`]+)`", lambda match: f" {aliases[match[1]]} ", factor.expr)
    tree = ast.parse(quoted.strip(), mode="eval")
    functions = _function_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node not in functions:
            node.id = aliases.get(node.id, node.id)
    return Factor(ast.unparse(tree), eval_method="python")


def _without_aliases(text: str, aliases: Mapping[str, str]) -> str:
    for name, alias in aliases.items():
        is_quoted = f"({alias}" in text and not name.isidentifier()
        text = text.replace(alias, f"`{name}`" if is_quoted else name)
    return text


def _materialize(
    formula: ModelFormula, terms: "Sequence[Term]", data: "pd.DataFrame", aliases: Mapping[str, str]
) -> Any:
    """Let formulaic evaluate terms; what it would only warn of is an error."""
    import warnings

    from formulaic import Formula
    from formulaic.errors import DataMismatchWarning, FormulaicError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", RuntimeWarning)
            warnings.simplefilter("error", DataMismatchWarning)
            matrix = Formula(list(terms), _ordering="none").get_model_matrix(
                data.rename(columns=aliases), context={}, na_action="raise", output="pandas"
            )
        if not np.isfinite(matrix.to_numpy(dtype=np.float64)).all():
            raise ValueError("a value is not finite")
    except (
        *(FormulaicError, RuntimeWarning, DataMismatchWarning, ArithmeticError),
        *(AttributeError, LookupError, TypeError, ValueError, RuntimeError),
    ) as error:
        said = _without_aliases(str(error).partition("\n")[0], aliases)
        raise UsageError(
            f"Model formula {formula.text!r}: cannot be applied to the data. {said}"
        ) from error
    return matrix
