"""The entries of the database that have no row, each under the reason why."""

from __future__ import annotations

import fnmatch

# reason -> patterns of names
REASONS: dict[str, str] = {
    "random numbers: another generator gives other numbers; distributions have their own tests": """
        bernoulli cauchy exponential geometric log_normal multinomial normal normal/* rand_like randint randint_like
        randn randn_like uniform nn.functional.dropout nn.functional.dropout2d nn.functional.dropout3d
        nn.functional.alpha_dropout nn.functional.feature_alpha_dropout/with_train nn.functional.rrelu
        nn.functional.fractional_max_pool2d nn.functional.fractional_max_pool3d svd_lowrank pca_lowrank
    """,
    "half of the samples drop random elements; without them it agrees: tests/nn/test_functional_oracle.py": """
        nn.functional.scaled_dot_product_attention
    """,
    "memory that is shared, resized or left unset: a tensor of chainrule is a value": """
        as_strided as_strided/* as_strided_copy as_strided_scatter alias_copy resize_ resize_as_ empty empty_like
        empty_permuted empty_strided new_empty new_empty_strided expand_copy diagonal_copy narrow_copy view_copy
        permute_copy split_with_sizes_copy squeeze_copy t_copy transpose_copy unbind_copy unfold_copy unsqueeze_copy
    """,
    "a spelling of another entry that users do not write": """
        _batch_norm_with_update _chunk_cat _native_batch_norm_legit _segment_reduce/* _softmax_backward_data
        _unsafe_masked_index _unsafe_masked_index_put_accumulate _upsample_bilinear2d_aa bmm/triton_optimized
        max_pool2d_with_indices_backward native_batch_norm native_dropout_backward native_group_norm native_layer_norm
        nn.functional.batch_norm/without_cudnn linspace/tensor_overload logspace/tensor_overload torch.ops.aten.*
        torch._scaled_mm torch._scaled_mm_v2 resolve_conj resolve_neg unsafe_chunk unsafe_split
    """,
    "PyTorch's compiler of kernels, not a function": "jiterator_*",
    "sparse tensors": "sparse.* to_sparse",
    "float16 and complex32, which chainrule does not have": "half chalf",
    "shapes only, without tensors": "broadcast_shapes",
    "outputs of a size that is asked for beforehand; hashes": "nonzero_static hash_tensor",
    "orthogonal polynomials and special functions without a use in deep learning": """
        special.airy_ai special.bessel_y0 special.bessel_y1 special.chebyshev_polynomial_* special.hermite_polynomial_*
        special.laguerre_polynomial_l special.legendre_polynomial_p special.modified_bessel_k0
        special.modified_bessel_k1 special.scaled_modified_bessel_k0 special.scaled_modified_bessel_k1
        special.shifted_chebyshev_polynomial_* igamma igammac
    """,
    "factorisations that are not offered": """
        geqrf ormqr linalg.ldl_factor linalg.ldl_factor_ex linalg.ldl_solve
    """,
    "not offered: write it in a few functions of those that are": """
        frexp gcd gradient histogramdd lcm mode nanmedian nanquantile nn.functional.ctc_loss
        nn.functional.linear_cross_entropy nn.functional.linear_cross_entropy/*
        nn.functional.multi_head_attention_forward unravel_index
    """,
    "distinct rows along an axis, and neighbours that repeat: `cr.unique_values` and its kin are the Array API's": """
        unique unique_consecutive
    """,
    "activations of complex numbers": "nn.functional.silu/complex",
    "`torch.masked`, a prototype: write `cr.where` before the reduction": "masked.*",
    "windows of signals and their spectrograms": "signal.windows.* stft istft",
}


def reason(name: str) -> str | None:
    """Return why an entry has no row; None where no reason is given.

    Args:
        name: of an entry, like "linalg.qr".
    """
    for words, patterns in REASONS.items():
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns.split()):
            return words
    return None
