r"""The optimiser of a training run: Adam, or AdamW where weights decay."""

import torch


def optimiser_of(model, config):
    r"""Adam for all parameters of a network, or AdamW where config.weight_decay > 0.

    config: a TrainConfig. AdamW takes lr weight_decay w off each w, besides Adam's step,
    in tensors of two dimensions or more: the weights of convolutions and linear maps, and
    tables of embeddings. Biases, and the scales and shifts of normalisations, have one
    dimension and do not decay: 0 is no plainer a value for them than another.
    Kingma and Ba 2015, Algorithm 1; Loshchilov and Hutter 2019 (arXiv 1711.05101),
    Algorithm 2.
    """
    how = {"lr": config.lr, "fused": config.fast, "foreach": None if config.fast else False}
    parameters = list(model.parameters())
    if not config.weight_decay:
        return torch.optim.Adam(parameters, **how)
    decays = [p for p in parameters if p.dim() > 1]
    stays = [p for p in parameters if p.dim() <= 1]
    groups = [
        {"params": decays, "weight_decay": config.weight_decay},
        {"params": stays, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], **how)
