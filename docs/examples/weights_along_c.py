"""
Weights along C
===============

With a small C all weights are near 0; as C grows, the data have more and more of a say. A search
can keep the weights of every C and fold, and so show how each feature enters and how well the folds
agree on it. Here thirty measurements of cell nuclei distinguish malignant tumours from benign ones.

Run it: python docs/examples/weights_along_c.py
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer

import gpulr
from gpulr.datasets import Dataset

cancer = load_breast_cancer()
y = np.where(cancer.target == 0, "malignant", "benign")
data = Dataset(cancer.data, y, name="breast cancer", feature_names=tuple(cancer.feature_names))

found = gpulr.search(
    data,
    Cs=np.geomspace(1e-4, 1e3, 22),
    scoring="neg_log_loss",
    standardize=True,
    keep_paths=True,
)
print(found.model)
print(f"the best C by log-loss: {found.best_C:.3g}")

# %%
# Weights are per standard deviation of their feature, for "malignant". The dotted line is the best
# C. To its right the bands widen: the folds no longer agree, because the weights follow noise.

figure, ax = plt.subplots(figsize=(8, 4.8), layout="constrained")
gpulr.show.path(found, ax=ax)
plt.show()

# %%
# The log-loss says the same: it rises again where weights are too free.

figure, ax = plt.subplots(figsize=(8, 3.6), layout="constrained")
found.plot(ax)
plt.show()
