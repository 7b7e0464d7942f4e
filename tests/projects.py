r"""Sketches of two projects of the last page, and the properties by which to grade them.

A sketch is right; each has a slip or more beside it, which is wrong in one place. A grader
takes a sketch and returns what is wrong, in words.
"""

from itertools import pairwise, product

import numpy as np

# --- project 1: words of L letters, which are masked and revealed

MASK = -1
EXACT = 1e-12  # some hundred sums and products of numbers up to 1


def step_matrix(K, t, T):
    r"""One step forward, (K + 1, K + 1): a letter, or the mask, which is last, to each."""
    matrix = np.eye(K + 1)
    matrix[:K, :K] *= (T - t) / (T - t + 1)
    matrix[:K, K] = 1 / (T - t + 1)
    return matrix


def letter_law(table, word, place):
    r"""The law of a masked letter, given what can be read of the word."""
    read = tuple(slice(None) if letter == MASK else letter for letter in word)
    rest = table[read]
    axis = sum(letter == MASK for letter in word[:place])
    law = rest.sum(axis=tuple(i for i in range(rest.ndim) if i != axis))
    return law / law.sum()


def deaf_law(table, word, place):
    r"""A slip: the letter's own law, whatever else can be read."""
    return table.sum(axis=tuple(i for i in range(table.ndim) if i != place))


def samples_law(table, T, law=letter_law, chance=lambda t, T: 1 / t):
    r"""{word: probability} of what the chain ends with, exactly and without a draw.

    law: of a revealed letter. chance: with which a masked letter is revealed at step t.
    """
    L, K = table.ndim, table.shape[0]
    state = {(MASK,) * L: 1.0}
    for t in range(T, 0, -1):
        new = {}
        for word, weight in state.items():
            laws = [None if c != MASK else law(table, word, i) for i, c in enumerate(word)]
            options = [
                [(c, 1.0)]
                if c != MASK
                else [(MASK, 1 - chance(t, T))]
                + [(k, chance(t, T) * laws[i][k]) for k in range(K)]
                for i, c in enumerate(word)
            ]
            for choice in product(*options):
                p = weight * np.prod([share for _, share in choice])
                if p:
                    key = tuple(letter for letter, _ in choice)
                    new[key] = new.get(key, 0.0) + p
        state = new
    return state


def away(table, found):
    r"""Total variation of what was found from the table."""
    words = product(range(table.shape[0]), repeat=table.ndim)
    gained = sum(abs(found.get(word, 0.0) - table[word]) for word in words)
    return (gained + sum(p for word, p in found.items() if MASK in word)) / 2


def grade_words(table, matrix=step_matrix, chain=samples_law, lengths=(2, 4, 8, 16)):
    r"""What is wrong with a project 1, by its four properties."""
    L, K = table.ndim, table.shape[0]
    wrong, walk = [], np.eye(K + 1)
    for t in range(1, 9):
        walk = walk @ matrix(K, t, 8)
        if abs(walk[0, 0] - (1 - t / 8)) > EXACT or abs(walk.sum(1) - 1).max() > EXACT:
            wrong.append(f"the walk is not the jump at t = {t}")
    own = [deaf_law(table, (), place) for place in range(L)]
    alone = chain(table, 1)
    for word in product(range(K), repeat=L):
        expected = np.prod([own[i][letter] for i, letter in enumerate(word)])
        if abs(alone.get(word, 0.0) - expected) > EXACT:
            wrong.append(f"one step does not give the product of the letters at {word}")
            break
    for T in lengths:
        found = chain(table, T)
        if any(MASK in word for word in found):
            wrong.append(f"masks are left with T = {T}")
        if away(table, found) > L * (L - 1) / (2 * T) + EXACT:
            wrong.append(f"with T = {T} the law is off by {away(table, found):.3f}")
    return wrong


def likely_words(seed, L=3, K=2, copies=0.97):
    r"""A table (K,) * L in which a letter is nearly always that before it."""
    first = np.random.default_rng(seed).dirichlet(np.full(K, 5.0))
    table = np.zeros((K,) * L)
    for word in product(range(K), repeat=L):
        turns = [copies if a == b else (1 - copies) / (K - 1) for a, b in pairwise(word)]
        table[word] = first[word[0]] * np.prod(turns)
    return table


# --- project 2: two steps in one, again and again, on a Gaussian


def gaussian_ddim(alpha_bar, mean, variance):
    r"""A step (x, t, s) -> x of DDIM with the exact denoiser of N(mean, variance)."""

    def step(x, t, s):
        a, b = alpha_bar[t], alpha_bar[s]
        gain = a**0.5 * variance / (a * variance + 1 - a)
        x_0 = mean + gain * (x - a**0.5 * mean)
        noise = (x - a**0.5 * x_0) / (1 - a) ** 0.5
        return b**0.5 * x_0 + (1 - b) ** 0.5 * noise

    return step


def halved(step):
    r"""The student of a teacher: a straight line, fitted to two steps of it."""

    def student(x, t, s):
        points = np.linspace(-2, 2, 5)
        half = (t + s) // 2
        slope, start = np.polyfit(points, step(step(points, t, half), half, s), 1)
        return start + slope * x

    return student


def long_step(step):
    r"""A slip: the student learns the teacher's step over the same stretch."""

    def student(x, t, s):
        points = np.linspace(-2, 2, 5)
        slope, start = np.polyfit(points, step(points, t, s), 1)
        return start + slope * x

    return student


def first_half(step):
    r"""A slip: the student learns the first of the two steps, and calls it both."""
    return lambda x, t, s: step(x, t, (t + s) // 2)


def ends(step, x, calls, T):
    r"""Where a chain of equal steps leads, and how many calls it made."""
    h, made = T // calls, 0
    for t in range(T, 0, -h):
        x, made = step(x, t, t - h), made + 1
    return x, made


def grade_halving(halve, teacher, T, calls):
    r"""What is wrong with a project 2, by its properties on a Gaussian."""
    wrong, x = [], np.array([-3.7, 0.3, 3.1])  # on none of these it was fitted
    wanted, _ = ends(teacher, x, calls, T)
    step = teacher
    while calls % 2 == 0:
        before, calls = step, calls // 2
        step, h = halve(step), T // calls
        two = before(before(x, T, T - h // 2), T - h // 2, T - h)
        if abs(step(x, T, T - h) - two).max() > EXACT:
            wrong.append(f"a step of {calls} is not two steps of its teacher")
        found, made = ends(step, x, calls, T)
        if abs(found - wanted).max() > EXACT:
            wrong.append(f"{calls} calls end {abs(found - wanted).max():.3f} away")
        if made != calls:
            wrong.append(f"{made} calls in place of {calls}")
    return wrong
