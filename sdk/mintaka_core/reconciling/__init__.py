"""Level-triggered reconciling: `(observation, now) -> plan`, pure and repeatable."""
