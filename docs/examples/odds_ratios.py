"""
Which features matter, with intervals
=====================================

A weight is an estimate. Training on other rows of the same kind would give a different number, and
a bootstrap shows how different: it draws the rows again, with replacement, retrains, and repeats
that. Here 500 such replicates are columns of one matrix.

Run it: python docs/examples/odds_ratios.py
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer

import gpulr
from gpulr.datasets import Dataset

cancer = load_breast_cancer()
y = np.where(cancer.target == 0, "malignant", "benign")
data = Dataset(cancer.data, y, name="breast cancer", feature_names=tuple(cancer.feature_names))

result = gpulr.bootstrap(data, n=500, C=0.1, standardize=True, random_state=0)
print(result)

# %%
# e to the power of a weight is an odds ratio: the factor by which the odds of "malignant" change
# when a feature goes up by one standard deviation and the others stay the same.

low, high = result.coef_interval(0.95)
weight, low, high = (np.ravel(w) * np.ravel(result.step) for w in (result.model.weights, low, high))
order = np.argsort(-result.strength()[:, 0])[:8]
print(f"{'':24} odds ratio   95 % interval")
for j in order:
    print(
        f"{cancer.feature_names[j]:24} {np.exp(weight[j]):6.2f}       "
        f"{np.exp(low[j]):.2f} to {np.exp(high[j]):.2f}"
    )

# %%
# These features have the intervals furthest from 0, strongest first.

figure, ax = plt.subplots(figsize=(8, 5), layout="constrained")
gpulr.show.bootstrap(result, n=14, ax=ax)
plt.show()

# %%
# How sure is the model of each tumour? Intervals of probabilities come from the same replicates.

p = np.ravel(result.model.predict_proba(cancer.data))
low, high = (np.ravel(end) for end in result.proba_interval(cancer.data))
rows = np.argsort(p)[::6]
figure, ax = plt.subplots(figsize=(8, 3.6), layout="constrained")
ax.vlines(range(len(rows)), low[rows], high[rows], color="0.7")
colours = np.where(y[rows] == "malignant", "#D55E00", "#0072B2")
ax.scatter(range(len(rows)), p[rows], c=colours, s=14, zorder=3)
ax.set(xlabel="tumours, in order (every sixth)", ylabel="probability of malignant", ylim=(0, 1))
ax.spines[["top", "right"]].set_visible(False)
plt.show()
