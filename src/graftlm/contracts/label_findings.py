"""What is worth knowing about labels before training: rare, uneven, id-like, near-equal and missing ones."""

from __future__ import annotations

from collections import Counter

from graftlm.contracts.values import Finding
from graftlm.core.errors import listing


def about_training(counts: Counter[str]) -> list[Finding]:
    """Return what the labels of the training rows, counted, are like."""
    rows, found = sum(counts.values()), []
    if len(counts) < 2:
        only = f"only {next(iter(counts))!r}" if counts else "none"
        message = f"The training rows need at least two different labels; found {only}. Is this the right column?"
        return [Finding("error", "one_class", message, len(counts))]
    if rows >= 20 and len(counts) > 0.5 * rows:
        message = (
            f"{len(counts)} different labels in {rows} training rows: the label column looks like an id or free text."
        )
        found.append(Finding("warning", "label_like_id", message, len(counts)))
        return found
    rare = sorted((label for label, count in counts.items() if count < 5), key=counts.__getitem__)
    if rare:
        shown = ", ".join(f"{label!r} {counts[label]}" for label in rare[:5])
        message = f"{len(rare)} of {len(counts)} classes have fewer than 5 training rows ({shown})."
        found.append(Finding("warning", "rare_class", message, len(rare)))
    (most, many), (least, few) = counts.most_common(1)[0], min(counts.items(), key=lambda pair: pair[1])
    if many >= 10 * few:
        message = (
            f"Classes are uneven: {most!r} has {many} training rows ({many / rows:.0%}), {least!r} {few}. "
            "Look at macro F1 beside accuracy."
        )
        found.append(Finding("warning", "imbalance", message, len(counts)))
    alike: dict[str, list[str]] = {}
    for label in counts:
        alike.setdefault(" ".join(label.split()).casefold(), []).append(label)
    twins = [sorted(group) for group in alike.values() if len(group) > 1]
    if twins:
        shown = "; ".join(" and ".join(map(repr, group)) for group in twins[:3])
        message = f"{len(twins)} groups of labels differ only by case or spaces: {shown}."
        found.append(Finding("warning", "similar_labels", message, len(twins)))
    return found


def about_other(split: str, counts: Counter[str], train: Counter[str]) -> list[Finding]:
    """Return which labels only one of a split and the training rows has."""
    found = []
    if strange := sorted(label for label in counts if label not in train):
        rows = sum(counts[label] for label in strange)
        message = (
            f"{rows} rows of {split} have labels that no training row has ({listing(strange, 5)}): they count as wrong."
        )
        found.append(Finding("warning", "unseen_label", message, rows))
    if absent := sorted(label for label in train if label not in counts):
        message = f"{len(absent)} of {len(train)} classes have no row in {split} ({listing(absent, 5)})."
        found.append(Finding("warning", "absent_class", message, len(absent)))
    return found
