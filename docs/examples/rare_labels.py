"""
Rare labels and thresholds
==========================

A model may never predict a rare label, and a threshold of the label's own changes that. Here are
fifty labels on embeddings, some of which only one row in a hundred has. At a margin of 0, a
probability of one half, even a model that knows quite well which rows are likelier says "no" to all
of them: F1 is 0. Out-of-fold margins show where each label's threshold should be, and need no rows
beyond those used for training.

Run it: python docs/examples/rare_labels.py
"""

import matplotlib.pyplot as plt
import numpy as np

import gpulr

rng = np.random.default_rng(0)
n_samples, n_features, n_labels = 6_000, 64, 50

# Embeddings, and labels that depend on them, from one that a third of the rows have to rare ones.
X = rng.normal(size=(n_samples, n_features)).astype(np.float32)
directions = rng.normal(size=(n_features, n_labels)) * 2 / np.sqrt(n_features)
scores = X @ directions + rng.logistic(size=(n_samples, n_labels))
share = np.geomspace(0.3, 0.01, n_labels)
cut = np.array([np.quantile(scores[:, j], 1 - share[j]) for j in range(n_labels)])
Y = (scores > cut).astype(np.uint8)
X_train, Y_train, X_test, Y_test = X[:4_000], Y[:4_000], X[4_000:], Y[4_000:]

model = gpulr.train(X_train, Y_train, C=0.02)

# Margins of every training row by models of the fold that holds it out, with the same settings.
Z = gpulr.cross_val_predict(X_train, Y_train, C=0.02, method="decision_function")
chosen = model.with_thresholds(Z, Y_train, "f1")

before, after = (each.evaluate(X_test, Y_test).label_f1 for each in (model, chosen))
never = before == 0
print(f"labels whose F1 is 0: {never.sum()} before, {(after == 0).sum()} after")
print(f"their mean F1:        {before[never].mean():.2f} before, {after[never].mean():.2f} after")
print(f"macro F1:             {before.mean():.2f} before, {after.mean():.2f} after")

# Thresholds leave probabilities as they are; calibration changes them, and thresholds move along.
calibrated = chosen.calibrated(Z, Y_train)
same = (calibrated.predict(X_test) == chosen.predict(X_test)).mean()
print(f"predicted the same after calibration: {100 * same:.2f} %")

# %%
# Each label is a pair of dots: its F1 at a margin of 0, and at its own threshold. The rarer a label
# is, the more its threshold helps.

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
positive = Y_test.mean(axis=0)
ax.vlines(positive, before, after, color="0.85", zorder=1)
ax.scatter(positive, before, s=18, color="#D55E00", label="at a probability of one half")
ax.scatter(positive, after, s=18, color="#0072B2", label="at thresholds of their own")
ax.set(xscale="log", xlabel="share of the rows that have the label", ylabel="F1 on test rows")
ax.set(ylim=(-0.03, 1), xticks=[0.01, 0.03, 0.1, 0.3], xticklabels=["1 %", "3 %", "10 %", "30 %"])
ax.minorticks_off()
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)
plt.show()
