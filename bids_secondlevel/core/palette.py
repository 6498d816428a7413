"""Colours of ROIs: the same in pictures and in label files, and told apart by everybody."""

from collections.abc import Sequence

# Okabe & Ito (2008), "Color Universal Design", without its black and its grey.
_OKABE_ITO = ("#d55e00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#cc79a7", "#e69f00")

MASK_COLOUR = _OKABE_ITO[0]
"""Of a mask in a file of its own."""

OVERLAP_COLOUR = "#000000"
"""Of vertices that belong to several ROIs."""


def roi_colours(names: Sequence[str]) -> dict[str, str]:
    """Give each ROI a colour, by its place.

    Seven colours differ for everybody, whatever their colour vision; further ROIs get paler ones.

    Parameters
    ----------
    names : sequence of str

    Returns
    -------
    dict of str to str
        As ``#rrggbb``.

    References
    ----------
    Okabe & Ito (2008), Color Universal Design: https://jfly.uni-koeln.de/color/

    Examples
    --------
    >>> roi_colours(["UL", "UR"])
    {'UL': '#d55e00', 'UR': '#56b4e9'}
    """
    return {name: _paler(*divmod(place, len(_OKABE_ITO))) for place, name in enumerate(names)}


def components(colour: str) -> tuple[float, float, float]:
    """Take a colour apart: red, green and blue from 0 to 1.

    Examples
    --------
    >>> components("#ff0033")
    (1.0, 0.0, 0.2)
    """
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red / 255, green / 255, blue / 255


def _paler(rounds: int, place: int) -> str:
    """Mix a colour with white, the more the more often the colours have been used."""
    share = 0.7**rounds
    mixed = [round(255 * (1 - share * (1 - part))) for part in components(_OKABE_ITO[place])]
    return f"#{bytes(mixed).hex()}"
