"""What shifts, turns and mirrors of an input do to a function: actions, errors, assertions, and the audit."""

__all__: list[str] = []
