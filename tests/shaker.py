r"""Another machine, simulated: every rounded result moves by one unit in the last place.

Two CPUs round in different places: other widths of vectors, other orders of sums, fused
multiply-adds, other series for exp. Where no environment variable makes one CPU compute as
another does (ARM), this does: a mode of PyTorch's dispatcher that moves each result of an
arithmetic operation, forwards and backwards, to one of its two neighbours. Which one is a
hash of operation, seed and value, so that the same call gives the same number as often as
it is made in one process or in another, and two ways to one number differ.

What stays: integers, and half precision, whose unit is no rounding error but 0.4 %;
everything that moves, chooses, compares or draws numbers; and results that were not
rounded. Two signs tell those: a result with the digits of one of its operands (x + 0,
x * 1, x * 4, -x / 1 are exact wherever IEEE 754 holds), and a result the lower half of
whose digits is zero (counts, grey levels, sums of them, 0, 1 and infinity). A rounded
result looks like that once in 2^12 (float32) or 2^26 times, and is then only left alone.
"""

import os
import zlib

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

VARIABLE = "DDPM_LITE_SHAKE"
# dtype: unsigned integers of its size, mask of the lower half of its digits, of all digits
DIGITS = {
    torch.float32: (np.uint32, 0x0000_0FFF, 0x007F_FFFF),
    torch.float64: (np.uint64, 0x0000_0000_03FF_FFFF, 0x000F_FFFF_FFFF_FFFF),
}
SPREAD = {np.uint32: 0x9E37_79B1, np.uint64: 0x9E37_79B9_7F4A_7C15}
EXACT_AT_TIMES = {"add", "sub", "rsub", "mul", "div"}
POINTWISE = EXACT_AT_TIMES | set(
    "addcmul addcdiv lerp exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan "
    "atan2 sinh cosh tanh asinh acosh atanh sqrt rsqrt reciprocal pow square erf erfc "
    "erfinv special_erfcx special_ndtr special_ndtri special_log_ndtr lgamma digamma "
    "sigmoid log_sigmoid_forward silu gelu softplus elu logaddexp logaddexp2 hypot logit "
    "linspace logspace".split()
)
# Here the order of a sum, and with it the rounding, depends on shapes and strides too.
SUMMED = set(
    "_softmax _safe_softmax _log_softmax _softmax_backward_data "
    "_log_softmax_backward_data logsumexp sum nansum mean var std var_mean std_mean norm "
    "linalg_vector_norm cumsum cumprod prod logcumsumexp trace mm bmm mv dot vdot addmm "
    "addmv addbmm baddbmm addr convolution _convolution mkldnn_convolution "
    "native_group_norm native_layer_norm native_batch_norm _native_batch_norm_legit "
    "_native_batch_norm_legit_no_training cudnn_batch_norm "
    "_scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_attention_math "
    "mse_loss smooth_l1_loss _cdist_forward _euclidean_dist _pdist_forward avg_pool2d "
    "_adaptive_avg_pool2d upsample_bilinear2d upsample_bicubic2d _upsample_bilinear2d_aa "
    "_upsample_bicubic2d_aa linalg_eigh _linalg_eigh _linalg_svd linalg_cholesky_ex "
    "linalg_lu_factor_ex _linalg_solve_ex linalg_solve_triangular linalg_inv_ex "
    "linalg_lstsq linalg_qr _linalg_det _linalg_slogdet cholesky_solve cholesky_inverse "
    "index_add scatter_add embedding_dense_backward".split()
)
# The derivative of a copy is a copy; these are derivatives that only move numbers.
COPIES = set(
    "threshold_backward select_backward slice_backward max_pool2d_with_indices_backward "
    "hardtanh_backward value_selecting_reduction_backward native_dropout_backward".split()
)


def name_of(func):
    r"""The operation behind an overload: "add" of add.Tensor, add_ and _foreach_add_."""
    name = func.overloadpacket.__name__
    return name.removeprefix("_foreach_").removesuffix("_")


def is_rounded(func):
    r"""Whether an operation computes numbers that have to be rounded."""
    name = name_of(func)
    if name.endswith("_backward"):
        return name not in COPIES
    return name in POINTWISE or name in SUMMED or name.startswith("_fused_")


def shake(x, salt, operands=()):
    r"""Move the rounded numbers of x, in place, up or down by one unit in the last place.

    x: a tensor on the CPU; nothing happens but in float32 and float64. salt: an integer;
    it and the number itself say which way. operands: tensors that broadcast with x, whose
    digits are exact results.
    """
    if x.dtype not in DIGITS or x.device.type != "cpu" or x.is_sparse or not x.numel():
        return
    kind, lower, digits = DIGITS[x.dtype]
    bits = np.atleast_1d(x.detach().numpy()).view(kind)
    size = 8 * bits.itemsize
    hashed = bits ^ kind(salt & (2**size - 1))
    hashed *= kind(SPREAD[kind])
    hashed ^= hashed >> kind(size // 2)
    hashed *= kind(SPREAD[kind])
    hashed >>= kind(size - 1)
    rounded = (bits & kind(lower)) != 0
    for operand in operands:
        if operand.dtype == x.dtype:
            theirs = operand.detach().numpy().view(kind)
            rounded &= ((bits ^ theirs) & kind(digits)) != 0
    hashed *= kind(2)
    hashed -= kind(1)  # 1, or -1 in the arithmetic of unsigned numbers
    hashed *= rounded
    bits += hashed


def tensors_in(value):
    r"""The tensors of a result, an argument, or a list of them."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, list | tuple):
        return [tensor for one in value for tensor in tensors_in(one)]
    return []


class Shaker(TorchDispatchMode):
    r"""Inside `with Shaker(seed):` all arithmetic of this thread is that of another CPU.

    seed: an integer, which machine. `moved` counts the calls that were shaken.
    """

    def __init__(self, seed=0):
        super().__init__()
        self.seed, self.moved = seed, 0
        self.salts = {}

    def salt(self, func):
        r"""The integer that seed and operation give, None for one that does not round."""
        if func not in self.salts:
            text = f"{self.seed} {name_of(func)}"
            hashed = zlib.crc32(text.encode()) * SPREAD[np.uint64] % 2**64
            self.salts[func] = hashed if is_rounded(func) else None
        return self.salts[func]

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        salt = self.salt(func)
        if salt is None:
            return func(*args, **kwargs)
        name, written, operands = name_of(func), writes(func, kwargs), []
        if name in EXACT_AT_TIMES and not isinstance(args[0], list | tuple):
            operands = tensors_in(args[:2])
            if written and operands:
                operands[0] = operands[0].clone()
        elif name not in POINTWISE:
            layout = [(*x.shape, *x.stride()) for x in tensors_in(args) if not x.is_sparse]
            salt ^= hash(tuple(layout))
        result = func(*args, **kwargs)
        changed = result
        if written:  # a fused optimiser writes weights and two moments, the others one
            changed = (args[0], *args[2:4]) if name.startswith("_fused_") else args[0]
        for x in tensors_in(changed):
            shake(x, salt, operands)
        self.moved += 1
        return result


def writes(func, kwargs):
    r"""Whether a call changes its arguments and not an `out`."""
    return func._schema.is_mutable and "out" not in kwargs


def from_environment():
    r"""Start to shake for good where DDPM_LITE_SHAKE=SEED is set,."""
    if os.environ.get(VARIABLE, ""):
        Shaker(int(os.environ[VARIABLE])).__enter__()
