r"""A network of the library diffusers that is trained and sampled here as it is."""

import torch
from torch import nn

from ..checks import PREDICTIONS, check_integer, check_name


class DiffusersUNet(nn.Module):
    r"""diffusers' UNet2DModel, called as the networks of this package are.

    unet: a UNet2DModel, which is kept with its weights, or its config, a dictionary. T:
    number of steps, t is 1..T, and diffusers counts from 0. prediction: what it answers,
    "noise", "x_0", "v" or "flow". clip: the range of its data, or None. A table of K
    classes, num_class_embeds = K, is read as K - 1 classes and a last row that means "no
    class". Twice as many out_channels as in_channels mean that the variance is learned.
    Called as model(x_t, t) or model(x_t, t, y) with x_t (B, C, H, W), t and y int64 (B,).
    Raises ImportError where diffusers is not there, TypeError for another network, and
    ValueError for one that answers in another shape.
    """

    def __init__(self, unet, T=1000, prediction="noise", clip=(-1, 1)):
        super().__init__()
        self.unet = unet if isinstance(unet, nn.Module) else _model_of(unet)
        if type(self.unet).__name__ != "UNet2DModel":
            raise TypeError(
                "unet must be a UNet2DModel of diffusers, or its config; got a "
                f"{type(self.unet).__name__}"
            )
        self.T = check_integer("T", T, 1)
        self.prediction = check_name("prediction", prediction, *PREDICTIONS)
        self.clip = None if clip is None else tuple(clip)
        fields = {k: v for k, v in dict(self.unet.config).items() if k[0] != "_"}
        self.config = dict(unet=fields, T=self.T, prediction=prediction, clip=clip)
        C, twice = fields["in_channels"], fields["out_channels"]
        if twice not in (C, 2 * C):
            raise ValueError(
                f"out_channels must be in_channels = {C}, or twice that where the variance "
                f"is learned, got {twice}"
            )
        self.learned_variance = twice == 2 * C
        table = getattr(self.unet, "class_embedding", None)
        if table is not None and not isinstance(table, nn.Embedding):
            raise ValueError(
                "class_embed_type must be None, with num_class_embeds = K + 1 for K "
                f"classes, got {fields.get('class_embed_type')!r}"
            )
        self.classes = 0 if table is None else table.num_embeddings - 1
        size = fields.get("sample_size")
        if size is not None:
            self.sample_shape = (C, *((size, size) if isinstance(size, int) else size))

    def forward(self, x_t, t, y=None):
        if self.classes and y is None:
            y = torch.full_like(t, self.classes)  # no class
        return self.unet(x_t, t - 1, class_labels=y).sample


def _model_of(fields):
    if not isinstance(fields, dict):
        raise TypeError(
            f"unet must be a UNet2DModel of diffusers, or its config; got {fields!r:.60}"
        )
    try:
        from diffusers import UNet2DModel
    except ImportError as error:
        raise ModuleNotFoundError(
            "this network is of the library diffusers: pip install diffusers"
        ) from error
    return UNet2DModel(**{name: v for name, v in fields.items() if name[0] != "_"})
