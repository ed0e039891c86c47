"""The loop that caching replaces: every image through the whole frozen network in every epoch, torch's own gradient."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from deepcovid_lib import backbones
from deepcovid_lib.finetune import Draws, Recipe


def plain_fit(
    inputs: Tensor, labels: np.ndarray, network: Callable[[Tensor], Tensor], name: str, recipe: Recipe, seed: int
) -> tuple[dict[str, Tensor], list[tuple[float, float]]]:
    """Train a head on what `network` makes of inputs (n, ...); return it and each epoch's loss and accuracy."""
    backbone = backbones.get(name)
    draws = Draws(seed)
    is_map = len(backbone.feature_shape) > 1
    head = nn.Conv2d(backbone.feature_shape[0], 2, 1) if is_map else nn.Linear(backbone.feature_shape[0], 2)
    head.load_state_dict(draws.head(backbone))
    if recipe.optimizer == "adam":
        optimizer = torch.optim.Adam(head.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    else:
        optimizer = torch.optim.SGD(head.parameters(), lr=recipe.learning_rate, momentum=0.9)
    targets = torch.tensor(np.asarray(labels, dtype=np.int64))
    told = []
    for epoch in range(recipe.epochs):
        if recipe.optimizer == "sgd":
            optimizer.param_groups[0]["lr"] = recipe.learning_rate * 0.1 ** (epoch // 7)
        total = right = 0.0
        for batch in draws.order(len(inputs)).split(recipe.batch_size):
            with torch.no_grad():
                features = network(inputs[batch])
            if is_map:
                dropped = features * draws.masks(torch.empty_like(features, memory_format=torch.contiguous_format))
                logits = torch.relu(head(dropped)).mean(dim=(2, 3))
            else:
                logits = head(features)
            loss = nn.functional.cross_entropy(logits, targets[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
            right += (logits.argmax(dim=1) == targets[batch]).sum().item()
        told.append((total / len(inputs), right / len(inputs)))
    return {key: value.detach() for key, value in head.state_dict().items()}, told
