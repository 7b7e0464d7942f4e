r"""Nobody is lost: tables, texts and pages of a class, whatever its notebooks are.

Most tests here put a grader in place that reads points off the cells and starts no
process; the last one grades a class of a hundred, stops it and goes on.
"""

import base64
import csv
import io
import json
import os
import signal
import subprocess
import sys
import unicodedata
import zipfile
from pathlib import Path
from time import monotonic, sleep

import nbformat
import pytest

pytest.importorskip("fcntl", reason="grading needs Linux")

from ddpm_lite.classroom import shown
from ddpm_lite.classroom.exercise import exercises_of
from ddpm_lite.classroom.grade import Grade, Outcome
from ddpm_lite.classroom.roster import Deadlines, make_roster, moment, read_roster, rows_of
from ddpm_lite.classroom.submissions import merged, owner, read_all
from ddpm_lite.commands.main import main

ROOT = Path(__file__).parents[2]
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(20)).decode()


def write(path, passes=(), chapter="02", cells=(), **fields):
    r"""A notebook whose exercises `passes` are right, for the grader below."""
    source = f'check("{chapter}.1", f)\npasses = {list(passes)!r}'
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source), *cells])
    made.update(fields)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(made))
    return path


def by_its_word(submission, rules, running=None):
    r"""In the place of `grade_one`: believe what a notebook says."""
    if "boom" in submission.student:
        raise RuntimeError("\ud800 = boom")
    passes = [w for cell in submission.cells for w in cell.split("'")[1::2]]
    return Grade(
        submission,
        tuple(
            Outcome(
                e, e.points * (n in passes), "passed" if n in passes else "not yet: \x1b"
            )
            for n, e in exercises_of(submission.chapter).items()
        ),
        ("raised \ud800\n=1+1", "x; =HYPERLINK(0)") if "says" in passes else (),
    )


@pytest.fixture
def place(tmp_path, monkeypatch):
    from ddpm_lite.classroom import grade

    real = grade.grade_one

    def one(submission, rules, running=None):
        way = real if submission.problem else by_its_word
        return way(submission, rules, running)

    monkeypatch.setattr(grade, "grade_one", one)
    monkeypatch.setattr(grade, "_packages", lambda found, place: {})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    return tmp_path


def run(*words, status=0):
    told = [*map(str, words), "--isolation", "none", "--jobs", "1"]
    assert main(["grade", "sub", *told]) == status


def table(path="grades.csv"):
    with open(path, encoding="utf-8", newline="") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


# Rows for all, and only rows.


def test_what_cannot_be_graded_is_a_row_and_costs_nobody_else(place, capsys):
    sub = place / "sub"
    write(sub / "ann.ipynb", ["02.1", "says"])
    write(sub / "boom.ipynb", ["02.1"])
    os.mkfifo(sub / "fifo.ipynb")
    os.mkfifo(sub / "fifo.zip")
    write(Path(os.fsdecode(os.fsencode(sub) + b"/J\xfcrgen/02.ipynb")), ["02.1"])
    write(sub / ("x" * 255) / "02.ipynb", ["02.2"])
    write(sub / (("y" * 120) + "a") / "02.ipynb", ["02.2"])
    write(sub / (("y" * 120) + "b") / "02.ipynb", ["02.2"])
    for name in ("\x1b[31mred", "two\nlines", "a\rb", "\u202eback", "-1", "+1", "@x", "=x"):
        write(sub / name / "02.ipynb", ["02.3"])
    write(sub / "UPPER.IPYNB", ["02.1"])
    (sub / "broken.ipynb").write_text("{")
    (sub / "surrogate.ipynb").write_text('{"cells": [{"cell_type": "code", "source": 3}]}')
    (sub / "link.ipynb").symlink_to(sub / "ann.ipynb")
    (sub / "linked").symlink_to(sub / "-1")
    (sub / "nothing").mkdir()
    (sub / "nothing" / "report.pdf").touch()
    (sub / "empty").mkdir()
    write(sub / "__MACOSX" / "._02.ipynb")
    deep = sub / "deep"
    for _ in range(40):
        deep = deep / "d"
    write(deep / "02.ipynb")
    run("--feedback", "texts", "--json")
    out, err = capsys.readouterr()
    assert "left out, as no notebooks (*.ipynb): fifo.zip" in err
    assert all(c.isprintable() or c == "\n" for c in out + err)
    rows = table()
    made = {json.loads(json.dumps(one))["student"] for one in json.loads(out)}
    status = {name: row["02 status"] for name, row in rows.items()}
    refused = {"fifo", "broken", "surrogate", "link", "linked", "nothing", "deep"}
    assert {n for n, s in status.items() if s == "refused"} == refused
    assert status["boom"] == "grader failed" and "on it" in rows["boom"]["remarks"]
    graded = {n for n, s in status.items() if s == "graded"}
    assert {"ann", r"J\xfcrgen", r"\x1b[31mred", r"two\x0alines", "UPPER"} <= graded
    assert {r"a\x0db", r"\u202eback", "'-1", "'+1", "'@x", "'=x"} <= graded
    assert len(graded) == 14 and len(made) == 22 and len(rows) == 24
    assert {row["of"] for row in rows.values()} == {"21", ""}
    assert rows["ann"]["remarks"] == r"02: raised \ud800 =1+1; 02: x; '=HYPERLINK(0)"
    texts = sorted(p.name for p in (place / "texts").iterdir())
    assert len(texts) == 22 and all(name.endswith(".zip") for name in texts)
    for name in texts:
        with zipfile.ZipFile(place / "texts" / name) as file:
            assert file.namelist() == ["02.md"]


@pytest.mark.parametrize(
    "text",
    ["=1", "+1", "-1", "@A", "\t=1", "\r=1", " =1", "\uff1d1", "a;=1", "a, @b", "a|-1"],
)
def test_a_spreadsheet_finds_no_formula(text):
    cell = shown.cell(text)
    for separator in (",", ";", "|", "\t", "\n"):
        for part in cell.split(separator):
            assert part.strip()[:1] not in set("=+-@\uff1d\uff0b\uff0d\uff20") or not part
    assert shown.text_of(cell) == shown.plain(text)


def test_names_are_one_line_and_stay_different():
    names = ["a\nb", "a\\nb", "a\\x0ab", "a\x0ab", "\udc80", "\\x80", "\u202e", "e\u0301"]
    names += ["x" * 300, "x" * 299 + "y", "\U000e0041", "a\xa0b", "a b"]
    shown_names = {shown.name(n) for n in names}
    assert len(shown_names) == len(set(names))
    assert all(n.isprintable() and len(n) <= 100 for n in shown_names)
    assert shown.name("e\u0301") == shown.name("\u00e9") == "\u00e9"
    files = {shown.file_name(n) for n in [*shown_names, "..", ".", "a/b", "/", ""]}
    assert len(files) == len(shown_names) + 5
    assert all(n[0] != "." and "/" not in n and len(n.encode()) <= 100 for n in files)


def test_a_notebook_that_would_fill_the_memory_is_refused_unread(tmp_path):
    (tmp_path / "lists.ipynb").write_text("[" + "[]," * 2_000_000 + "[]]")
    write(tmp_path / "code.ipynb", cells=[nbformat.v4.new_code_cell("x" * (2**20 + 1))])
    found = {s.student: s.problem for s in read_all(tmp_path)}
    assert "holds too much" in found["lists"] and "more than 1 MB of code" in found["code"]


def test_a_parent_that_is_a_link_refuses_nobody(tmp_path):
    write(tmp_path / "disk" / "sub" / "ann.ipynb")
    (tmp_path / "home").symlink_to(tmp_path / "disk")
    (tmp_path / "class").symlink_to(tmp_path / "disk" / "sub")
    for folder in (tmp_path / "home" / "sub", tmp_path / "class"):
        (one,) = read_all(folder)
        assert one.problem is None and one.student == "ann"


def test_a_full_disk_ends_it_and_keeps_what_was_graded(place, monkeypatch, capsys):
    for name in ("ann", "bob", "cleo"):
        write(place / "sub" / f"{name}.ipynb", ["02.1"])
    from ddpm_lite.classroom.record import Record

    real, left = Record.add, iter([1, 1, 0])

    def add(self, one):
        if not next(left, 0):
            raise OSError(28, "No space left on device")
        real(self, one)

    monkeypatch.setattr(Record, "add", add)
    run(status=1)
    assert "No space left" in capsys.readouterr().err
    assert [r["02 status"] for r in table().values()][:3] == 2 * ["graded"] + [
        "not yet graded"
    ]
    monkeypatch.setattr(Record, "add", real)
    run("--extend")
    assert [r["02 status"] for r in table().values()][:3] == 3 * ["graded"]


def test_feedback_that_cannot_be_written_costs_that_text_alone(place, monkeypatch, capsys):
    for name in ("ann", "bob", "cleo"):
        write(place / "sub" / f"{name}.ipynb", ["02.1"])
    (place / "texts" / "bob.zip").mkdir(parents=True)
    run("--feedback", "texts", "--extend")
    assert "no feedback for bob: cannot write" in capsys.readouterr().err
    assert {"ann.zip", "cleo.zip"} < {p.name for p in (place / "texts").iterdir()}
    assert table()["bob"]["points"] == "2"


# Whose a notebook is.


def test_one_student_in_nfc_and_nfd(tmp_path):
    for form in ("NFC", "NFD"):
        write(tmp_path / unicodedata.normalize(form, "Jos\u00e9") / "02_exercises.ipynb")
    write(tmp_path / unicodedata.normalize("NFD", "Zo\u00eb") / "03.ipynb", chapter="03")
    write(tmp_path / unicodedata.normalize("NFC", "Zo\u00eb") / "02.ipynb")
    found = read_all(tmp_path)
    assert {(s.student, s.chapter) for s in found} == {
        ("Jos\u00e9", "02"),
        ("Zo\u00eb", "02"),
        ("Zo\u00eb", "03"),
    }
    assert [s.problem is None for s in found] == [False, False, True, True]


def test_the_latest_of_several(tmp_path):
    for i, name in enumerate(("b", "a", "c")):
        os.utime(write(tmp_path / "ann" / f"{name}.ipynb", [name]), (0, 1000 + i))
    (tmp_path / "ann" / "02_broken.ipynb").write_text("{")
    for name in "ab":
        os.utime(write(tmp_path / "bob" / f"{name}.ipynb", [name]), (0, 1000))
    first, *same = merged(read_all(tmp_path, latest=True))
    assert first.path.name == "c.ipynb" and not first.problem
    assert first.note == (
        "the latest of a.ipynb, b.ipynb, c.ipynb; "
        "02_broken.ipynb is not a notebook (nbformat 4)"
    )
    assert len(same) == 1 and "changed at the same time" in same[0].problem
    (none, _) = merged(read_all(tmp_path))
    assert "02_broken" in none.path.name and "a.ipynb is one of several" in none.note


@pytest.mark.parametrize(
    ("name", "whose", "number", "late"),
    [
        ("schmidtanna_LATE_12345_67890_02_exercises", "schmidtanna", "12345", True),
        ("schmidtanna_12345_67890_02_exercises-1", "schmidtanna", "12345", False),
        ("Anna Schmidt_12345_assignsubmission_file_", "Anna Schmidt", "12345", False),
        ("Anna Schmidt_7_assignsubmission_file_02_exercises", "Anna Schmidt", "7", False),
        ("anna_02_exercises", "anna", "", False),
        ("anna_02_exercises (1)", "anna", "", False),
        ("02_exercises_anna", "anna", "", False),
        ("student_02", "student_02", "", False),
        ("02_exercises-Copy1", "02_exercises-Copy1", "", False),
        ("anna_2024_1", "anna_2024_1", "", False),
    ],
)
def test_what_platforms_and_students_call_a_file(name, whose, number, late):
    who = owner(name)
    assert (who.name, who.id, who.late) == (whose, number, late)


CANVAS = """\
Student,ID,SIS User ID,SIS Login ID,Section,Chapter 02 (4711),Final Score
    Points Possible,,,,,21,
"Schmidt, Anna",12345,s1,anna,one,,
"M\u00fcller, J\u00fcrgen",222,s2,jm,one,,
"Lee, Kim",333,s3,kim1,one,,
"Lee, Kim",444,s4,kim2,one,,
"Student, Test",999,,test,one,,
"""


def test_the_roster_says_who_it_is(tmp_path):
    (tmp_path / "roster.csv").write_text(CANVAS, "utf-8")
    roster = read_roster(tmp_path / "roster.csv")
    assert [m.student for m in roster.members] == ["anna", "jm", "kim1", "kim2"]

    def found(name):
        who = owner(name)
        member, doubt = roster.find(name, who.name, who.id)
        return member.student if member else doubt

    for name in ("anna", "ANNA", "s1", "12345", "Anna Schmidt", "Schmidt Anna"):
        assert found(name) == "anna"
    assert found("schmidtanna_LATE_12345_67890_02_exercises") == "anna"
    assert found("Anna Schmidt_888_assignsubmission_file_") == "anna"
    assert found(unicodedata.normalize("NFD", "J\u00fcrgen M\u00fcller")) == "jm"
    for data in (b"J\xfcrgen M\xfcller", b"J\x81rgen M\x81ller"):
        assert found(os.fsdecode(data)) == "jm"  # zips from Windows
    assert found("Kim Lee") == "could be several of the roster: kim1, kim2"
    assert found("leekim_444_67890_02_exercises") == "kim2"
    assert found("ann") == found("annabel") == "not in the roster"


def test_a_roster_that_says_nothing_is_refused(tmp_path):
    for text, words in {
        "": "holds no roster",
        "a,b\n1,2\n": "needs a column that names a student",
        "student\n": "names no student",
        "student\nann\nann\n": "names ann twice",
    }.items():
        (tmp_path / "r.csv").write_text(text)
        with pytest.raises(ValueError, match=words):
            read_roster(tmp_path / "r.csv")
    (tmp_path / "r.csv").write_bytes("student;Name\nann;J\u00fcrgen\n".encode("cp1252"))
    assert read_roster(tmp_path / "r.csv").members[0].name == "J\u00fcrgen"


# What a teacher needs.


def test_a_table_over_all_chapters_with_a_roster(place, capsys):
    sub = place / "sub"
    (place / "roster.csv").write_text(CANVAS, "utf-8")
    write(sub / "schmidtanna_12345_67890_02_exercises.ipynb", ["02.1", "02.6"])
    write(sub / "schmidtanna_12345_67891_03_exercises.ipynb", ["03.1"], "03")
    write(sub / "kim1" / "02.ipynb", ["02.1"])
    write(sub / "guest" / "02.ipynb", ["02.1"])
    (sub / "kim2.ipynb").write_text("{")
    run("--roster", "roster.csv", "--canvas", "canvas.csv", "--moodle", "moodle.csv")
    out = capsys.readouterr().out
    assert "not in the roster: guest" in out and "2 absent" not in out
    rows = table()
    assert list(rows) == [
        *("anna", "guest", "jm", "kim1", "kim2"),
        *("[points possible]", "[passed]"),
    ]
    anna = rows["anna"]
    assert (anna["points"], anna["of"], anna["percent"]) == ("10", "38", "26.3")
    assert (anna["02"], anna["03"], anna["02.6"], anna["03.2"]) == ("7", "3", "5", "0")
    assert anna["name"] == "Schmidt, Anna"
    assert rows["jm"]["02 status"] == rows["jm"]["03 status"] == "absent"
    assert rows["jm"]["points"] == "0" and rows["jm"]["of"] == "38"
    assert rows["kim1"]["03 status"] == "absent" and rows["kim2"]["02 status"] == "unclear"
    assert "kim2.ipynb: the notebook is not a notebook" in rows["kim2"]["remarks"]
    assert rows["[points possible]"]["02.6"] == "5"
    assert rows["[passed]"]["02.1"] == "3 of 3 (100.0 %)"
    assert rows["[passed]"]["02.6"] == "1 of 3 (33.3 %)"
    _, canvas = rows_of("canvas.csv", "x")
    head = [*CANVAS.split("\n")[0].split(",")[:6], "Chapter 03"]
    assert list(canvas[0]) == head and canvas[0]["Chapter 02 (4711)"] == "21"
    assert Path("canvas.csv").read_text().split("\n")[1] == "    Points Possible,,,,,21,17"
    assert [row["Chapter 02 (4711)"] for row in canvas[1:]] == ["7", "", "2", ""]
    assert [row["ID"] for row in canvas[1:]] == ["12345", "222", "333", "444"]


def test_a_grading_worksheet_of_moodle_is_filled(place, capsys):
    head = "Identifier,Full name,Email address,Status,Grade,Maximum Grade,"
    head += '"Last modified (submission)",Feedback comments'
    (place / "sheet.csv").write_text(
        head + "\nParticipant 71,Anna Schmidt,a@x.org,Submitted,,21.00,"
        '"Tuesday, 1 December 2026, 11:58 PM",\n'
        "Participant 72,Bob Lee,b@x.org,Submitted,,21.00,"
        '"Wednesday, 2 December 2026, 12:05 AM",\n'
        "Participant 73,Cleo Ray,c@x.org,No submission,,21.00,-,\n"
    )
    for name, number in (("Anna Schmidt", 71), ("Bob Lee", 72)):
        folder = place / "sub" / f"{name}_{number}_assignsubmission_file_"
        write(folder / "02_exercises.ipynb", ["02.1"])
    told = ["--roster", "sheet.csv", "--times", "sheet.csv"]
    told += ["--deadline", "2026-12-01 23:59", "--moodle", "moodle.csv"]
    run(*told)
    assert "1 late; 1 absent" in capsys.readouterr().out
    columns, rows = rows_of("moodle.csv", "x")
    assert ",".join(columns) == head.replace('"', "")
    assert [row["Grade"] for row in rows] == ["2", "2", ""]
    assert "02.1: 2 of 2; 02.2: 0 of 3 (not yet" in rows[0]["Feedback comments"]
    assert "6 min late" in rows[1]["Feedback comments"]
    assert table()["b@x.org"]["02 status"] == "late"
    write(place / "sub" / "Bob Lee_72_assignsubmission_file_" / "x.ipynb", chapter="03")
    run(*told, "--extend", status=1)
    assert "is for one chapter, here are 02, 03" in capsys.readouterr().err


def test_late_by_time_stamps_and_extensions(place):
    due = moment("2026-12-01")
    assert due == moment("2026-12-01 23:59:59")
    for name, after in (("ann", -1), ("bob", 3700), ("cleo", 3700)):
        os.utime(write(place / "sub" / f"{name}.ipynb"), (0, due + after))
    write(place / "sub" / "dan_LATE_12345_67890_02_exercises.ipynb")
    (place / "due.csv").write_text(
        "chapter,deadline,student\n2,2026-12-01,\n02,2026-12-05,cleo\n03,2026-12-09,\n"
    )
    run("--deadline", "due.csv")
    status = {name: row["02 status"] for name, row in table().items() if name[0] != "["}
    assert status == {"ann": "graded", "bob": "late", "cleo": "graded", "dan_12345": "late"}
    assert "1 h 1 min late" in table()["bob"]["remarks"]
    run("--deadline", "2027-01-01", "--extend")  # nothing is graded again
    assert table()["bob"]["02 status"] == "graded" and not table()["bob"]["remarks"]
    with pytest.raises(
        ValueError, match=r"such as 2026-12-01 23:59, or a CSV file, got 'x'"
    ):
        moment("x")
    unknown = Deadlines({("", ""): due}, {})
    (one, *_) = read_all(place / "sub")
    assert unknown.late(one)[0] is None


def test_a_table_is_extended_replaced_or_left_alone(place, capsys):
    ann = write(place / "sub" / "ann" / "02.ipynb", ["02.1"])
    write(place / "sub" / "bob" / "02.ipynb", ["02.1"])
    run("--seed", "1")
    before = Path("grades.csv").read_bytes()
    run(status=1)
    assert "go on with it by --extend, make it anew by --replace" in capsys.readouterr().err
    run("--extend")
    assert "2 of 2 notebooks are graded already" in capsys.readouterr().err
    assert Path("grades.csv").read_bytes() == before
    write(ann, ["02.1", "02.2"])
    write(place / "sub" / "bob" / "03.ipynb", ["03.1"], "03")
    run("--extend")
    said = capsys.readouterr().err
    assert "ann, chapter 02: another notebook, graded again" in said
    assert "1 of 2, " in said and "2 of 2, 0 s left" in said
    assert table()["ann"]["points"] == "5" and table()["bob"]["of"] == "38"
    run("--extend", status=0)
    assert "seed: 1\n" in capsys.readouterr().err
    run("--extend", "--seed", "2", status=1)
    assert "by other rules (seed 1; now seed 2)" in capsys.readouterr().err
    run("--extend", "--seed", "2", "--only", "ann")
    assert "1 of 1, 0 s left  ann" in capsys.readouterr().err
    assert table()["bob"]["points"] == "5"
    run("--only", "eve", "--extend", status=1)
    assert "nobody called eve handed in; here are ann, bob" in capsys.readouterr().err
    about = json.loads(Path("grades.about.json").read_text())["runs"]
    assert [run["options"]["seed"] for run in about] == [1, 1, 1, 1, 2]
    assert {"version", "isolation", "begun", "ended", "how"} <= set(about[0])
    assert about[0]["isolation"] == "none" and about[0]["how"] == "finished"
    run("--replace", "--chapter", "02")
    assert table()["bob"]["of"] == "21" and Path("grades.record.old.jsonl").exists()


def test_the_seed_is_drawn_by_chance_once_for_a_table(place, capsys):
    write(place / "sub" / "ann.ipynb", ["02.1"])
    run()
    entry = json.loads(Path("grades.record.jsonl").read_text().splitlines()[0])["entry"]
    drawn = entry["rules"]["seed"]
    assert f"seed: {drawn}\n" in capsys.readouterr().err
    write(place / "sub" / "bob.ipynb", ["03.1"], "03")
    run("--extend")
    lines = Path("grades.record.jsonl").read_text().splitlines()
    assert {json.loads(line)["entry"]["rules"]["seed"] for line in lines} == {drawn}
    about = json.loads(Path("grades.about.json").read_text())["runs"]
    assert [run["options"]["seed"] for run in about] == [drawn, drawn]
    seeds = {drawn}
    for _ in range(3):
        run("--replace")
        seeds |= {
            json.loads(Path("grades.about.json").read_text())["runs"][-1]["options"]["seed"]
        }
    assert len(seeds) > 1 and all(0 <= seed < 2**31 for seed in seeds)


OLD = (  # of version 0.3.0, in which an exercise had all of its points or none
    '{"entry": {"student": "ann", "chapter": "02", "status": "graded", "exercises": '
    '{"02.1": [2, 2, "passed (2 points)"], "02.2": [0, 3, "not solved yet"], '
    '"02.3": [0, 4, "not yet: your x_t has variance 1.53 at t = 250"]}, "remarks": [], '
    '"late": false, "file": "ann.ipynb", "folder": "ann", "digest": "%s", "rules": '
    '{"version": "%s", "seed": 1, "seconds": 120.0, "memory_gb": 4.0, "held_back": ""}, '
    '"date": "2026-11-30T10:00:00+00:00"}}\n'
)


def test_a_record_of_the_version_before_is_read_and_extended(place):
    write(place / "sub" / "ann.ipynb", ["02.1"])
    write(place / "sub" / "bob.ipynb", ["02.1", "02.2"])
    (one,) = [s for s in read_all(place / "sub") if s.student == "ann"]
    version = sys.modules["ddpm_lite"].__version__
    Path("grades.record.jsonl").write_text(OLD % (one.digest, version))
    run("--extend", "--feedback", "texts")
    rows = table()
    assert [rows["ann"][n] for n in ("02.1", "02.2", "02.3", "points")] == list("2002")
    assert rows["bob"]["02.2"] == "3" and rows["[passed]"]["02.1"].startswith("2 of 2")
    with zipfile.ZipFile("texts/ann.zip") as file:
        assert "variance 1.53" in file.read("02.md").decode()
    lines = Path("grades.record.jsonl").read_text().splitlines()
    assert [json.loads(line)["entry"]["rules"]["seed"] for line in lines] == [1, 1]


def test_part_of_the_points_is_shown_and_nobody_passed_by_it(place, monkeypatch):
    from ddpm_lite.classroom import grade

    write(place / "sub" / "ann.ipynb")

    def half(submission, rules, running=None):
        known = exercises_of("02").values()
        made = (Outcome(e, e.points - 1, "not yet, so far: x. But: y") for e in known)
        return Grade(submission, tuple(made))

    monkeypatch.setattr(grade, "grade_one", half)
    run("--canvas", "canvas.csv", "--feedback", "texts")
    rows, known = table(), exercises_of("02")
    assert [rows["ann"][n] for n in known] == [str(e.points - 1) for e in known.values()]
    assert rows["ann"]["points"] == str(sum(e.points - 1 for e in known.values()))
    assert {rows["[passed]"][n] for n in known} == {"0 of 1 (0.0 %)"}
    with zipfile.ZipFile("texts/ann.zip") as file:
        assert "not yet, so far: x. But: y" in file.read("02.md").decode()


def test_a_record_that_a_stop_has_cut(place, capsys):
    write(place / "sub" / "ann.ipynb", ["02.1"])
    write(place / "sub" / "bob.ipynb", ["02.2"])
    run()
    whole, record = Path("grades.csv").read_bytes(), Path("grades.record.jsonl")
    lines = record.read_bytes().splitlines(keepends=True)
    assert len(lines) == 2
    for cut in (1, 40, len(lines[1]) - 1):
        record.write_bytes(lines[0] + lines[1][:cut])
        run("--extend")
        assert "1 of 1, 0 s left  bob" in capsys.readouterr().err
        assert Path("grades.csv").read_bytes() == whole
        run("--extend")  # and what was appended can be read
        assert "2 of 2 notebooks are graded already" in capsys.readouterr().err
    record.write_bytes(lines[0] + b"{}\n")
    run("--extend", status=1)
    assert "line 2, is no record of a grade" in capsys.readouterr().err
    record.unlink()
    run("--extend", status=1)
    assert "without it nothing is known" in capsys.readouterr().err


def test_two_gradings_do_not_write_one_table(place, capsys):
    import fcntl

    write(place / "sub" / "ann.ipynb", ["02.1"])
    with open("grades.record.jsonl", "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        run("--extend", status=1)
    assert "another grading runs" in capsys.readouterr().err


def test_a_refused_notebook_that_is_mended_leaves_no_trace(place):
    write(place / "sub" / "ann" / "02.ipynb", ["02.1"])
    write(place / "sub" / "cleo" / "03.ipynb", ["03.1"], "03")
    (place / "sub" / "bob").mkdir()
    (place / "sub" / "bob" / "mine.ipynb").write_text("{")
    run()
    assert table()["bob"]["02 status"] == "unclear"
    write(place / "sub" / "bob" / "mine.ipynb", ["02.1"])
    for _ in range(2):
        run("--extend")
        assert table()["bob"]["02 status"] == "graded" and not table()["bob"]["remarks"]
    assert table()["bob"]["03 status"] == "absent"


def test_a_roster_that_comes_later_renames(place):
    write(place / "sub" / "schmidtanna_12345_67890_02_exercises.ipynb", ["02.1"])
    run()
    assert "schmidtanna_12345" in table()
    Path("roster.csv").write_text(CANVAS, "utf-8")
    run("--extend", "--roster", "roster.csv")
    assert set(table()) >= {"anna", "jm"} and "schmidtanna_12345" not in table()
    assert table()["anna"]["points"] == "2"
    run("--extend")  # and it is remembered
    assert table()["jm"]["02 status"] == "absent"


# The part for a teacher's eyes.


def own_cells(text, **files):
    statement = "### 02.6 Design\n\nDraw. **Graded by** the range.\n\nMine: x < y"
    drawn = nbformat.v4.new_output("display_data", data={"image/png": PNG})
    printed = nbformat.v4.new_output("stream", text="02.6 passed\n")
    return [
        nbformat.v4.new_markdown_cell("### 02.5 Before\n\nnot this"),
        nbformat.v4.new_markdown_cell(statement),
        nbformat.v4.new_code_cell("plt.plot(1)", outputs=[drawn]),
        nbformat.v4.new_code_cell('check("02.6", f)', outputs=[printed]),
        nbformat.v4.new_markdown_cell(
            text, attachments={"a": {"image/jpeg": "no"}, "b": files}
        ),
    ]


def test_drawings_and_sentences_are_on_one_page(place, capsys):
    evil = "<script>alert(1)</script> Three sentences. \x1b"
    write(place / "sub" / "ann.ipynb", ["02.6"], cells=own_cells(evil))
    kind = "image/png\" onerror='x'"
    cells = own_cells("short", **{kind: PNG, "text/html": PNG})
    cells[2]["outputs"][0]["data"] = {kind: PNG, "text/html": "<b>no</b>"}
    write(place / "sub" / "bob.ipynb", cells=cells)
    (place / "sub" / "eve.ipynb").write_text("{")
    run("--eyes", "eyes")
    assert "02.6.html in eyes: 2 students" in capsys.readouterr().err
    page = (place / "eyes" / "02.6.html").read_text("utf-8")
    assert page.count("<section>") == 2 and page.count("<img") == 1
    assert f'src="data:image/png;base64,{PNG}"' in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; Three" in page and "<script" not in page
    assert "Mine: x &lt; y" in page and "not this" not in page and "Draw." not in page
    assert "02.6 passed" not in page and "onerror='" not in page and "\x1b" not in page
    assert "default-src 'none'" in page and page.count("cannot be shown") == 4
    head, rows = rows_of("eyes/eyes.csv", "x")
    assert head == ["student", "name", "exercise", "points", "of", "comment"]
    assert [(r["student"], r["exercise"], r["of"]) for r in rows] == [
        ("ann", "02.6", "3"),
        ("bob", "02.6", "3"),
    ]


def test_a_page_stays_small_enough_to_open(place):
    big = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(4 * 2**20)).decode()
    files = {"a": {"image/png": PNG}, "b": {"image/png": big}, "c": {"image/png": big}}
    cell = nbformat.v4.new_markdown_cell("mine", attachments=files)
    write(place / "sub" / "ann.ipynb", cells=[*own_cells("short"), cell])
    write(place / "sub" / "bob.ipynb", cells=own_cells("x" * 50_000))
    run("--eyes", "eyes")
    page = (place / "eyes" / "02.6.html").read_text("utf-8")
    assert page.count("<img") == 4 and page.count("than a page takes") == 1
    assert "the rest is in the notebook" in page and len(page) < 9 * 2**20


def test_points_and_comments_are_merged_and_kept(place, capsys):
    for name in ("ann", "bob", "=cmd"):
        write(place / "sub" / name / "02.ipynb", ["02.6"])
    run("--eyes", "eyes", "--feedback", "texts")
    sheet = place / "eyes" / "eyes.csv"
    text = sheet.read_text().replace("ann,,02.6,,3,", "ann,,2.6,2.5,4,=fine; well")
    text = text.replace("'=cmd,,02.6,,3,", "'=cmd,,02.6,4,4,")
    sheet.write_text(text.replace("bob,,02.6,,3,", "bob,,02.6,,4,"))
    run("--eyes", "eyes", "--extend", "--feedback", "texts")
    assert "3 of 3 notebooks are graded already" in capsys.readouterr().err
    rows = table()
    assert rows["ann"]["points"] == "7.5" and rows["ann"]["of"] == "25"
    assert rows["'=cmd"]["02.6 eyes"] == "4" and rows["bob"]["02.6 eyes"] == ""
    assert rows["[points possible]"]["02.6 eyes"] == "4"
    with zipfile.ZipFile(place / "texts" / "ann.zip") as file:
        said = file.read("02.md").decode()
    assert said.startswith("# ann, chapter 02: 7.5 of 25\n")
    assert "- **02.6**, drawings and sentences: 2.5 of 4: =fine; well\n" in said
    write(place / "sub" / "dan" / "02.ipynb", ["02.6"])
    run("--extend")  # without --eyes: what was typed is remembered
    assert table()["ann"]["points"] == "7.5" and table()["dan"]["of"] == "25"
    run("--extend", "--eyes", "eyes")
    assert "dan,,02.6,,4," in sheet.read_text() and "ann,,2.6,2.5" in sheet.read_text()
    before, good = Path("grades.csv").read_bytes(), sheet.read_text()
    for bad, words in {
        "ann,,02.6,5,4,": "row 5: 5 points of 4",
        "zoe,,02.6,1,4,": "row 5: nobody is called zoe",
        "dan,,02.6,one,4,": "row 5: points and of must be numbers",
        "dan,,02.6,inf,4,": "row 5: points and of must be numbers",
        "dan,,02.6,1,3,": "row 5: of is 3, further up it is 4",
        "dan,,02.1,1,4,": "row 5: 02.1 is no project",
        "dan,,02.6,,4,nice": "row 5 has a comment and no points",
    }.items():
        sheet.write_text(good.replace("dan,,02.6,,4,", bad))
        run("--extend", "--eyes", "eyes", status=1)
        assert words in capsys.readouterr().err
        assert Path("grades.csv").read_bytes() == before


def test_no_roster_no_doubt():
    roster = make_roster(["student"], [{"student": "ann"}])
    assert roster.find("ann")[0].student == "ann"
    assert roster.find("bob") == (None, "not in the roster")


# A hundred.


def a_class(folder, count):
    r"""Notebooks of chapter 02: solved, partly solved, and four that are something else."""
    sys.path.insert(0, str(ROOT / "exercises"))
    import assignments

    solved = assignments.source("02")
    pairs = [(cell, assignments.cleared(cell)) for cell in solved]
    loops = nbformat.v4.new_code_cell("while True: pass" if count > 50 else "1 / 0")
    for i in range(count - 4):
        cells = [s if (i + j) % 7 else b for j, (s, b) in enumerate(pairs)]
        made = nbformat.v4.new_notebook(cells=solved if i % 2 else cells)
        home = folder / f"student{i:03}" / "02"
        home.mkdir(parents=True)
        (home / "02_exercises.ipynb").write_text(json.dumps(made))
    write(folder / "loops.ipynb", cells=[loops])
    write(folder / "ends.ipynb", cells=[nbformat.v4.new_code_cell("exit(0)")])
    (folder / "broken.ipynb").write_text("{")
    os.mkfifo(folder / "fifo.ipynb")


@pytest.mark.slow
@pytest.mark.long
def test_a_class_that_is_killed_and_resumed_gets_the_same_table(tmp_path):
    count = int(os.environ.get("CLASS", "8"))  # CLASS=100 for the figure in the README
    a_class(tmp_path / "sub", count)
    command = [sys.executable, "-m", "ddpm_lite", "grade", "sub", "--jobs", "2"]
    options = {"cwd": tmp_path, "stderr": subprocess.PIPE, "stdout": subprocess.PIPE}
    options |= {"env": os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}}
    load, begun = os.getloadavg()[0], monotonic()
    record = tmp_path / "grades.record.jsonl"
    first = subprocess.Popen(command, **options)
    while not record.exists() or record.read_bytes().count(b"\n") < count // 2:
        assert first.poll() is None, first.stderr.read()
        sleep(0.05)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    part = table(tmp_path / "grades.csv")
    waiting = [row for row in part.values() if row["02 status"] == "not yet graded"]
    assert len(part) == count + 2 and len(waiting) >= count // 2 - 2
    again = subprocess.run([*command, "--extend"], check=False, **options)
    took = monotonic() - begun
    assert again.returncode == 0, again.stderr
    assert b"notebooks are graded already" in again.stderr
    print(f"{count} notebooks, killed and resumed: {took:.0f} s, load {load:.1f} before")
    whole = [*command, "--csv", "whole.csv"]
    assert subprocess.run(whole, check=False, **options).returncode == 0
    made = (tmp_path / "grades.csv").read_text()
    assert made == (tmp_path / "whole.csv").read_text()
    rows = list(csv.DictReader(io.StringIO(made)))
    status = {row["student"]: row["02 status"] for row in rows}
    assert status["broken"] == status["fifo"] == "refused"
    assert sum(s == "graded" for s in status.values()) == count - 2
