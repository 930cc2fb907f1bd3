"""
Rows that are made part by part
===============================

The features take twenty times as much memory as the stored data.

Each row stores twenty measurements as float16. The classes depend on products of two of them, so
the model gets all squares and products as well: 230 features in float32. These are generated again,
part by part, whenever training needs them, and at most two parts are in memory at a time. Pass rows
from a database or a simulation in the same way.

Run it: python docs/examples/rows_in_parts.py
"""

import matplotlib.pyplot as plt
import numpy as np

import gpulr

n_samples, n_stored, part_rows = 15_000, 20, 2_500
rng = np.random.default_rng(0)
stored = rng.normal(size=(n_samples, n_stored)).astype(np.float16)
first, second = np.triu_indices(n_stored)

# Labels that depend on products of the measurements, and on noise.
Z = stored[:, :3].astype(np.float32) * stored[:, 3:6] @ np.array([[2, 0], [0, 2], [1, 1]])
labels = (Z + rng.logistic(size=Z.shape) > 0) @ np.array([1, 2])


def load(start):
    """Return some rows and their labels: the same ones each time it is called."""
    x = stored[start : start + part_rows].astype(np.float32)
    return np.hstack([x, x[:, first] * x[:, second]]), labels[start : start + part_rows]


parts = [lambda start=start: load(start) for start in range(0, n_samples, part_rows)]
train, test = gpulr.Blocks(parts[:-1]), gpulr.Blocks(parts[-1:])

model = gpulr.train(train)
scores = model.evaluate(test)
plain = gpulr.train(stored[:-part_rows], labels[:-part_rows])
without = plain.score(stored[-part_rows:], labels[-part_rows:])

made = n_samples * model.n_features * 4
print(f"stored: {stored.nbytes / 2**20:.1f} MiB; made: {made / 2**20:.1f} MiB")
print(f"accuracy without products: {without:.3f}")
print(f"accuracy with them:        {scores.accuracy:.3f}")

# C is chosen on the same parts; memory= keeps as many recent parts as fit into that many bytes.
found = gpulr.search(gpulr.Blocks(parts[:-1], memory=8 * 2**20), Cs=[0.01, 1], cv=3)
print(f"the best C: {found.best_C:g}")

# %%
# What the model learnt, drawn over the two measurements of the first product, with all others at 0:
# no line could separate these regions, yet the model is linear, in the products.

side = np.linspace(-3, 3, 121)
grid = np.zeros((side.size**2, n_stored), dtype=np.float32)
grid[:, [0, 3]] = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
rows = np.hstack([grid, grid[:, first] * grid[:, second]])
P = model.predict_proba(rows, normalize=True)
figure, ax = plt.subplots(figsize=(5, 4.2), layout="constrained")
odd = P[:, 1::2].sum(axis=1).reshape(side.size, side.size)  # labels 1 and 3: the first of two bits
picture = ax.pcolormesh(side, side, odd, cmap="PuOr", vmin=0, vmax=1)
ax.set(xlabel="measurement 1", ylabel="measurement 4", aspect="equal")
figure.colorbar(picture, label="probability of an odd label")
plt.show()
