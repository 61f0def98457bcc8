"""Model and texts become answers: one predictor for validation, evaluation, `graft predict` and serving."""

from graftlm.prediction.predictor import Predictor

__all__ = ["Predictor"]
