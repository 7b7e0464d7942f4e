r"""Which parts of a network are computed twice, to save memory: see `models.recomputed`."""

from ..models.recomputed import Recomputed


def recompute(model, on):
    r"""Switch gradient checkpointing of a network's blocks on or off.

    Raises ValueError where it is to be on, and the network has no block that can.
    Chen et al. 2016 (arXiv 1604.06174), section 4.
    """
    blocks = [module for module in model.modules() if isinstance(module, Recomputed)]
    if on and not blocks:
        raise ValueError(
            f"checkpoint_gradients is for the blocks of a UNet, and {type(model).__name__} "
            "has none: leave it out (--no-checkpoint-gradients), or let the blocks of your "
            "network derive from ddpm_lite.models.recomputed.Recomputed"
        )
    for block in blocks:
        block.recomputed = on
