"""
A linear probe of a frozen network
==================================

A probe shows what a frozen network's features say, and gives the network a head.

The network is frozen, so its features are computed only once and are rows like any others. The
search trains 200 models on them as one matrix. The winner goes back behind the encoder as an
nn.Linear with the same logits, and the result is a network like any other, to be saved, exported or
trained further. (This encoder has random filters; yours would come from a file.)

Run it: python docs/examples/linear_probe.py
(needs PyTorch: pip install ".[torch]")
"""

import torch
from torch import nn

import gpulr

torch.manual_seed(0)
encoder = nn.Sequential(
    *(nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 32, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten()),
    nn.LayerNorm(288, elementwise_affine=False),
).eval()
data = gpulr.datasets.load_digits()
X, X_test = torch.from_numpy(data.X).float(), torch.from_numpy(data.X_test).float()

# The probe, in ten lines.
with torch.no_grad():
    features, test_features = encoder(X), encoder(X_test)
model = gpulr.search(features, data.y, Cs=[0.01, 0.1, 1, 10], cv=5).model
probe, C = model.score(test_features, data.y_test), model.settings["C"]
pixels = gpulr.train(X, data.y).score(X_test, data.y_test)
print(f"right by pixels: {pixels:.3f}; by features: {probe:.3f}, at C = {C:g}")
classifier = nn.Sequential(encoder, model.to_torch())
with torch.no_grad():
    logits = classifier(X_test)
print(f"right by the whole network: {(logits.argmax(1).numpy() == data.y_test).mean():.3f}")

# The way back: a head, trained further or not, becomes a model to evaluate, report and save.
again = gpulr.from_torch(classifier[-1], classes=model.classes)
print(again)
