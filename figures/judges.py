r"""Train the judges of pictures: `python figures/judges.py WHICH --data FOLDER`.

They see the class of a picture, and samples are compared in their features. WHICH: clothes
or mnist. FOLDER: Fashion-MNIST or MNIST in the hub's layout. Writes
ddpm_lite/evaluation/judges/WHICH.safetensors, with its accuracy on the unseen split; ten
minutes on one core. `python figures/measures.py` judges samples by it.
"""

import argparse
from pathlib import Path

from ddpm_lite import data
from ddpm_lite.evaluation import classifier

ROOT = Path(__file__).resolve().parent.parent
DATA = {"clothes": "Fashion-MNIST", "mnist": "MNIST"}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("which", choices=list(DATA))
    parser.add_argument("--data", required=True, help="its folder, in the hub's layout")
    parser.add_argument("--epochs", type=int, default=4, help="looks at each picture")
    folder = ROOT / "ddpm_lite" / "evaluation" / "judges"
    parser.add_argument("--out", default=folder, type=Path, help="where to write it")
    options = parser.parse_args(arguments)
    train, unseen = (data.load(options.data, split=split) for split in ("train", "test"))
    judge = classifier.train_classifier(train, options.epochs)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"{options.which}.safetensors"
    command = f"python figures/judges.py {options.which} --data FOLDER"
    about = {"data": DATA[options.which], "classes": list(train.classes)}
    about |= {"trained_by": command, "epochs": options.epochs, "trained_on": len(train)}
    classifier.save_classifier(path, judge, about)
    judge, about = classifier.load_classifier(path)  # as float16 left it
    about["accuracy"] = classifier.accuracy(judge, unseen, unseen.y)
    about["unseen"] = len(unseen)
    classifier.save_classifier(path, judge, about)
    print(
        f"wrote {path.name}: {path.stat().st_size / 1e6:.2f} MB, "
        f"{100 * about['accuracy']:.1f} % of {len(unseen):,} unseen pictures right"
    )


if __name__ == "__main__":
    main()
