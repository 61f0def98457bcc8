"""Classification: one label out of a fixed set for a text or a pair of texts."""

from __future__ import annotations

from typing import ClassVar

from graftlm.contracts.one_label import METRICS, OneLabel
from graftlm.contracts.task import Metric, Role

TEXT = (
    "text", "sentence", "sentence1", "text1", "text_a", "premise", "question1", "review", "utterance", "query",
    "tweet", "comment", "message", "content", "body", "document", "question", "post", "description", "title",
    "headline", "input", "文本", "内容", "评论", "句子", "句子1", "文本1", "正文", "标题", "问题", "语句",
)  # fmt: skip
PAIR = (
    "text_pair", "sentence2", "text2", "text_b", "hypothesis", "question2", "句子2", "文本2", "文本对",
)  # fmt: skip
LABEL = (
    "label", "labels", "category", "class", "intent", "sentiment", "target", "topic", "emotion", "y", "tag",
    "label_text", "gold_label", "标签", "类别", "分类", "情感", "意图", "类型",
)  # fmt: skip


class Classification(OneLabel):
    """Chooses one label; metrics from counts of right and wrong answers and from probabilities."""

    source: ClassVar[str] = "project; F1 and MCC as scikit-learn's metrics, softmax cross-entropy"
    roles: ClassVar[tuple[Role, ...]] = (
        Role("text", "text", TEXT, "the text to classify"),
        Role("text_pair", "text", PAIR, "a second text, where the label belongs to a pair", required=False),
        Role("label", "target", LABEL, "the class of the text: any text or number"),
    )
    metrics: ClassVar[tuple[Metric, ...]] = METRICS
    baselines: ClassVar[tuple[str, ...]] = ("majority", "tfidf", "probe")
