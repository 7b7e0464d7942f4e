r"""Run the command line: `python -m ddpm_lite COMMAND`, or `ddpm-lite COMMAND`."""

import sys


def main():
    r"""As `commands.main.main`, with Ctrl-C while that is being imported."""
    try:
        from .commands.main import main as run

        return run()
    except KeyboardInterrupt:
        print("ddpm-lite: stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
