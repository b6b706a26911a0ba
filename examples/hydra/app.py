"""A Hydra app with a config group, unchanged: it prints its result and knows nothing of swath."""

import math

import hydra
from omegaconf import DictConfig


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config: DictConfig) -> None:
    model = config.model
    # A formula in place of a training.
    if model.name == "svm":
        loss = abs(math.log10(model.C) - 1) + abs(math.log10(model.gamma) + 2)
    else:
        loss = abs(model.depth - 6) / 4 + 0.5
    for epoch in range(1, config.epochs + 1):
        print(f"epoch {epoch} loss={loss + config.lr / epoch:.6f}", flush=True)


if __name__ == "__main__":
    main()
