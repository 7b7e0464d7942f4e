r"""Gradient checkpointing: blocks that are computed twice, to save memory.

A reader of the U-Net needs none of it: `Recomputed` is an nn.Module.
"""

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


class Recomputed(nn.Module):
    r"""A module that may keep its inputs alone for the backward pass, see `recomputed`.

    What it computed on the way is computed again when the gradient comes back: the same
    numbers, for Dropout's keys stay until then. Else it is an nn.Module.
    Chen et al. 2016 (arXiv 1604.06174), section 4.
    """

    recomputed = False

    def __call__(self, *inputs):
        if self.recomputed and self.training and torch.is_grad_enabled():
            return checkpoint(super().__call__, *inputs, use_reentrant=False)
        return super().__call__(*inputs)
