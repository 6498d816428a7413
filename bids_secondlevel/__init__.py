"""Individual regions of interest and group statistics from first-level maps and retinotopy.

A BIDS App: it intersects a retinotopic region of each participant with what a functional
localizer activates, reads first-level contrast estimates inside these regions, and tests
them across participants.

To read the code, start with :mod:`bids_secondlevel.participant`: the whole analysis of one
participant on a page; :mod:`~bids_secondlevel.jobs` runs it for many. Then
:mod:`~bids_secondlevel.rois` (how a region is defined), :mod:`~bids_secondlevel.measures` (how it
is measured, and every column of the table), :mod:`~bids_secondlevel.group` and
:mod:`~bids_secondlevel.stats`. Files are found in :mod:`~bids_secondlevel.discovery`, chosen in
:mod:`~bids_secondlevel.planning` and :mod:`~bids_secondlevel.selection`, read in
:mod:`~bids_secondlevel.surfaces` and written in :mod:`~bids_secondlevel.derivatives`. Options live
in :mod:`~bids_secondlevel.settings`.
"""

__version__ = "0.1.0"
