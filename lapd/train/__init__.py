"""Training an adapter: its configuration, the choice of the trainer, the run card."""

from lapd.train.divergence import check_log

__all__ = ["check_log"]
