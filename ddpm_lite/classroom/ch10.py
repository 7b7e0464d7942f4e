r"""Checks of chapter 10, evaluation.

Sets are small and drawn from the seed, so that each number can be had by a second route;
where a number is wrong, it is held against the numbers that usual mistakes make.
"""

import math

import torch

from .ch08 import asked_about
from .exercise import (
    apart,
    between,
    exercise,
    expect,
    near,
    normal,
    number,
    several,
    uniform,
    whole,
)

ASKED = ("evaluation",)  # the whole room: the chapter builds what is in it


# 10.1


@exercise("10.1", "extrapolate", kind="understanding", minutes=15, points=3, lacks=ASKED)
def extrapolate(answer, seed):
    for k in range(3):
        _meets_the_limit(answer, _measured(2, 0.0, seed, k), seed, k)
    yield 1, "two measurements show the limit"
    for k, count in enumerate((3, 5, 8), 3):
        _meets_the_limit(answer, _measured(count, 0.05, seed, k), seed, k)
    yield 1, "and so do several that scatter"
    for k, count in enumerate((2, 4, 7), 6):
        _just_enough(answer, _measured(count, 0.02, seed, k), seed, k)
    yield 1, "and the number of samples that is enough"


def _measured(count, scatter, *seed):
    r"""(n, values, limit, excess): n in no order, values about limit + excess / n."""
    n = (50 * (1 + 9 * uniform((count,), 1001, *seed)).cumsum(0)).round()
    n = n[uniform((count,), 1002, *seed).argsort()]
    limit, excess = between(0.5, 4, 1003, *seed), between(200, 900, 1004, *seed)
    values = limit + excess / n
    values = values * (1 + scatter * normal((count,), 1005, *seed))
    x = 1 / n - (1 / n).mean()
    excess = float((x * values).sum() / x.square().sum())
    limit = float(values.mean() - excess * (1 / n).mean())
    return [int(v) for v in n.tolist()], values.tolist(), limit, excess


def _line(x, y):
    r"""Where the line of least squares through points (x, y) meets x = 0."""
    x, y = (torch.as_tensor(v, dtype=torch.float64) for v in (x, y))
    off = x - x.mean()
    slope = float((off * y).sum() / off.square().sum())
    return float(y.mean()) - slope * float(x.mean())


def _extrapolated(answer, n, values, most):
    got = several(answer(n, values, most), 2, "the distance and the number of samples")
    return number(got[0], "the distance"), number(got[1], "the number of samples")


def _meets_the_limit(answer, case, *seed):
    n, values, limit, excess = case
    most = between(0.01, 0.1, 1006, *seed)
    got, _ = _extrapolated(answer, n, values, most)
    x = torch.tensor(n, dtype=torch.float64)
    y = torch.tensor(values, dtype=torch.float64)
    big, small = n.index(max(n)), n.index(min(n))
    ends = [1 / n[big], 1 / n[small]]
    weighed = 1 / x - (1 / x * x).sum() / x.sum()
    slope = float((x * weighed * y).sum() / (x * weighed.square()).sum())
    suspects = (
        (values[big], "is the largest n that was measured infinite?"),
        (min(values), "is the smallest value that was measured the limit?"),
        (float(y.mean()), "does a mean over different n belong to any n?"),
        (_line(x, y), "along what does the distance fall on a straight line?"),
        (_line(1 / x.sqrt(), y), "does the distance fall as 1/sqrt(n), or its error?"),
        (_line(1 / x**2, y), "with which power of n does the excess fall?"),
        (_line(x.log(), y), "along what does the distance fall on a straight line?"),
        (_line(1 / x, y.sqrt()) ** 2, "is it the distance that is linear, or its root?"),
        (excess, "is that the limit, or the excess for n = 1?"),
        (values[big] - excess / n[small], "which n has the excess that you take away?"),
        (
            _line(ends, [values[big], values[small]]),
            "do the measurements between the ends say nothing?",
        ),
        (
            _line([1 / n[0], 1 / n[-1]], [values[0], values[-1]]),
            "do the measurements between the ends say nothing?",
        ),
        (
            float((x * y).sum() / x.sum()) - slope / float(x.mean()),
            "do all measurements count alike?",
        ),
    )
    question = asked_about(got, suspects, "where does the line meet n = infinity?")
    mine, right = apart(got, limit)
    expect(
        near(got, limit, rtol=1e-6),
        f"distances {_shown(values)} at n = {n}: for n = infinity you say {mine}, and the "
        f"line of least squares says {right}: {question}",
    )


def _shown(values):
    return ", ".join(f"{value:.4g}" for value in values)


def _just_enough(answer, case, *seed):
    n, values, _, excess = case
    part = (0.2, 0.6)[seed[-1] % 2] + between(0, 0.2, 1008, *seed)  # rounded down, and up
    count = whole(3000, 60_000, 1007, *seed) + part
    most = excess / count
    _, got = _extrapolated(answer, n, values, most)
    wanted = math.ceil(count)
    suspects = (
        (wanted - 1, "is the excess at your N small enough, or just too large?"),
        (count, "can a set hold a part of a picture?"),
        (wanted + 1, "would one sample less be enough?"),
        ((excess / most) ** 2, "does the excess fall as 1/n or as 1/sqrt(n)?"),
        (math.ceil((excess / most) ** 2), "does the excess fall as 1/n or as 1/sqrt(n)?"),
        (math.ceil(math.sqrt(count)), "with which power of n does the excess fall?"),
    )
    question = asked_about(got, suspects, "how large is the excess for n samples?")
    left = excess / got if got > 0 else math.inf
    expect(
        got == wanted,
        f"distances {_shown(values)} at n = {n}: an excess of at most {most:.4g} was asked "
        f"for, and your N = {got:.9g} samples leave {left:.6g}, where it is {most:.6g} for "
        f"{count:.9g}: {question}",
    )


# 10.2


@exercise("10.2", "expected_distance", kind="derivation", minutes=25, points=4, lacks=ASKED)
def expected_distance(answer, seed):
    spectra = [_spectrum(count, seed) for count in (1, 3, 7, 20)]
    for k, lam in enumerate(spectra):
        _part(answer, lam, *_sizes(seed, k), 0)
    yield 1, "the means"
    one, flat = spectra[0], torch.full((6,), between(0.2, 3, 1011, seed)).double()
    _part(answer, one, *_sizes(seed, 4), 1)
    _part(answer, flat, *_sizes(seed, 5), 1)
    yield 1, "the covariances of white data"
    for k, lam in enumerate(spectra[1:], 6):
        _part(answer, lam, *_sizes(seed, k), 1)
    yield 1, "and of any spectrum"
    for k, lam in enumerate(spectra, 9):
        dead = torch.cat([lam, torch.zeros(whole(2, 4, 1012, seed, k)).double()])
        dead = dead[uniform(dead.shape, 1013, seed, k).argsort()]
        for part in (0, 1):
            _part(answer, dead, *_sizes(seed, k), part)
    yield 1, "with dead pixels, too"


def _spectrum(count, *seed):
    return (3 * uniform((count,), 1010, *seed, count) - 2).exp()


def _sizes(*seed):
    return whole(100, 900, 1014, *seed), whole(1000, 9000, 1015, *seed)


def _pair_sum(lam, pair, diagonal=2.0):
    r"""Half of the sum of a function of two eigenvalues over all pairs, i = j so often."""
    total = 0.0
    for i, a in enumerate(lam):
        for j, b in enumerate(lam):
            total += pair(a, b) * (diagonal if i == j else 1.0)
    return total / 2


def _part(answer, eigenvalues, n, m, which):
    got = several(answer(eigenvalues, n, m), 2, "the means' part and the covariances'")
    got = number(got[which], ("the part of the means", "that of the covariances")[which])
    lam, share = [v for v in eigenvalues.tolist() if v > 0], 1 / n + 1 / m
    D, dead = len(eigenvalues), len(eigenvalues) - len(lam)

    def ratio(a, b):
        return a * b / (a + b)

    means, pairs = sum(lam), _pair_sum(lam, ratio)
    right = share * (means, pairs)[which]
    suspects = [
        (right / share / n, "which of the two sets is estimated, one or both?"),
        (right / share / m, "which of the two sets is estimated, one or both?"),
        (right / share * 2 / (n + m), "is it one set of n + m pictures, or two?"),
        (right / share / (n + m), "is it one set of n + m pictures, or two?"),
        (right / share * 2 / n, "are both sets of the same size?"),
        (right / share * abs(1 / n - 1 / m), "do the errors of two sets cancel?"),
        (right / share * (1 / n**0.5 + 1 / m**0.5), "is it a squared distance?"),
        (right / share * share**0.5, "is it a squared distance?"),
    ]
    if which == 0:
        squares = sum(v**2 for v in lam)
        suspects += [
            (share * squares, "is a lambda a variance, or a deviation?"),
            (share * sum(v**0.5 for v in lam), "is a lambda a variance, or a deviation?"),
            (share * means / D, "is the distance a mean over axes, or a sum?"),
            (share * max(lam), "in how many axes is the mean estimated?"),
            (share * D, "is the variance of the data 1 in each axis?"),
        ]
    else:
        suspects += [
            (2 * right, "do both orders of a pair come with the half of the statement?"),
            (
                share * _pair_sum(lam, ratio, 1.0),
                "how large is the variance of E for i = j?",
            ),
            (
                share * _pair_sum(lam, ratio, 0.0),
                "how much do the variances of the axes themselves add?",
            ),
            (
                share * (_pair_sum(lam, ratio, 2.0) - _pair_sum(lam, ratio, 0.0)),
                "do errors beside the diagonal, of pairs of axes, count?",
            ),
            (
                share * _pair_sum(lam, lambda a, b: a * b),
                "what stands below the squares in the distance?",
            ),
            (
                share * _pair_sum(lam, lambda a, b: a * b / (a**0.5 + b**0.5)),
                "is it variances or deviations that stand below the squares?",
            ),
            (share * len(lam) * (len(lam) + 1) / 4, "is the variance of the data 1?"),
            (
                share * _pair_sum([*lam, *[1.0] * dead], ratio),
                "what can differ along a dead pixel?",
            ),
            (share * (means + pairs), "is that the sum of both parts, or the second?"),
            (right / 2, "how often does a pair i, j with i != j come in the sum?"),
        ]
    question = asked_about(
        got, suspects, "which sum do the two facts of the statement give?"
    )
    mine, wanted = apart(got, right)
    expect(
        near(got, right, rtol=1e-9, atol=0),
        f"n = {n}, m = {m}, eigenvalues {_shown(eigenvalues.tolist()[:8])}"
        f"{' and so on' * (D > 8)}: {('the means', 'the covariances')[which]} add {wanted} "
        f"to the distance, you say {mine}: {question}",
    )


# 10.3


@exercise("10.3", "kid", kind="code", minutes=25, points=4, lacks=ASKED)
def kid(answer, seed):
    cases = (
        ((24, 3), (24, 3), 2),
        ((31, 5), (50, 5), 4),
        ((20, 1), (13, 1), 3),
        ((17, 8), (41, 8), 5),
    )
    drawn = []
    for k, (of_x, of_y, blocks) in enumerate(cases):
        x = normal(of_x, 1020, seed, k) + between(-0.5, 0.5, 1021, seed, k)
        y = between(0.5, 1.5, 1022, seed, k) * normal(of_y, 1023, seed, k)
        drawn.append((x, y, blocks))
    for case in drawn:
        _mean_of_blocks(answer, *case)
    yield 2, "the mean over the parts"
    for case in drawn:
        _error_of_blocks(answer, *case)
    yield 1, "and its error"
    for k, (x, y, blocks) in enumerate(drawn):
        large = between(20, 40, 1024, seed, k)
        _in_float64(answer, (large * x).float(), (large * (y + 1)).float(), blocks)
    yield 1, "in float64"


def _cubic(dot, D):
    return (dot / D + 1) ** 3


def _dots(x, y):
    r"""All inner products, from distances and lengths."""
    long_x, long_y = x.square().sum(1)[:, None], y.square().sum(1)[None]
    return (long_x + long_y - _apart(x, y).square()) / 2


def _pieces(x, blocks):
    n = len(x) // blocks
    return [x[k * n : (k + 1) * n] for k in range(blocks)]


def _kid_of(x, y, kernel=_cubic, own="different", cross=2.0):
    r"""KID pair by pair. own: which pairs within a set, and by what they are divided."""
    D = x.shape[1]

    def within(z):
        n, table = len(z), kernel(_dots(z, z), D)
        if own == "all":
            return float(table.mean())
        pairs = float(table[~torch.eye(n, dtype=torch.bool)].sum())
        return pairs / (n * n if own == "too many" else n * (n - 1))

    return within(x) + within(y) - cross * float(kernel(_dots(x, y), D).mean())


def _all_blocks(x, y, blocks, **how):
    parts = zip(_pieces(x, blocks), _pieces(y, blocks), strict=True)
    return torch.tensor([_kid_of(a, b, **how) for a, b in parts], dtype=torch.float64)


def _two_numbers(answer, x, y, blocks):
    got = several(answer(x, y, blocks), 2, "KID and its standard error")
    return number(got[0], "KID"), number(got[1], "the standard error")


def _mean_of_blocks(answer, x, y, blocks):
    got, _ = _two_numbers(answer, x, y, blocks)
    right = float(_all_blocks(x, y, blocks).mean())
    suspects = []
    for question, how in (
        ("is a picture paired with itself?", {"own": "all"}),
        ("how many pairs of different pictures are there?", {"own": "too many"}),
        ("how often does a pair of x and y count?", {"cross": 1.0}),
        (
            "by what is the inner product divided?",
            {"kernel": lambda dot, D: _cubic(dot, 1)},
        ),
        ("which power has the kernel?", {"kernel": lambda dot, D: (dot / D + 1) ** 2}),
        ("which power has the kernel?", {"kernel": lambda dot, D: dot / D + 1}),
        ("what is added to the product?", {"kernel": lambda dot, D: (dot / D) ** 3}),
        (
            "is D the length of a vector, or its root?",
            {"kernel": lambda dot, D: _cubic(dot, math.sqrt(D))},
        ),
    ):
        suspects.append((float(_all_blocks(x, y, blocks, **how).mean()), question))
    suspects += [
        (_kid_of(x, y), "is it the whole sets, or parts of them, that you compare?"),
        (
            _kid_of(x[: len(x) // blocks], y[: len(y) // blocks]),
            "is it the first part alone, or the mean over all?",
        ),
        (
            float(_all_blocks(*_every(x, y, blocks), blocks).mean()),
            "which pictures form a part?",
        ),
        (math.sqrt(abs(right)), "is a root asked for?"),
        (-right, "which terms are added, and which are taken away?"),
        (blocks * right, "is it the sum over the parts, or their mean?"),
    ]
    question = asked_about(got, suspects, "which pairs are in each of the three means?")
    mine, wanted = apart(got, right)
    expect(
        near(got, right, rtol=1e-8, atol=1e-10),
        f"x {tuple(x.shape)}, y {tuple(y.shape)}, {blocks} blocks: KID is {wanted}, you "
        f"say {mine}: {question}",
    )


def _every(x, y, blocks):
    r"""Both sets in such an order that each part is every so many-th picture."""
    x, y = (z[: len(z) // blocks * blocks] for z in (x, y))
    return [torch.cat([z[k::blocks] for k in range(blocks)]) for z in (x, y)]


def _error_of_blocks(answer, x, y, blocks):
    _, got = _two_numbers(answer, x, y, blocks)
    values = _all_blocks(x, y, blocks)
    B, right = blocks, float(values.std()) / math.sqrt(blocks)
    suspects = (
        (right * math.sqrt(B), "is it the scatter of one part, or of their mean?"),
        (right**2, "is it a variance, or a deviation?"),
        (right**2 * B, "is it a variance, or a deviation?"),
        (
            float(values.std(unbiased=False)) / math.sqrt(B),
            "by what is the sum of squares divided where the mean is estimated, too?",
        ),
        (right / math.sqrt(B), "with which power of their number does the error fall?"),
        (
            float(values.std()) / math.sqrt(B - 1),
            "which of your two divisions is by one less?",
        ),
        (0.0, "do the parts say the same?"),
    )
    question = asked_about(got, suspects, "how much does the mean of the parts scatter?")
    mine, wanted = apart(got, right)
    expect(
        near(got, right, rtol=1e-7, atol=0),
        f"the {B} parts of x {tuple(x.shape)} and y {tuple(y.shape)} have the KID "
        f"{_shown(values.tolist())}: the standard error of their mean is {wanted}, you say "
        f"{mine}: {question}",
    )


def _in_float64(answer, x, y, blocks):
    got = _two_numbers(answer, x, y, blocks)
    values = _all_blocks(x.double(), y.double(), blocks)
    right = float(values.mean()), float(values.std()) / math.sqrt(blocks)
    off = max(abs(g / r - 1) for g, r in zip(got, right, strict=True))
    expect(
        off < 1e-10,
        f"float32 features {tuple(x.shape)} and {tuple(y.shape)} with entries up to "
        f"{float(x.abs().max()):.0f}: your numbers are off by a share {off:.2g}, and sums "
        "in float64 would not be: in which dtype are the products added?",
    )


# 10.4


@exercise("10.4", "density_coverage", kind="code", minutes=25, points=4, lacks=ASKED)
def density_coverage(answer, seed):
    line = [_on_a_line(seed, k) for k in range(6)]
    line += [(x.round(), y.round(), k) for x, y, k in line[1:4]]  # with samples on a border
    _counts(answer, line, 0)
    yield 1, "density on a line"
    _counts(answer, line, 1)
    yield 1, "and coverage"
    cases = []
    for k, (shape, dtype) in enumerate(
        (((2,), torch.float64), ((1, 3, 2), torch.float32), ((4, 2), torch.float64))
    ):
        real = normal((40, *shape), 1040, seed, k, dtype=dtype)
        generated = 0.8 * normal((23, *shape), 1041, seed, k, dtype=dtype)
        cases.append((real, generated, 1 + 2 * k))
    far = [normal((n, 4), 1045, seed, n, dtype=torch.float32) + 500 for n in (40, 31)]
    cases.append((*far, 3))  # sums of squares lose what matters in float32
    _counts(answer, cases, 0)
    _counts(answer, cases, 1)
    yield 1, "pictures and points"
    real = normal((30, 3), 1042, seed)
    real[whole(0, 29, 1043, seed)] = 40.0  # far from all others
    generated = 10 * normal((50, 3), 1044, seed) + 5
    cases = [(real, generated, k) for k in (1, 4, 29)]
    _counts(answer, cases, 0)
    _counts(answer, cases, 1)
    yield 1, "and a stray picture"


def _on_a_line(*seed):
    real = 10 * uniform((whole(5, 8, 1030, *seed), 1), 1031, *seed)
    generated = 10 * uniform((whole(4, 9, 1032, *seed), 1), 1033, *seed)
    return real, generated, 1 + seed[-1] % 3


def _apart(x, y):
    r"""Euclidean distances (len(x), len(y)), one by one."""
    x, y = (z.double().reshape(len(z), -1) for z in (x, y))
    return torch.stack([(y - one).square().sum(1).sqrt() for one in x])


def _counted(real, generated, k, which):
    r"""What is right, and [(value, question)] of usual mistakes: always the same ones."""
    across, own = _apart(real, generated), _apart(real, real).sort(1).values
    theirs = _apart(generated, generated).sort(1).values
    N, M = len(real), len(generated)
    inside = across <= own[:, k : k + 1]

    def of(inside):
        return (float(inside.sum()) / (k * M), float(inside.any(1).sum()) / N)[which]

    of_samples = across <= theirs[:, min(k, M - 1)][None]
    balls = "whose balls are they, those of real pictures?"
    suspects = [
        (of(across <= own[:, k - 1 : k]), "is a picture its own neighbour?"),
        (
            of(across <= own[:, min(k + 1, N - 1)][:, None]),
            "which of the sorted distances is that to the k-th other picture?",
        ),
        (of(across <= own[:, k : k + 1] ** 2), "is a radius a square?"),
        (of(across**2 <= own[:, k : k + 1]), "is a distance a square?"),
        (of(of_samples), balls),
        (float(of_samples.any(1).sum()) / N, balls),
        (float(of_samples.any(0).sum()) / M, balls),
    ]
    right, pairs, held = of(inside), float(inside.sum()), float(inside.any(0).sum())
    if which == 0:
        suspects += [
            (pairs / M, "how many balls does a place lie in usually?"),
            (pairs / (k * N), "by the number of which pictures is it divided?"),
            (pairs / (N * M), "by what is the number of pairs divided?"),
            (pairs, "by what is the number of pairs divided?"),
            (held / M, "do you count how many, or whether?"),
            (held / (k * M), "do you count how many, or whether?"),
            (min(1.0, right), "may it be larger than 1?"),
        ]
    else:
        met = float(inside.any(1).sum())
        suspects += [
            (held / M, "is it samples in balls, or balls with samples?"),
            (met / M, "by the number of which pictures is it divided?"),
            (met, "is it a share, or a number?"),
            (1 - right, "with a sample, or without?"),
            (float(inside.all(1).sum()) / N, "at least one sample, or all?"),
            (float((inside.sum(1) >= k).sum()) / N, "at least one sample, or k of them?"),
        ]
    return right, suspects


def _counts(answer, cases, which):
    r"""Density (0) or coverage (1); a mistake must explain all that came of these cases."""
    told = []
    for real, generated, k in cases:
        got = several(answer(real, generated, k), 2, "density and coverage")
        told.append(number(got[which], ("density", "coverage")[which]))
    known = [_counted(*case, which) for case in cases]
    wrong = [i for i, got in enumerate(told) if not near(got, known[i][0], rtol=1e-5)]
    if not wrong:
        return
    every = zip(*(suspects for _, suspects in known), strict=True)
    found = [row[0][1] for row in every if near(told, [v for v, _ in row], 1e-5, 1e-9)]
    question = [*found, "which balls hold which samples?"][0]
    (real, generated, k), right = cases[wrong[0]], known[wrong[0]][0]
    mine, wanted = apart(told[wrong[0]], right)
    shown = f" of shape {tuple(real.shape[1:])}, {len(generated)} samples"
    if real[0].numel() == 1:
        shown = (
            f" at {_shown(sorted(real.flatten().tolist()))}, samples at "
            f"{_shown(sorted(generated.flatten().tolist()))}"
        )
    expect(
        False,
        f"{len(real)} real pictures{shown}, k = {k}: {('density', 'coverage')[which]} is "
        f"{wanted}, you say {mine}: {question}",
    )


# 10.5


@exercise("10.5", "copies", kind="project", minutes=50, points=5, lacks=ASKED)
def copies(answer, seed):
    for k, (level, part) in enumerate(((0, 0), (0.31, 0.15), (0.07, 0.8), (0.83, 0.3))):
        sets = _pictures(seed, k)
        _threshold(answer, *sets, _between_two(level, part, len(sets[2])))
    yield 2, "the threshold of held-out pictures"
    for k, level in enumerate((0.05, 0.12, 0.33), 4):
        _found(answer, *_pictures(seed, k), level)
    yield 2, "the share of samples below it"
    for k, level in enumerate((0.0, 0.09), 7):
        _threshold(answer, *_pictures(seed, k, copied=20), level)
        _found(answer, *_pictures(seed, k, copied=20), level)
    yield 1, "and with many copies"


def _between_two(level, part, H):
    r"""About this level, where a part of a picture is left over of what may be below."""
    return round((math.floor(level * H) + part) / H, 4)


def _pictures(seed, k, copied=5):
    r"""(samples, train, held_out), some of the samples being noisy copies."""
    shape = ((3,), (1, 2, 3), (5,))[k % 3]
    train = normal((whole(20, 40, 1050, seed, k), *shape), 1051, seed, k)
    held_out = normal((whole(33, 77, 1052, seed, k), *shape), 1053, seed, k)
    fresh = normal((whole(11, 19, 1054, seed, k), *shape), 1055, seed, k)
    which = uniform((len(train),), 1056, seed, k).argsort()[:copied]
    noise = 0.1 * normal((len(which), *shape), 1057, seed, k)
    samples = torch.cat([fresh, train[which] + noise])
    samples = samples[uniform((len(samples),), 1058, seed, k).argsort()]
    sets = [samples, train, held_out]
    if k % 2:  # in float32, each one alone
        which = k // 2 % 3
        sets[which] = sets[which].float()
    return tuple(sets)


def _ratios(pictures, train, skip=0):
    near = _apart(pictures, train).sort(1).values
    return near[:, skip] / near[:, skip + 1]


def _asked_of(answer, samples, train, held_out, level):
    got = several(answer(samples, train, held_out, level), 2, "the threshold and the share")
    return number(got[0], "the threshold"), number(got[1], "the share")


def _threshold(answer, samples, train, held_out, level):
    got, _ = _asked_of(answer, samples, train, held_out, level)
    usual = _ratios(held_out, train).sort().values
    H, own = len(usual), _apart(held_out, train).sort(1).values
    k = math.floor(level * H)
    right = float(usual[k])
    last, most = H - 1, math.ceil(level * H)

    def of(values):
        return float(values.sort().values[min(k, len(values) - 1)])

    suspects = (
        (1 / 3, "does a fixed threshold know these pictures?"),
        (of(own[:, 0]), "is it a distance, or a ratio of two?"),
        (float((1 / usual).sort().values[k]), "which of the two distances is above?"),
        (of(usual**2), "is a distance a square?"),
        (of(usual.sqrt()), "is a distance a square?"),
        (of(own[:, 0] / own[:, 2]), "which training picture is the second nearest?"),
        (of(own[:, 1] / own[:, 2]), "which training picture is the nearest?"),
        (
            of(_ratios(samples, train)),
            "whose ratios say what is usual, if samples may be copies?",
        ),
        (
            of(_ratios(held_out, held_out, 1)),
            "with which set are held-out pictures compared?",
        ),
        (of(_ratios(train, train, 1)), "whose ratios say what is usual?"),
        (of(_ratios(train, held_out)), "with which set is whose nearest looked for?"),
        (
            float(usual[max(0, last - k)]),
            "is it the held-out pictures below, or above the threshold, that are counted?",
        ),
        (
            float(usual.quantile(level)),
            "is the threshold one of the held-out ratios, or between two?",
        ),
        (
            float(usual[max(0, k - 1)]),
            "could the threshold be higher, and still at most that share be below?",
        ),
        (
            float(usual[min(last, most)]),
            "how large is the share of held-out pictures below your threshold?",
        ),
        (level, "is the level a share of pictures, or a ratio of distances?"),
    )
    question = asked_about(got, suspects, "how many held-out ratios are below it?")
    mine, wanted = apart(got, right)
    below = int((usual < got * (1 - 1e-9)).sum())
    expect(
        near(got, right, rtol=1e-6),
        f"{len(train)} training and {H} held-out pictures, level {level}: at most "
        f"{level * H:.2f} of the held-out ratios may be below the threshold; it is "
        f"{wanted}, yours is {mine} with {below} below: {question}",
    )


def _found(answer, samples, train, held_out, level):
    _, got = _asked_of(answer, samples, train, held_out, level)
    ratios = _ratios(samples, train)
    usual = _ratios(held_out, train).sort().values
    limit = usual[math.floor(level * len(usual))]
    right = float((ratios < limit).double().mean())
    theirs = _ratios(samples, held_out)
    suspects = (
        (1 - right, "is a copy nearer to its original than usual, or farther?"),
        (right * len(samples), "is it a share, or a number?"),
        (max(0.0, right - level), "is what is usual to be taken away here?"),
        (right - level, "is what is usual to be taken away here?"),
        (float((ratios < 1 / 3).double().mean()), "what was the threshold for?"),
        (float((usual < limit).double().mean()), "whose share is asked for?"),
        (right * len(samples) / len(train), "of how many pictures is it a share?"),
        (right * len(samples) / len(usual), "of how many pictures is it a share?"),
        (float((theirs < limit).double().mean()), "of what would samples be copies?"),
        (
            float((_apart(samples, train).amin(1) < limit).double().mean()),
            "is it a distance, or a ratio, that is below the threshold?",
        ),
    )
    question = asked_about(got, suspects, "which samples are below the threshold?")
    mine, wanted = apart(got, right)
    expect(
        near(got, right, rtol=1e-9),
        f"{len(samples)} samples, {len(train)} training pictures, level {level}: below the "
        f"threshold of {float(limit):.4f} there is a share {wanted} of the samples, you "
        f"say {mine}: {question}",
    )
