"""
Gradient descent beside the default solver
==========================================

Textbook gradient descent takes a fixed step downhill in every iteration. It works, but slowly:
after a thousand iterations it is still on its way. Nesterov's method remembers where it was going;
the default, L-BFGS, also learns how the cost is curved. Each method's iteration is one pass over
the rows, so counting iterations is a fair comparison.

Run it: python docs/examples/gradient_descent.py
"""

import matplotlib.pyplot as plt

import gpulr

data = gpulr.datasets.load_digits()
best = gpulr.train(data, dtype="float64", tol=1e-9).history.cost[-1].sum()

names = {"gd": "gradient descent", "nesterov": "Nesterov's method", "lbfgs": "L-BFGS, the default"}
trained = {
    "gd": gpulr.train(data, solver="gd", tol=0, max_iter=1000),
    "nesterov": gpulr.train(data, solver="nesterov", tol=0, max_iter=1000),
    "lbfgs": gpulr.train(data, tol=1e-5),
}
for solver, model in trained.items():
    accuracy = model.score(data.X_test, data.y_test)
    print(f"{names[solver]:20} {model.n_iter:5} iterations, test accuracy {accuracy:.4f}")

# %%
# How far the summed cost of the ten models is above the smallest possible one. Both axes are
# logarithmic.

figure, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
for (solver, model), colour in zip(trained.items(), ("#D55E00", "#E69F00", "#0072B2"), strict=True):
    gap = model.history.cost.sum(axis=1) - best
    ax.loglog(range(1, len(gap) + 1), gap, color=colour, label=names[solver])
ax.set(xlabel="passes over the rows", ylabel="cost above the optimum", ylim=(1e-7, 10))
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)
plt.show()

# %%
# The cost of each model by itself, as ``gpulr.show.cost`` draws it: all ten fall together, and the
# 8 is the hardest to tell from the rest.

figure, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
gpulr.show.cost(trained["gd"], ax=ax)
plt.show()
