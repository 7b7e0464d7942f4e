r"""The last page: each row of its indexes is looked up, and graders grade."""

import dataclasses
import inspect
import json
import re
from decimal import ROUND_HALF_UP, Decimal
from functools import cache

import numpy as np
import projects
import pytest
from test_book import NAMES, NOTEBOOKS, PAGES, text_of

import ddpm_lite
from ddpm_lite import Schedule

PAGE = "the_end"
LINK = re.compile(r"\[([^\]]*)\]\((\w+)\.ipynb(?:#([^)\s]+))?\)")
# A number without its sign, since a minus may be a dash.
NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?")


@cache
def sections(name):
    r"""[(level, title, what stands below it)] of a committed notebook, outputs too."""
    cells = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text("utf-8"))["cells"]
    found = [(1, "", "")]
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            for part in re.split(r"^(?=#{1,4} )", source, flags=re.M):
                heading = re.match(r"(#+) (.*)", part)
                if heading:
                    found.append((len(heading[1]), heading[2], ""))
                level, title, said = found[-1]
                part = re.sub(r"\(data:[^)]*\)", "", part)
                found[-1] = (level, title, f"{said}\n{part}")
        else:
            level, title, said = found[-1]
            printed = ["".join(o.get("text", "")) for o in cell["outputs"]]
            found[-1] = (level, title, "\n".join([said, *printed]))
    return found


def anchors(name):
    r"""What JupyterLab calls the headings of a notebook: the words, with - for a space."""
    return [title.replace(" ", "-") for _, title, _ in sections(name)]


def section(name, place, anchor):
    r"""What a link leads to, with all below it: by its anchor, else by its number."""
    every = sections(name)
    if anchor:
        wanted = [i for i, found in enumerate(anchors(name)) if found == anchor]
    else:
        number = place.partition(", ")[2]
        heads = [(level, title.split(" ")[0]) for level, title, _ in every]
        wanted = [i for i, head in enumerate(heads) if head == (2, number)]
    assert len(wanted) == 1, f"{name} has {len(wanted)} headings {anchor or place}"
    first = wanted[0]
    after = (i for i in range(first + 1, len(every)) if every[i][0] <= every[first][0])
    return "\n".join(said for _, _, said in every[first : next(after, None)])


def rows(text, header):
    r"""The rows of the table of a text that begins with this header."""
    table = text[text.index(f"\n{header}") + 1 :].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def plain(text):
    r"""A text without formulas: what is left of the numbers was measured."""
    return re.sub(r"`[^`]*`|\$[^$]*\$", " ", text).replace("−", "-")


def value(number):
    return Decimal(number.replace(",", ""))


def stands(number, said):
    r"""Whether a number stands in a text, as it is or with more digits."""
    wanted = value(number)
    for found in NUMBER.findall(said):
        found = value(found)
        if found == wanted:
            return True
        exponent = wanted.as_tuple().exponent
        if exponent < 0 and found.as_tuple().exponent < exponent:
            if found.quantize(wanted, rounding=ROUND_HALF_UP) == wanted:
                return True
    return False


def missing(answer, said):
    r"""The numbers of an answer that the text which it points to does not have."""
    return [n for n in NUMBER.findall(plain(answer)) if not stands(n, said)]


def resolved(name):
    r"""What `Schedule.beta` or `sample(eta=)` stands for; raises what getattr raises."""
    name, _, argument = name.partition("(")
    thing = ddpm_lite
    for part in name.split("."):
        fields = dataclasses.fields(thing) if dataclasses.is_dataclass(thing) else ()
        thing = None if part in {f.name for f in fields} else getattr(thing, part)
    if argument:
        argument = argument.removesuffix("=)")
        if argument not in inspect.signature(thing).parameters:
            raise AttributeError(f"{name} has no argument {argument}")
    return thing


SYMBOLS = rows(text_of(PAGE), "| symbol | meaning |")
QUESTIONS = rows(text_of(PAGE), "| question | answer |")
SLIPS = rows(text_of(PAGE), "| written | right |")


def test_each_link_to_a_section_leads_there_in_jupyter():
    links = LINK.findall(text_of(PAGE))
    assert len(links) > 100
    for place, name, anchor in links:
        assert name in NAMES, name
        if anchor:
            assert anchor in anchors(name), f"{name} has no heading {anchor}"
            assert not set(anchor) & set("$\\()%") and anchor.isascii(), anchor
        if name not in PAGES and (number := re.match(r"(\d\d), (\d+)$", place)):
            assert name.startswith(number[1])
            whole = section(name, place, "")
            assert not anchor or section(name, place, anchor) in whole, (place, anchor)


@pytest.mark.parametrize("row", SYMBOLS, ids=lambda row: row[0])
def test_a_symbol_stands_where_it_says_and_its_name_exists(row):
    symbol, meaning, _, where, name = row
    (link,) = LINK.findall(where)
    said = section(link[1], link[0], link[2])
    letter = symbol.strip("$")
    found = re.search(rf"{re.escape(letter)}(?![A-Za-z])", said)
    assert found and meaning, f"{letter} is not in {where}"
    if name:
        resolved(name.strip("`"))


def test_the_index_has_the_symbols_of_chapter_01():
    own = {row[0] for row in SYMBOLS}
    first = {row[0] for row in rows(text_of("01_notation"), "| symbol | meaning |")}
    parts = {"$1-\\bar\\alpha_t$", "$\\ln\\bar\\alpha_t$", "$x_{t-1}$"}
    others = {"$\\mathrm{KL}(q\\,\\Vert\\,p)$"}
    renamed = {"$\\varepsilon_\\theta(x_t,t)$", "$p_\\theta(x_0,\\dots,x_T)$"}
    assert first - own == parts | others | renamed


@pytest.mark.parametrize("row", QUESTIONS, ids=lambda row: row[0][:40])
def test_an_answer_is_a_number_that_stands_in_its_section(row):
    question, answer, where = row
    (link,) = LINK.findall(where)
    assert question.endswith("?") and NUMBER.search(plain(answer))
    assert missing(answer, section(link[1], link[0], link[2])) == []


@pytest.mark.parametrize("row", SLIPS, ids=lambda row: row[0][:40])
def test_a_slip_is_settled_by_a_number_that_stands_in_its_section(row):
    written, right, number, where = row
    (link,) = LINK.findall(where)
    assert written and right and NUMBER.search(plain(number))
    assert missing(number, section(link[1], link[0], link[2])) == []


def test_a_planted_number_is_found():
    said = "deviation 0.12346, and 1,000 steps; 55.1% of it, and 3e-06"
    assert missing("0.1235 after 1,000 steps, 55 % and 3e-06", said) == ["55"]
    assert missing("0.123 and 55.1 %, $7$ `8`", said) == []
    assert missing("0.1234", said) == ["0.1234"] and missing("0.124", said) == ["0.124"]
    planted = total = 0
    for row in QUESTIONS + SLIPS:  # the last digit of each number, one up
        (link,) = LINK.findall(row[-1])
        said = section(link[1], link[0], link[2])
        for number in NUMBER.findall(plain(row[-2])):
            wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
            if len(number.replace(",", "")) > 3:
                total, planted = total + 1, planted + (not stands(wrong, said))
    assert total > 60 and planted > 0.9 * total, (planted, total)


def test_a_planted_name_is_found():
    for name in ("Schedule.gamma", "sample_path(etas=)", "evaluation.metrics.no"):
        with pytest.raises(AttributeError):
            resolved(name)
    assert resolved("sample_path(eta=)") is ddpm_lite.sample_path


def test_the_site_has_every_anchor():
    pytest.importorskip("sphinx", reason="the extra `site` is not installed")
    from browsing import load_build as load_site

    site = load_site()
    pages = set(site.sources())
    here = next(path for path in pages if path.stem == PAGE)
    text = site.linked(text_of(PAGE), here, pages)
    assert "/08_sampling.ipynb#5-why-is-the-first-variance-special" in text
    assert "#9-edms-coordinates" in text
    with pytest.raises(LookupError, match="no heading #6-Wrong"):
        site.linked("[a](08_sampling.ipynb#6-Wrong)", here, pages)


# --- projects


def parts():
    r"""{number: the text} of the projects of the page."""
    found = re.split(r"^### Project (\d+): .*$", text_of(PAGE), flags=re.M)
    last = found[-1].split("\nFor teachers:")[0]
    return dict(zip(map(int, found[1::2]), [*found[2:-1:2], last], strict=True))


def test_each_project_says_what_is_graded_and_what_is_not():
    assert sorted(parts()) == list(range(1, 11))
    for number, text in parts().items():
        for word in ("**Build**", "**Given:**", "**Weeks:**", "**Not graded:**"):
            assert text.count(word) == 1, (number, word)
        properties = re.findall(r"^\d\. (.*)$", text, re.M)
        assert 3 <= len(properties) <= 5, number
        graded = [p for p in properties if re.search(r"\d|\b(no|one)\b", p, re.I)]
        assert len(graded) >= 3, (number, "a property is a number")


@pytest.mark.parametrize("seed", [0, 1])
def test_project_1_passes_and_its_slips_fail(seed):
    table = projects.likely_words(seed)
    assert abs(table.sum() - 1) < 1e-12 and projects.grade_words(table) == []

    def deaf(table, T):
        return projects.samples_law(table, T, law=projects.deaf_law)

    def late(table, T):  # 1 / T at every step, so that some letters are never revealed
        return projects.samples_law(table, T, chance=lambda t, T: 1 / T)

    def even(K, t, T):  # the same chance of a mask in every step
        matrix = np.eye(K + 1)
        matrix[:K, :K] *= 1 - 1 / T
        matrix[:K, K] = 1 / T
        return matrix

    (first, *_) = projects.grade_words(table, chain=deaf)
    assert "the law is off by" in first
    (first, *_) = projects.grade_words(table, chain=late)
    assert "masks are left" in first
    (first, *_) = projects.grade_words(table, matrix=even)
    assert "the walk is not the jump" in first


@pytest.mark.parametrize(("mean", "variance"), [(0.7, 0.09), (-0.2, 1.5)])
def test_project_2_passes_and_its_slips_fail(mean, variance):
    alpha_bar = Schedule.linear(1000).alpha_bar.tolist()
    teacher = projects.gaussian_ddim(alpha_bar, mean, variance)
    assert projects.grade_halving(projects.halved, teacher, 1000, 20) == []
    wrong = projects.grade_halving(projects.long_step, teacher, 1000, 20)
    assert any("is not two steps" in w for w in wrong) and any("away" in w for w in wrong)
    wrong = projects.grade_halving(projects.first_half, teacher, 1000, 20)
    assert any("is not two steps" in w for w in wrong)


def test_what_the_page_says_of_limits_follows():
    assert round(100 * (0.05 * 0.95 / 180) ** 0.5, 1) == 1.6
    both = 100 * (0.05 * 0.95 * (1 / 180 + 1 / 179)) ** 0.5
    assert round(both, 1) == 2.3 and 5 + 5 * both < 17
    assert round(8**0.5, 2) == 2.83 and round(32**0.5, 2) == 5.66
    assert round(0.9**4, 4) == 0.6561 and round(0.19**0.5, 3) == 0.436
    assert 20 * 10 * 1e-16 < 1e-12 / 25
