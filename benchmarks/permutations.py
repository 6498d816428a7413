"""Sign-flip tests at the size of a large study: time, peak memory, and ratios.

Run with ``python benchmarks/permutations.py``. Compared are this program, nilearn's
``permuted_ols`` (sign flips of an intercept, corrected by the largest t), and a loop over flips
with scipy's t as one would write it in a notebook; the loop does a hundredth of the flips, and
its time is multiplied. Each runs in a process of its own, so that peak memory is its own.
"""

import argparse
import resource
import subprocess
import sys
import time

import numpy as np

LOOP_SHARE = 100


def ours(values, n_flips):
    from bids_secondlevel.stats.testing.permutation import sign_flip_tests

    sign_flip_tests(values, np.ones(values.shape[1], dtype=bool), n_flips)


def nilearn(values, n_flips):
    from nilearn.mass_univariate import permuted_ols

    constant = np.ones((len(values), 1))
    permuted_ols(constant, values, model_intercept=False, n_perm=n_flips, verbose=0)


def loop(values, n_flips):
    from scipy import stats

    random = np.random.default_rng(0)
    for _ in range(n_flips // LOOP_SHARE):
        flip = random.choice([-1, 1], (len(values), 1))
        np.abs(stats.ttest_1samp(values * flip, 0).statistic).max()


METHODS = {"ours": ours, "nilearn": nilearn, "loop": loop}


def measure(method, n_participants, n_tests, n_flips):
    values = np.random.default_rng(0).normal(size=(n_participants, n_tests))
    METHODS[method](values[:20], LOOP_SHARE)  # imports are not what is compared
    start = time.perf_counter()
    METHODS[method](values, n_flips)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(seconds * (LOOP_SHARE if method == "loop" else 1), peak)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--participants", type=int, default=2000)
    parser.add_argument("--tests", type=int, default=200)
    parser.add_argument("--flips", type=int, default=10_000)
    parser.add_argument("--method", choices=METHODS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    size = (given.participants, given.tests, given.flips)
    if given.method:
        measure(given.method, *size)
        return
    print("{} participants, {} tests, {} flips\n".format(*size))
    print("| | seconds | times ours | peak memory (MiB) |\n|---|---|---|---|")
    arguments = [
        f"--{n}={v}" for n, v in zip(("participants", "tests", "flips"), size, strict=True)
    ]
    fastest = None
    for method in METHODS:
        command = [sys.executable, __file__, "--method", method, *arguments]
        finished = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds, peak = map(float, finished.stdout.split())
        fastest = fastest or seconds
        print(f"| {method} | {seconds:.2f} | {seconds / fastest:.1f} | {peak:.0f} |")


if __name__ == "__main__":
    main()
