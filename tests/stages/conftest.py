import pytest

from graftlm.contracts.task import Role, Task
from graftlm.contracts.values import Finding

TEXT = ("text", "sentence", "sentence1", "review", "content", "query", "title", "文本", "内容", "评论")


class Choosing(Task):
    """A task with roles and nothing else: what reading and checking need of one."""

    roles = (
        Role("text", "text", TEXT, "the text"),
        Role("text_pair", "text", ("text_pair", "sentence2"), "a second text", required=False),
        Role("label", "target", ("label", "category", "intent", "标签", "类别"), "the class"),
    )

    def check(self, splits):
        return [Finding("note", "task", f"the task saw {', '.join(splits)}")]

    def _none(self, *_):
        raise AssertionError("reading and checking do not ask for this")

    space = encode = targets = loss = decode = grade = _none


@pytest.fixture
def choosing():
    return Choosing()
