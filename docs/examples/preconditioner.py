"""
Why the default solver needs so few passes
==========================================

Pixels of digits vary together, so the cost is thousands of times more curved in some directions
than in others. A method that does not know this zigzags. All models share their rows, so one
eigendecomposition of the features' covariance tells them all which directions these are. This
example runs SciPy's L-BFGS on the cost that ``gpulr.logistic`` computes: once in the weights
themselves, and once in coordinates in which the curvature is about the same in all directions.

Run it: python docs/examples/preconditioner.py
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import minimize

import gpulr
from gpulr import logistic

data = gpulr.datasets.load_digits()
X, m, C = data.X.astype(float), float(len(data.X)), 1.0
n = X.shape[1]


def cost_and_gradient(theta, y):
    """Return J and its gradient for one model, whose last parameter is the intercept."""
    W, b = theta[:n, None], theta[n:]
    _, R, loss = logistic.forward(X, W, b, y)
    dW, db = logistic.gradient(*logistic.backward(X, R), W, C, m)
    return logistic.cost(loss, W, C, m)[0], np.append(dW, db)


# %%
# The curvature of a model's cost is about κ times the covariance of the features, where κ is the
# mean of p (1 − p), plus the penalty's 1 / (C m). The covariance's eigenvectors V and eigenvalues λ
# are the shared part. In coordinates u with θ = A u, A = V / √(κ λ + 1 / (C m)), the curvature is
# about 1 in every direction.

values, V = np.linalg.eigh(np.cov(X.T, bias=True))
mean = X.mean(axis=0)


y = (data.y[:, None] == 8).astype(float)  # the 8, the hardest to tell from the others
kappa = y.mean() * (1 - y.mean())
A = np.zeros((n + 1, n + 1))
A[:n, :n] = V / np.sqrt(kappa * values.clip(0) + 1 / (C * m))
A[n, :n] = -mean @ A[:n, :n]  # the intercept follows, so that the mean margin stays
A[n, n] = 1 / np.sqrt(kappa)

best = gpulr.train(data, dtype="float64", tol=1e-9).history.cost[-1, 8]


def gaps(A):
    """Return how far the cost is above its least after each pass of SciPy's L-BFGS."""
    found = []

    def function(u):
        J, gradient = cost_and_gradient(A @ u, y)
        found.append(J - best)
        return J, A.T @ gradient

    options = {"gtol": 1e-8, "ftol": 1e-14}
    minimize(function, np.zeros(n + 1), jac=True, method="L-BFGS-B", options=options)
    return np.minimum.accumulate(found)


model = gpulr.train(data, dtype="float64", tol=1e-7)
ways = {
    "SciPy's L-BFGS, in the weights": gaps(np.eye(n + 1)),
    "SciPy's L-BFGS, in the shared coordinates": gaps(A),
    "gpulr.train, all ten digits at once": model.history.cost[:, 8] - best,
}

# %%
# On the left are the eigenvalues; below the dashed line, most of the curvature comes from the
# penalty (if κ is 1/4). On the right is how far the cost of the model of 8 is above its optimum.

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
left.semilogy(np.arange(1, n + 1), values[::-1].clip(1e-9), ".", color="#0072B2")
left.axhline(4 / (C * m), color="0.5", linestyle="--", label="4 / (C m)")
left.set(title="eigenvalues of the covariance", xlabel="direction", ylim=(1e-5, 10))
left.legend(frameon=False)

for (name, gap), colour in zip(ways.items(), ("#D55E00", "#E69F00", "#0072B2"), strict=True):
    right.semilogy(gap.clip(1e-12), color=colour, label=name)
right.set(title="cost above the optimum", xlabel="passes over the rows", ylim=(1e-9, 2))
right.legend(frameon=False)
for ax in (left, right):
    ax.spines[["top", "right"]].set_visible(False)
plt.show()
