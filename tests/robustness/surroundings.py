"""Run the installed command as other users and elsewhere, as far as this machine can."""

import os
import shutil
import subprocess
from functools import cache

from study import COMMAND


@cache
def works(*prefix):
    """Tell whether the command runs behind a prefix."""
    if not shutil.which(prefix[0]):
        return False
    tried = subprocess.run(
        [*prefix, "sh", "-c", f"'{COMMAND}' --version"], capture_output=True, check=False
    )
    return tried.returncode == 0


def as_user(number):
    """Say how to run as a user without rights; nothing where that is so already, else ``None``.

    Where Python lies in a folder of root, the user is let read it, but write nothing more.
    """
    if os.geteuid() != 0:
        return ()
    plain = ("setpriv", f"--reuid={number}", f"--regid={number}", "--clear-groups")
    reading = (*plain, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    return next((prefix for prefix in (reading, plain) if works(*prefix)), None)


def namespace(*kinds):
    """Say how to run in namespaces of one's own, as root in them; ``None`` if that cannot be."""
    options = tuple(f"--{kind}" for kind in kinds)
    candidates = (("unshare", *options), ("unshare", "--user", "--map-root-user", *options))
    return next((prefix for prefix in candidates if works(*prefix)), None)


def run_with(prefix, *arguments, environment=None, **options):
    """Run the command behind a prefix; variables whose value is ``None`` are taken away."""
    changed = {**os.environ, **(environment or {})}
    return subprocess.run(
        [*(prefix or ()), COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={name: value for name, value in changed.items() if value is not None},
        **options,
    )
