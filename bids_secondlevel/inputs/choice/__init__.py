"""Which of the files that were found are used."""
