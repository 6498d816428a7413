"""Find the files of a study, and choose the ones that are used."""
