r"""Typical wrong answers to the exercises of chapter 08, each with words of its hint."""

import math
from itertools import pairwise

import torch

from wrong import wrong


def _wide(value, x):
    return value.reshape(-1, *[1] * (x.dim() - 1)).to(x.dtype)


def _guess(alpha_bar, x_t, noise_pred, t):
    a_t = _wide(alpha_bar[t], x_t)
    return (x_t - (1 - a_t).sqrt() * noise_pred) / a_t.sqrt()


def _posterior(alpha_bar, x_0, x_t, t, s):
    a_t, a_s = alpha_bar[t].double(), alpha_bar[s].double()
    beta = 1 - a_t / a_s
    of_x_0 = a_s.sqrt() * beta / (1 - a_t)
    of_x_t = (a_t / a_s).sqrt() * (1 - a_s) / (1 - a_t)
    mean = _wide(of_x_0, x_t) * x_0 + _wide(of_x_t, x_t) * x_t
    return mean, _wide(beta * (1 - a_s) / (1 - a_t), x_t), _wide(beta, x_t)


@wrong("08.1", "grey level is a distance")
def compares_variances(alpha_bar, levels):
    return int(((1 - alpha_bar) <= 2 / (levels - 1)).nonzero()[-1])


@wrong("08.1", "from black to white")
def forgets_that_the_range_is_two(alpha_bar, levels):
    return int(((1 - alpha_bar).sqrt() <= 1 / (levels - 1)).nonzero()[-1])


@wrong("08.1", "count all steps from 0 to t")
def looks_at_one_step(alpha_bar, levels):
    beta = torch.cat([torch.zeros(1), 1 - alpha_bar[1:] / alpha_bar[:-1]])
    return int((beta.sqrt() <= 2 / (levels - 1)).nonzero()[-1])


@wrong("08.1", "which step does entry 0")
def counts_from_zero(alpha_bar, levels):
    fits = ((1 - alpha_bar[1:]).sqrt() <= 2 / (levels - 1)).nonzero()
    return int(fits[-1]) if len(fits) else 0


@wrong("08.1", "or the first that shows it")
def first_that_is_seen(alpha_bar, levels):
    return int(((1 - alpha_bar).sqrt() > 2 / (levels - 1)).nonzero()[0])


@wrong("08.1", "0 for none")
def minus_one_for_none(alpha_bar, levels):
    return int(((1 - alpha_bar[1:]).sqrt() <= 2 / (levels - 1)).sum()) or -1


@wrong("08.1", "how many gaps")
def divides_by_the_levels(alpha_bar, levels):
    return int(((1 - alpha_bar).sqrt() <= 2 / levels).nonzero()[-1])


@wrong("08.1", "must it be less, or at most")
def strictly_below(alpha_bar, levels):
    return int(((1 - alpha_bar).sqrt() < 2 / (levels - 1)).nonzero()[-1])


@wrong("08.2", "anything left to draw")
def noise_at_the_last_step(alpha_bar, x_t, noise_pred, t, s, noise, clip):
    x_0 = _guess(alpha_bar, x_t, noise_pred, t)
    x_0 = x_0 if clip is None else x_0.clamp(*clip)
    mean, _, large = _posterior(alpha_bar, x_0, x_t, t, s)
    return mean + large.sqrt() * noise


def _right_jump(alpha_bar, x_t, noise_pred, t, s, noise, clip):
    x_0 = _guess(alpha_bar, x_t, noise_pred, t)
    x_0 = x_0 if clip is None else x_0.clamp(*clip)
    mean, small, _ = _posterior(alpha_bar, x_0, x_t, t, s)
    return (mean + small.sqrt() * noise).to(x_t.dtype)


@wrong("08.2", "x_s should have shape")
def squeezes(alpha_bar, x_t, noise_pred, t, s, noise, clip):
    return _right_jump(alpha_bar, x_t, noise_pred, t, s, noise, clip).squeeze()


@wrong("08.2", "along which axes of such a batch")
def for_points_and_pictures_alone(alpha_bar, x_t, noise_pred, t, s, noise, clip):
    if x_t.dim() not in (2, 4):
        t, s = t[:1].expand_as(t), s[:1].expand_as(s)
    return _right_jump(alpha_bar, x_t, noise_pred, t, s, noise, clip)


@wrong("08.2", "which of the two variances")
def large_variance(alpha_bar, x_t, noise_pred, t, s, noise, clip):
    x_0 = _guess(alpha_bar, x_t, noise_pred, t)
    x_0 = x_0 if clip is None else x_0.clamp(*clip)
    mean, _, large = _posterior(alpha_bar, x_0, x_t, t, s)
    return mean + large.sqrt() * noise * _wide(s > 0, x_t)


@wrong("08.2", "multiplied by, a variance")
def variance_times_noise(alpha_bar, x_t, noise_pred, t, s, noise, clip):
    x_0 = _guess(alpha_bar, x_t, noise_pred, t)
    x_0 = x_0 if clip is None else x_0.clamp(*clip)
    mean, small, _ = _posterior(alpha_bar, x_0, x_t, t, s)
    return mean + small * noise


@wrong("08.2", "must lie in that range")
def clips_the_state(alpha_bar, x_t, noise_pred, t, s, noise, clip):
    x_0 = _guess(alpha_bar, x_t, noise_pred, t)
    mean, small, _ = _posterior(alpha_bar, x_0, x_t, t, s)
    x_s = mean + small.sqrt() * noise
    return x_s if clip is None else x_s.clamp(*clip)


@wrong("08.2", "cut off before it is used")
def never_clips(alpha_bar, x_t, noise_pred, t, s, noise, clip):
    mean, small, _ = _posterior(alpha_bar, _guess(alpha_bar, x_t, noise_pred, t), x_t, t, s)
    return mean + small.sqrt() * noise


@wrong("08.2", "clip=None and s = 0")
def always_clips(alpha_bar, x_t, noise_pred, t, s, noise, clip):
    x_0 = _guess(alpha_bar, x_t, noise_pred, t).clamp(-1, 1)
    mean, small, _ = _posterior(alpha_bar, x_0, x_t, t, s)
    return mean + small.sqrt() * noise


@wrong("08.2", "whose limits are those")
def clips_to_what_pictures_have(alpha_bar, x_t, noise_pred, t, s, noise, clip):
    return jump(alpha_bar, x_t, noise_pred, t, s, noise, clip and (-1, 1))


@wrong("08.2", "below, too")
def clips_above_only(alpha_bar, x_t, noise_pred, t, s, noise, clip):
    return jump(alpha_bar, x_t, noise_pred, t, s, noise, clip and (None, clip[1]))


@wrong("08.2", "is it the guess that you cut off")
def clips_what_it_starts_from(alpha_bar, x_t, noise_pred, t, s, noise, clip):
    x_t = x_t if clip is None else x_t.clamp(*clip)
    return jump(alpha_bar, x_t, noise_pred, t, s, noise, None)


@wrong("08.2", "how much of the old noise stays")
def answers_with_ddim(alpha_bar, x_t, noise_pred, t, s, noise, clip):
    x_0 = _guess(alpha_bar, x_t, noise_pred, t)
    x_0 = x_0 if clip is None else x_0.clamp(*clip)
    a_s = _wide(alpha_bar[s], x_t)
    return a_s.sqrt() * x_0 + (1 - a_s).sqrt() * noise_pred


@wrong("08.2", "where is the fresh noise")
def returns_the_mean(alpha_bar, x_t, noise_pred, t, s, noise, clip):
    return jump(alpha_bar, x_t, noise_pred, t, s, 0 * noise, clip)


@wrong("08.2", "take off just the noise that Eq. 4 put on")
def forgets_the_roots_of_eq_4(alpha_bar, x_t, noise_pred, t, s, noise, clip):
    a_t = _wide(alpha_bar[t], x_t)
    x_0 = (x_t - (1 - a_t) * noise_pred) / a_t
    x_0 = x_0 if clip is None else x_0.clamp(*clip)
    mean, small, _ = _posterior(alpha_bar, x_0, x_t, t, s)
    return mean + small.sqrt() * noise


@wrong("08.2", "a jump to s, whatever s is")
def steps_of_one_only(alpha_bar, x_t, noise_pred, t, s, noise, clip):
    x_0 = _guess(alpha_bar, x_t, noise_pred, t)
    x_0 = x_0 if clip is None else x_0.clamp(*clip)
    mean, small, _ = _posterior(alpha_bar, x_0, x_t, t, t - 1)
    still = _wide(s > 0, x_t)
    return still * (mean + small.sqrt() * noise) + (1 - still) * x_0


@wrong("08.2", "numbers of its own steps")
def one_step_for_all(alpha_bar, x_t, noise_pred, t, s, noise, clip):
    t, s = t[:1].expand_as(t), s[:1].expand_as(s)
    x_0 = _guess(alpha_bar, x_t, noise_pred, t)
    x_0 = x_0 if clip is None else x_0.clamp(*clip)
    mean, small, _ = _posterior(alpha_bar, x_0, x_t, t, s)
    return mean + small.sqrt() * noise


@wrong("08.2", "should be torch.float32")
def stays_in_double(alpha_bar, x_t, noise_pred, t, s, noise, clip):
    return jump(alpha_bar, x_t.double(), noise_pred.double(), t, s, noise.double(), clip)


def jump(alpha_bar, x_t, noise_pred, t, s, noise, clip):
    x_0 = _guess(alpha_bar, x_t, noise_pred, t)
    x_0 = x_0 if clip is None else x_0.clamp(*clip)
    mean, small, _ = _posterior(alpha_bar, x_0, x_t, t, s)
    return mean + small.sqrt() * noise


@wrong("08.2", "float64 all the way")
def stays_in_single(alpha_bar, x_t, noise_pred, t, s, noise, clip):
    alpha_bar, x, z = alpha_bar.float(), x_t.float(), noise.float()
    return jump(alpha_bar.double(), x, noise_pred.float(), t, s, z, clip).to(x_t.dtype)


@wrong("08.2", "RuntimeError")
def does_not_widen(alpha_bar, x_t, noise_pred, t, s, noise, clip):
    a_t = alpha_bar[t]
    x_0 = (x_t - (1 - a_t).sqrt() * noise_pred) / a_t.sqrt()
    mean, small, _ = _posterior(alpha_bar, x_0, x_t, t, s)
    return mean + small.sqrt() * noise


def _numbers(alpha_bar, t, s):
    a_t, a_s = float(alpha_bar[t]), float(alpha_bar[s])
    large = 1 - a_t / a_s
    small = large * (1 - a_s) / (1 - a_t)
    return a_t, small, large, math.sqrt(a_s) * large / (1 - a_t)


@wrong("08.3", "that of the guess of x_0")
def takes_the_loss_as_it_is(alpha_bar, t, s, loss):
    _, small, _, of_x_0 = _numbers(alpha_bar, t, s)
    return small + of_x_0**2 * loss


@wrong("08.3", "goes into x_s with a weight")
def weight_without_a_square(alpha_bar, t, s, loss):
    a_t, small, _, of_x_0 = _numbers(alpha_bar, t, s)
    return small + of_x_0 * loss * (1 - a_t) / a_t


@wrong("08.3", "share of the way from the small variance")
def loss_is_the_share(alpha_bar, t, s, loss):
    _, small, large, _ = _numbers(alpha_bar, t, s)
    return small + loss * (large - small)


@wrong("08.3", "or a deviation")
def returns_a_deviation(alpha_bar, t, s, loss):
    a_t, small, _, of_x_0 = _numbers(alpha_bar, t, s)
    return math.sqrt(small + of_x_0**2 * loss * (1 - a_t) / a_t)


@wrong("08.3", "the jump to s, whatever s is")
def steps_of_one_only_in_numbers(alpha_bar, t, s, loss):
    a_t, small, _, of_x_0 = _numbers(alpha_bar, t, t - 1)
    return small + of_x_0**2 * loss * (1 - a_t) / a_t


@wrong("08.3", "what happens to its square")
def blown_up_by_the_root(alpha_bar, t, s, loss):
    a_t, small, _, of_x_0 = _numbers(alpha_bar, t, s)
    return small + of_x_0**2 * loss * math.sqrt((1 - a_t) / a_t)


@wrong("08.3", "is x_0 known, too")
def nothing_at_the_end(alpha_bar, t, s, loss):
    a_t, small, _, of_x_0 = _numbers(alpha_bar, t, s)
    return small + of_x_0**2 * loss * (1 - a_t) / a_t if s else 0.0


@wrong("08.3", "what is drawn even when x_0 is known")
def only_what_is_uncertain(alpha_bar, t, s, loss):
    a_t, _, _, of_x_0 = _numbers(alpha_bar, t, s)
    return of_x_0**2 * loss * (1 - a_t) / a_t


@wrong("08.3", "what is drawn when x_0 is known")
def on_top_of_the_large_one(alpha_bar, t, s, loss):
    a_t, _, large, of_x_0 = _numbers(alpha_bar, t, s)
    return large + of_x_0**2 * loss * (1 - a_t) / a_t


def _walk(
    model, alpha_bar, stops, B, draw, variance="small", root=True, last=False, clip=None
):
    x = draw()
    for t, s in pairwise(stops):
        a_t, small, large, of_x_0 = _numbers(alpha_bar, t, s)
        noise_pred = model(x, torch.full((B,), t))
        x_0 = (x - math.sqrt(1 - a_t) * noise_pred) / math.sqrt(a_t)
        x_0 = x_0 if clip is None else x_0.clamp(*clip)
        of_x_t = math.sqrt(1 - large) * (1 - float(alpha_bar[s])) / (1 - a_t)
        sigma2 = small if variance == "small" else large
        x = of_x_0 * x_0 + of_x_t * x
        if s > 0 or last:
            x = x + (math.sqrt(sigma2) if root else sigma2) * draw()
    return x


def _own(seeds, size):
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def draw():
        each = [torch.randn(size, generator=g, dtype=torch.float64) for g in generators]
        return torch.stack(each)

    return draw


@wrong("08.4", "line 3 of Algorithm 2")
def draws_at_the_end(model, alpha_bar, stops, seeds, size):
    draw = _own(seeds, size)
    return _walk(model, alpha_bar, stops, len(seeds), draw, variance="large", last=True)


@wrong("08.4", "whose generator")
def one_generator_for_all(model, alpha_bar, stops, seeds, size):
    generator = torch.Generator().manual_seed(seeds[0])

    def draw():
        return torch.randn(len(seeds), size, generator=generator, dtype=torch.float64)

    return _walk(model, alpha_bar, stops, len(seeds), draw)


@wrong("08.4", "when does a generator begin")
def the_same_noise_each_time(model, alpha_bar, stops, seeds, size):
    def draw():
        return _own(seeds, size)()

    return _walk(model, alpha_bar, stops, len(seeds), draw)


@wrong("08.4", "of the one whose seed is")
def a_seed_for_each_step(model, alpha_bar, stops, seeds, size):
    count = [0]

    def draw():
        x = _own([seed + count[0] for seed in seeds], size)()
        count[0] += 1
        return x

    return _walk(model, alpha_bar, stops, len(seeds), draw)


@wrong("08.4", "of the one whose seed is 7 larger, once more")
def seeds_seven_apart(model, alpha_bar, stops, seeds, size):
    count = [0]

    def draw():
        x = _own([seed + 7 * count[0] for seed in seeds], size)()
        count[0] += 1
        return x

    return _walk(model, alpha_bar, stops, len(seeds), draw)


@wrong("08.4", "of the one whose seed is 1000 larger, once more")
def a_thousand_seeds_for_each_step(model, alpha_bar, stops, seeds, size):
    count = [0]

    def draw():
        x = _own([seed + 1000 * count[0] for seed in seeds], size)()
        count[0] += 1
        return x

    return _walk(model, alpha_bar, stops, len(seeds), draw)


@wrong("08.4", "from which law is it drawn")
def draws_evenly(model, alpha_bar, stops, seeds, size):
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def draw():
        even = [torch.rand(size, generator=g, dtype=torch.float64) for g in generators]
        return math.sqrt(12) * (torch.stack(even) - 0.5)

    return _walk(model, alpha_bar, stops, len(seeds), draw)


@wrong("08.4", "come from the seeds")
def seeds_for_the_start_only(model, alpha_bar, stops, seeds, size):
    first = [_own(seeds, size)()]

    def draw():
        noise = torch.randn(len(seeds), size, dtype=torch.float64)
        return first.pop() if first else noise

    return _walk(model, alpha_bar, stops, len(seeds), draw)


@wrong("08.4", "which variance has z")
def walks_with_the_large_one(model, alpha_bar, stops, seeds, size):
    return _walk(model, alpha_bar, stops, len(seeds), _own(seeds, size), variance="large")


@wrong("08.4", "multiplied by, a variance")
def walks_without_a_root(model, alpha_bar, stops, seeds, size):
    return _walk(model, alpha_bar, stops, len(seeds), _own(seeds, size), root=False)


@wrong("08.4", "one call for each jump")
def one_picture_at_a_time(model, alpha_bar, stops, seeds, size):
    return torch.cat(
        [_walk(model, alpha_bar, stops, 1, _own([seed], size)) for seed in seeds]
    )


@wrong("08.4", "in int64")
def a_number_for_t(model, alpha_bar, stops, seeds, size):
    def asked(x, t):
        return model(x, int(t[0]))

    return _walk(asked, alpha_bar, stops, len(seeds), _own(seeds, size))


@wrong("08.4", "should be asked at t")
def counts_steps_from_zero(model, alpha_bar, stops, seeds, size):
    def asked(x, t):
        return model(x, t - 1)

    return _walk(asked, alpha_bar, stops, len(seeds), _own(seeds, size))


@wrong("08.4", "are these data that lie in [-1, 1]")
def clips_each_guess(model, alpha_bar, stops, seeds, size):
    draw = _own(seeds, size)
    return _walk(model, alpha_bar, stops, len(seeds), draw, clip=(-1, 1))


@wrong("08.4", "does the task ask for that")
def clips_all_guesses_but_the_last(model, alpha_bar, stops, seeds, size):
    draw, (B, last) = _own(seeds, size), (len(seeds), stops[-2])
    x = _walk(model, alpha_bar, stops[:-1], B, draw, clip=(-1, 1))
    x_0 = x - math.sqrt(1 - float(alpha_bar[last])) * model(x, torch.full((B,), last))
    return x_0 / math.sqrt(float(alpha_bar[last]))


@wrong("08.4", "where is the noise of Algorithm 2")
def draws_only_the_start(model, alpha_bar, stops, seeds, size):
    first = [_own(seeds, size)()]

    def draw():
        return first.pop() if first else torch.zeros(len(seeds), size).double()

    return _walk(model, alpha_bar, stops, len(seeds), draw)


@wrong("08.4", "those of this jump")
def weights_of_one_step(model, alpha_bar, stops, seeds, size):
    x, draw = None, _own(seeds, size)
    for t, s in pairwise(stops):
        x = draw() if x is None else x
        a_t, small, large, of_x_0 = _numbers(alpha_bar, t, t - 1 if s else s)
        x_0 = x - math.sqrt(1 - a_t) * model(x, torch.full((len(seeds),), t))
        of_x_t = (
            math.sqrt(1 - large) * (1 - float(alpha_bar[t - 1 if s else s])) / (1 - a_t)
        )
        x = of_x_0 * x_0 / math.sqrt(a_t) + of_x_t * x
        x = x + math.sqrt(small) * draw()
    return x


@wrong("08.4", "where the chain starts from")
def starts_from_uniform_noise(model, alpha_bar, stops, seeds, size):
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def draw():
        return torch.stack([torch.rand(size, generator=g).double() for g in generators])

    return _walk(model, alpha_bar, stops, len(seeds), draw)


def _losses(model, alpha_bar, x_0, pairs, seed, of_error):
    generator = torch.Generator().manual_seed(seed)
    for t, s in pairs:
        a_t, small, large, of_x_0 = _numbers(alpha_bar, t, s)
        noise = torch.randn(x_0.shape, generator=generator, dtype=x_0.dtype)
        x_t = math.sqrt(a_t) * x_0 + math.sqrt(1 - a_t) * noise
        error = noise - model(x_t, torch.full((len(x_0),), t))
        yield a_t, small, large, of_x_0, float(of_error(error))


def _mean_square(error):
    return error.square().mean()


@wrong("08.5", "mean over all numbers")
def sums_over_dimensions(model, alpha_bar, x_0, pairs, seed):
    def of_error(error):
        return error.square().sum(1).mean()

    found = _losses(model, alpha_bar, x_0, pairs, seed, of_error)
    return [sm + w**2 * loss * (1 - a) / a for a, sm, _, w, loss in found]


@wrong("08.5", "of the noise or of the guess")
def not_blown_up(model, alpha_bar, x_0, pairs, seed):
    found = _losses(model, alpha_bar, x_0, pairs, seed, _mean_square)
    return [sm + w**2 * loss for a, sm, _, w, loss in found]


@wrong("08.5", "off by the same everywhere")
def only_what_scatters(model, alpha_bar, x_0, pairs, seed):
    found = _losses(model, alpha_bar, x_0, pairs, seed, torch.var)
    return [sm + w**2 * loss * (1 - a) / a for a, sm, _, w, loss in found]


@wrong("08.5", "by how much the network errs")
def trusts_the_predictions(model, alpha_bar, x_0, pairs, seed):
    made = []
    generator = torch.Generator().manual_seed(seed)
    for t, s in pairs:
        a, small, _, w = _numbers(alpha_bar, t, s)
        noise = torch.randn(x_0.shape, generator=generator, dtype=x_0.dtype)
        x_t = math.sqrt(a) * x_0 + math.sqrt(1 - a) * noise
        noise_pred = model(x_t, torch.full((len(x_0),), t))
        loss = 1 - float(noise_pred.square().mean())
        made.append(small + w**2 * loss * (1 - a) / a)
    return made


@wrong("08.5", "nothing is drawn there to show a mean")
def draws_nothing_at_the_end(model, alpha_bar, x_0, pairs, seed):
    found = _losses(model, alpha_bar, x_0, pairs, seed, _mean_square)
    made = [sm + w**2 * loss * (1 - a) / a for a, sm, _, w, loss in found]
    return [*made[:-1], 0.0]


@wrong("08.5", "the forward process makes")
def asks_about_clean_data(model, alpha_bar, x_0, pairs, seed):
    made = []
    generator = torch.Generator().manual_seed(seed)
    for t, s in pairs:
        a, small, _, w = _numbers(alpha_bar, t, s)
        noise = torch.randn(x_0.shape, generator=generator, dtype=x_0.dtype)
        loss = (noise - model(x_0, torch.full((len(x_0),), t))).square().mean()
        made.append(small + w**2 * float(loss) * (1 - a) / a)
    return made


@wrong("08.5", "the forward process makes")
def forgets_the_roots(model, alpha_bar, x_0, pairs, seed):
    made = []
    generator = torch.Generator().manual_seed(seed)
    for t, s in pairs:
        a, small, _, w = _numbers(alpha_bar, t, s)
        noise = torch.randn(x_0.shape, generator=generator, dtype=x_0.dtype)
        x_t = a * x_0 + (1 - a) * noise
        loss = (noise - model(x_t, torch.full((len(x_0),), t))).square().mean()
        made.append(small + w**2 * float(loss) * (1 - a) / a)
    return made


@wrong("08.5", "whose error")
def asks_nobody(model, alpha_bar, x_0, pairs, seed):
    made = []
    for t, s in pairs:
        a, small, _, w = _numbers(alpha_bar, t, s)
        v = float(x_0.var())
        made.append(small + w**2 * v * (1 - a) / (a * v + 1 - a))
    return made


@wrong("08.5", "is the error squared")
def takes_the_root_of_the_error(model, alpha_bar, x_0, pairs, seed):
    found = _losses(model, alpha_bar, x_0, pairs, seed, _mean_square)
    return [sm + w**2 * math.sqrt(loss) * (1 - a) / a for a, sm, _, w, loss in found]


@wrong("08.5", "goes into x_s with a weight")
def weighs_without_a_square(model, alpha_bar, x_0, pairs, seed):
    found = _losses(model, alpha_bar, x_0, pairs, seed, _mean_square)
    return [sm + w * loss * (1 - a) / a for a, sm, _, w, loss in found]


@wrong("08.5", "from which law do you draw the noise")
def draws_the_noise_evenly(model, alpha_bar, x_0, pairs, seed):
    generator, made = torch.Generator().manual_seed(seed), []
    for t, s in pairs:
        a, small, _, w = _numbers(alpha_bar, t, s)
        noise = torch.rand(x_0.shape, generator=generator, dtype=x_0.dtype) - 0.5
        noise = math.sqrt(12) * noise
        x_t = math.sqrt(a) * x_0 + math.sqrt(1 - a) * noise
        loss = (noise - model(x_t, torch.full((len(x_0),), t))).square().mean()
        made.append(small + w**2 * float(loss) * (1 - a) / a)
    return made


@wrong("08.5", "what does your generator begin with")
def sixteen_seeds(model, alpha_bar, x_0, pairs, seed):
    found = _losses(model, alpha_bar, x_0, pairs, seed % 16, _mean_square)
    return [sm + w**2 * loss * (1 - a) / a for a, sm, _, w, loss in found]


@wrong("08.5", "what does your generator begin with")
def draws_without_the_seed(model, alpha_bar, x_0, pairs, seed):
    found = _losses(model, alpha_bar, x_0, pairs, 0, _mean_square)
    return [sm + w**2 * loss * (1 - a) / a for a, sm, _, w, loss in found]


# Slips of the solutions that are right all the same, each with the proof.
EQUIVALENT = {}


def _equal(number, before, proof, *afters):
    EQUIVALENT.update({(number, before, after): proof for after in afters})


_equal(
    "08.2",
    "return value.reshape(-1, *[1] * (x_t.dim() - 1)).to(x_t.dtype)",
    "x_t, noise_pred and noise have one shape and one dtype, so they have as many "
    "dimensions, and a factor in the dtype of one is in that of the others",
    "return value.reshape(-1, *[1] * (noise_pred.dim() - 1)).to(x_t.dtype)",
    "return value.reshape(-1, *[1] * (noise.dim() - 1)).to(x_t.dtype)",
    "return value.reshape(-1, *[1] * (x_t.dim() - 1)).to(noise_pred.dtype)",
    "return value.reshape(-1, *[1] * (x_t.dim() - 1)).to(noise.dtype)",
)
for number in ("08.3", "08.5"):
    _equal(
        number,
        "of_x_0 = math.sqrt(a_s) * beta / (1 - a_t)",
        "only the square of the weight is used, in which its sign is lost",
        "of_x_0 = -(math.sqrt(a_s) * beta / (1 - a_t))",
        "of_x_0 = -(math.sqrt(a_s) * beta) / (1 - a_t)",
        "of_x_0 = -math.sqrt(a_s) * beta / (1 - a_t)",
        "of_x_0 = math.sqrt(a_s) * -beta / (1 - a_t)",
        "of_x_0 = math.sqrt(a_s) * beta / (a_t - 1)",
        "of_x_0 = math.sqrt(a_s) * beta / (-(1 - a_t))",
    )
_equal(
    "08.5",
    "noise = torch.randn(x_0.shape, generator=generator, dtype=x_0.dtype)",
    "minus a draw from N(0, I) is a draw from N(0, I)",
    "noise = -torch.randn(x_0.shape, generator=generator, dtype=x_0.dtype)",
)
_equal(
    "08.5",
    "noise = torch.randn(x_0.shape, generator=generator, dtype=x_0.dtype)",
    "a normal number of 7 digits is a normal number, and x_t takes the wider dtype, that "
    "of x_0",
    "noise = torch.randn(x_0.shape, generator=generator)",
)
_equal(
    "08.5",
    "noise_pred = model(x_t, torch.full((len(x_0),), t))",
    "x_t and noise have the shape of x_0",
    "noise_pred = model(x_t, torch.full((len(noise),), t))",
    "noise_pred = model(x_t, torch.full((len(x_t),), t))",
)
_equal(
    "08.4",
    "generators = [torch.Generator().manual_seed(one) for one in seeds]; def draw():",
    "draw looks for the generators when it is called, after both are there",
    "def draw():; generators = [torch.Generator().manual_seed(one) for one in seeds]",
)
SIGN = "minus a draw from N(0, I) is a draw from N(0, I), from the same generator"
_equal("08.4", "return torch.stack(each)", SIGN, "return -torch.stack(each)")
_equal("08.4", "x = draw()", SIGN, "x = -draw()")
_equal(
    "08.4",
    "x = x + math.sqrt(beta * (1 - a_s) / (1 - a_t)) * draw()",
    SIGN,
    "x = x - math.sqrt(beta * (1 - a_s) / (1 - a_t)) * draw()",
    "x = x + -math.sqrt(beta * (1 - a_s) / (1 - a_t)) * draw()",
    "x = x + math.sqrt(beta * (1 - a_s) / (1 - a_t)) * -draw()",
)
_equal(
    "08.4",
    "noise_pred = model(x, torch.full((len(seeds),), t))",
    "there is one generator for each seed",
    "noise_pred = model(x, torch.full((len(generators),), t))",
)
_equal(
    "08.4",
    "if s > 0:",
    "the small variance of the jump to s = 0 is 0, and 0 times a draw changes nothing; s "
    "= 0 is last, so that no later draw is moved. For s > 0 each condition holds",
    *(f"if {name} > 0:" for name in "size t beta of_x_0 of_x_t a_t a_s".split()),
    "if s >= 0:",
    "if True:",
    "if s > -1:",
)
_equal(
    "08.4",
    "return x",
    "in the last jump, to s = 0, x_0 has the weight 1 and x_t the weight 0",
    "return x_0",
)
