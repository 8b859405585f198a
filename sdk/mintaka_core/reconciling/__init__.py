"""Level-triggered reconciling: `(what is seen, now) -> what to do`, pure and repeatable."""
