"""Write the parts of the documentation that follow from the program: ``python docs/generated.py``.

A page asks for a part by a line of its own, such as ``<!-- generated: options -->`` or
``<!-- generated: messages inputs.datasets inputs.index -->``. The part follows, up to the line
``<!-- end -->``, so that the page can be read as it is.
"""

import argparse
import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from itertools import product
from pathlib import Path

import bids_secondlevel
from bids_secondlevel.cli.parser import build_parser
from bids_secondlevel.core import errors
from bids_secondlevel.core.rows import Schema
from bids_secondlevel.core.values import STATUSES
from bids_secondlevel.reports.methods import REFERENCES, reference_list
from bids_secondlevel.rois.estimates import ESTIMATE_COLUMNS
from bids_secondlevel.rois.quality import OVERLAP_COLUMNS, QUALITY_COLUMNS
from bids_secondlevel.rois.runs import RUN_COLUMNS
from bids_secondlevel.rois.sweep import SWEEP_COLUMNS
from bids_secondlevel.rois.visual_field import VISUAL_FIELD_COLUMNS
from bids_secondlevel.stats.anova import ANOVA_COLUMNS
from bids_secondlevel.stats.comparisons import COMPARISON_COLUMNS
from bids_secondlevel.stats.models.table import MODEL_COLUMNS
from bids_secondlevel.stats.planned import PLANNED_COLUMNS, PLANNED_ESTIMATE_COLUMNS
from bids_secondlevel.stats.readiness import PARTICIPANT_COLUMNS
from bids_secondlevel.stats.reliability import RELIABILITY_COLUMNS
from bids_secondlevel.stats.roi_shares import GROUP_QUALITY_COLUMNS
from bids_secondlevel.stats.testing.one_sample import STATISTIC_COLUMNS
from bids_secondlevel.stats.vertices import MAP_COLUMNS
from bids_secondlevel.stats.visual_field import FIELD_TEST_COLUMNS

PACKAGE = Path(bids_secondlevel.__file__).parent

TABLES = {
    "`*_desc-roi_estimates.tsv` and `group_estimates.tsv`": ESTIMATE_COLUMNS,
    "`*_desc-runs_estimates.tsv`": RUN_COLUMNS,
    "`*_desc-sweep_estimates.tsv` and `group_sweep.tsv`": SWEEP_COLUMNS,
    "`*_desc-roi_quality.tsv`": QUALITY_COLUMNS,
    "`group_quality.tsv`": GROUP_QUALITY_COLUMNS,
    "`*_desc-roi_overlap.tsv`": OVERLAP_COLUMNS,
    "`group_participants.tsv`": PARTICIPANT_COLUMNS,
    "`*_desc-visualfield_estimates.tsv`": VISUAL_FIELD_COLUMNS,
    "`group_statistics.tsv`": STATISTIC_COLUMNS,
    "`group_comparisons.tsv`": COMPARISON_COLUMNS,
    "`group_planned.tsv`": PLANNED_COLUMNS,
    "`group_plannedestimates.tsv`": PLANNED_ESTIMATE_COLUMNS,
    "`group_anova.tsv`": ANOVA_COLUMNS,
    "`group_model.tsv`": MODEL_COLUMNS,
    "`group_reliability.tsv`": RELIABILITY_COLUMNS,
    "`group_visualfield.tsv`": FIELD_TEST_COLUMNS,
    "`group_maps.tsv`": MAP_COLUMNS,
}

_PART = re.compile(
    r"^(<!-- generated: (\w+) ?(.*) -->)\n(?:\n(?:(?!<!-- ).*\n)*<!-- end -->\n)?", re.MULTILINE
)


def fill(text: str) -> str:
    """Put what a page asks for behind its markers, in the place of what was there."""
    return _PART.sub(lambda p: f"{p[1]}\n\n{PARTS[p[2]](p[3].split())}\n\n<!-- end -->\n", text)


def options(_: list[str]) -> str:
    """Describe every option of the command line, under the headings of ``--help``."""
    parser = build_parser()
    text = []
    for title, actions in option_groups(parser).items():
        lines = [_option(parser, action) for action in actions]
        text += [f"## {title[0].upper()}{title[1:]}", "\n".join(lines)]
    return "\n\n".join(text)


def option_groups(parser: argparse.ArgumentParser) -> dict[str, list[argparse.Action]]:
    """List the options of a parser by the headings under which ``--help`` has them."""
    groups = {
        str(group.title): list(group._group_actions)  # noqa: SLF001 argparse has no public list
        for group in parser._action_groups  # noqa: SLF001
    }
    groups["other"] = groups.pop("options")
    return {title: actions for title, actions in groups.items() if actions}


def _option(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    names = ", ".join(f"`{name}`" for name in action.option_strings)
    metavar = action.metavar or (action.choices and f"{{{','.join(map(str, action.choices))}}}")
    if action.nargs == 0 or not metavar:
        value = ""
    elif isinstance(metavar, tuple):
        value = " ".join(metavar)
    else:
        value = f"{metavar} ..." if action.nargs == "+" else str(metavar)
        value = f"[{value}]" if action.nargs == "?" else value
    said = (action.help or "") % {**vars(action), "prog": parser.prog}
    if action.option_strings and action.dest not in ("help", "version", "config"):
        said += f". In a `--config` file: {_toml(action)}"
    name = f"{names} `{value}`" if value and names else names or f"`{value}`"
    return f"- {name}: {_escaped(said)}."


def _toml(action: argparse.Action) -> str:
    kind = {int: "a whole number", float: "a number"}.get(action.type, "a string")  # type: ignore[arg-type]
    if action.dest == "verbose":
        return "a whole number"
    if action.nargs == 0:
        return "`true`"
    if action.nargs in (None, "?"):
        return kind
    return f"a list of {kind.removeprefix('a ').removeprefix('whole ')}s"


def columns(_: list[str]) -> str:
    """Describe every column of every table, as the JSON files beside the tables do."""
    return "\n\n".join(f"## {name}\n\n{_columns(schema)}" for name, schema in TABLES.items())


def _columns(schema: Schema) -> str:
    lines = ["| column | description | unit |", "|---|---|---|"]
    for name, column in schema.items():
        said = _escaped(column.description)
        levels = column.levels or {}
        if levels == STATUSES:
            said += "; see [every status](#every-status)"
        elif levels:
            said += ": " + "; ".join(f"`{level}`: {_escaped(v)}" for level, v in levels.items())
        lines.append(f"| `{name}` | {said} | {column.units} |")
    return "\n".join(lines)


def statuses(_: list[str]) -> str:
    """List every status, from the mildest to the one that wins over others."""
    lines = ["| status | meaning |", "|---|---|"]
    return "\n".join([*lines, *(f"| `{name}` | {said} |" for name, said in STATUSES.items())])


def references(_: list[str]) -> str:
    """List what the methods texts of the program cite."""
    return "\n".join(f"- {line}" for line in reference_list(REFERENCES))


def messages(modules: list[str]) -> str:
    """List the messages of errors and warnings that some modules of the package can give."""
    found = dict.fromkeys(line for name in modules for line in messages_of(name))
    if not found:
        raise ValueError(f"{', '.join(modules)}: no message there")
    return "\n".join(f"- {_code(message)} ({kind})" for message, kind in found)


PARTS: dict[str, Callable[[list[str]], str]] = {
    "options": options,
    "columns": columns,
    "statuses": statuses,
    "references": references,
    "messages": messages,
}


def messages_of(module: str) -> Iterator[tuple[str, str]]:
    """Find the messages in the source of a module, each with what it comes with.

    What is filled in when the program runs is shown as an ellipsis.
    """
    tree = _tree(PACKAGE / f"{module.replace('.', '/')}.py")
    for node in ast.walk(tree):
        match node:  # what the declaration of an option says of its values
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Call(keywords=given)):
                for said in (g.value for g in given if g.arg == "expected"):
                    (expected,) = _texts(said, tree)
                    key = name.replace("_", "-")
                    is_option = module in ("core.settings", "core.roi_rule")  # others: of entries
                    said_of = f"--{key}: … given" if is_option else f"…: {key} = …"
                    message = f"{said_of}; expected {expected}."
                    yield message, f"exit code {errors.UsageError.exit_code}"
    calls = ((n, scope) for scope in tree.body for n in ast.walk(scope) if isinstance(n, ast.Call))
    for call, scope in calls:
        kind = _kind(call)
        if kind is None or not call.args:
            continue
        said = call.args[-1] if _is_refusal(call) else call.args[0]
        for message in _texts(said, scope):
            text = re.sub(r"%[sd]", "…", message)
            if re.search(r"[A-Za-z]{3}.*[A-Za-z]{3}", text):
                yield " ".join(text.split()), kind


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _kind(call: ast.Call) -> str | None:
    """Say what comes with the message of a call: an exit code, or that it is only told."""
    if isinstance(call.func, ast.Name):
        error = vars(errors).get(call.func.id)
        if isinstance(error, type):
            return f"exit code {error.exit_code}"
        return f"exit code {errors.UsageError.exit_code}" if _is_refusal(call) else None
    is_told = (
        isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id == "LOG"
    )
    return call.func.attr if is_told and call.func.attr in ("warning", "error") else None


def _is_refusal(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id == "_refuse"


def _texts(said: ast.expr, scope: ast.AST) -> list[str]:
    """Read an expression as texts, one for each alternative."""
    match said:
        case ast.Constant(value=str(text)):
            texts = [text]
        case ast.JoinedStr(values=parts):
            texts = ["".join(p) for p in product(*(_texts(part, scope) for part in parts))]
        case ast.BinOp(left=left, right=right):
            texts = [a + b for a, b in product(_texts(left, scope), _texts(right, scope))]
        case ast.IfExp(body=body, orelse=orelse):
            texts = [*_texts(body, scope), *_texts(orelse, scope)]
        case ast.FormattedValue(value=ast.IfExp() as chosen):
            texts = _texts(chosen, scope)
        case ast.Name(id=name):
            texts = _assigned(name, scope) or ["…"]
        case ast.Call(func=ast.Name(id=name)):
            texts = _returned(name) or ["…"]
        case _:
            texts = ["…"]
    return texts


def _assigned(name: str, scope: ast.AST) -> list[str]:
    """Find the texts that a part of a module gives to a variable."""
    return [
        text
        for node in ast.walk(scope)
        if isinstance(node, ast.Assign | ast.AugAssign)
        and any(
            isinstance(target, ast.Name) and target.id == name
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        )
        and isinstance(node.value, ast.Constant | ast.JoinedStr | ast.BinOp | ast.IfExp)
        for text in _texts(node.value, scope)
    ]


def _returned(name: str) -> list[str]:
    """Find the texts that a function of the package returns."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.FunctionDef) and node.name == name:
                returns = (n.value for n in ast.walk(node) if isinstance(n, ast.Return) and n.value)
                return [text for value in returns for text in _texts(value, node)]
    return []


def _code(text: str) -> str:
    """Set a text in code, whatever backticks are in it."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def _escaped(text: str) -> str:
    """Keep Markdown from reading more into a sentence of the program than there is."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(
        p if p.startswith("`") else re.sub(r"([\\*_\[\]|<>$~^])", r"\\\1", p) for p in parts
    )


if __name__ == "__main__":
    for page in Path(__file__).parent.rglob("*.md"):
        page.write_text(fill(page.read_text(encoding="utf-8")), encoding="utf-8")
