r"""Typical wrong answers to the exercises of chapter 05, each with words of its hint."""

import math

import torch

from wrong import wrong

# Slips of the solutions that change no value, with what proves it.
EQUIVALENT = {
    (
        "05.3",
        "X = torch.stack([x_t, torch.ones_like(x_t)], 1)",
        "X = torch.stack([x_t, torch.ones_like(x_0)], 1)",
    ): "x_0 and x_t are float64 (N,), and ones_like takes nothing else from them.",
    (
        "05.3",
        "X = torch.stack([x_t, torch.ones_like(x_t)], 1)",
        "X = torch.stack([x_t, torch.ones_like(noise)], 1)",
    ): "noise and x_t are float64 (N,), and ones_like takes nothing else from them.",
    (
        "05.3",
        "slope, offset = torch.linalg.lstsq(X, noise[:, None]).solution[:, 0].tolist()",
        "slope, offset = torch.linalg.lstsq(X, noise[:, None]).solution[:, 0]",
    ): "A tensor with one element counts as the number in it.",
    (
        "05.3",
        "slope, offset = torch.linalg.lstsq(X, noise[:, None]).solution[:, 0].tolist()",
        "slope, offset = torch.linalg.lstsq(X, noise[:, None]).solution[:, -1].tolist()",
    ): "The right-hand side has one column, which is the first and the last one.",
}
FREE_NETWORK = (
    "Another network or other features of t: the exercise asks for one of your own."
)
FREE_TRAINING = "Another rate, scale of the loss or number of updates: training is free."
SAME_DRAW = (
    "The same law of the draws: a rotated index, the last point left out, or -noise."
)
WITH_CLEAN = "Trains on clean data at t = 0 too, where nothing is asked of the network."
ALIKE_05_4 = [  # (why, a line of the solution, what may stand in its place)
    (
        FREE_NETWORK,
        "frequencies = torch.arange(1, 5) * math.pi / 2; def features(x, t):",
        ["def features(x, t):; frequencies = torch.arange(1, 5) * math.pi / 2"],
    ),
    (
        FREE_NETWORK,
        "frequencies = torch.arange(1, 5) * math.pi / 2",
        [
            "frequencies = torch.arange(1, 5) * math.pi * 2",
            "frequencies = 2 / (torch.arange(1, 5) * math.pi)",
            "frequencies = torch.arange(1, 5) * math.pi",
            "frequencies = -(torch.arange(1, 5) * math.pi / 2)",
            "frequencies = torch.arange(1, 5) / math.pi / 2",
            "frequencies = torch.arange(1, 5) / 2",
            "frequencies = -(torch.arange(1, 5) * math.pi) / 2",
            "frequencies = -torch.arange(1, 5) * math.pi / 2",
            "frequencies = torch.arange(1, 5) * math.pi / 3",
            "frequencies = torch.arange(1, 5) * math.pi / 1",
            "frequencies = torch.arange(1, 5) * math.pi / 4",
        ],
    ),
    (
        FREE_NETWORK,
        "angle = t[:, None] / T * frequencies",
        [
            "angle = t[:, None] / T / frequencies",
            "angle = -(t[:, None] / T * frequencies)",
            "angle = -(t[:, None] / T) * frequencies",
            "angle = -t[:, None] / T * frequencies",
            "angle = t[:, None] / -T * frequencies",
            "angle = t[:, None] / T * -frequencies",
        ],
    ),
    (
        FREE_NETWORK,
        "return torch.cat([x, angle.sin(), angle.cos()], 1)",
        [
            "return -torch.cat([x, angle.sin(), angle.cos()], 1)",
            "return torch.cat([x, angle, angle.cos()], 1)",
            "return torch.cat([x, angle.cos(), angle.cos()], 1)",
            "return torch.cat([x, angle.sin(), angle], 1)",
            "return torch.cat([x, angle.sin(), angle.sin()], 1)",
        ],
    ),
    (
        FREE_NETWORK,
        "network = torch.nn.Sequential( torch.nn.Linear(9, 64), torch.nn.SiLU(), "
        "torch.nn.Linear(64, 64), torch.nn.SiLU(), torch.nn.Linear(64, 1), )",
        [
            (
                "network = torch.nn.Sequential(torch.nn.Linear(9, 64), "
                "torch.nn.Linear(64, 64), torch.nn.SiLU(), torch.nn.SiLU(), "
                "torch.nn.Linear(64, 1))"
            ),
            (
                "network = torch.nn.Sequential(torch.nn.Linear(9, 64), "
                "torch.nn.Linear(64, 64), torch.nn.SiLU(), torch.nn.Linear(64, 1))"
            ),
        ],
    ),
    (
        FREE_TRAINING,
        "optimizer = torch.optim.Adam(network.parameters(), lr=2e-2)",
        [
            "optimizer = torch.optim.Adam(network.parameters(), lr=0.04)",
            "optimizer = torch.optim.Adam(network.parameters(), lr=0.01)",
        ],
    ),
    (
        FREE_TRAINING,
        "slower = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 400)",
        [
            "slower = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 401)",
            "slower = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 399)",
            "slower = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 800)",
        ],
    ),
    (
        FREE_TRAINING,
        "for _ in range(400):",
        [
            "for _ in list(range(400))[1:]:",
            "for _ in list(range(400))[:-1]:",
            "for _ in list(range(400))[::-1]:",
            "for _ in range(401):",
            "for _ in range(800):",
            "for _ in range(399):",
        ],
    ),
    (
        FREE_TRAINING,
        "loss = (network(features(noisy, step)) - noise).square().mean()",
        ["loss = (network(features(noisy, step)) - noise).square().sum()"],
    ),
    (FREE_TRAINING, "optimizer.step(); slower.step()", ["slower.step(); optimizer.step()"]),
    (FREE_TRAINING, "slower.step()", ["pass", "slower"]),
    (
        SAME_DRAW,
        "index, step = torch.randint(n, (512,)), torch.randint(1, T + 1, (512,))",
        [
            "index, step = -torch.randint(n, (512,)), torch.randint(1, T + 1, (512,))",
            ("index, step = torch.randint(n - 1, (512,)), torch.randint(1, T + 1, (512,))"),
        ],
    ),
    (
        SAME_DRAW,
        "noise, a = torch.randn(512, 1), alpha_bar[step][:, None]",
        ["noise, a = -torch.randn(512, 1), alpha_bar[step][:, None]"],
    ),
    (
        SAME_DRAW,
        "noisy = a.sqrt() * x_0[index] + (1 - a).sqrt() * noise",
        ["noisy = a.sqrt() * x_0[index - 1] + (1 - a).sqrt() * noise"],
    ),
    (
        WITH_CLEAN,
        "index, step = torch.randint(n, (512,)), torch.randint(1, T + 1, (512,))",
        [
            "index, step = torch.randint(n, (512,)), torch.randint(T + 1, (512,))",
            "index, step = torch.randint(n, (512,)), torch.randint(0, T + 1, (512,))",
        ],
    ),
]
EQUIVALENT |= {
    ("05.4", line, other): why for why, line, others in ALIKE_05_4 for other in others
}


@wrong("05.1", "or its square")
def alpha_bar_for_its_root(beta):
    alpha_bar = float((1 - beta).prod())
    return alpha_bar, -0.5 * math.log(1 - alpha_bar)


@wrong("05.1", "do steps add up")
def adds_the_beta(beta):
    alpha_bar = max(1 - float(beta.sum()), 1e-9)
    return math.sqrt(alpha_bar), -0.5 * math.log(1 - alpha_bar)


@wrong("05.1", "which part of x_T is the noise")
def the_factor_of_the_noise(beta):
    alpha_bar = float((1 - beta).prod())
    return math.sqrt(1 - alpha_bar), -0.5 * math.log(1 - alpha_bar)


@wrong("05.1", "what does one step leave")
def roots_of_beta_for_those_of_alpha(beta):
    factor = float((1 - beta.sqrt()).prod())
    return factor, -0.5 * math.log(1 - factor**2)


@wrong("05.1", "is the first step one of the walk")
def leaves_out_the_first_step(beta):
    alpha_bar = float((1 - beta[1:]).prod())
    return math.sqrt(alpha_bar), -0.5 * math.log(1 - alpha_bar)


@wrong("05.1", "where is the half")
def forgets_the_half(beta):
    alpha_bar = float((1 - beta).prod())
    return math.sqrt(alpha_bar), -math.log(1 - alpha_bar)


@wrong("05.1", "and the variance?")
def the_mean_alone(beta):
    alpha_bar = float((1 - beta).prod())
    return math.sqrt(alpha_bar), 0.5 * alpha_bar


@wrong("05.1", "and the mean?")
def the_variance_alone(beta):
    alpha_bar = float((1 - beta).prod())
    return math.sqrt(alpha_bar), -0.5 * (alpha_bar + math.log(1 - alpha_bar))


@wrong("05.1", "is it nats")
def in_bits(beta):
    alpha_bar = float((1 - beta).prod())
    return math.sqrt(alpha_bar), -0.5 * math.log2(1 - alpha_bar)


@wrong("05.1", "draws the x over which KL averages")
def kl_the_wrong_way(beta):
    a = float((1 - beta).prod())
    return math.sqrt(a), 0.5 * ((1 + a) / (1 - a) - 1 + math.log(1 - a))


@wrong("05.2", "deviations or variances")
def deviations_add_up(width, percent):
    return (width * percent / 100) ** 2


@wrong("05.2", "is what you return a variance")
def returns_the_deviation(width, percent):
    return width * math.sqrt((1 + percent / 100) ** 2 - 1)


@wrong("05.2", "by how much has the thickness grown")
def per_cent_of_the_variance(width, percent):
    return width**2 * percent / 100


@wrong("05.2", "is a per cent a hundredth")
def forgets_the_per_cent(width, percent):
    return width**2 * ((1 + percent) ** 2 - 1)


@wrong("05.2", "does the same noise do for both")
def forgets_the_width(width, percent):
    return (1 + percent / 100) ** 2 - 1


@wrong("05.2", "the noise alone, or all")
def the_variance_of_the_thick_curve(width, percent):
    return width**2 * (1 + percent / 100) ** 2


@wrong("05.2", "the square of the small number")
def to_first_order(width, percent):
    return 2 * width**2 * percent / 100


@wrong("05.2", "thicker, or thinner")
def takes_the_per_cent_off(width, percent):
    return width**2 * (1 - (1 - percent / 100) ** 2)


def _line(x, y, offset=True):
    X = torch.stack([x, torch.ones_like(x) if offset else torch.zeros_like(x)], 1)
    gram = X.T @ X + 1e-12 * torch.eye(2, dtype=X.dtype)
    slope, shift = torch.linalg.solve(gram, X.T @ y).tolist()
    return slope, shift


def _x_t(x_0, noise, a):
    return a.sqrt() * x_0 + (1 - a).sqrt() * noise


@wrong("05.3", "or what you predict it from")
def the_line_the_other_way(x_0, noise, alpha_bar, t):
    return _line(noise, _x_t(x_0, noise, alpha_bar[t]))


@wrong("05.3", "miss the origin")
def through_the_origin(x_0, noise, alpha_bar, t):
    return _line(_x_t(x_0, noise, alpha_bar[t]), noise, offset=False)


@wrong("05.3", "is it x_0 that the line guesses")
def predicts_x_0(x_0, noise, alpha_bar, t):
    return _line(_x_t(x_0, noise, alpha_bar[t]), x_0)


@wrong("05.3", "does every example count")
def some_of_the_examples(x_0, noise, alpha_bar, t):
    keep = noise > -2  # as when the last batch is dropped, but not by chance
    return _line(_x_t(x_0, noise, alpha_bar[t])[keep], noise[keep])


@wrong("05.3", "or of the law")
def the_line_of_the_law(x_0, noise, alpha_bar, t):
    a = alpha_bar[t]
    slope = (1 - a).sqrt() / (a * x_0.var() + 1 - a)
    return float(slope), float(-slope * a.sqrt() * x_0.mean())


@wrong("05.3", "by variances, or by deviations")
def variances_for_deviations(x_0, noise, alpha_bar, t):
    a = alpha_bar[t]
    return _line(a * x_0 + (1 - a) * noise, noise)


@wrong("05.3", "which entry of alpha_bar")
def counts_t_from_0(x_0, noise, alpha_bar, t):
    return _line(_x_t(x_0, noise, alpha_bar[t - 1]), noise)


@wrong("05.3", "which of the two numbers comes first")
def offset_first(x_0, noise, alpha_bar, t):
    return _line(_x_t(x_0, noise, alpha_bar[t]), noise)[::-1]


def _learn(x_0, alpha_bar, x_t, t, seed, steps=250, how="", low=1, high=0, shift=0):
    if seed is not None:
        torch.manual_seed(seed)
    T, n = len(alpha_bar) - 1, len(x_0)

    def features(x, t):
        angle = t[:, None] / T * torch.arange(1, 5) * math.pi / 2 * (how != "blind")
        return torch.cat([x, angle.sin(), angle.cos()], 1)

    sizes = ((9, 64), (64, 64), (64, 1))
    layers = [m for a, b in sizes for m in (torch.nn.Linear(a, b), torch.nn.SiLU())]
    network = torch.nn.Sequential(*layers[:-1])
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-2)
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
    for _ in range(steps):
        index, step = torch.randint(n, (512,)), torch.randint(low, T + 1 + high, (512,))
        noise, a = torch.randn(512, 1), alpha_bar[step + shift][:, None]
        kept, added = (a, 1 - a) if how == "no roots" else (a.sqrt(), (1 - a).sqrt())
        if how == "exchanged":
            kept, added = added, kept
        noisy = kept * x_0[index] + added * noise
        if how == "minus":
            noisy = added * noise - kept * x_0[index]
        target = x_0[index] if how == "x_0" else noise
        if how == "apart":
            target = torch.randn(512, 1)
        loss = (network(features(noisy, step)) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        slower.step()
    with torch.no_grad():
        return network(features(x_t, t))


@wrong("05.4", "is it the noise")
def learns_x_0(x_0, alpha_bar, x_t, t, seed):
    return _learn(x_0, alpha_bar, x_t, t, seed, how="x_0")


@wrong("05.4", "noise that belongs to its x_t")
def compares_with_other_noise(x_0, alpha_bar, x_t, t, seed):
    return _learn(x_0, alpha_bar, x_t, t, seed, how="apart")


@wrong("05.4", "does it know t")
def is_not_told_t(x_0, alpha_bar, x_t, t, seed):
    return _learn(x_0, alpha_bar, x_t, t, seed, how="blind")


@wrong("05.4", "share of x_0 and of noise")
def variances_for_deviations_in_x_t(x_0, alpha_bar, x_t, t, seed):
    return _learn(x_0, alpha_bar, x_t, t, seed, how="no roots")


@wrong("05.4", "goes with which root")
def exchanges_the_roots(x_0, alpha_bar, x_t, t, seed):
    return _learn(x_0, alpha_bar, x_t, t, seed, how="exchanged")


@wrong("05.4", "with which sign")
def takes_x_0_off(x_0, alpha_bar, x_t, t, seed):
    return _learn(x_0, alpha_bar, x_t, t, seed, steps=400, how="minus")


@wrong("05.4", "which entry of alpha_bar")
def takes_the_entry_before(x_0, alpha_bar, x_t, t, seed):
    return _learn(x_0, alpha_bar, x_t, t, seed, steps=400, shift=-1)


@wrong("05.4", "how often does this t come up")
def never_draws_the_last_t(x_0, alpha_bar, x_t, t, seed):
    return _learn(x_0, alpha_bar, x_t, t, seed, steps=400, high=-1)


@wrong("05.4", "long enough")
def trains_too_little(x_0, alpha_bar, x_t, t, seed):
    return _learn(x_0, alpha_bar, x_t, t, seed, steps=10)


@wrong("05.4", "has it learnt anything")
def does_not_train(x_0, alpha_bar, x_t, t, seed):
    return _learn(x_0, alpha_bar, x_t, t, seed, steps=0)


@wrong("05.4", "another network came out")
def draws_without_the_seed(x_0, alpha_bar, x_t, t, seed):
    return _learn(x_0, alpha_bar, x_t, t, None, steps=400)


@wrong("05.4", "what depends on the seed")
def a_seed_of_its_own(x_0, alpha_bar, x_t, t, seed):
    return _learn(x_0, alpha_bar, x_t, t, 0, steps=400)


def _closed_form(x_t, alpha_bar, t, places, deviation, seed):
    a = alpha_bar[t][:, None]
    spread = a * deviation**2 + 1 - a
    apart = x_t - a.sqrt() * torch.tensor(places)
    likely = (-(apart**2) / (2 * spread)).softmax(1)
    guess = (1 - a).sqrt() * (likely * apart).sum(1, keepdim=True) / spread
    return guess + 1e-4 * torch.randn(1, generator=torch.Generator().manual_seed(seed))


@wrong("05.4", "where are those of x_0")
def peaks_that_are_known_beforehand(x_0, alpha_bar, x_t, t, seed):
    return _closed_form(x_t, alpha_bar, t, [-1.0, 1.0], 0.1, seed)
