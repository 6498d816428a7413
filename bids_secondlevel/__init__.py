"""Individual regions of interest and group statistics from first-level maps and retinotopy.

A BIDS App: it intersects a retinotopic region of each participant with what a functional
localizer activates, reads first-level contrast estimates inside these regions, and tests
them across participants.

To read the code, start with :mod:`~bids_secondlevel.participant`, the whole analysis of one
participant, and :mod:`~bids_secondlevel.group`, that of the group. Each folder holds one part;
imports go down only::

    cli, demo        the command; a simulated study
    outputs          what leaves for machines: names, tables, masks, provenance
    reports          what leaves for people: pages, charts, pictures
    stats            rows of all participants become tests, comparisons and models
    rois             retinotopy and localizer become regions; maps are measured in them
    inputs           which files are there, and which of them are used
    maps             files become arrays on one surface or grid
    core             the words: errors, settings, the rule of a region, values
"""

__version__ = "0.1.0"

__owner__ = "bidssecondlevel"
"""Account that publishes this: the repository, the image and the documentation are under it."""
