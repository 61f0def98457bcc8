"""Model and texts become answers: one predictor for validation, evaluation, `graft predict` and serving."""

from graftlm.prediction.lines import Predictions, as_line, read_predictions, write_predictions
from graftlm.prediction.predictor import Predictor, embed

__all__ = ["Predictions", "Predictor", "as_line", "embed", "read_predictions", "write_predictions"]
