"""Special functions of the database: gamma, Bessel, error functions, entropy."""

from __future__ import annotations

from tests.oracle.harness import Operator

import chainrule as cr

INEXACT = "PyTorch's value is wrong by up to 3e-7 around 5; chainrule's agrees with mpmath to the last digits"

OPERATORS = {
    "lgamma": Operator(cr.lgamma),
    "digamma": Operator(cr.digamma),
    **{f"polygamma/polygamma_n_{n}": Operator(lambda x, n: cr.polygamma(n, x)) for n in range(5)},
    "special.polygamma/special_polygamma_n_0": Operator(lambda x, n: cr.polygamma(n, x)),
    **{f"mvlgamma/mvlgamma_p_{p}": Operator(cr.multigammaln) for p in (1, 3, 5)},
    "special.zeta": Operator(cr.zeta),
    "i0": Operator(cr.i0),
    "special.i0e": Operator(cr.i0e),
    "special.i1": Operator(cr.i1),
    "special.i1e": Operator(cr.i1e),
    "special.modified_bessel_i0": Operator(cr.i0),
    "special.modified_bessel_i1": Operator(cr.i1),
    "special.bessel_j0": Operator(cr.bessel_j0, rtol=1e-4, why=INEXACT),
    "special.bessel_j1": Operator(cr.bessel_j1, rtol=1e-4, why=INEXACT),
    "erfinv": Operator(cr.erfinv),
    "special.erfcx": Operator(cr.erfcx),
    "special.ndtr": Operator(cr.ndtr),
    "special.log_ndtr": Operator(cr.log_ndtr),
    "special.ndtri": Operator(cr.normal_quantile),
    "special.entr": Operator(cr.entr),
    "special.xlog1py": Operator(cr.xlog1py),
    "xlogy": Operator(cr.xlogy),
    "logit": Operator(cr.logit),
    "sinc": Operator(cr.sinc),
    "special.spherical_bessel_j0": Operator(lambda x: cr.sinc(x / 3.141592653589793)),
}
