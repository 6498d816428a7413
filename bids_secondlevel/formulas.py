"""Read a model formula, and refuse what is no formula before anything of it is evaluated.

formulaic evaluates what stands in a formula as Python. A formula may come from a form on a
platform, so only names of columns and transformations of them are let through.
"""

import ast
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from bids_secondlevel.errors import UsageError

TRANSFORMATIONS = (
    "C",
    "I",
    "bs",
    "center",
    "cr",
    "exp",
    "log",
    "log10",
    "log2",
    "poly",
    "scale",
    "standardize",
)
"""Functions of formulaic that may be called."""

_CODINGS = ("contr",)
_LARGEST_EXPONENT = 10
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow, ast.USub)


@dataclass(frozen=True)
class Term:
    """A term of the right-hand side: the expressions of its factors, none for the intercept."""

    name: str
    factors: tuple[str, ...]


@dataclass(frozen=True)
class ParsedFormula:
    """A formula that may be evaluated.

    Attributes
    ----------
    text : str
        As given.
    response : str
        Expression on the left side.
    terms : tuple of Term
    names : tuple of str
        Columns named anywhere in it.
    names_of_response : tuple of str
    """

    text: str
    response: str
    terms: tuple[Term, ...]
    names: tuple[str, ...]
    names_of_response: tuple[str, ...]


def parse_formula(text: str) -> ParsedFormula:
    """Parse a formula such as ``estimate ~ roi * contrast + age``. Nothing is evaluated.

    Raises
    ------
    UsageError
        If it is no formula with one response, or holds anything but columns, numbers and
        :data:`TRANSFORMATIONS`.

    Examples
    --------
    >>> formula = parse_formula("estimate ~ roi * age")
    >>> [term.name for term in formula.terms]
    ['1', 'roi', 'age', 'roi:age']
    >>> formula.names
    ('estimate', 'roi', 'age')
    """
    from formulaic import Formula
    from formulaic.errors import FormulaicError

    where = f"--model {text!r}"
    if "|" in text:
        raise UsageError(
            f"{where}: has '|'. Random effects are not written: where a participant has several "
            "estimates, a random intercept of participants is added."
        )
    try:
        formula = Formula(text)
        left, right = list(formula.lhs), list(formula.rhs)
    except (FormulaicError, SyntaxError, ValueError) as error:
        reason = re.sub(r"\x1b\[[0-9;]*m|[⧛⧚]", "", str(error)).split("\n")[0]
        raise UsageError(f"{where}: is no formula ({reason})") from error
    except AttributeError as error:  # formulaic has no left side for a one-sided formula
        raise UsageError(
            f"{where}: says not what is modelled; expected a formula such as 'estimate ~ age'."
        ) from error
    if len(left) != 1 or not right:
        raise UsageError(f"{where}: expected one response and a term, as in 'estimate ~ age'.")
    names: dict[str, None] = {}
    parsed: list[Term] = []
    for term in (*left, *right):
        expressions = tuple(_expression(factor, where, names) for factor in term.factors)
        parsed.append(Term(str(term), tuple(e for e in expressions if e)))
        if len(parsed) == 1:
            names_of_response = tuple(names)
    response = parsed[0]
    if len(response.factors) != 1 or not names_of_response:
        raise UsageError(f"{where}: expected one column left of '~', such as estimate.")
    if "participant_id" in names:
        raise UsageError(
            f"{where}: leave participant_id out; where a participant has several estimates, a "
            "random intercept of participants is added."
        )
    return ParsedFormula(
        text, response.factors[0], tuple(parsed[1:]), tuple(names), names_of_response
    )


def _expression(factor: Any, where: str, names: dict[str, None]) -> str:
    """Check a factor, and collect the columns in it; give it as it stands in a formula."""
    method = factor.eval_method.value
    if method == "lookup":
        names[factor.expr] = None
        return factor.expr if factor.expr.isidentifier() else f"`{factor.expr}`"
    if method == "literal":
        return ""
    text = str(factor.expr)
    quoted: dict[str, str] = {}

    def without_backticks(match: re.Match[str]) -> str:
        placeholder = f"quoted_{len(quoted)}_"
        quoted[placeholder] = match.group(1)
        return placeholder

    try:
        tree = ast.parse(re.sub(r"`([^`]*)`", without_backticks, text), mode="eval")
    except SyntaxError as error:
        raise UsageError(f"{where}: {text!r} cannot be read.") from error
    if not isinstance(tree.body, ast.Call):
        raise _refused(where, text)
    _check(tree.body, where, text, names, quoted)
    return text


def _check(
    node: ast.expr, where: str, text: str, names: dict[str, None], quoted: Mapping[str, str]
) -> None:
    """Let through columns, constants, arithmetic and known transformations; nothing else."""
    children: Collection[ast.expr] = ()
    if isinstance(node, ast.Name):
        names[quoted.get(node.id, node.id)] = None
    elif isinstance(node, ast.Constant) and isinstance(node.value, (int, float, str, bool)):
        pass
    elif isinstance(node, ast.Call) and _is_allowed(node.func):
        children = (*node.args, *(keyword.value for keyword in node.keywords))
    elif isinstance(node, ast.Attribute) and _is_allowed(node):
        pass
    elif isinstance(node, (ast.List, ast.Tuple)):
        children = node.elts
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, _OPERATORS):
        children = (node.operand,)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, _OPERATORS):
        children = (node.left, node.right)
        if isinstance(node.op, ast.Pow) and not _is_small(node.right):
            raise _refused(where, text)
    else:
        raise _refused(where, text)
    for child in children:
        _check(child, where, text, names, quoted)


def _is_allowed(function: ast.expr) -> bool:
    if isinstance(function, ast.Attribute):
        value, name = function.value, function.attr
        is_public = not name.startswith("_")
        return isinstance(value, ast.Name) and value.id in _CODINGS and is_public
    return isinstance(function, ast.Name) and function.id in TRANSFORMATIONS


def _is_small(exponent: ast.expr) -> bool:
    return (
        isinstance(exponent, ast.Constant)
        and isinstance(exponent.value, (int, float))
        and abs(exponent.value) <= _LARGEST_EXPONENT
    )


def _refused(where: str, text: str) -> UsageError:
    return UsageError(
        f"{where}: {text!r} is not allowed; expected columns and transformations of them by "
        f"{', '.join(TRANSFORMATIONS)}, such as center(age), I(age ** 2) or "
        "C(group, contr.sum)."
    )
