r"""Print constraints for the oldest versions that pyproject.toml allows (weekly run)."""

import re
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def oldest(requirements):
    r"""Turn "name>=low,<high" into "name==low" for each requirement."""
    return [re.sub(r">=([\d.]+).*", r"==\1.*", line) for line in requirements]


def main():
    project = tomllib.loads(PROJECT.read_text("utf-8"))["project"]
    print("\n".join(oldest(project["dependencies"])))


if __name__ == "__main__":
    main()
