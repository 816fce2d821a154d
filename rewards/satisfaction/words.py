"""Words of a text, and how alike two texts are by them.

Of scripts that put no spaces between words each character counts as one: Chinese, Japanese, Thai, Lao,
Burmese, Khmer.
"""

import re

_ALONE = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_ALONE}]|[^\W{_ALONE}]+")


def words(text: str) -> list[str]:
    """Return the words of a text, in lower case."""
    return _WORD.findall(text.lower())


def likeness(one: str, other: str) -> float:
    """Return the share of words that two texts have in common, of those that either has.

    >>> likeness("sort the list", "Sort the list!"), likeness("sort the list", ""), likeness("a", "b")
    (1.0, 0.0, 0.0)
    >>> round(likeness("把列表排序", "请把列表排序"), 2)
    0.83
    """
    first, second = set(words(one)), set(words(other))
    return len(first & second) / len(first | second) if first and second else 0.0
