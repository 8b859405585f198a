"""The core of Mintaka: states, rules, schedules, resource models and reconciling, all of it pure.

Nothing here performs I/O, reads a clock or draws a random number: the operator, the API, the SDK and the local mode pass in
their observations and the time, and act on the results. Sibling packages only meet through this package.
"""
