r"""A Jupyter kernel whose arithmetic is that of another machine, for `machines.py`.

DDPM_LITE_SHAKE=SEED shakes all that its cells compute. OMP_NUM_THREADS decides on the
number of threads, whatever a chapter asks for.
"""

import os

import shaker
import torch
from ipykernel.kernelapp import launch_new_instance

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or 1))
torch.set_num_threads = lambda number: None
shaker.from_environment()
launch_new_instance()
