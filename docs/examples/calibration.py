"""
Probabilities that mean what they say
=====================================

Of all rows that get a probability of 0.3, three in ten should be positive. Training that gives rare
positives more weight (``class_weight="balanced"``) finds more of them at a threshold of one half,
but its probabilities are far too large. Platt's method corrects them by out-of-fold margins: those
of models that have not seen the row.

Run it: python docs/examples/calibration.py
"""

import matplotlib.pyplot as plt
import numpy as np

import gpulr

rng = np.random.default_rng(0)
X = rng.normal(size=(12_000, 20)).astype(np.float32)
margins = X @ rng.normal(size=20) / 2 - 4.0
y = np.where(rng.random(12_000) < 1 / (1 + np.exp(-margins)), "positive", "negative")
X, X_test, y, y_test = X[:6_000], X[6_000:], y[:6_000], y[6_000:]
print(f"{(y == 'positive').mean():.1%} of the rows are positive")

balanced = gpulr.train(X, y, class_weight="balanced")
Z = gpulr.cross_val_predict(X, y, class_weight="balanced", method="decision_function")
calibrated = balanced.calibrated(Z, y)
for name, model in (("balanced", balanced), ("then calibrated", calibrated)):
    scores = model.evaluate(X_test, y_test).averages
    print(f"{name:16} Brier score {-scores['neg_brier_score']:.3f}, AUROC {scores['roc_auc']:.3f}")

# %%
# On the diagonal, probabilities are correct. Calibration is a linear map of the margins, so it
# changes no ranking: the AUROC stays the same.

figure, ax = plt.subplots(figsize=(8, 4.6), layout="constrained")
for name, model, colour in (
    ("balanced", balanced, "#D55E00"),
    ("then calibrated", calibrated, "#0072B2"),
):
    look = {"color": colour}
    gpulr.show.calibration(
        model, X_test, y_test, n_bins=8, name=name, curve_kwargs=look, strategy="quantile", ax=ax
    )
plt.show()
