"""What holds for every task: what its loss calls perfect is graded perfect, and answers stay in the space.

The rows are those that the task's own test calls ROWS (mappings from role to value).
"""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from graftlm.contracts.values import Outputs, Space
from graftlm.core import registry


@pytest.fixture
def run(task_name, make_run):
    return make_run([], task=task_name)


def encoded(run):
    examples = run.examples()
    other = run.task.writes_with or run.beside
    encode = run.task.encode_training if other else run.task.encode
    inputs = encode(examples, run.model.tokenizer, run.limit)
    return examples, inputs, run.task.targets(examples, inputs, run.space)


class Says:
    """Stands for a model that gives certain logits (B, L, V), and writes the likeliest token where there is a label."""

    def __init__(self, model, logits, labels):
        self.logits, self.labels = logits, labels
        self.config, self.generation_config = model.config, model.generation_config

    def __call__(self, input_ids, **inputs):
        return Outputs(self.logits[:, : input_ids.shape[1]])

    def generate(self, input_ids, **options):
        pad = self.config.pad_token_id
        best = self.logits.argmax(dim=-1)
        out = torch.full((len(input_ids), self.labels.shape[1]), pad)
        for row, (ids, mask) in enumerate(zip(best, self.labels != -100, strict=True)):
            out[row, : int(mask.sum())] = ids[mask]
        start = input_ids[:, :1] if self.config.is_encoder_decoder else input_ids
        return torch.cat([start, out], dim=1)


def given(run, inputs):
    """Return the padded batch of the inputs that are to be answered."""
    from graftlm.nn.packed import Packed

    packed = Packed.of([one.features for one in inputs])
    return packed.batch(list(range(len(inputs))), run.model.tokenizer.pad_token_id, "right")


def decoded(run, logits):
    """Return the answers to all rows from logits (sequences, ...)."""
    examples = run.examples()
    inputs = run.task.encode(examples, run.model.tokenizer, run.limit)
    if run.task.writes_with:
        model = Says(run.model.module, logits.detach().float(), run.task.stack(encoded(run)[2]))
        pieces = run.task.infer(model, given(run, inputs))
    else:
        pieces = list(logits.detach().float().numpy())[: len(inputs)]
    return answers_of(run, examples, inputs, pieces)


def answers_of(run, examples, inputs, pieces):
    beside = run.beside
    own = [[n for n, one in enumerate(inputs) if one.row == row] for row in range(len(examples))]
    return examples, [
        run.task.decode(example, [inputs[n] for n in numbers], [*(pieces[n] for n in numbers), *beside], run.space)
        for example, numbers in zip(examples, own, strict=True)
    ]


def random_logits(run, seed):
    with torch.inference_mode():
        shape = run.model.module(**run.inputs).logits.shape
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def graded(run, logits):
    examples, answers = decoded(run, logits)
    grades = run.task.grade(answers, examples, run.space)
    return {metric.name: metric.compute(grades) for metric in run.task.metrics}


def test_its_facts_hold_together(task_name):
    import transformers

    task = registry.make("task", task_name)
    roles = [role.name for role in task.roles]
    assert len(set(roles)) == len(roles)
    assert task.splits_itself or any(role.kind == "text" and role.required for role in task.roles)
    assert sum(role.kind == "target" for role in task.roles) <= 1
    assert all(role.about for role in task.roles)
    names = [metric.name for metric in task.metrics]
    assert names
    assert len(set(names)) == len(names)
    assert task.primary.name == names[0]
    assert set(task.baselines) <= set(registry.names("baseline"))
    assert hasattr(transformers, task.auto_model)


def test_an_unknown_metric_is_refused_and_a_known_one_decides(task_name):
    known = registry.make("task", task_name).metrics[-1].name
    assert registry.make("task", {"use": task_name, "metric": known}).primary.name == known
    with pytest.raises(ValueError, match="no_such_metric"):
        registry.make("task", {"use": task_name, "metric": "no_such_metric"})


def test_its_space_goes_through_json(run):
    assert Space.from_json(json.loads(json.dumps(run.space.as_json()))) == run.space


def test_nothing_encoded_is_longer_than_the_limit_or_loses_its_row(run):
    examples = run.examples()
    for limit in (run.limit, 12):
        inputs = run.task.encode(examples, run.model.tokenizer, limit)
        assert {one.row for one in inputs} == set(range(len(examples)))
        assert all(0 < len(one) <= limit for one in inputs)
        assert all(
            len(v) == len(one) for one in inputs for n, v in one.features.items() if not n.startswith("decoder_")
        )
    cut = any(one.truncated for one in inputs) or len(inputs) > len(examples)  # the rest is lost, or in more windows
    assert cut, "rows of more than 12 tokens were cut, and it does not say so"
    assert run.task.encode([], run.model.tokenizer, run.limit) == []


def test_encoding_one_row_equals_encoding_it_among_others(run):
    examples = run.examples()
    together = run.task.encode(examples, run.model.tokenizer, run.limit)
    alone = [one for example in examples for one in run.task.encode([example], run.model.tokenizer, run.limit)]
    assert [dict(one.features) for one in together] == [dict(one.features) for one in alone]


def test_its_loss_is_a_sum_with_gradient(run):
    _, _, targets = encoded(run)
    logits = random_logits(run, 0).requires_grad_()
    whole = run.task.loss(Outputs(logits), run.task.stack(targets))
    sets = run.data.sets(np.arange(len(targets)))
    parts = [run.task.loss(Outputs(logits[own]), run.task.stack([targets[n] for n in own])) for own in sets]
    assert whole.shape == ()
    if not run.task.across:
        assert math.isclose(whole.item(), sum(part.item() for part in parts), rel_tol=1e-4)
    whole.backward()
    assert logits.grad.isfinite().all()
    assert logits.grad.abs().sum() > 0
    counts = [run.task.count(run.task.stack([targets[n] for n in own])) for own in sets]
    assert run.task.count(run.task.stack(targets)) == sum(counts)


def test_what_the_loss_calls_perfect_is_graded_perfect(run):
    if run.beside:
        pytest.skip("answers come from a catalogue beside the logits: the task's own test has it")
    _, _, targets = encoded(run)
    logits = random_logits(run, 0).requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.3)
    for _ in range(150):
        optimizer.zero_grad()
        run.task.loss(Outputs(logits), run.task.stack(targets)).backward()
        optimizer.step()
    best = graded(run, logits)
    primary = run.task.primary
    assert best[primary.name] == pytest.approx(1.0 if primary.higher_is_better else 0.0, abs=1e-3)
    for seed in range(5):
        other = graded(run, random_logits(run, seed))
        for metric in run.task.metrics:
            if math.isnan(best[metric.name]):  # these rows do not have what it measures
                continue
            gain = best[metric.name] - other[metric.name]
            assert gain >= 0 if metric.higher_is_better else gain <= 0, metric.name


def test_answers_stay_in_the_space_and_are_json(run):
    for seed in range(20):
        examples, answers = decoded(run, 50 * random_logits(run, seed))
        assert len(answers) == len(examples)
        for answer in answers:
            assert answer.confidence is None or 0 <= answer.confidence <= 1
            json.dumps(dict(answer.public), allow_nan=False)
            values = answer.value if isinstance(answer.value, list | tuple | set) else [answer.value]
            assert not run.space.labels or set(values) <= set(run.space.labels)


def test_the_predictor_gives_what_decoding_the_models_outputs_gives(run):
    from graftlm.prediction.predictor import Predictor

    run.model.module.eval()
    with torch.inference_mode():
        examples = run.examples()
        inputs = run.task.encode(examples, run.model.tokenizer, run.limit)
        pieces = run.task.infer(run.model.module, given(run, inputs))
    _, direct = answers_of(run, examples, inputs, pieces)
    predictor = Predictor(run.model, run.task, run.space, limit=run.limit, precision="fp32")
    found = predictor.answers(examples)
    assert [answer.value for answer in found] == [answer.value for answer in direct]
    backwards = predictor.answers(list(reversed(examples)))
    assert [answer.value for answer in backwards] == [answer.value for answer in reversed(direct)]
    for a, b in zip(found, direct, strict=True):
        assert (a.confidence is None) == (b.confidence is None)
        assert a.confidence is None or a.confidence == pytest.approx(b.confidence, abs=1e-5)


def test_grades_have_one_value_a_row_and_figures_are_numbers(run):
    examples, answers = decoded(run, random_logits(run, 1))
    grades = run.task.grade(answers, examples, run.space)
    assert {len(column) for column in grades.values()} == {len(examples)}
    assert all(isinstance(metric.compute(grades), float) for metric in run.task.metrics)
    json.dumps(run.task.details(grades, run.space), allow_nan=False)


def test_sound_rows_raise_no_error(run):
    assert [finding for finding in run.task.check({"train": run.rows}) if finding.level == "error"] == []
