r"""Wrong answers to 05.5: names, half repairs, and repairs that break something else."""

import torch

from wrong import wrong

EQUIVALENT = {
    (
        "05.5",
        "alpha_bar = (1 - beta).cumprod(0)",
        "alpha_bar = (1 - beta).cumprod(-1)",
    ): "beta has one axis, which is its first and its last.",
    (
        "05.5",
        "noise = torch.randn(B, 2, generator=generator)",
        "noise = -torch.randn(B, 2, generator=generator)",
    ): "N(0, I) is the same law with the other sign, and x_t and the target get one draw.",
}
RIGHT = ("one_t", "no_roots")


def _loss(network, x_0, beta, seed, t=None, noise=None, root=0.5, add=0.5):
    generator = torch.Generator().manual_seed(seed)
    B, T = len(x_0), len(beta) - 1
    a = (1 - beta).cumprod(0)
    t = torch.randint(1, T + 1, (B,), generator=generator) if t is None else t
    noise = torch.randn(B, 2, generator=generator) if noise is None else noise
    x_t = a[t, None] ** root * x_0 + (1 - a[t, None]) ** add * noise
    return (network(x_t, t) - noise).square().mean()


def _compared(network, x_0, beta, seed, of):
    kept = []
    _loss(lambda x_t, t: kept.append((x_t, t)) or torch.zeros_like(x_t), x_0, beta, seed)
    x_t, t = kept[0]
    a = (1 - beta).cumprod(0)[t, None]
    noise = (x_t - a.sqrt() * x_0) / (1 - a).sqrt()
    return of(network(x_t, t), noise).mean()


@wrong("05.5", "what does the loss of a batch then depend on", RIGHT)
def names_and_repairs_nothing(network, x_0, beta, seed):
    generator = torch.Generator().manual_seed(seed)
    t = torch.randint(1, len(beta), (1,), generator=generator).expand(len(x_0))
    return _loss(network, x_0, beta, seed, t, root=1, add=1)


@wrong("05.5", "`alpha` would leave nearly no noise", ("one_t", "alpha"))
def one_name_is_another(network, x_0, beta, seed):
    return _loss(network, x_0, beta, seed)


@wrong("05.5", "what you name is right, but it does not explain how far", ["no_roots"])
def one_name_is_missing(network, x_0, beta, seed):
    return _loss(network, x_0, beta, seed)


@wrong(
    "05.5",
    "you name 4, and a run has one fault or two",
    ("one_t", "no_roots", "sum", "alpha"),
)
def names_to_be_sure(network, x_0, beta, seed):
    return _loss(network, x_0, beta, seed)


@wrong("05.5", "would be below the floor in every band", ("shared_noise", "one_t"))
def takes_the_low_loss_for_shared_noise(network, x_0, beta, seed):
    return _loss(network, x_0, beta, seed)


@wrong("05.5", "is not in the list", ("missing square root",))
def names_in_words(network, x_0, beta, seed):
    return _loss(network, x_0, beta, seed)


@wrong("05.5", "walked through", RIGHT)
def repairs_t_alone(network, x_0, beta, seed):
    return _loss(network, x_0, beta, seed, root=1, add=1)


@wrong("05.5", "multiply a deviation or a variance", RIGHT)
def repairs_the_signal_alone(network, x_0, beta, seed):
    return _loss(network, x_0, beta, seed, add=1)


@wrong("05.5", "the network is given t from 0 to", RIGHT)
def counts_from_0(network, x_0, beta, seed):
    generator = torch.Generator().manual_seed(seed)
    t = torch.randint(0, len(beta) - 1, (len(x_0),), generator=generator)
    return _loss(network, x_0, beta, seed + 1, t)


@wrong("05.5", "steps", RIGHT)
def forgets_the_last_step(network, x_0, beta, seed):
    generator = torch.Generator().manual_seed(seed)
    t = torch.randint(1, len(beta) - 1, (len(x_0),), generator=generator)
    return _loss(network, x_0, beta, seed + 1, t)


@wrong("05.5", "the t that the network is given should have shape", RIGHT)
def a_column_of_t(network, x_0, beta, seed):
    return _loss(lambda x_t, t: network(x_t, t[:, None]), x_0, beta, seed)


@wrong("05.5", "with what is its answer compared", RIGHT)
def compares_with_new_noise(network, x_0, beta, seed):
    kept = []
    _loss(lambda x_t, t: kept.append((x_t, t)) or torch.zeros_like(x_t), x_0, beta, seed)
    noise = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(seed + 1))
    return (network(*kept[0]) - noise).square().mean()


@wrong("05.5", "a mean over all numbers, or over points", RIGHT)
def adds_the_coordinates(network, x_0, beta, seed):
    return 2 * _loss(network, x_0, beta, seed)


@wrong("05.5", "does the sign of the answer count", RIGHT)
def compares_the_sizes(network, x_0, beta, seed):
    return _compared(network, x_0, beta, seed, lambda p, n: (p.abs() - n.abs()).square())


@wrong("05.5", "is it the difference that is squared", RIGHT)
def compares_the_squares(network, x_0, beta, seed):
    return _compared(network, x_0, beta, seed, lambda p, n: (p**2 - n**2).abs())


@wrong("05.5", "is it the difference that is squared", RIGHT)
def weighs_by_the_noise(network, x_0, beta, seed):
    return _compared(network, x_0, beta, seed, lambda p, n: (n - p) * n)


@wrong("05.5", "get a gradient from your loss", RIGHT)
def a_number_without_a_gradient(network, x_0, beta, seed):
    return _loss(network, x_0, beta, seed).item()


@wrong("05.5", "get a gradient from your loss", RIGHT)
def detaches_the_answer(network, x_0, beta, seed):
    return _loss(lambda x_t, t: network(x_t, t).detach(), x_0, beta, seed)


@wrong("05.5", "which noise is in the next batch", RIGHT)
def one_noise_for_all_batches(network, x_0, beta, seed):
    noise = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(0))
    return _loss(network, x_0, beta, seed, noise=noise)


@wrong("05.5", "which noise is in the next batch", RIGHT)
def sixteen_noises(network, x_0, beta, seed):
    noise = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(seed % 16))
    return _loss(network, x_0, beta, seed, noise=noise)


@wrong("05.5", "from which law is it drawn", RIGHT)
def uniform_noise(network, x_0, beta, seed):
    noise = torch.rand(x_0.shape, generator=torch.Generator().manual_seed(seed + 7))
    return _loss(network, x_0, beta, seed, noise=(noise - 0.5) * 12**0.5)


@wrong("05.5", "does any step come up more often", RIGHT)
def more_often_at_both_ends(network, x_0, beta, seed):
    generator, T = torch.Generator().manual_seed(seed), len(beta) - 1
    u = torch.rand(len(x_0), generator=generator)
    t = (T * (torch.pi * u / 2).sin() ** 2).long() + 1  # as many early as late
    return _loss(network, x_0, beta, seed + 1, t.clamp(max=T))


@wrong("05.5", "is each of them drawn", RIGHT)
def steps_in_a_row(network, x_0, beta, seed):
    t = (torch.arange(len(x_0)) + seed) % (len(beta) - 1) + 1
    return _loss(network, x_0, beta, seed, t)


@wrong("05.5", "of the code nothing is said yet", ["sum"])
def a_wrong_name_and_the_code_as_it_was(network, x_0, beta, seed):
    return names_and_repairs_nothing(network, x_0, beta, seed)


@wrong("05.5", "have nothing to do with each other", RIGHT)
def one_noise_for_a_point(network, x_0, beta, seed):
    generator = torch.Generator().manual_seed(seed + 7)
    noise = torch.randn(len(x_0), 1, generator=generator).expand(-1, 2)
    return _loss(network, x_0, beta, seed, noise=noise)


@wrong("05.5", "another seed gives every point the same t", RIGHT)
def sixteen_seeds(network, x_0, beta, seed):
    return _loss(network, x_0, beta, seed % 16)


@wrong("05.5", "is each of them drawn", RIGHT)
def takes_the_steps_in_order(network, x_0, beta, seed):
    t = torch.arange(len(x_0)) % (len(beta) - 1) + 1
    return _loss(network, x_0, beta, seed, t)
