"""
What ten digit models look for
==============================

Each digit has its own model, "is it this digit or not?", and each model has one weight for each
pixel. Drawn as images, the weights show what speaks for a digit and what speaks against it. They
are the columns of one matrix, trained together in a fraction of a second.

Run it: python docs/examples/digit_weights.py
"""

import matplotlib.pyplot as plt

import gpulr

data = gpulr.datasets.load_digits()  # load_mnist() for 28 × 28 pixels and 60,000 images
model = gpulr.train(data)
print(model)
print("weights:", model.weights.shape, "intercepts:", model.intercept.shape)

# %%
# Ink on a red pixel raises the digit's margin, and ink on a blue one lowers it. The model of 0
# wants a ring with nothing in the middle.

figure, ax = plt.subplots(figsize=(8, 3.8), layout="constrained")
gpulr.show.weights(model, ax=ax)
plt.show()

# %%
# These test images were misread most confidently. Each bar is one model's answer to its own
# question, so the ten bars need not sum to 1.

figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
gpulr.show.mistakes(model, data, n=6, ax=ax)
plt.show()

# %%
# This shows which digits are taken for which others: rows are true digits, columns are predicted
# ones.

result = model.evaluate(data.X_test, data.y_test)
print(f"accuracy, by the largest margin:    {result.accuracy:.3f}")
print(f"mean of the ten binary accuracies:  {result.mean_binary_accuracy:.3f}")

figure, ax = plt.subplots(figsize=(5.5, 5), layout="constrained")
gpulr.show.confusion(result, ax=ax)
plt.show()
