r"""The run with a bug of chapter 10: a script that compares samples with pictures.

The check hands in pictures of which every choice gives another distance, so that a distance
says which were chosen, and sets of which all are chosen, so that both numbers are known.
"""

import math
from itertools import combinations_with_replacement

import torch

from .bugs import Fault, independent, naming
from .ch08 import asked_about
from .ch10 import ASKED
from .exercise import (
    apart,
    between,
    exercise,
    expect,
    near,
    normal,
    number,
    several,
    uneven,
    uniform,
    whole,
)

# What `otherwise` says was measured: figures/bugs_evaluation.py, bugs_evaluation.json.
FAULTS = (
    Fault(
        "first_n",
        "takes the first $n$ pictures of a set, in the order in which they come",
        unexplained="that no seed changes a number (+- 0.000), and that for n = 100 the "
        "same digits are at no distance from themselves",
    ),
    Fault(
        "diagonal_kept",
        "pairs each picture with itself, too, in the means within a set",
        unexplained="that KID of 359 digits and the same digits is 0.000, where a picture "
        "meets itself in the pairs across, and the sound script says -0.053",
    ),
    Fault(
        "all_of_them",
        "takes all pictures of both sets, whatever $n$ is",
        "would give the same number for each n; here those of the samples fall with n",
    ),
    Fault(
        "cross_once",
        "counts the mean over pairs of a generated and a real picture once",
        "would leave a large KID between digits and the same digits; here it is 0.000",
    ),
    Fault(
        "kernel_not_divided",
        "leaves out the division by the number of features in the kernel",
        "would make KIDs, and their scatter, a hundred times as large and more; here they "
        "are of the size of 1",
    ),
    Fault(
        "no_means",
        "leaves out the distance of the means",
        "would make distances smaller than they are; here those of samples are far larger",
    ),
    Fault(
        "not_squared",
        "takes the distance of the means without its square",
        "would change nothing in KID; here KID is changed, too",
    ),
    Fault(
        "over_n",
        "divides by $n$ in the covariances, not by $n-1$",
        "would change distances by a hundredth or two at n = 50, and no KID; here both "
        "change far more",
    ),
    Fault(
        "root_of_entries",
        "takes the root of each entry of a product of covariances, not that of a matrix",
        "would find a distance between all 359 digits and the same ones; here it is 0.000",
    ),
    Fault(
        "same_choice",
        "chooses with the same numbers from both sets",
        "would find no distance of digits from themselves, as here, but still choose other "
        "pictures for another seed: the +- of samples would not be 0.000",
    ),
    Fault(
        "scale",
        "scales generated pictures to [0, 1], and real ones to [-1, 1]",
        "would move digits far from the same digits; here all 359 are at distance 0.000",
    ),
    Fault(
        "with_replacement",
        "chooses with replacement, so that a picture may come twice",
        "would find a distance between 359 digits and the same ones, as it would miss a "
        "third of them; here it is 0.000",
    ),
)


@exercise(
    "10.6", "evaluate", kind="bug", minutes=40, points=5, also=("faults",), lacks=ASKED
)
def find_the_bug(answer, seed):
    yield from independent(
        naming(answer, FAULTS), _chooses(answer, seed), _measures(answer, seed)
    )


def _flat(pictures):
    return pictures.flatten(1)


def _both(answer, features, generated, real, n, seed, which=(0, 1), words="the distance"):
    r"""The distance and KID, or one of them."""
    got = several(answer(features, generated, real, n, seed), 2, "the distance and KID")
    return [number(got[k], (words, "KID")[k]) for k in which]


TIMES, CHOSEN = 200, 3


def _chooses(answer, seed):
    r"""Which pictures does it take? Each choice of three has a distance of its own."""
    sizes = whole(8, 11, 1060, seed), whole(8, 11, 1061, seed)
    values = [1 + 2 * uniform((size,), 1062, seed, size, k) for k, size in enumerate(sizes)]
    sets, alone = [], []
    for k, of in enumerate(values):
        pictures = torch.zeros(len(of), 1, 2, 1, dtype=torch.float64)
        pictures[:, 0, k, 0] = of
        sets.append(pictures)
        every = list(combinations_with_replacement(range(len(of)), CHOSEN))
        some = of[torch.tensor(every)]
        alone.append((every, some.mean(1) ** 2 + some.var(1)))
    known, order = (alone[0][1][:, None] + alone[1][1]).flatten().sort()
    first = whole(0, 10_000, 1063, seed)
    found = []
    for k in range(TIMES):
        got, _ = _both(answer, _flat, *sets, CHOSEN, first + k)
        i = int(torch.searchsorted(known, got - 1e-11))
        near_one = i < len(known) and abs(float(known[i]) - got) < 2e-11
        expect(
            near_one,
            f"of {sizes[0]} and {sizes[1]} pictures {CHOSEN} each are to be compared; your "
            f"distance {got:.6g} for seed {first + k} belongs to no such choice: how many "
            "are taken, and what is their distance?",
        )
        place = int(order[i])
        found.append(
            [alone[0][0][place // len(alone[1][0])], alone[1][0][place % len(alone[1][0])]]
        )
    again = [_both(answer, _flat, *sets, CHOSEN, first + 7)[0] for _ in range(2)]
    expect(
        again[0] == again[1], "the same seed gives two different distances: what is drawn?"
    )
    alike = sum(one == other != found[0][0] for one, other in found)
    expect(
        alike < TIMES / 2,
        f"for {alike} of {TIMES} seeds the same numbers are chosen from both sets: what if "
        "both are in one order?",
    )
    for which, name in enumerate(("generated", "real")):
        chosen = [one[which] for one in found]
        expect(
            len(set(chosen)) > 1,
            f"for {TIMES} seeds the {CHOSEN} {name} pictures are always numbers "
            f"{', '.join(str(i + 1) for i in chosen[0])} of {sizes[which]}: in which order "
            "do pictures lie in a set?",
        )
        twice = sum(len(set(one)) < CHOSEN for one in chosen)
        expect(
            twice == 0,
            f"for {twice} of {TIMES} seeds a {name} picture is chosen more than once: what "
            "is then compared?",
        )
        counts = torch.bincount(torch.tensor(chosen).flatten(), minlength=sizes[which])
        size, limit = uneven(counts)
        most = int(counts.argmax())
        expect(
            size < limit,
            f"of {sizes[which]} {name} pictures number {most + 1} is chosen "
            f"{int(counts[most])} times and number {int(counts.argmin()) + 1} "
            f"{int(counts.min())} times, for {TIMES} seeds: is each as likely?",
        )
    yield 1, "each seed draws its own pictures, and every picture can be drawn"


def _measures(answer, seed):
    r"""Where n is the size of both sets, all are chosen, and both numbers are known."""
    cases = []
    for k, (n, D) in enumerate(((6, 2), (9, 4), (25, 3))):
        x = normal((n, 1, D, 2), 1064, seed, k)
        y = between(0.5, 1.5, 1065, seed, k) * normal((n, 1, D, 2), 1066, seed, k) + 0.4
        turn = normal((2 * D, D), 1067, seed, k)
        cases.append((x, y, lambda z, turn=turn: z.flatten(1) @ turn))
    x, y = (4 + normal((12, 1, 3, 1), 1068, seed, k) for k in range(2))
    cases.append((x.float(), y.float(), _flat))  # kernels that float32 rounds too much
    for x, y, features in cases:
        n = len(x)
        (got,) = _both(answer, features, x, y, n, seed, [1])
        of_x, of_y = (features(z).double() for z in (x, y))
        right, suspects = _kid(of_x, of_y)
        if x.dtype == torch.float32 and near(got, right, rtol=1e-2, atol=1e-2):
            suspects += ((got, "in which dtype do you add?"),)
        mine, wanted = apart(got, right)
        expect(
            near(got, right, rtol=1e-7, atol=1e-9),
            f"all {n} of both sets, {of_x.shape[1]} features: KID is {wanted}, you say "
            f"{mine}: {asked_about(got, suspects, 'which pairs are in each mean?')}",
        )
    yield 1, "KID has no bias"
    for k, (n, D) in enumerate(((5, 12), (4, 10))):  # covariances without an inverse
        cases.append((*(normal((n, 1, D, 1), 1069, seed, k, i) for i in range(2)), _flat))
    for x, y, features in cases:
        n = len(x)
        of_x, of_y = (features(z).double() for z in (x, y))
        D = of_x.shape[1]
        words = f"the distance of {n} and {n} pictures with {D} features"
        (got,) = _both(answer, features, x, y, n, seed, [0], words)
        right, suspects = _distance(of_x, of_y)
        mine, wanted = apart(got, right)
        question = asked_about(got, suspects, "what was right in the code as it was?")
        expect(
            near(got, right, rtol=1e-6, atol=1e-9),
            f"all {n} of both sets, {D} features: the distance is {wanted}, "
            f"you say {mine}: {question}",
        )
    yield 1, "and the Frechet distance is as it was"


def _kid(x, y):
    n, D = x.shape
    tables = [(a @ b.T / D + 1) ** 3 for a, b in ((x, x), (y, y), (x, y))]
    sums = [float(table.sum()) for table in tables]
    own = sum(float(table.sum() - table.trace()) for table in tables[:2])
    right = own / (n * (n - 1)) - 2 * sums[2] / n**2
    itself = "is a picture paired with itself?"
    suspects = (
        ((sums[0] + sums[1] - 2 * sums[2]) / n**2, itself),
        (
            own / n**2 - 2 * sums[2] / n**2,
            "how many pairs of different pictures are there?",
        ),
        (
            own / (n * (n - 1)) - 2 * (sums[2] - float(tables[2].trace())) / (n * (n - 1)),
            itself,
        ),
        (
            own / (n * (n - 1)) - 2 * (sums[2] - float(tables[2].trace())) / n**2,
            "is a generated picture ever the same as the real one of its number?",
        ),
        (own / (n * (n - 1)) - sums[2] / n**2, "how often does a pair across count?"),
        (
            (sums[0] + sums[1]) / (n * (n - 1)) - 2 * sums[2] / n**2,
            "which pairs are left out, and which are only counted less?",
        ),
    )
    return right, suspects


def _distance(x, y):
    n = len(x)
    S, R = ((z - z.mean(0)).T @ (z - z.mean(0)) / (n - 1) for z in (x, y))
    values, axes = torch.linalg.eigh(S)
    root = axes * values.clamp(min=0).sqrt() @ axes.T
    cross = float(torch.linalg.eigvalsh(root @ R @ root).clamp(min=0).sqrt().sum())
    traces, shift = (
        float(S.trace() + R.trace()),
        float((x.mean(0) - y.mean(0)).square().sum()),
    )
    right = shift + traces - 2 * cross
    suspects = (
        (traces - 2 * cross, "do the means differ?"),
        (math.sqrt(shift) + traces - 2 * cross, "is it a squared distance?"),
        (math.sqrt(right), "is it a squared distance?"),
        (shift + (traces - 2 * cross) * (n - 1) / n, "by what is a covariance divided?"),
        (shift + traces - cross, "how often does the mixed term count?"),
    )
    return right, suspects
