r"""Layers of torch's that have a faster way on a CPU; what they compute is torch's.

Each says what it cost there before. A reader of the U-Net needs none of it: `GroupNorm`,
`Dropout`, `silu` and `scaled_dot_product_attention` are what torch calls so, and
`upsampled_conv` is what its comment says; with torch's own in their place the U-Net is the
same to rounding, and in float32 bit for bit but for dropout's draws and `upsampled_conv`.
"""

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ..seeds import random_bits


def silu(h):
    r"""h / (1 + exp(-h)), written over h where no gradient will need h.

    h: any shape, used nowhere else. Returns the same shape.
    """
    return F.silu(h, inplace=not torch.is_grad_enabled())


class GroupNorm(nn.GroupNorm):
    r"""Bring groups of channels to mean 0 and variance 1, then scale and shift channels.

    h: (B, C, H, W). Returns the same shape. Wu and He 2018, Eq. 1 to 7.
    """

    def forward(self, h):
        # With fewer than 16 channels in a group, torch takes 2 to 18 times as long in
        # bfloat16 and channels last: 12 % of a training step of the preset small-32.
        last = h.is_contiguous(memory_format=torch.channels_last)
        few = h.dim() == 4 and h.shape[1] < 16 * self.num_groups
        if not (h.device.type == "cpu" and h.dtype is torch.bfloat16 and last and few):
            return super().forward(h)
        w, b = self.weight.float(), self.bias.float()
        if h.shape[2] * h.shape[3] < 1024:  # for which torch has another way
            return F.group_norm(h.float(), self.num_groups, w, b, self.eps).to(h.dtype)
        return _Normalise.apply(h, w, b, self.num_groups, self.eps)


class _Normalise(torch.autograd.Function):
    # y = w x + b with x = (h - mean) rstd; mean and rstd = 1 / sqrt(variance + eps) are of
    # the N numbers of a group, and a gradient that reaches them reaches all of these:
    #     dh = rstd (w dy - M(w dy) - x M(w dy x)),  M the mean over a group.
    # Sums over pixels come first, (B, C), in which groups are cheap. They make this
    # dh = p dy + q h + r, with a p, a q and an r for every picture and channel.

    @staticmethod
    def forward(ctx, h, w, b, groups, eps):
        B, C, H, W = h.shape
        y, mean, rstd = torch.native_group_norm(h, w, b, B, C, H * W, groups, eps)
        ctx.save_for_backward(h, w, mean, rstd)  # the last two (B, groups)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        h, w, mean, rstd = ctx.saved_tensors
        H, W, groups = *h.shape[2:], mean.shape[1]
        size = h.shape[1] // groups  # channels of a group

        def to_channels(value):  # (B, groups) to (B, C)
            return value.float().repeat_interleave(size, dim=1)

        def group_mean(value):  # (B, C), sums over pixels; the same for a whole group
            return to_channels(value.unflatten(1, (groups, size)).sum(2) / (size * H * W))

        mean, rstd = to_channels(mean), to_channels(rstd)
        h, dy = (v.permute(0, 2, 3, 1).flatten(1, 2) for v in (h, dy))  # (B, H W, C)
        product = dy * h
        db = dy.sum(1).float()
        dw = (product.sum(1).float() - mean * db) * rstd  # the sum of dy x
        q = -rstd.square() * group_mean(w * dw)
        r = -rstd * group_mean(w * db) - mean * q
        p, q, r = (v.to(h.dtype)[:, None] for v in (rstd * w, q, r))  # (B, 1, C)
        dh = torch.addcmul(r, h, q, out=product).addcmul_(dy, p)
        dh = dh.unflatten(1, (H, W)).permute(0, 3, 1, 2)
        return dh, dw.sum(0), db.sum(0), None, None


def scaled_dot_product_attention(q, k, v):
    r"""softmax(q k^T / sqrt(D)) v: for every pixel a mean of v, weighed by likeness.

    q, k, v: (B, heads, N, D). Returns the same shape. Vaswani et al. 2017, Eq. 1.
    """
    # In bfloat16 on a CPU the formula takes half the time of torch's function, which is 4 %
    # of sampling with the preset ddpm-cifar10. It needs memory for N x N weights.
    if q.device.type != "cpu" or q.dtype is not torch.bfloat16 or q.shape[2] > 1024:
        return F.scaled_dot_product_attention(q, k, v)
    return (q * q.shape[3] ** -0.5 @ k.transpose(2, 3)).softmax(dim=3) @ v


def upsampled_conv(conv, h):
    r"""conv(F.interpolate(h, scale_factor=2.0)): repeat pixels, then convolve.

    conv: 3 x 3 with padding 1. h: (B, C, H, W). Returns (B, C, 2 H, 2 W). In the layout
    channels last, both are done in one: the same but for rounding, with 4 instead of 9
    products for each output pixel.
    """
    if not h.is_contiguous(memory_format=torch.channels_last):
        return conv(F.interpolate(h, scale_factor=2.0, mode="nearest"))
    # A pixel becomes a square of 2 x 2, and each of these four adds the turned filter
    # of 3 x 3 around itself: together a square of 4 x 4, whose weights are the sums of
    # the filter over windows of 2 x 2. Adding such squares up, two pixels apart, is a
    # transposed convolution. (Faster only in this layout, and there about twice.)
    turned = conv.weight.flip(2, 3)  # (C_out, C_in, 3, 3)
    sums = F.avg_pool2d(turned, 2, stride=1, padding=1, divisor_override=1)
    sums = sums.transpose(0, 1)  # (C_in, C_out, 4, 4)
    return F.conv_transpose2d(h, sums, conv.bias, stride=2, padding=1)


class Dropout(nn.Dropout):
    r"""Set a share p of the numbers to 0 in training, and divide the others by 1 - p.

    h: (B, C, H, W). Returns the same shape. What drops out comes from torch's own random
    numbers; or, where `keys` is set, int64 (1 + B,), from the first and that of each
    example, whatever else is in the batch. Srivastava et al. 2014.
    """

    keys = None

    def forward(self, h):
        drawn = self.keys is None
        if not self.training or self.p == 0 or (drawn and h.device.type != "cpu"):
            return super().forward(h)
        # torch draws one number after the other on a CPU, which took 7 % of a step. Here
        # each draw of 64 bits decides for four numbers: 16 bits are below `dropped` with
        # the probability p, rounded to 1/65536. In the order B, H, W, C whatever the
        # layout of h, so that the layout does not change what drops out.
        B, C, H, W = h.shape
        count = (C * H * W + 3) // 4
        if drawn:
            bits = torch.randint(-(2**63), 2**63 - 1, (B, count))
        else:
            bits = random_bits(self.keys[:1], self.keys[1:], count)
        dropped = min(round(65536 * self.p), 65535)
        bits = bits.view(torch.int16)[:, : C * H * W].reshape(B, H, W, C)
        kept = bits.permute(0, 3, 1, 2) >= dropped - 32768  # bits: -32768 .. 32767
        return h * kept.to(h.dtype).div_(1 - self.p)  # one product there, and one back
