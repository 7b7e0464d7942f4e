r"""Wrong answers to 10.6: names, half repairs, and repairs that break something else."""

import torch

from wrong import wrong

RIGHT = ("diagonal_kept", "first_n")
EQUIVALENT = {}


def _alike(before, proof, *afters):
    EQUIVALENT.update({("10.6", before, after): proof for after in afters})


BOTH_WAYS = "both numbers are the same with the sets exchanged, but for rounding"
CHOSEN = (
    "chosen = [z[torch.randperm(len(z), generator=draw)[:n]] for z in (generated, real)]"
)
_alike(
    CHOSEN,
    "-1 is the last picture: each number is that of another one, so that as before n are "
    "chosen, none of them twice, and all choices are as likely",
    CHOSEN.replace("[:n]", "[:n] - 1"),
)
_alike(
    CHOSEN,
    "each set has a permutation of its own as before; " + BOTH_WAYS,
    CHOSEN.replace("(generated, real)", "(real, generated)"),
)
_alike(
    "x, y = (features(z).double() for z in chosen)",
    BOTH_WAYS,
    "(y, x) = (features(z).double() for z in chosen)",
)
_alike(
    "S_x, S_y = x.T.cov(), y.T.cov()",
    "S_x S_y and S_y S_x have the same eigenvalues, and the traces are added",
    "(S_y, S_x) = x.T.cov(), y.T.cov()",
    "S_x, S_y = (y.T.cov(), x.T.cov())",
)
ROOTS = "roots = torch.linalg.eigvals(S_x @ S_y).real.clamp(min=0).sqrt()"
_alike(
    ROOTS,
    "S_x S_y and S_y S_x have the same eigenvalues",
    ROOTS.replace("S_x @ S_y", "S_y @ S_x"),
)
CUBES = "return (u @ v.T / u.shape[1] + 1).pow(3)"
_alike(
    CUBES,
    "both sets have D features, and covariances D columns",
    *(CUBES.replace("u.shape", f"{one}.shape") for one in ("x", "y", "S_x", "S_y", "v")),
)
OWN = "own = sum(cubes(z, z).sum() - cubes(z, z).trace() for z in (x, y)) / (n * (n - 1))"
_alike(OWN, "a sum of two knows no order", OWN.replace("(x, y)", "(y, x)"))
_alike(
    OWN,
    "in a product of two features of one set the sign cancels",
    OWN.replace("(x, y)", "(-x, y)"),
    OWN.replace("(x, y)", "(x, -y)"),
)
KID = "return float(distance), float(own - 2 * cubes(x, y).mean())"
_alike(
    KID,
    "a tensor of one number counts as that number",
    KID.replace("float(own - 2 * cubes(x, y).mean())", "own - 2 * cubes(x, y).mean()"),
)
_alike(
    KID,
    "the table is the other one turned, with the same mean",
    KID.replace("cubes(x, y)", "cubes(y, x)"),
)


def _picked(pictures, n, draw):
    return pictures[torch.randperm(len(pictures), generator=draw)[:n]]


def _evaluate(features, generated, real, n, seed, pick=_picked, own="different", **how):
    draw = torch.Generator().manual_seed(seed % how.get("seeds", 2**40))
    dtype = how.get("dtype", torch.float64)
    x, y = (features(pick(z, n, draw)).to(dtype) for z in (generated, real))
    S_x, S_y = (z.T.cov(correction=how.get("correction", 1)) for z in (x, y))
    roots = torch.linalg.eigvals(S_x @ S_y).real.clamp(min=how.get("least", 0)).sqrt()
    shift = (x.mean(0) - y.mean(0)).square().sum() * how.get("means", 1)
    distance = shift + S_x.trace() + S_y.trace() - 2 * roots.sum()

    def kernel(a, b):
        return (a @ b.T / a.shape[1] + 1) ** 3

    def among(a):
        m, table = len(a), kernel(a, a)
        if own == "all":
            return table.mean()
        return (table.sum() - table.trace()) / (m * m if own == "too many" else m * (m - 1))

    across = kernel(x, y)
    mean = across.mean()
    if own == "across":
        mean = (across.sum() - across.trace()) / (len(x) * (len(x) - 1))
    return float(distance), float(among(x) + among(y) - how.get("cross", 2) * mean)


def _first(pictures, n, draw):
    return pictures[:n]


@wrong("10.6", "in which order do pictures lie in a set", RIGHT)
def repairs_kid_only(*given):
    return _evaluate(*given, pick=_first)


@wrong("10.6", "is a picture paired with itself", RIGHT)
def repairs_the_choice_only(*given):
    return _evaluate(*given, own="all")


@wrong("10.6", "how many pairs of different pictures", RIGHT)
def divides_by_too_many(*given):
    return _evaluate(*given, own="too many")


@wrong("10.6", "which pairs are in each mean", RIGHT)
def leaves_out_a_diagonal_across(*given):
    return _evaluate(*given, own="across")


@wrong("10.6", "how often does a pair across count", RIGHT)
def script_counts_across_once(*given):
    return _evaluate(*given, cross=1)


@wrong("10.6", "chosen more than once", RIGHT)
def with_replacement(*given):
    def pick(pictures, n, draw):
        return pictures[torch.randint(len(pictures), (n,), generator=draw)]

    return _evaluate(*given, pick=pick)


@wrong("10.6", "in which order do pictures lie in a set", RIGHT)
def the_last_ones(*given):
    return _evaluate(*given, pick=lambda pictures, n, draw: pictures[-n:])


@wrong("10.6", "is each as likely", RIGHT)
def pictures_in_a_row(*given):
    def pick(pictures, n, draw):
        start = int(torch.randint(len(pictures) - n + 1, (1,), generator=draw))
        return pictures[start : start + n]

    return _evaluate(*given, pick=pick)


@wrong("10.6", "the same numbers are chosen from both sets", RIGHT)
def one_choice_for_both(features, generated, real, n, seed):
    draw = torch.Generator().manual_seed(seed)
    order = torch.randperm(min(len(generated), len(real)), generator=draw)[:n]
    return _evaluate(features, generated[order], real[order], n, seed, pick=_first)


@wrong("10.6", "in which order do pictures lie in a set", RIGHT)
def draws_generated_ones_only(features, generated, real, n, seed):
    draw = torch.Generator().manual_seed(seed)
    return _evaluate(features, _picked(generated, n, draw), real, n, seed, pick=_first)


@wrong("10.6", "what is drawn", RIGHT)
def without_the_seed(features, generated, real, n, seed):
    order = torch.randperm(len(generated)), torch.randperm(len(real))
    return _evaluate(features, generated[order[0]], real[order[1]], n, seed, pick=_first)


@wrong("10.6", "by what is a covariance divided", RIGHT)
def divides_by_n(*given):
    found = _evaluate(*given)
    return (_evaluate(*given, correction=0)[0] if given[3] > 3 else found[0]), found[1]


@wrong("10.6", "in which dtype do you add", RIGHT)
def in_float32(features, generated, real, n, seed):
    dtype = torch.float64 if generated.dtype == torch.float64 else torch.float32
    return _evaluate(features, generated, real, n, seed, dtype=dtype)


@wrong("10.6", "should be finite, yours is nan", RIGHT)
def roots_of_rounding_errors(*given):
    return _evaluate(*given, least=-1)


@wrong("10.6", "of the code nothing is said yet", ["scale"])
def a_wrong_name_and_the_code_as_it_was(*given):
    return _evaluate(*given, pick=_first, own="all")


@wrong("10.6", "the +- of samples would not be 0.000", ["same_choice", "diagonal_kept"])
def blames_the_same_choice(*given):
    return _evaluate(*given)


@wrong("10.6", "meets itself in the pairs across", ["first_n"])
def sees_the_order_only(*given):
    return _evaluate(*given)


@wrong("10.6", "that no seed changes a number", ["diagonal_kept"])
def sees_the_bias_only(*given):
    return _evaluate(*given)
