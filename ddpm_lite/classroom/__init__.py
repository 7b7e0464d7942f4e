r"""Exercises that check themselves: in a notebook by `check`, for a class by a command.

Read `exercise` and one chapter's checks (`ch02`), then `checking` and `box`; `wire`,
`messages`, `cells`, `worker`, `jail`, `lacking` and `grade` put a class's notebooks through
the same checks; `record`, `table`, `feedback`, `eyes` and `course` make what a teacher
keeps and students get.
"""

from .. import hand_on

CONTENTS = {
    "exercise": (),
    "bugs": (),
    "ch01": (),
    "ch02": (),
    "ch03": (),
    "ch04": (),
    "ch05": (),
    "ch06": (),
    "ch07": (),
    "ch08": (),
    "ch09": (),
    "ch10": (),
    "ch11": (),
    "ch12": (),
    "ch13": (),
    "ch16": (),
    "ch17": (),
    "bug05": (),
    "bug06": (),
    "bug07": (),
    "bug08": (),
    "bug09": (),
    "bug10": (),
    "bug11": (),
    "bug12": (),
    "bug13": (),
    "bug16": (),
    "bug17": (),
    "wire": (),
    "messages": (),
    "answer": (),
    "box": (),
    "checking": ("check",),
    "withheld": (),
    "shell": (),
    "cells": (),
    "worker": (),
    "confine": (),
    "jail": (),
    "lacking": (),
    "held": (),
    "crowd": (),
    "runner": (),
    "shown": (),
    "roster": (),
    "submissions": (),
    "held_back": (),
    "grade": (),
    "record": (),
    "table": (),
    "feedback": (),
    "eyes": (),
    "course": (),
    "plugin": (),
}

__getattr__, __dir__ = hand_on(__name__, CONTENTS)
