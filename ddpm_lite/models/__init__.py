r"""Networks: they know t, and nothing of schedules."""

from .. import hand_on

CONTENTS = {"mlp": ("MLP",), "layers": (), "recomputed": (), "unet": ("UNet", "UNetConfig")}

__getattr__, __dir__ = hand_on(__name__, CONTENTS)
