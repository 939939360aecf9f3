"""Figures that the tests of `eval::statistics` must reproduce: `tests/fixtures/statistics`.

Exact p-values come from SciPy's permutation method with every sign tried, since its `exact` method
knows neither ties nor zeros; that bounds the pairs of the fixture, not those of the crate.
"""

import numpy as np
import scipy
import statsmodels
from scipy.stats import PermutationMethod, bootstrap, wilcoxon
from statsmodels.stats.multitest import multipletests

from fixture import write_json

ALTERNATIVES = {"two_sided": "two-sided", "greater": "greater", "less": "less"}


def signed_rank(name, differences, exact):
    differences = [round(float(value), 4) for value in differences]
    method = PermutationMethod(n_resamples=np.inf) if exact else "asymptotic"
    p = {}
    for ours, theirs in ALTERNATIVES.items():
        found = wilcoxon(differences, zero_method="pratt", correction=True, alternative=theirs, method=method)
        p[ours] = float(found.pvalue)
    plus = wilcoxon(differences, zero_method="pratt", alternative="greater", method="asymptotic").statistic
    return {"name": name, "differences": differences, "exact": exact, "w_plus": float(plus), "p": p}


def make(folder):
    rng = np.random.default_rng(20261124)
    cases = [
        signed_rank("distinct", rng.normal(0.02, 0.05, 12), True),
        signed_rank("ties", np.round(rng.normal(0.01, 0.03, 14), 2), True),
        signed_rank("ties and zeros", [0, 0, 0, 0.01, 0.01, -0.01, 0.02, 0.02, -0.03, 0.05, 0.05, 0.04], True),
        signed_rank("all of one sign", rng.uniform(0.001, 0.1, 10), True),
        signed_rank("zeros and one pair", [0, 0, -0.3], True),
        signed_rank("sixteen", rng.normal(-0.01, 0.02, 16), True),
        signed_rank("many", rng.normal(0.004, 0.03, 60), False),
        signed_rank("many with ties", np.round(rng.normal(0.01, 0.03, 153), 2), False),
        signed_rank("far apart", rng.normal(0.2, 0.03, 191), False),
    ]
    families = [
        [0.01, 0.04, 0.03, 0.005],
        [0.02],
        [0.5, 0.5, 0.5],
        [0.0, 1.0, 0.2, 0.2, 0.049],
        [1e-9, 0.03, 0.03, 0.6, 0.021, 0.011],
    ]
    dice = np.round(np.clip(rng.beta(6, 1.3, 33), 0, 1), 4).tolist()
    interval = bootstrap(
        (dice,), np.mean, n_resamples=200_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    figures = {
        "versions": {
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "statsmodels": statsmodels.__version__,
        },
        "signed_rank": cases,
        "holm": [
            {"p": family, "adjusted": multipletests(family, method="holm")[1].tolist()}
            for family in families
        ],
        "bootstrap": {
            "values": dice,
            "mean": float(np.mean(dice)),
            "ci95": [float(end) for end in interval],
        },
    }
    write_json(folder, "figures", figures, indent=1)
