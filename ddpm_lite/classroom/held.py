r"""The package of a submission's process, held in memory until one is started.

Where nothing keeps submissions from a common folder, each gets a copy of its own, made of
what was read before the first of them ran.
"""

from pathlib import Path


class Package:
    r"""A folder of `lacking.write`: where it is, and all that was in it.

    folder: such a folder, or a Package, of which this one is then a copy.
    """

    def __init__(self, folder):
        if isinstance(folder, Package):
            self.folder, self.files = folder.folder, folder.files
            return
        self.folder = Path(folder)
        paths = sorted(path for path in self.folder.rglob("*") if path.is_file())
        self.files = {path.relative_to(self.folder): path.read_bytes() for path in paths}

    def readable(self):
        r"""Let everyone read the folder, whoever a submission is; returns it."""
        for path in (self.folder, *self.folder.rglob("*")):
            mode = path.stat().st_mode
            wanted = mode | (0o555 if path.is_dir() else 0o444)
            if wanted != mode:
                path.chmod(wanted)
        return self.folder

    def write(self, target):
        r"""Write the files into a new folder, for reading only. Returns the folder."""
        target = Path(target)
        folders = {target}
        for name, data in self.files.items():
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            path.chmod(0o444)
            folders |= {target / parent for parent in name.parents}
        for folder in folders:
            folder.chmod(0o555)
        return target
