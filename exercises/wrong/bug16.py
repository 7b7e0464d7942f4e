r"""Typical wrong answers to the run with a bug of chapter 16."""

from itertools import pairwise

from wrong import wrong

RIGHT = ("latents_clipped", "mean_inside")


def _vary(
    encode,
    decode,
    noise,
    alpha_bar,
    stops,
    x,
    eps,
    mean,
    deviation,
    scaled=lambda z, m, d: (z - m) / d,
    back=lambda z, m, d: m + d * z,
    start=lambda a, z, eps, d: a.sqrt() * z + (1 - a).sqrt() * eps,
    clip=None,
    late=False,
    roots=True,
):
    r"""The pipeline, of which parts can be replaced; right if none is."""
    m, d = mean[:, None, None], deviation[:, None, None]
    z = start(alpha_bar[stops[0]], scaled(encode(x), m, d), eps, d)
    for t, s in pairwise(stops):
        a, b = alpha_bar[t], alpha_bar[s]
        z_0 = (z - (1 - a).sqrt() * noise(z, s if late else t)) / a.sqrt()
        z_0 = z_0 if clip is None else z_0.clamp(-clip, clip)
        found = (z - a.sqrt() * z_0) / (1 - a).sqrt()
        z = (b.sqrt() if roots else b) * z_0 + ((1 - b).sqrt() if roots else 1 - b) * found
    return decode(back(z, m, d))


def _inside(z, m, d):
    return d * (z + m)


@wrong("16.5", "between which numbers do latents lie", RIGHT)
def mends_the_mean_only(*given):
    return _vary(*given, clip=1.0)


@wrong("16.5", "and is undone first", RIGHT)
def mends_the_clip_only(*given):
    return _vary(*given, back=_inside)


@wrong("16.5", "is the mean added when decoding", RIGHT)
def leaves_the_mean_out(*given):
    return _vary(*given, back=lambda z, m, d: d * z)


@wrong("16.5", "is the mean subtracted when encoding", RIGHT)
def keeps_the_mean(*given):
    return _vary(*given, scaled=lambda z, m, d: z / d)


@wrong("16.5", "which latents does the decoder know", RIGHT)
def decodes_scaled_latents(*given):
    return _vary(*given, back=lambda z, m, d: z)


@wrong("16.5", "divided by once, and multiplied by once", RIGHT)
def multiplies_twice(*given):
    return _vary(*given, scaled=lambda z, m, d: (z - m) * d)


@wrong("16.5", "at which step is z", RIGHT)
def asks_late(*given):
    return _vary(*given, late=True)


@wrong("16.5", "multiplied in a jump", RIGHT)
def forgets_the_roots(*given):
    return _vary(*given, roots=False)


@wrong("16.5", "how much noise is there at the start", RIGHT)
def starts_without_noise(*given):
    return _vary(*given, start=lambda a, z, eps, d: a.sqrt() * z)


@wrong("16.5", "is the noise scaled, too", RIGHT)
def scales_the_noise(*given):
    def start(a, z, eps, d):
        return a.sqrt() * z + (1 - a).sqrt() * eps * d

    return _vary(*given, start=start)


@wrong("16.5", "are the latents scaled at the start", RIGHT)
def scales_nothing(*given):
    def centred(z, m, d):
        return z - m

    return _vary(*given, scaled=centred, back=lambda z, m, d: z + m)


@wrong("16.5", "has each channel a deviation of its own", RIGHT)
def one_deviation_for_all(*given):
    return _vary(
        *given,
        scaled=lambda z, m, d: (z - m) / d.mean(),
        back=lambda z, m, d: m + d.mean() * z,
    )


@wrong("16.5", "is it changed after that", RIGHT)
def clips_the_picture(*given):
    return _vary(*given).clamp(-1, 1)


@wrong("16.5", "of the code nothing is said yet", ["one_deviation"])
def a_wrong_name_and_the_code_as_given(*given):
    return _vary(*given, clip=1.0, back=_inside)


@wrong("16.5", "would move the two means to 4", ["mean_kept", "latents_clipped"])
def blames_the_encoder(*given):
    return _vary(*given)


@wrong("16.5", "that the deviations become smaller", ["mean_inside"])
def sees_the_means_only(*given):
    return _vary(*given)


@wrong("16.5", "the means of what is only encoded", ["latents_clipped"])
def sees_the_deviations_only(*given):
    return _vary(*given)


EQUIVALENT = {}
