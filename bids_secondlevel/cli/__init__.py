"""The command: options, configuration, many participants, exit codes."""
