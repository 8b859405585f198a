"""Limits on how much of something all runs do at the same time, or in a time: `mintaka.concurrency.sync` and `.asyncio`."""
