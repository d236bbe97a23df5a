"""What goes wrong because of what a person gave us: shown as one clear message, never as a traceback."""


class UserError(ValueError):
    """A mistake that the person at the keyboard can mend: says the value, the rule and what to do."""


class ConfigError(UserError):
    """A flag or a field of a configuration has a value that cannot work."""


class ImageError(UserError):
    """A picture that cannot be read, or an array that is no picture."""


class DataError(UserError):
    """A data set with missing, unpaired, unreadable or mismatched pictures."""


class ModelError(UserError):
    """A model folder or repository that is missing, damaged, hostile or not ours."""


LIMIT = 20


def listed(problems: list[str], limit: int = LIMIT) -> str:
    """Return the problems a line each, up to `limit`, then how many more there are."""
    lines = [f"  {problem}" for problem in problems[:limit]]
    if len(problems) > limit:
        lines.append(f"  ... and {len(problems) - limit} more")
    return "\n".join(lines)
