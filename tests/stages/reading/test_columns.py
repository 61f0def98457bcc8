import pyarrow as pa
import pytest

from graftlm.contracts.task import Role, Task
from graftlm.core import registry
from graftlm.core.errors import DataError
from graftlm.stages.reading.columns import choose

LONG = [f"this is sentence number {i} of a longer kind" for i in range(30)]


def chosen(task, columns, named=None, need_target=True, by_name=True):
    return choose(pa.table(columns), task, named or {}, "a.csv", need_target=need_target, by_name=by_name)


@pytest.mark.parametrize(
    ("names", "roles"),
    [
        (("text", "label"), {"text": "text", "label": "label"}),
        (("Review ", "Category"), {"text": "Review ", "label": "Category"}),
        (("内容", "标签"), {"text": "内容", "label": "标签"}),
        (("标签", "评论"), {"text": "评论", "label": "标签"}),
        (("ｔｅｘｔ", "Intent"), {"text": "ｔｅｘｔ", "label": "Intent"}),
    ],
)
def test_names_that_people_give(choosing, names, roles):
    found = chosen(choosing, {name: ["a", "b"] for name in names})
    assert dict(found.roles) == roles
    assert set(found.why.values()) == {"by its name"}


def test_a_pair_and_an_id_are_found_by_name(choosing):
    found = chosen(choosing, {"ID": [1, 2], "sentence1": ["a", "b"], "sentence2": ["c", "d"], "label": ["x", "y"]})
    assert dict(found.roles) == {"text": "sentence1", "text_pair": "sentence2", "label": "label"}
    assert found.id == "ID"
    assert found.as_json()["id"] == {"column": "ID", "why": "by its name"}


def test_an_empty_column_is_passed_over(choosing):
    found = chosen(choosing, {"text": ["", None, " "], "content": LONG[:3], "label": ["a", "b", "a"]})
    assert found.roles["text"] == "content"


def test_contents_tell_where_names_do_not(choosing):
    columns = {"column_1": [str(i % 4) for i in range(30)], "column_2": ["short"] * 30, "column_3": LONG}
    found = chosen(choosing, columns, by_name=False)
    assert dict(found.roles) == {"text": "column_3", "label": "column_1"}
    assert found.why["label"] == "it holds 4 distinct short values"
    assert found.why["text"].startswith("its texts are the longest (")


def test_chinese_texts_and_labels_are_told_by_content(choosing):
    texts = [f"这家酒店的房间很干净，服务也很好{i}" for i in range(20)]
    found = chosen(choosing, {"c1": ["好", "差"] * 10, "c2": texts})
    assert dict(found.roles) == {"text": "c2", "label": "c1"}


def test_in_a_handful_of_rows_another_text_is_no_label(choosing):
    texts = {
        "foo": ["a long text here", "and another one here"],
        "bar": ["some more long text", "the last of the texts"],
    }
    with pytest.raises(DataError, match="no column was found for 'label'"):
        chosen(choosing, texts)
    assert chosen(choosing, {"foo": texts["foo"], "bar": ["x", "y"]}).roles["label"] == "bar"


def test_doubt_is_said(choosing):
    columns = {"a": LONG, "b": [str(i % 3) for i in range(30)], "c": [str(i % 5) for i in range(30)]}
    found = chosen(choosing, columns)
    assert found.roles["label"] == "c"
    assert found.doubt == "'b' would do as well"


def test_a_sorted_file_is_sampled_over_its_length(choosing):
    labels = ["first"] * 6000 + ["second"] * 6000
    found = chosen(choosing, {"x": [f"a text with number {i}" for i in range(12_000)], "y": labels})
    assert found.roles["label"] == "y"


def test_named_columns_win(choosing):
    columns = {"text": ["a"], "note": ["b"], "label": ["x"], "kind": ["y"]}
    found = chosen(choosing, columns, {"text": "note", "label": "kind", "id": "label"})
    assert dict(found.roles) == {"text": "note", "label": "kind"}
    assert found.id == "label"
    assert found.why["text"] == "named by you"


def test_wrong_names_are_all_told(choosing):
    with pytest.raises(DataError) as caught:
        chosen(choosing, {"text": ["a"], "label": ["x"]}, {"txet": "text", "label": "lable"})
    assert "has no role 'txet'. Did you mean 'text'?" in str(caught.value)
    assert "a.csv: there is no column 'lable'" in str(caught.value)
    assert "Did you mean 'label'?" in str(caught.value)


def test_what_is_missing_is_told_with_what_is_there(choosing):
    with pytest.raises(DataError) as caught:
        chosen(choosing, {"alpha": LONG, "beta": LONG})
    message = str(caught.value)
    assert "a.csv: no column was found for 'label' (the class; such as 'label', 'category'" in message
    assert "Columns: 'alpha', 'beta'. 'alpha' is the text." in message
    assert "data.columns, {label: COLUMN}" in message


def test_without_need_of_a_target_it_is_neither_asked_nor_guessed(choosing):
    found = chosen(choosing, {"text": LONG, "x": ["a", "b"] * 15}, need_target=False)
    assert dict(found.roles) == {"text": "text"}


def test_lists_and_numbers_are_no_texts(choosing):
    with pytest.raises(DataError, match="no column was found for 'text'"):
        chosen(choosing, {"tokens": [["a", "b"]] * 3, "n": [1.5, 2.5, 3.5], "label": ["x", "y", "x"]})


class _Several(Task):
    """A task with roles that several columns make up."""

    roles = (
        Role("text", "text", ("text", "question"), "the text"),
        Role("choices", "text", ("choice", "ending", "option"), "the choices", spread="numbered"),
        Role("label", "target", ("label",), "the labels", spread="flags", blank=True),
    )


_Several.__abstractmethods__ = frozenset()


@pytest.mark.parametrize(
    ("names", "columns"),
    [
        (("choice1", "choice2"), ("choice1", "choice2")),
        (("ending0", "ending1", "ending2"), ("ending0", "ending1", "ending2")),
        (("Option B", "Option A"), ("Option A", "Option B")),
        (("A", "B", "C", "D"), ("A", "B", "C", "D")),
        (("ending0", "ending2", "option_a", "option_b"), ("option_a", "option_b")),
        (("choice", "choice1"), "choice"),
    ],
)
def test_numbered_columns_make_up_a_role(names, columns):
    found = chosen(_Several(), {"question": LONG, "label": ["a", "b"] * 15, **{name: LONG for name in names}})
    assert found.roles["choices"] == columns


def test_columns_of_0_and_1_make_up_a_role_where_nothing_else_is_left():
    columns = {"text": LONG, "choice": LONG, "joy": ["0", "1"] * 15, "anger": [True, False] * 15}
    found = chosen(_Several(), columns)
    assert found.roles["label"] == ("joy", "anger")
    assert found.as_json()["label"] == {"column": ["joy", "anger"], "why": "the other 2 columns hold 0 and 1 alone"}
    with pytest.raises(DataError, match="no column was found for 'label'.*'joy', 'anger' hold 0 and 1 alone"):
        chosen(_Several(), {**columns, "remark": [f"remark {n}" for n in range(30)]})


def test_several_columns_may_be_named(choosing):
    found = chosen(
        choosing, {"a": LONG, "x": ["0", "1"] * 15, "y": ["1", "1"] * 15}, {"label": ["x", "y"], "text": "a"}
    )
    assert dict(found.roles) == {"label": ("x", "y"), "text": "a"}
    with pytest.raises(DataError, match=r"expected the name of one column for 'id'; got \['x', 'y'\]"):
        chosen(choosing, {"a": LONG, "x": LONG, "y": LONG}, {"id": ["x", "y"]})


def test_traditional_characters_and_numerals_name_columns_too(choosing):
    found = chosen(choosing, {"內容": LONG[:2], "標籤": ["a", "b"], "編號": ["1", "2"]})
    assert (dict(found.roles), found.id) == ({"text": "內容", "label": "標籤"}, "編號")


def test_columns_that_no_role_reads_are_told(choosing):
    found = chosen(choosing, {"id": [1, 2], "text": LONG[:2], "note": ["x", "y"], "label": ["a", "b"], "m": [1, 2]})
    assert found.unread == ("note", "m")


def test_numbered_columns_come_before_one_that_is_called_alike():
    class Choosing(_Several):
        roles = (
            Role("text", "text", ("question",), "the text"),
            Role("choices", "text", ("answers", "answer"), "the choices", spread="numbered"),
            Role("label", "target", ("answer",), "the right one"),
        )

    Choosing.__abstractmethods__ = frozenset()
    names = {"question": LONG, "A": LONG, "B": LONG, "answer": ["A", "B"] * 15}
    assert dict(chosen(Choosing(), names).roles) == {"text": "question", "choices": ("A", "B"), "label": "answer"}
    lists = {"question": LONG, "A": LONG, "B": LONG, "answers": [["x", "y"]] * 30, "answer": ["x", "y"] * 15}
    assert chosen(Choosing(), lists).roles["choices"] == "answers"


def test_a_few_values_that_are_no_flags_do_not_hide_the_columns():
    columns = {"text": LONG, "choice": LONG, "joy": ["0", "1"] * 15, "anger": [*["0", "1"] * 14, "0", "2"]}
    found = chosen(_Several(), columns)
    assert found.roles["label"] == ("joy", "anger")
    assert found.why["label"] == "the other 2 columns hold 0 and 1 nearly everywhere"


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"tokens": [["a", "b"]] * 3, "tags": [["O", "O"]] * 3}, "for --task tagging (text, tags)"),
        (
            {"question": [f"who is {n}?" for n in range(30)], "context": LONG, "answers": [["me"]] * 30},
            "for --task extractive_qa (question, context, answers)",
        ),
        ({"text": LONG, "title": [f"Title {n} of it" for n in range(30)]}, "for --task seq2seq (source, target)"),
    ],
)
def test_columns_of_another_task_are_told_where_nothing_is_found(columns, said):
    with pytest.raises(DataError) as fault:
        choose(pa.table(columns), registry.make("task", "classification"), {}, "a.jsonl", need_target=True)
    assert str(fault.value).endswith(f"By their names they are columns {said}.")


def test_no_other_task_is_told_where_rows_are_to_be_answered():
    columns = {"tokens": [["a", "b"]] * 3, "tags": [["O", "O"]] * 3}
    with pytest.raises(DataError) as fault:
        choose(pa.table(columns), registry.make("task", "classification"), {}, "a.jsonl", need_target=False)
    assert "--task" not in str(fault.value)


def test_columns_of_another_task_are_told_beside_a_guess():
    table = pa.table({
        "sentence1": ["one thing", "another thing", "a third thing"] * 10, "sentence2": ["a", "b", "c"] * 10,
        "score": [0.5, 1.5, 3.0] * 10, "source": ["news", "forum"] * 15,
    })  # fmt: skip
    found = choose(table, registry.make("task", "classification"), {}, "a.csv", need_target=True)
    assert found.why["label"].startswith("it holds")
    assert "by their names they are columns for " in found.doubt
    assert "--task similarity (text, text_pair, score)" in found.doubt
    plain = pa.table({"words": ["one thing", "another", "a third"] * 10, "kind": ["a", "b"] * 15})
    assert choose(plain, registry.make("task", "classification"), {}, "a.csv", need_target=True).doubt is None


def test_a_column_in_which_nothing_stands_is_told():
    with pytest.raises(DataError, match="no column was found for 'text'.* Nothing stands in 'text'\\."):
        chosen(registry.make("task", "classification"), {"id": ["1", "2"], "text": [None, ""], "label": ["x", "y"]})
