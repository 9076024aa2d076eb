"""What shifts, turns and mirrors of its input do to a function: actions, errors, assertions, and the audit of a network."""

__all__: list[str] = []
