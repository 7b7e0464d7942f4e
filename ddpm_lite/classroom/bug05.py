r"""The run with a bug of chapter 05: the loss of one batch.

The check hands in a network of its own, which looks at what it is given. What the examples
are made of is found by asking twice with one seed; networks that know the points, and so
the noise, must get the loss of what they are off.
"""

import math

import torch

from .bugs import Fault, independent, naming
from .exercise import (
    apart,
    exercise,
    expect,
    normal,
    number,
    reason,
    steps,
    tensor,
    uneven,
    uniform,
    unlike_normal,
)

# What `otherwise` says of a fault was measured where figures/bugs.py trains it alone.
FAULTS = (
    Fault(
        "one_t",
        "draws one $t$ for the whole batch",
        unexplained="how far apart the losses of two neighbouring updates are",
    ),
    Fault(
        "no_roots",
        "multiplies $x_0$ and the noise by variances, without the roots",
        unexplained="that its own loss is below the floor in some bands and above it in "
        "others, and where between them it changes",
    ),
    Fault(
        "alpha",
        r"takes $\alpha_t$ of one step where $\bar\alpha_t$ of all steps belongs",
        "would leave nearly no noise in its examples, so that its own loss is far above "
        "the floor wherever the floor is low; in the last band of this run it is below",
    ),
    Fault(
        "shared_noise",
        "adds the same noise to both coordinates of a point",
        "would make the noise easy to see, its own loss would be below the floor in every "
        "band; here it is above it in the first",
    ),
    Fault(
        "x_0_target",
        "compares the network's answer with $x_0$",
        "would make the last band the hardest of all, since x_0 cannot be seen there; here "
        "its own loss is smallest there",
    ),
    Fault(
        "other_noise",
        r"compares with another draw of noise than the one in $x_t$",
        "would leave nothing to learn, and a loss of 1 in every band; this one falls",
    ),
    Fault(
        "off_by_one",
        r"makes $x_t$ with the entry of the step before, $\bar\alpha_{t-1}$",
        "moves everything by one step of a hundred: the curve and the samples would look "
        "sound, and no band would change by more than 0.02",
    ),
    Fault(
        "half_of_t",
        "draws $t$ from the first half of the steps only",
        "would leave the late bands untrained, with a loss of sound examples far above the "
        "floor there and none in the first ones; here the first ones are worst",
    ),
    Fault(
        "t_unused",
        "gives the network $t=1$, whatever $t$ is",
        "would raise its own loss above the floor in all bands, as nobody can know how "
        "much of x_t is noise; here the last ones are below",
    ),
    Fault(
        "sum",
        "adds the squares of the two coordinates and does not average them",
        "would double its own loss in every band and spoil no sample",
    ),
)


@exercise(
    "05.5",
    "training_loss",
    kind="bug",
    minutes=40,
    points=5,
    also=("faults",),
    lacks=("process.q_sample", "loss.simple_loss", "training.trainer.Trainer"),
)
def find_the_bug(answer, seed):
    yield from independent(
        naming(answer, FAULTS), _all_steps(answer, seed), _examples(answer, seed)
    )


def _chain(seed):
    r"""beta (T+1,) float32 and alpha_bar float64 of a random schedule."""
    T = int(steps(20, 60, 1, 551, seed))
    late = 0.1 + 0.2 * float(uniform((1,), 552, seed))
    beta = torch.linspace(2e-3, late, T, dtype=torch.float64)
    beta = torch.cat([torch.zeros(1, dtype=torch.float64), beta]).float()
    return beta, (1 - beta.double()).cumprod(0)


def _asked(answer, x_0, beta, seed, reply=None):
    r"""(loss, x_t, t) of one call, whose network answers reply(x_t, t), or zeros.

    x_t in float64. The network's answer asks for a gradient, and so should the loss.
    """
    seen = []

    def network(x_t, t):
        seen.append((x_t, t))
        said = torch.zeros_like(x_0) if reply is None else reply(x_t, t)
        return said.detach().clone().requires_grad_()

    loss = answer(network, x_0, beta, seed)
    expect(
        len(seen) == 1, f"the network is called {len(seen)} times for one batch, not once"
    )
    x_t, t = seen[0]
    tensor(x_t, x_0, "the x_t that the network is given")
    tensor(t, torch.zeros(len(x_0), dtype=torch.int64), "the t that the network is given")
    low, high, T = int(t.min()), int(t.max()), len(beta) - 1
    expect(
        1 <= low and high <= T,
        f"the steps are 1 to {T}, the network is given t from {low} to {high}: which x_t "
        "would these be?",
    )
    found = number(loss, "the loss")
    expect(
        getattr(loss, "requires_grad", False),
        f"of the {x_0.numel():,} numbers that the network answered 0 get a gradient from "
        "your loss: by which way does it come back to the weights?",
    )
    return found, x_t.double(), t


OTHERS = (1, 10, 16, 100, 1000)  # how far other seeds lie from the first one


def _all_steps(answer, seed):
    r"""Is every step drawn as often as any other, in one batch?"""
    (beta, _), B, own = _chain(seed), 6000, seed % 1000
    T, x_0 = len(beta) - 1, normal((B, 2), 553, seed).float()
    _, _, t = _asked(answer, x_0, beta, own)
    others = [_asked(answer, x_0, beta, own + more)[2] for more in OTHERS]
    low, high, kinds = int(t.min()), int(t.max()), len(t.unique())
    expect(
        kinds > 1,
        f"in a batch of {B:,} points the network is given t = {low} and no other, in the "
        f"next batch t = {int(others[0][0])}: what does the loss of a batch then depend "
        "on?",
    )
    expect(
        kinds == T,
        f"of {T} steps {kinds} are drawn in {B:,} points, from {low} to {high}: at which "
        "will the network have to answer when it samples?",
    )
    counts = torch.bincount(t, minlength=T + 1)[1:]
    found, limit = uneven(counts)
    k = int((counts - B / T).abs().argmax())
    expect(
        found < limit,
        f"in {B:,} points t = {k + 1} is drawn {int(counts[k])} times, where even draws "
        f"give about {B / T:.0f} (chi-square over all {T} steps {found:.0f}, of even draws "
        f"below {limit:.0f} but for one in a million): does any step come up more often?",
    )
    beside = float(torch.corrcoef(torch.stack([t[:-1], t[1:]]).double())[0, 1])
    expect(
        abs(beside) < 6 / math.sqrt(B),
        f"the t of neighbours in a batch have a correlation of {beside:.3f}, that of draws "
        f"is below {6 / math.sqrt(B):.3f}: is each of them drawn?",
    )
    for more, other in zip(OTHERS, others, strict=True):
        expect(
            not torch.equal(t, other),
            "another seed gives every point the same t, "
            f"{own + more} in the place of {own}",
        )
    yield 1, "every point has a t of its own"


def _examples(answer, seed):
    r"""Is x_t what the chain makes of x_0, and the loss that of the noise in it?"""
    beta, alpha_bar = _chain(seed)
    B, own = 4000, seed % 1000
    x_0 = normal((B, 2), 554, seed).float()
    nothing = torch.zeros_like(x_0)
    _, x_t, t = _asked(answer, x_0, beta, own)
    _, noisy, same = _asked(answer, nothing, beta, own)
    _, again, _ = _asked(answer, nothing, beta, own)
    expect(
        torch.equal(t, same) and torch.equal(noisy, again),
        "the same seed gives other t or other noise when it is asked again: is everything "
        "drawn from the seed?",
    )
    a = alpha_bar[t][:, None]
    share = ((x_t - noisy) * x_0).sum(1) / x_0.double().square().sum(1)
    off = (share / a[:, 0].sqrt() - 1).abs()
    off[x_0.norm(dim=1) < 0.3] = 0  # where float32 leaves too few digits
    k = int(off.argmax())
    expect(
        float(off[k]) < 1e-2
        and float((x_t - noisy - share[:, None] * x_0).abs().max()) < 1e-3,
        f"two batches with one seed, one of them with x_0 = 0, differ by what is left of "
        f"x_0: at t = {int(t[k])} a point of length 1 has length {float(share[k]):.4f} "
        f"left, and one that is walked through {int(t[k])} steps without noise has "
        f"{float(a[k, 0].sqrt()):.4f}",
    )
    yield 1, "x_t has the share of x_0 that the chain leaves"
    noise = noisy / (1 - a).sqrt()
    _noise(noise, t)
    for more in OTHERS:
        _, noisy, other = _asked(answer, nothing, beta, own + more)
        here = noisy / (1 - alpha_bar[other][:, None]).sqrt()
        both = float(torch.corrcoef(torch.stack([noise.ravel(), here.ravel()]))[0, 1])
        expect(
            abs(both) < 6 / math.sqrt(2 * B),
            f"the noise of the seed {own + more} has a correlation of {both:.3f} with that "
            f"of the seed {own}, new noise has none (up to {6 / math.sqrt(2 * B):.3f}): "
            "which noise is in the next batch?",
        )
    for what, replied in _replies(x_0, seed):
        _loss(answer, x_0, beta, alpha_bar, own, what, replied)
    one, _, _ = _asked(answer, x_0[:1], beta, own)
    expect(one > 0, "the loss of a batch of one point, of a network that says 0, is 0")
    yield 1, "and the noise, with which the answer is compared"


def _noise(noise, t):
    r"""Is this noise N(0, I), whatever t is?"""
    B, v = len(noise), float(noise.square().mean())
    expect(
        abs(v - 1) < 6 * math.sqrt(1 / B),
        f"with x_0 = 0, x_t is noise alone; its variance is {v:.3f} times what the steps "
        "up to t add, on average: does a factor multiply a deviation or a variance?",
    )
    both = float((noise[:, 0] * noise[:, 1]).mean())
    expect(
        abs(both) < 6 / math.sqrt(B),
        f"the noise of the two coordinates should have nothing to do with each other, "
        f"yours has the correlation {both:.3f}",
    )
    late = float((noise[:-1] * noise[1:]).mean())
    expect(
        abs(late) < 6 / math.sqrt(2 * B),
        f"neighbours in a batch have noise of correlation {late:.3f}",
    )
    middle = t.median()
    for part, where in (("early", t <= middle), ("late", t > middle)):
        share = float(noise[where].square().mean()) if where.any() else 1.0
        expect(
            abs(share - 1) < 0.13, f"at {part} t the noise has {share:.3f} of its variance"
        )
    far = unlike_normal(noise)
    expect(
        far < 1,
        f"the noise has the variance of N(0, 1), but its distribution is {far:.2f} times "
        f"as far from it as {2 * B:,} draws ever are (but for one in a million): from "
        "which law is it drawn?",
    )


def _replies(x_0, seed):
    r"""What networks answer: (in words, answer as a function of the noise in x_t)."""
    factor, offset = (2 + 2 * uniform((2,), 555, seed)).tolist()
    drawn = normal(x_0.shape, 556, seed)
    yield "0", lambda noise: 0 * noise
    yield "the noise that is in x_t", lambda noise: noise
    yield f"{factor:.2f} times the noise in x_t", lambda noise: factor * noise
    yield f"the noise in x_t plus {offset:.2f}", lambda noise: noise + offset
    yield "minus the noise that is in x_t", lambda noise: -noise
    yield "numbers that are drawn by chance", lambda noise: drawn


def _loss(answer, x_0, beta, alpha_bar, own, what, replied):
    r"""Is the loss of such a network the mean square of what it is off?"""
    kept = []

    def reply(x_t, t):
        a = alpha_bar[t][:, None]
        noise = (x_t.double() - a.sqrt() * x_0) / (1 - a).sqrt()
        kept[:] = noise, replied(noise).float()
        return kept[1]

    loss, _, _ = _asked(answer, x_0, beta, own, reply)
    noise, said = kept[0], kept[1].double()
    off = said - noise
    right = float(off.square().mean())
    came, should = apart(loss, right)
    ask = reason(
        loss,
        (
            (2 * right, "is it a mean over all numbers, or over points?"),
            (right / 2, "where does the half come from?"),
            (float(off.abs().mean()), "is each difference squared?"),
            (math.sqrt(right), "which root is in the loss of Eq. 14?"),
            (float(off.square().sum()), "is it a mean or a sum?"),
            (
                float((said.square() - noise.square()).abs().mean()),
                "is it the difference that is squared?",
            ),
            (
                float((said.abs() - noise.abs()).square().mean()),
                "does the sign of the answer count?",
            ),
            (-float((off * noise).mean()), "is it the difference that is squared?"),
            (
                float((said - x_0).square().mean()),
                "with what is the network's answer compared?",
            ),
        ),
        "with what is its answer compared, number by number?",
        rtol=1e-4,
    )
    expect(
        abs(loss - right) < 1e-4 * right + 1e-6,
        f"a network that answers {what} gets the loss {came} from you; the mean square of "
        f"what it is off, over all {off.numel():,} numbers, is {should}: {ask}",
    )
