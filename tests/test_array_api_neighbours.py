"""Libraries that speak the Array API work on our tensors: array-api-compat, einops, scikit-learn."""

import numpy as np
import pytest

import chainrule as cr


def numbers(*shape):
    return cr.asarray(np.random.default_rng(0).standard_normal(shape))


def test_array_api_compat_knows_a_tensor():
    compat = pytest.importorskip("array_api_compat")
    x = numbers(2, 3)
    assert compat.is_array_api_obj(x)
    assert compat.array_namespace(x, cr.ones(2)) is cr
    assert (compat.size(x), compat.device(x), compat.to_device(x, "cpu").shape) == (6, "cpu", (2, 3))
    with pytest.raises(TypeError, match="Multiple namespaces"):
        compat.array_namespace(x, np.ones(2))


@pytest.mark.parametrize("pattern", ["a b c -> b (a c)", "a b c -> c b a", "a (b1 b2) c -> (b2 a) b1 c"])
def test_einops_rearranges(pattern):
    einops = pytest.importorskip("einops.array_api")
    from einops import rearrange

    x = numbers(2, 4, 3)
    sizes = {"b1": 2} if "b1" in pattern else {}
    got = einops.rearrange(x, pattern, **sizes)
    assert isinstance(got, cr.Tensor)
    np.testing.assert_array_equal(got.numpy(), rearrange(x.numpy(), pattern, **sizes))


@pytest.mark.parametrize("kind", ["sum", "mean", "max", "min", "prod"])
def test_einops_reduces_with_gradients(kind):
    einops = pytest.importorskip("einops.array_api")
    from einops import reduce

    x = numbers(2, 4, 3)
    got = einops.reduce(x, "a (b pair) c -> a b", kind, pair=2)
    np.testing.assert_allclose(got.numpy(), reduce(x.numpy(), "a (b pair) c -> a b", kind, pair=2), rtol=1e-12)
    cr.check_gradients(lambda x: einops.reduce(x, "a (b pair) c -> a b", kind, pair=2), x)


def test_einops_under_jit():
    einops = pytest.importorskip("einops.array_api")
    x = numbers(2, 6)
    step = cr.jit(lambda x: einops.repeat(einops.rearrange(x, "a (b c) -> b a c", b=2), "b a c -> (b k) a c", k=3))
    assert step(x).shape == (6, 2, 3)


def _sklearn_cases():
    from sklearn.decomposition import PCA
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.linear_model import Ridge
    from sklearn.metrics import accuracy_score, mean_squared_error, r2_score
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    return {
        "standard scaler": lambda x, y: StandardScaler().fit_transform(x),
        "min-max scaler": lambda x, y: MinMaxScaler().fit_transform(x),
        "principal components": lambda x, y: PCA(2, svd_solver="full").fit_transform(x),
        "ridge": lambda x, y: Ridge(solver="svd").fit(x, x[:, 0]).coef_,
        "discriminant analysis": lambda x, y: LinearDiscriminantAnalysis().fit(x, y).predict(x),
        "accuracy": lambda x, y: accuracy_score(y, y),
        "squared error": lambda x, y: mean_squared_error(x[:, 0], x[:, 1]),
        "r2": lambda x, y: r2_score(x[:, 0], x[:, 1]),
    }


CASES = (
    "standard scaler",
    "min-max scaler",
    "principal components",
    "ridge",
    "discriminant analysis",
    "accuracy",
    "squared error",
    "r2",
)


@pytest.mark.oracle
@pytest.mark.parametrize("case", CASES)
def test_scikit_learn_computes_on_tensors(case, monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    sklearn = pytest.importorskip("sklearn")
    x = np.random.default_rng(0).standard_normal((50, 4))
    y = (x[:, 0] > 0).astype(np.int64)
    run = _sklearn_cases()[case]
    with sklearn.config_context(array_api_dispatch=True):
        got = run(cr.asarray(x), cr.asarray(y))
    want = run(x, y)
    if isinstance(want, np.ndarray):
        assert isinstance(got, cr.Tensor)
    np.testing.assert_allclose(np.asarray(got), want, rtol=1e-9, atol=1e-12)
