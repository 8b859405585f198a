"""The trunk of Mintaka: states, rules, schedules, resource models and reconciling, all of it pure.

Nothing here performs input or output, reads a clock or draws a random number: the operator, the API, the SDK and the
local mode hand in what they saw and when, and act on what comes back. Siblings meet only through this package.
"""
