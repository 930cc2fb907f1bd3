"""
Finding wrong labels
====================

This finds the likeliest label errors of a data set. A model that was trained on a wrong label has
learnt it, more or less. So each row is predicted by models that have not seen it, those of the fold
that holds it out, and its label is suspect if another class is far likelier. To show that this
works, the labels of one row in a hundred are changed first: most of these are found, and the other
rows that turn up are worth a look.

Run it: python docs/examples/label_errors.py
(the bundled digits; with GPULR_DATA_HOME, the folder that has it, MNIST in a few seconds)
"""

import os

import matplotlib.pyplot as plt
import numpy as np

import gpulr

has_mnist = "GPULR_DATA_HOME" in os.environ
data = gpulr.datasets.load_mnist() if has_mnist else gpulr.datasets.load_digits()
X, y = data.X, np.array(data.y)

rng = np.random.default_rng(0)
changed = rng.choice(len(y), len(y) // 100, replace=False)
y[changed] = (y[changed] + rng.integers(1, 10, len(changed))) % 10

# Probabilities of each row's classes, which sum to 1: cleanlab takes the same as pred_probs.
P = gpulr.cross_val_predict(X, y, cv=5, method="predict_proba")

given = P[np.arange(len(y)), y]  # the classes are 0 to 9, so labels are columns
others = P.copy()
others[np.arange(len(y)), y] = 0.0
suspicion = others.max(axis=1) - given  # 1: surely another class; -1: surely this one
likeliest = np.argsort(-suspicion)[: len(changed)]

found = np.isin(likeliest, changed)
print(f"{len(y)} rows of {data.name}, {len(changed)} labels changed")
print(f"of the {len(likeliest)} likeliest errors, {found.sum()} are changed labels")
print("others that are worth a look:")
for row in likeliest[~found][:10]:
    print(
        f"  row {row}: labelled {y[row]}, rather {others[row].argmax()} ({others[row].max():.3f})"
    )

# %%
# The likeliest errors, as images: the label that each row has here, and the one that the models
# would give it.

figure, axes = plt.subplots(2, 6, figsize=(8, 3.4), layout="constrained")
for ax, row in zip(axes.flat, likeliest, strict=False):
    ax.imshow(X[row].reshape(data.image_shape), cmap="gray")
    colour = "#D55E00" if row in changed else "black"
    ax.set_title(f"{y[row]}, rather {others[row].argmax()}", fontsize=9, color=colour)
    ax.set_axis_off()
figure.supxlabel("orange: the label was changed", fontsize=9)
plt.show()
