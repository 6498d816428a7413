"""How the ROIs of a study were defined and measured: for sidecars, and in words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from bids_secondlevel.core.errors import DataError, UsageError
from bids_secondlevel.core.positions import Position
from bids_secondlevel.core.roi_rule import RoiDefinition, RoiRule, SummaryKind
from bids_secondlevel.core.wording import Wording
from bids_secondlevel.core.words import in_words


@dataclass(frozen=True, kw_only=True)
class Definition:
    """How the ROIs of one participant, or of a group, were defined and measured."""

    rois: tuple[RoiDefinition, ...]
    localizer_task: str | None = None
    """``None`` if no ROI needs a localizer."""
    statistic: str = "effect"
    summary: SummaryKind = "mean"
    sources: tuple[str, ...] = ()
    """Sources of the retinotopic maps, such as ``benson14``. A participant has at most one."""
    maps_are: str = "surfaces"
    """``surfaces`` or ``volumes``; in a group with both, the two joined by "and"."""
    resampling: tuple[str, ...] = ()
    """How retinotopy or maps were resampled to the space of the ROIs."""
    spheres: tuple[str, ...] = ()
    """URIs of the registered spheres used for it."""
    combined: tuple[tuple[str, str], ...] = ()
    """How maps of several runs were combined, by localizer and task. For a group, only what is the
    same for all."""
    choices: tuple[str, ...] = ()
    """Choices of the program that affect the results, one sentence each."""
    positions: tuple[Position, ...] = ()
    """From which responses in the visual field were counted, too."""
    relative_to: Mapping[str, str] = field(default_factory=dict)
    """Names of the positions that contrasts have of their own, by contrast."""
    wording: Wording = field(default_factory=Wording)
    """Names of units, ROIs and contrasts on pages. They do not affect the results."""

    @property
    def units(self) -> str:
        """The elements of ROIs: ``vertices`` or ``voxels``."""
        return "voxels" if self.maps_are == "volumes" else "vertices"

    @property
    def labels(self) -> list[str]:
        """Names of the ROIs, and of the localizer contrasts that define them."""
        return [label for roi in self.rois for label in (roi.name, *roi.needed)]

    def decisive(self) -> dict[str, Any]:
        """Return what must be the same in all tables of a group, by the keys of sidecars.

        Returns
        -------
        dict
            ``Rois.NAME`` for each ROI, ``LocalizerTask``, ``Statistic``, ``Summary``, ``Position``
            and ``RelativeTo``.
        """
        return {
            **{f"Rois.{roi.name}": roi.to_sidecar(self.rois) for roi in self.rois},
            **self._measured(),
            "Position": {of.name: str(of) for of in self.positions},
            "RelativeTo": self.relative_to,
        }

    def to_sidecar(self) -> dict[str, Any]:
        """Return the definition as in the sidecars of a participant's tables."""
        described = {
            **self._defined(),
            "RetinotopySource": self.sources[0] if self.sources else None,
            "MapsAre": self.maps_are,
            **self.wording.to_sidecar(),
        }
        if self.resampling:
            described["Resampling"] = list(self.resampling)
        if self.spheres:
            described["RegistrationSpheres"] = list(self.spheres)
        if self.combined:
            described["Combinations"] = dict(self.combined)
        if self.choices:
            described["Choices"] = list(self.choices)
        return described

    def to_group_sidecar(self) -> dict[str, Any]:
        """Return the definition as in the sidecars of the group's tables."""
        return {
            **self._defined(),
            "RetinotopySources": list(self.sources),
            "MapsAre": self.maps_are,
            "Resampling": list(self.resampling),
            "Combinations": dict(self.combined),
            "Choices": list(self.choices),
            **self.wording.to_sidecar(),
        }

    def _defined(self) -> dict[str, Any]:
        defined: dict[str, Any] = {
            "Rois": {r.name: r.to_sidecar(self.rois) for r in self.rois},
            **self._measured(),
        }
        if self.positions:
            defined["Positions"] = {of.name: of.to_sidecar() for of in self.positions}
        if self.relative_to:
            defined["RelativeTo"] = dict(self.relative_to)
        return defined

    def _measured(self) -> dict[str, Any]:
        return {
            "LocalizerTask": self.localizer_task,
            "Statistic": self.statistic,
            "Summary": self.summary,
        }

    @classmethod
    def from_sidecar(cls, sidecar: Mapping[str, Any], where: object) -> "Definition":
        """Read the definition from a sidecar of either level.

        Parameters
        ----------
        where
            The file, for messages.

        Raises
        ------
        DataError
            If the file does not say how ROIs were defined.
        """
        task, source = sidecar.get("LocalizerTask"), sidecar.get("RetinotopySource")
        sources = sidecar.get("RetinotopySources", () if source is None else (source,))
        try:
            return cls(
                rois=tuple(RoiDefinition.from_sidecar(*roi) for roi in sidecar["Rois"].items()),
                localizer_task=None if task is None else _text(task),
                statistic=_text(sidecar["Statistic"]),
                summary=cast("SummaryKind", _text(sidecar["Summary"])),
                sources=tuple(map(_text, sources)),
                maps_are=_text(sidecar.get("MapsAre", "surfaces")),
                resampling=tuple(map(_text, sidecar.get("Resampling", ()))),
                spheres=tuple(map(_text, sidecar.get("RegistrationSpheres", ()))),
                combined=tuple(
                    (_text(what), _text(how))
                    for what, how in sidecar.get("Combinations", {}).items()
                ),
                choices=tuple(map(_text, sidecar.get("Choices", ()))),
                positions=tuple(
                    Position.from_sidecar(*position)
                    for position in sidecar.get("Positions", {}).items()
                ),
                relative_to={
                    _text(contrast): _text(name)
                    for contrast, name in sidecar.get("RelativeTo", {}).items()
                },
                wording=Wording.from_sidecar(sidecar),
            )
        except (AttributeError, LookupError, TypeError, ValueError, UsageError) as error:
            raise DataError(
                f"{where}: does not say how the ROIs were defined. Run the participant level again "
                "to write this file."
            ) from error

    def sentences(self) -> list[str]:
        """Describe each rule of the ROIs once, as in a methods section, then the choices."""
        by_rule: dict[str, list[str]] = {}
        for roi in self.rois:
            by_rule.setdefault(self._rule(roi), []).append(self._named(roi))
        rules = [
            f"The {'ROIs' if len(rois) > 1 else 'ROI'} {in_words(rois)} "
            f"{'consist' if len(rois) > 1 else 'consists'} of the {self.units} {rule}."
            for rule, rois in by_rule.items()
        ]
        return [*rules, *self.choices]

    def _named(self, roi: RoiDefinition) -> str:
        """Name an ROI, with the contrasts that define it if they are not in its name."""
        name = self.wording.name(roi.name)
        if (roi.contrasts == (roi.name,) and not roi.exclude) or not roi.contrasts:
            return name
        contrasts, excluded = (
            list(map(self.wording.name, of)) for of in (roi.contrasts, roi.exclude)
        )
        defining = in_words(contrasts, "or" if roi.combine == "any" else "and")
        without = f", but not {in_words(excluded, 'or')}" if excluded else ""
        return f"{name} ({defining}{without})"

    def _rule(self, roi: RoiDefinition) -> str:
        rule, has, that = roi.rule, [], []
        text = f"in {in_words(rule.visual_areas, 'or')}"
        if rule.limits is None:
            text += " at any eccentricity"
        else:
            low, high = rule.limits
            has.append(f"an eccentricity above {low:g} and below {high:g} degrees of visual angle")
        if rule.polar_angle is not None:
            first, second = rule.polar_angle
            has.append(
                f"a polar angle between {first:g} and {second:g} degrees clockwise from the upper "
                "vertical meridian"
            )
        if rule.min_variance_explained is not None:
            has.append(f"more than {rule.min_variance_explained:g} of the variance explained")
        if roi.contrasts:
            threshold = threshold_in_words(rule, self.units)
            that.append(
                "are activated by the localizer contrast in task "
                f"{self.localizer_task} ({threshold})"
            )
        if rule.exclusive:
            that.append("belong to no other ROI")
        text += f" with {in_words(has)}" if has else ""
        text += f" that {in_words(that)}" if that else ""
        if rule.min_vertices > 1:
            text += f"; ROIs of fewer than {rule.min_vertices} {self.units} were not measured"
        return text


def threshold_in_words(rule: RoiRule, units: str = "vertices") -> str:
    """Describe which z values count as activation.

    Parameters
    ----------
    units
        What ROIs consist of; see :attr:`Definition.units`.

    Examples
    --------
    >>> threshold_in_words(RoiRule(tail="two-sided"))
    '|z| > 1.96'
    """
    value = rule.localizer_threshold
    tail = {"greater": "largest z", "less": "smallest z", "two-sided": "largest |z|"}[rule.tail]
    if rule.threshold_kind == "z":
        z = {"greater": f"z > {value:g}", "less": f"z < -{value:g}"}
        return z.get(rule.tail, f"|z| > {value:g}")
    return {
        "top-n": f"the {value:g} {units} with the {tail} in each hemisphere",
        "top-percent": f"the {value:g} % of {units} with the {tail} in each hemisphere",
        "fdr": f"false discovery rate below {value:g} in each hemisphere, {tail}",
    }[rule.threshold_kind]


def retinotopic_part_in_words(rule: RoiRule) -> str:
    """Describe the retinotopic part of a rule, for the legend of a picture.

    Examples
    --------
    >>> retinotopic_part_in_words(RoiRule(visual_areas=("V1", "V2"), polar_angle=(-90, 0)))
    'V1, V2 from 0 to 5 degrees, polar angle -90 to 0 degrees'
    """
    text = ", ".join(rule.visual_areas)
    if rule.limits is not None:
        low, high = rule.limits
        text += f" from {low:g} to {high:g} degrees"
    if rule.polar_angle is not None:
        first, second = rule.polar_angle
        text += f", polar angle {first:g} to {second:g} degrees"
    if rule.min_variance_explained is not None:
        text += f", variance explained above {rule.min_variance_explained:g}"
    return text


def in_a_line(roi: RoiDefinition) -> str:
    """Describe a definition in one line, for a terminal.

    Examples
    --------
    >>> in_a_line(RoiDefinition("UL", ("UL", "UR"), combine="any", exclude=("LL",)))
    'V1, 0 < eccentricity < 5; UL or UR without LL: z, 1.96, greater'
    """
    rule = roi.rule
    parts = ["+".join(rule.visual_areas)]
    if rule.limits is not None:
        low, high = rule.limits
        parts[0] += f", {low:g} < eccentricity < {high:g}"
    if rule.polar_angle is not None:
        parts.append(f"polar angle from {rule.polar_angle[0]:g} to {rule.polar_angle[1]:g}")
    if rule.min_variance_explained is not None:
        parts.append(f"variance explained > {rule.min_variance_explained:g}")
    if roi.contrasts:
        joined = (" and " if roi.combine == "all" else " or ").join(roi.contrasts)
        without = f" without {', '.join(roi.exclude)}" if roi.exclude else ""
        kind = "z" if rule.threshold_kind == "z" else f"{rule.threshold_kind} of z"
        parts.append(f"{joined}{without}: {kind}, {rule.localizer_threshold:g}, {rule.tail}")
    return "; ".join(parts)


def _text(value: object) -> str:
    """Return a value of a sidecar, which must be a text.

    Raises
    ------
    TypeError
        If it is something else.
    """
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value
