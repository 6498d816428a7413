"""Write fitted models as plain text."""

from collections.abc import Iterable, Sequence

from bids_secondlevel.model_rows import FITS, ModelRow

_CELL = ("session", "task", "contrast", "roi", "hemi", "space", "statistic")


def summarize_fits(rows: Iterable[ModelRow]) -> str:
    """Write all fits, one after the other, as people read them."""
    fits: dict[tuple[object, ...], list[ModelRow]] = {}
    for row in rows:
        fits.setdefault((row.model, *(getattr(row, name) for name in _CELL)), []).append(row)
    return "\n\n".join(_summarize(of_fit) for of_fit in fits.values()) + "\n"


def _summarize(rows: Sequence[ModelRow]) -> str:
    first = rows[0]
    cell = ", ".join(f"{n} {getattr(first, n)}" for n in _CELL if getattr(first, n) is not None)
    lines = [
        f"Model: {first.model}",
        f"Of:    {cell}",
        f"Fit:   {FITS[first.fit]}",
        f"Data:  {first.n_rows} estimates of {first.n_participants} participants",
    ]
    if first.excluded:
        lines.append(f"Left out: {first.excluded}")
    if first.converged == "no":
        lines.append("NOT CONVERGED")
    if first.note:
        lines.append(f"Note: {first.note}")
    for kinds, header in (
        (("coefficient", "contrast"), ("", "value", "se", "95 % CI", "test", "p")),
        (("term",), ("", "test", "p")),
        (("variance",), ("variance", "value")),
    ):
        table = [_cells(row, header) for row in rows if row.kind in kinds and _has_number(row)]
        if table:
            lines += ["", *_aligned([header, *table])]
    return "\n".join(lines)


def _has_number(row: ModelRow) -> bool:
    return row.value is not None or row.test_statistic is not None


def _cells(row: ModelRow, header: Sequence[str]) -> tuple[str, ...]:
    df = ", ".join(f"{df:g}" for df in (row.df, row.df_residual) if df is not None)
    shown = {
        "value": _number(row.value),
        "se": _number(row.se),
        "95 % CI": f"[{_number(row.ci95_low)}, {_number(row.ci95_high)}]" if row.se else "",
        "test": f"{row.test}{f'({df})' if df else ''} = {_number(row.test_statistic)}",
        "p": _number(row.p),
    }
    return (row.name, *(shown[name] for name in header[1:]))


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.4g}"


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]
