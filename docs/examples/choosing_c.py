"""
How much to regularise, and how sure that is
============================================

C decides how large weights may grow. A search tries many values by cross-validation: it trains on
four fifths of the rows and scores on the remaining fifth, five times in all. Here 13 values, five
folds and ten digits make 650 models, which are columns of one matrix.

Run it: python docs/examples/choosing_c.py
"""

import matplotlib.pyplot as plt
import numpy as np

import gpulr

data = gpulr.datasets.load_digits()
found = gpulr.search(data, Cs=np.geomspace(1e-3, 1e3, 13), cv=5)
print(f"{found.scores.size * 10} models were trained")
print(f"the best C: {found.best_C:g}; the smallest within one standard error: {found.best_C_1se:g}")

# %%
# The band is one standard error of the mean over the folds. As far as 1,442 rows can tell, any C
# from 0.3 to 30 is as good as the best, and the smaller ones make simpler models.

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
found.plot(ax)
plt.show()

# %%
# Would more rows help? The curve for held-out rows is still rising at its end, so they would.

curve = gpulr.learning_curve(data, C=found.best_C)
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
curve.plot(ax)
plt.show()

# %%
# Is the score better than chance? The same score is computed with the labels permuted among the
# rows. 60 rows are enough to be sure that it is.

test = gpulr.permutation_test(data.X[:60], data.y[:60], n=99, cv=3)
figure, ax = plt.subplots(figsize=(7, 3), layout="constrained")
ax.hist(test.scores, bins=15, color="0.7", label="permuted labels")
ax.axvline(test.score, color="#D55E00", label=f"the labels as they are, p = {test.p_value:.2f}")
ax.set(xlabel="accuracy on held-out rows", ylabel="permutations", xlim=(0, 1))
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)
plt.show()
